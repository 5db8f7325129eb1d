//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer.

use crate::run::{Result, bounded, cargo, root, stdout, succeed};

/// Runs each target, or those named, for `--seconds` (default 60).
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
    if !root().join("fuzz/Cargo.toml").is_file() {
        return Err("there is no fuzz/Cargo.toml".to_owned());
    }
    install()?;
    let targets = if wanted.is_empty() { targets()? } else { wanted };
    for target in targets {
        println!("     Fuzzing {target} for {seconds} s");
        let limit = format!("-max_total_time={seconds}");
        // 15 minutes for the build beside the fuzzing itself.
        succeed(&mut nightly(15 + seconds.div_ceil(60), &["fuzz", "run", &target, "--", &limit]))?;
    }
    Ok(())
}

fn targets() -> Result<Vec<String>> {
    let list = stdout(&mut nightly(2, &["fuzz", "list"]))?;
    let targets: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
    if targets.is_empty() { Err("fuzz/ has no target".to_owned()) } else { Ok(targets) }
}

fn install() -> Result<()> {
    if succeed(nightly(1, &["fuzz", "--version"]).stdout(std::io::stderr())).is_ok() {
        return Ok(());
    }
    eprintln!("xtask: installing cargo-fuzz: builds and runs the fuzz targets (a nightly toolchain must be there)");
    succeed(&mut bounded(15, cargo(), &["install", "--locked", "cargo-fuzz"]))
}

/// libFuzzer's instrumentation is behind nightly's `-Z` flags, and only rustup's `cargo` knows toolchains by name.
fn nightly(minutes: u32, arguments: &[&str]) -> std::process::Command {
    let mut command = bounded(minutes, "cargo", &["+nightly"]);
    command.args(arguments).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command
}

fn number(argument: Option<&String>) -> Result<u32> {
    argument.and_then(|text| text.parse().ok()).ok_or_else(|| "--seconds wants a number".to_owned())
}
