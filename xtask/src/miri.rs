//! `cargo xtask miri`: the encoding of plans and the compiler, which touch no system, under Miri.

use std::process::{Command, Stdio};

use crate::run::{Result, bounded, succeed};

/// What is run: the tests of a target, by a filter of their names.
const RUNS: &[&[&str]] = &[&["--test", "wire"], &["--lib", "--", "compile::"]];

/// Runs the tests; where Miri cannot be had, it says so. Takes no arguments.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        return Err("takes no arguments".to_owned());
    }
    if let Some(why) = lacks() {
        println!("NOT RUN miri: {why}");
        return Ok(());
    }
    for run in RUNS {
        println!("     Miri: cargo test -p runtime-core {}", run.join(" "));
        let mut command = nightly(60, &["miri", "test", "-p", "runtime-core"]);
        // The clock and the environment are proptest's; an interpreter has no time for many cases. Miri rounds logarithms
        // at random, unless it is told not to: the curve of cpu.shares would be another one each time.
        let flags = "-Zmiri-disable-isolation -Zmiri-deterministic-floats";
        command.args(*run).env("MIRIFLAGS", flags).env("PROPTEST_CASES", "4");
        succeed(&mut command)?;
    }
    Ok(())
}

/// Why Miri cannot be run here.
pub(crate) fn lacks() -> Option<String> {
    let mut version = nightly(1, &["miri", "--version"]);
    version.stdout(Stdio::null()).stderr(Stdio::null());
    let there = version.status().is_ok_and(|status| status.success());
    (!there)
        .then(|| "no nightly toolchain with Miri (rustup component add --toolchain nightly miri rust-src)".to_owned())
}

/// Only rustup's `cargo` knows toolchains by name.
fn nightly(minutes: u32, arguments: &[&str]) -> Command {
    let mut command = bounded(minutes, "cargo", &["+nightly"]);
    command.args(arguments).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("RUSTC");
    command
}
