//! The tests of `RUNTIME`, by subject.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test gives its verdict")]

mod capabilities;
mod devices;
mod doctor;
mod input;
mod killsweep;
mod lifecycle;
mod mounts;
mod namespaces;
mod planc;
mod process;
mod rootfs;
mod rootless;
mod rootless_cgroups;
mod run;
mod users;

use std::process::ExitCode;

fn main() -> ExitCode {
    let tests = [
        lifecycle::TESTS,
        run::TESTS,
        namespaces::TESTS,
        users::TESTS,
        rootless::TESTS,
        rootless_cgroups::TESTS,
        mounts::TESTS,
        rootfs::TESTS,
        devices::TESTS,
        process::TESTS,
        capabilities::TESTS,
        input::TESTS,
        planc::TESTS,
        doctor::TESTS,
        killsweep::TESTS,
    ];
    integration_tests::harness::main(tests.concat())
}
