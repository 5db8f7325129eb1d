//! `cargo xtask order`: writes runtime-cli/first.ld anew, by which the linker puts the functions that ordinary commands call side
//! by side (docs/decisions/static-programs.md).

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::counts::{Bundle, Folder, bundle};
use crate::lane::Lane;
use crate::packages;
use crate::run::{Result, planc_with_symbols, root, succeed};

/// The script, from the project's root.
const SCRIPT: &str = "runtime-cli/first.ld";

const HEADER: &str = "/* The functions that ordinary commands call, in the order of their first calls: side by side they fill fewer pages, so \
                      that fewer\n * are read, mapped and resident. What is not there (any more) matches nothing. Written by `cargo xtask \
                      order`. */\n";

/// `order`: builds planc with its symbols, runs its commands under gdb(1), and writes down what they call.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if let Some(unknown) = arguments.first() {
        return Err(format!("unknown argument {unknown:?}: there are none"));
    }
    packages::ensure(&[packages::BENCHES, packages::ORDER])?;
    let planc = planc_with_symbols()?;
    let folder = Folder::new("order")?;
    let path = |name: &str| folder.0.join(name);
    bundle(&planc, &path("bundle"), Bundle::Default)?;
    bundle(&planc, &path("sleeper"), Bundle::Default)?;
    change(&path("bundle"), &filter()?)?;
    change(&path("sleeper"), &json!({ "/process/args": ["/bin/busybox", "sleep", "100"] }))?;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/order");
    let mut lane = Lane::Native.command()?;
    lane.env("LANE_TIMEOUT", "300").arg("bash").arg(scripts.join("commands.sh"));
    succeed(lane.args([&folder.0, &planc, &path("bundle"), &path("sleeper"), &scripts.join("functions.py")]))?;
    let called = fs::read_to_string(path("functions")).map_err(|why| format!("functions: {why}"))?;
    let script = script(called.lines());
    println!("{SCRIPT}: {} functions", script.matches("\n  *").count());
    fs::write(root().join(SCRIPT), script).map_err(|why| format!("{SCRIPT}: {why}"))
}

/// The seccomp filter that Docker asks for.
fn filter() -> Result<Value> {
    let path = root().join("runtime-core/tests/golden/docker/config.json");
    let config = fs::read(&path).map_err(|why| format!("{}: {why}", path.display()))?;
    let config: Value = serde_json::from_slice(&config).map_err(|why| format!("{}: {why}", path.display()))?;
    match &config["linux"]["seccomp"] {
        Value::Null => Err(format!("{}: it has no filter", path.display())),
        filter => Ok(json!({ "/linux/seccomp": filter })),
    }
}

/// Gives a bundle's config.json other values, by their places.
fn change(bundle: &Path, values: &Value) -> Result<()> {
    let path = bundle.join("config.json");
    let failed = |why: String| format!("{}: {why}", path.display());
    let config = fs::read(&path).map_err(|why| failed(why.to_string()))?;
    let mut config: Value = serde_json::from_slice(&config).map_err(|why| failed(why.to_string()))?;
    for (place, value) in values.as_object().into_iter().flatten() {
        let (parent, name) = place.rsplit_once('/').unwrap_or_default();
        config.pointer_mut(parent).ok_or_else(|| failed(format!("no {parent}")))?[name] = value.clone();
    }
    fs::write(&path, config.to_string()).map_err(|why| failed(why.to_string()))
}

/// The linker's script: a section before the others'.
fn script<'a>(called: impl Iterator<Item = &'a str>) -> String {
    let mut known = HashSet::new();
    let mut script = format!("{HEADER}SECTIONS {{ .text.first : {{\n");
    for pattern in called.map(pattern).filter(|pattern| known.insert(pattern.clone())) {
        let _ = writeln!(script, "  *(.text.{pattern} .text.unlikely.{pattern})");
    }
    script + "} } INSERT BEFORE .text;\n"
}

/// A function's name, with a wildcard for what depends on how its crates were built: their hashes, whose length is in every
/// reference back to an earlier part of the name (the compiler's RFC 2603), and what LLVM adds.
fn pattern(name: &str) -> String {
    let Some(path) = name.strip_prefix("_R") else { return name.to_owned() };
    let mut pattern = "_R".to_owned();
    let mut rest = path.split(".llvm.").next().unwrap_or(path);
    while let Some(first) = rest.chars().next() {
        let found = [("Cs", 8..=16), ("B", 0..=4)].into_iter().find_map(|(begin, lengths)| {
            let number = rest.strip_prefix(begin)?;
            let (number, after) = number.split_once('_')?;
            let is_number = lengths.contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_alphanumeric());
            is_number.then_some((begin, after))
        });
        match found {
            Some((begin, after)) => {
                pattern = pattern + begin + "*_";
                rest = after;
            }
            None => {
                pattern.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    pattern + "*"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_and_what_depends_on_them_are_left_open() {
        for (name, wanted) in [
            ("memcpy", "memcpy"),
            ("_RNvCs7BliBxkEZsN_5planc4main", "_RNvCs*_5planc4main*"),
            ("_RINvCs2RMEijKGcPA_4core4sortNtB2_4LineE.llvm.42", "_RINvCs*_4core4sortNtB*_4LineE*"),
            ("_RNvNtCs7BliBxkEZsN_3one3two", "_RNvNtCs*_3one3two*"),
        ] {
            assert_eq!(pattern(name), wanted);
        }
    }

    #[test]
    fn a_function_has_one_line() {
        let script = script(["b", "a", "b"].into_iter());
        assert!(
            script.ends_with(
                "{\n  *(.text.b .text.unlikely.b)\n  *(.text.a .text.unlikely.a)\n} } INSERT BEFORE .text;\n"
            )
        );
    }
}
