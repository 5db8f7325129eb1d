//! `cargo xtask`: the one door to everything that is done to this repository.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]
#![allow(clippy::disallowed_methods, reason = "clippy.toml lists what runtime-core's compile/ may not do")]

mod bench;
mod check;
mod containerd;
mod counts;
mod coverage;
mod deps;
mod elf;
mod embed;
mod engine_profiles;
mod engines;
mod fuzz;
mod lane;
mod miri;
mod order;
mod packages;
mod release;
mod run;
mod soak;
mod suites;
mod tables;
mod test;

use std::process::ExitCode;

use run::Result;

type Command = (&'static str, &'static str, fn(&[String]) -> Result<()>);

const COMMANDS: &[Command] = &[
    ("check", "format, lints, documentation, and every count that has a limit", check::main),
    (
        "test",
        "all tests: on the host, then in the native and uml lanes  [--lane native|uml|all] [--runtime PATH] [-- ARG…]",
        test::main,
    ),
    ("lane", "runs a command in a lane: native|uml|uml-systemd [--] CMD…", lane::main),
    (
        "conformance",
        "the OCI validation suite  [--lane native|uml]… [--beside] [--runtime PATH]… [--planc PATH] \
         [--judge FOLDER] [--write] [TEST…]",
        suites::oci::main,
    ),
    (
        "bats",
        "runc's own suite, beside runc; RUNC_SRC=CHECKOUT  [--lane …]… [--rootless] [--runtime PATH]… [--planc PATH] \
         [--judge FOLDER] [--write] [FILE.bats…]",
        suites::bats::main,
    ),
    (
        "engines",
        "scenarios under real engines  [all|ENGINE…] [--lane …] [--runtime PATH] [--shim PATH] [--beside] [--write] [-- PART-OF-A-NAME…]",
        engines::main,
    ),
    (
        "coverage",
        "which test shows each property of config.json (docs/compat.md), and what the lanes ran",
        coverage::main,
    ),
    ("deps", "what each package does for us, by the functions that call it", deps::main),
    ("miri", "the tests of the plan's encoding and of the compiler under Miri", miri::main),
    ("fuzz", "the fuzz targets, each for some seconds  [--seconds N] [TARGET…]", fuzz::main),
    ("tables", "writes the seccomp compiler's system call tables anew  [--check]", tables::main),
    ("soak", "very many calls to one shim  [--execs N] [--minutes M]", soak::main),
    (
        "bench",
        "planc against runc, crun and the floors; docs/performance.md  [--all] [--write] [--update-counts] [-- BENCH…]",
        bench::main,
    ),
    ("order", "writes anew which functions the linker puts side by side (runtime-cli/first.ld)", order::main),
    ("release", "builds the release binaries, static and stripped; size and SHA-256  [--twice]", release::main),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        print_commands();
        return ExitCode::SUCCESS;
    };
    if matches!(name.as_str(), "--help" | "-h" | "help") {
        print_commands();
        return ExitCode::SUCCESS;
    }
    let Some((_, _, run)) = COMMANDS.iter().find(|(command, ..)| command == name) else {
        eprintln!("xtask: there is no command {name:?}; cargo xtask lists them");
        return ExitCode::from(2);
    };
    match run(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask {name}: {why}");
            ExitCode::FAILURE
        }
    }
}

fn print_commands() {
    println!("cargo xtask COMMAND\n");
    for (name, sentence, _) in COMMANDS {
        println!("  {name:<12} {sentence}");
    }
}
