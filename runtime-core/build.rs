//! Compiles init/ with the compiler that compiles the crate, and nothing else.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

/// As few pages and as few mappings as can be.
const LINKER: &str = "-Wl,--gc-sections,--build-id=none,--no-eh-frame-hdr,-z,noexecstack,-z,noseparate-code";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=init");
    println!("cargo::rerun-if-changed=wire");
    println!("cargo::rerun-if-env-changed=PLANC_CHECK_ONLY");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut rustc = Command::new(env::var("RUSTC")?);
    rustc.args(["--edition", "2024", "--crate-type", "bin", "--crate-name", "init"]);
    rustc.args(["--target", &env::var("TARGET")?]);
    // Small and without a panic: the link fails where one is left (init/main.rs). Overflow checks would be panics.
    rustc.args(["-C", "opt-level=s", "-C", "lto=fat", "-C", "codegen-units=1", "-C", "panic=abort"]);
    rustc.args(["-C", "overflow-checks=off", "-C", "debug-assertions=off", "-C", "strip=symbols"]);
    rustc.args(["-C", "relocation-model=static", "-C", "target-feature=+crt-static"]);
    for argument in ["-nostdlib", "-nostartfiles", "-static", LINKER] {
        rustc.args(["-C", &format!("link-arg={argument}")]);
    }
    let script = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("init/link.ld");
    rustc.args(["-C", "link-arg=-T", "-C", &format!("link-arg={}", script.display())]);
    // Its own start files would be musl's.
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "musl") {
        rustc.args(["-C", "link-self-contained=no"]);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    rustc.args(["--check-cfg", "cfg(failpoints)"]);
    if env::var_os("CARGO_FEATURE_FAILPOINTS").is_some() {
        rustc.args(["--cfg", "failpoints"]);
    }
    // A machine without a linker for the target can still type-check it.
    if env::var_os("PLANC_CHECK_ONLY").is_some() {
        std::fs::write(out.join("init"), "")?;
        rustc.args(["--emit", "metadata", "-o"]).arg(out.join("init.rmeta"));
    } else {
        rustc.arg("-o").arg(out.join("init"));
    }
    let status = rustc.arg("init/main.rs").status()?;
    if status.success() { Ok(()) } else { Err(format!("compiling init/: {status}").into()) }
}
