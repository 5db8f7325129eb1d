//! Compiles demo/, orders functions, and notes for `planc --version` which commit is built, and by which compiler.
#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// As few pages and as few mappings as can be.
const LINKER: &str = "-Wl,--gc-sections,--build-id=none,--no-eh-frame-hdr,-z,noexecstack,-z,noseparate-code";

fn main() -> Result<(), Box<dyn Error>> {
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
    order_functions()?;
    compile_demo(rustc)
}

/// The functions that ordinary commands call are linked side by side, where that is asked for: it takes a linker that reads
/// GNU ld's scripts, and names that are mangled as those in the script are.
fn order_functions() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=PLANC_FIRST");
    println!("cargo::rerun-if-changed=first.ld");
    if env::var_os("PLANC_FIRST").is_some() {
        let script = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("first.ld");
        println!("cargo::rustc-link-arg-bin=planc=-Wl,-T,{}", script.display());
    }
    Ok(())
}

/// The program of `planc demo`, built as runtime-core/build.rs builds init: static, without libc.
fn compile_demo(rustc: OsString) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=demo");
    println!("cargo::rerun-if-changed=../runtime-core/init/memory.rs");
    println!("cargo::rerun-if-changed=../runtime-core/init/link.ld");
    println!("cargo::rerun-if-env-changed=PLANC_CHECK_ONLY");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut rustc = Command::new(rustc);
    rustc.args(["--edition", "2024", "--crate-type", "bin", "--crate-name", "demo"]);
    rustc.args(["--target", &env::var("TARGET")?]);
    rustc.args(["-C", "opt-level=z", "-C", "lto=fat", "-C", "codegen-units=1", "-C", "panic=abort"]);
    rustc.args(["-C", "strip=symbols", "-C", "relocation-model=static", "-C", "target-feature=+crt-static"]);
    for argument in ["-nostdlib", "-nostartfiles", "-static", LINKER] {
        rustc.args(["-C", &format!("link-arg={argument}")]);
    }
    let script = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../runtime-core/init/link.ld");
    rustc.args(["-C", "link-arg=-T", "-C", &format!("link-arg={}", script.display())]);
    // Its own start files would be musl's.
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "musl") {
        rustc.args(["-C", "link-self-contained=no"]);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    // A machine without a linker for the target can still type-check it.
    if env::var_os("PLANC_CHECK_ONLY").is_some() {
        std::fs::write(out.join("demo"), "")?;
        rustc.args(["--emit", "metadata", "-o"]).arg(out.join("demo.rmeta"));
    } else {
        rustc.arg("-o").arg(out.join("demo"));
    }
    let status = rustc.arg("demo/main.rs").status()?;
    if status.success() { Ok(()) } else { Err(format!("compiling demo/: {status}").into()) }
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
