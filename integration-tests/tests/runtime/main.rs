//! The tests of `RUNTIME`, by subject.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test gives its verdict")]

mod attached;
mod bind_flags;
mod capabilities;
mod cgroups;
mod checkpoint;
mod descriptors;
mod devices;
mod doctor;
mod engine_errors;
mod engines;
mod events;
mod exec;
mod exec_security;
mod features;
mod few_mounts;
mod flags;
mod hook_failures;
mod hook_limits;
mod hooks;
mod host_mounts;
mod idmap;
mod input;
mod killsweep;
mod lifecycle;
mod lsm;
mod missing;
mod mount_flags;
mod mounts;
mod namespaces;
mod net_devices;
mod oom;
mod pause;
mod planc;
mod process;
mod propagation;
mod ps;
mod racers;
mod rdt;
mod resources;
mod restore;
mod rootfs;
mod rootless;
mod rootless_cgroups;
mod run;
mod scheduling;
mod seccomp;
mod seccomp_notify;
mod state;
mod streams;
mod systemd;
mod systemd_bus;
mod teardown;
mod terminal;
mod texts;
mod users;

use std::process::ExitCode;

fn main() -> ExitCode {
    let tests = [
        lifecycle::TESTS,
        run::TESTS,
        state::TESTS,
        ps::TESTS,
        resources::TESTS,
        systemd::TESTS,
        systemd_bus::TESTS,
        pause::TESTS,
        checkpoint::TESTS,
        restore::TESTS,
        events::TESTS,
        oom::TESTS,
        terminal::TESTS,
        streams::TESTS,
        attached::TESTS,
        bind_flags::TESTS,
        few_mounts::TESTS,
        namespaces::TESTS,
        net_devices::TESTS,
        rdt::TESTS,
        users::TESTS,
        rootless::TESTS,
        rootless_cgroups::TESTS,
        cgroups::TESTS,
        teardown::TESTS,
        lsm::TESTS,
        mounts::TESTS,
        mount_flags::TESTS,
        idmap::TESTS,
        propagation::TESTS,
        racers::TESTS,
        missing::TESTS,
        rootfs::TESTS,
        host_mounts::TESTS,
        devices::TESTS,
        process::TESTS,
        scheduling::TESTS,
        descriptors::TESTS,
        capabilities::TESTS,
        seccomp::TESTS,
        seccomp_notify::TESTS,
        exec::TESTS,
        exec_security::TESTS,
        input::TESTS,
        texts::TESTS,
        flags::TESTS,
        engines::TESTS,
        engine_errors::TESTS,
        features::TESTS,
        hooks::TESTS,
        hook_failures::TESTS,
        hook_limits::TESTS,
        planc::TESTS,
        doctor::TESTS,
        killsweep::TESTS,
    ];
    integration_tests::harness::main(tests.concat())
}
