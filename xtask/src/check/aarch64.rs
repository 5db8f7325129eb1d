//! aarch64 must compile: planc's crates are type-checked and init's machine code is made, with no linker for it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Outcome;
use crate::run::{self, Result, bounded, cargo, root, stdout, succeed};

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// A compiler that has the target's standard library.
struct Compiler {
    rustc: PathBuf,
    /// Debian's, unpacked by `xtask/toolchains/aarch64`, does not find its libraries by itself.
    libraries: Option<OsString>,
}

pub(super) fn gate() -> Outcome {
    match run::target_directory().map(|target| (compiler(&target), target)) {
        Err(why) => Outcome::Fail(why),
        Ok((None, target)) => Outcome::NotRun(format!(
            "aarch64: no standard library of {TARGET}; rustup target add {TARGET}, or xtask/toolchains/aarch64 {}",
            super::shown(&toolchain(&target))
        )),
        Ok((Some(compiler), target)) => {
            Outcome::command("aarch64: cargo check, init's code", check(&compiler, &target))
        }
    }
}

fn toolchain(target: &Path) -> PathBuf {
    target.join("aarch64-toolchain")
}

fn compiler(target: &Path) -> Option<Compiler> {
    let own = toolchain(target);
    let unpacked = Compiler {
        rustc: own.join("usr/bin/rustc"),
        libraries: Some(own.join("usr/lib/x86_64-linux-gnu").into_os_string()),
    };
    let default = Compiler { rustc: std::env::var_os("RUSTC").unwrap_or("rustc".into()).into(), libraries: None };
    let compilers = [default, unpacked];
    if !compilers.iter().any(Compiler::has_target) {
        // Where that fails, what is missing is said.
        let _ = succeed(&mut bounded(5, "rustup", &["target", "add", TARGET]));
    }
    compilers.into_iter().find(Compiler::has_target)
}

impl Compiler {
    fn has_target(&self) -> bool {
        let mut command = self.environment(Command::new(&self.rustc));
        let output = command.args(["--print", "target-libdir", "--target", TARGET]).output();
        output.is_ok_and(|output| {
            output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
        })
    }

    fn environment(&self, mut command: Command) -> Command {
        command.env("RUSTC", &self.rustc);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }
}

fn check(compiler: &Compiler, target: &Path) -> Result<()> {
    // A target folder of its own: another compiler would make cargo build everything anew each time.
    let folder = target.join("aarch64");
    let arguments = ["check", "--quiet", "-p", "runtime-cli", "-p", "shim", "--target", TARGET];
    let mut command = compiler.environment(bounded(15, cargo(), &arguments));
    // build.rs: no linker for the target is needed.
    succeed(command.env("CARGO_TARGET_DIR", &folder).env("PLANC_CHECK_ONLY", "1"))?;
    let main = root().join("runtime-core/init/main.rs");
    if !main.is_file() {
        return Err("there is no runtime-core/init/main.rs".to_owned());
    }
    // Type-checking does not look at the assembly in asm!; making the object file does.
    let object = folder.join("init.o");
    let options =
        ["--edition=2024", "--crate-type=bin", "--crate-name=init", "--emit=obj", "-Copt-level=s", "-Cpanic=abort"];
    let mut command = compiler.environment(bounded(5, &compiler.rustc, &options));
    command.args(["--target", TARGET, "--check-cfg", "cfg(failpoints)", "-o"]).arg(&object).arg(&main);
    stdout(&mut command).map(|_| ())
}
