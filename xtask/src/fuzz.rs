//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::run::{Result, bounded, cargo, root, stdout, succeed, target_directory};

/// Whose bundles the corpora begin with.
const GOLDEN: &str = "runtime-core/tests/golden";

/// Runs each target, or those named, for `--seconds` (default 60). What it came to is libFuzzer's own report.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let mut seconds = 60;
    let mut wanted = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--seconds" => seconds = number(rest.next())?,
            flag if flag.starts_with('-') => return Err(format!("unknown argument {flag:?}")),
            target => wanted.push(target.to_owned()),
        }
    }
    install()?;
    let targets = if wanted.is_empty() { targets()? } else { wanted };
    for target in targets {
        let seeds = seeds(&target)?;
        let corpus = root().join("fuzz/corpus").join(&target);
        fs::create_dir_all(&corpus).map_err(|why| format!("{}: {why}", corpus.display()))?;
        println!("     Fuzzing {target} for {seconds} s");
        // Half an hour for the build beside the fuzzing itself.
        let mut command = own_nightly(30 + seconds.div_ceil(60), &["fuzz", "run", &target]);
        command.arg(corpus).arg(seeds).args(["--", "-print_final_stats=1", "-timeout=20"]);
        succeed(command.arg(format!("-max_total_time={seconds}")))?;
    }
    Ok(())
}

fn targets() -> Result<Vec<String>> {
    let list = stdout(&mut own_nightly(2, &["fuzz", "list"]))?;
    let targets: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
    if targets.is_empty() { Err("fuzz/ has no target".to_owned()) } else { Ok(targets) }
}

fn install() -> Result<()> {
    if succeed(own_nightly(1, &["fuzz", "--version"]).stdout(std::io::stderr())).is_ok() {
        return Ok(());
    }
    eprintln!("xtask: installing cargo-fuzz: builds and runs the fuzz targets");
    succeed(&mut bounded(15, cargo(), &["install", "--locked", "cargo-fuzz"]))
}

/// libFuzzer's instrumentation is behind `-Z` flags, which the machine's own compiler knows as well as a nightly one.
fn own_nightly(minutes: u32, arguments: &[&str]) -> Command {
    let mut command = bounded(minutes, cargo(), arguments);
    command.env("RUSTC_BOOTSTRAP", "1");
    command
}

/// A folder of inputs to begin with: what the golden bundles have of a target's subject.
fn seeds(target: &str) -> Result<PathBuf> {
    let folder = target_directory()?.join("fuzz-seeds").join(target);
    let failed = |path: &Path, why: &std::io::Error| format!("{}: {why}", path.display());
    fs::create_dir_all(&folder).map_err(|why| failed(&folder, &why))?;
    let golden = root().join(GOLDEN);
    let bundles = fs::read_dir(&golden).map_err(|why| failed(&golden, &why))?;
    for bundle in bundles.filter_map(|entry| Some(entry.ok()?.path())) {
        // The folder of an exec names another one.
        let Ok(bytes) = fs::read(bundle.join("config.json")) else { continue };
        let name = bundle.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (n, seed) in seeds_of(target, &bytes).into_iter().enumerate() {
            let path = folder.join(format!("{name}-{n}"));
            fs::write(&path, seed).map_err(|why| failed(&path, &why))?;
        }
    }
    Ok(folder)
}

fn seeds_of(target: &str, config: &[u8]) -> Vec<Vec<u8>> {
    let json = || serde_json::from_slice::<Value>(config).unwrap_or_default();
    match target {
        "config" => vec![config.to_vec()],
        "seccomp" => {
            json().pointer("/linux/seccomp").map(|profile| profile.to_string().into_bytes()).into_iter().collect()
        }
        // The byte in front says which kind of mount; the options are lines.
        "mount_options" => {
            let json = json();
            let mounts = json["mounts"].as_array().into_iter().flatten();
            let options = mounts.filter_map(|mount| mount["options"].as_array());
            let line = |options: &Vec<Value>| options.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n");
            options.map(|options| format!("0{}", line(options)).into_bytes()).collect()
        }
        _ => Vec::new(),
    }
}

fn number(argument: Option<&String>) -> Result<u32> {
    argument.and_then(|text| text.parse().ok()).ok_or_else(|| "--seconds wants a number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_seeds_of_what_it_has() {
        let config =
            br#"{"mounts": [{"options": ["ro", "nosuid"]}, {}], "linux": {"seccomp": {"defaultAction": "x"}}}"#;
        assert_eq!(seeds_of("config", config), [config.to_vec()]);
        assert_eq!(seeds_of("mount_options", config), [b"0ro\nnosuid".to_vec()]);
        assert_eq!(seeds_of("seccomp", config), [br#"{"defaultAction":"x"}"#.to_vec()]);
        assert!(seeds_of("id_maps", config).is_empty());
    }
}
