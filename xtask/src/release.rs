//! `cargo xtask release`: the binaries that are given to people.

use crate::run::{Result, bounded, build, stdout};

/// Builds `planc` and the shim and prints path, size and SHA-256 of each.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        return Err("takes no arguments".to_owned());
    }
    let built = build(20, &["build", "--release", "--locked", "-p", "runtime-cli", "-p", "shim", "--bins"])?;
    if !built.iter().any(|binary| binary.name == "planc") {
        return Err("cargo built no planc".to_owned());
    }
    for binary in built.iter().filter(|binary| binary.kind == "bin") {
        let size = std::fs::metadata(&binary.path).map_err(|why| format!("{}: {why}", binary.path.display()))?.len();
        let sum = stdout(&mut bounded(1, "sha256sum", &[&binary.path]))?;
        let sum = sum.split_whitespace().next().unwrap_or_default();
        println!("{}\n  size   {size} bytes\n  sha256 {sum}", binary.path.display());
    }
    Ok(())
}
