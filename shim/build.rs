//! Notes for `-version` and `-info` which commit is built, and by which compiler.
#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

use std::env;
use std::ffi::OsString;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    note("PLANC_RUSTC", output(&rustc, &["--version"]).as_deref().and_then(|line| line.strip_prefix("rustc ")));
    let git = |args: &[&str]| output(&"git".into(), args);
    note("PLANC_COMMIT", git(&["rev-parse", "HEAD"]).as_deref());
    // HEAD names a branch; its log grows with every commit, also on that branch.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

fn note(name: &str, value: Option<&str>) {
    if let Some(value) = value {
        println!("cargo::rustc-env={name}={value}");
    }
}

/// The first line that a command prints, where it succeeds.
fn output(program: &OsString, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.lines().next()?.to_owned())
}
