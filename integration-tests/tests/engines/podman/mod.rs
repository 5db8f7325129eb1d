//! What people do with Podman, by subject: as root, as a user without privilege, and where systemd makes the cgroups.

mod checkpoint;
mod data;
mod exec;
mod kube;
mod lifecycle;
mod limits;
mod namespaces;
mod network;
mod observe;
mod pods;
mod root;
mod rootless;
mod run;
mod security;
mod storage;
mod systemd;

use std::process::Child;

use integration_tests::engines::Scenario;
use integration_tests::engines::session::Session;
use integration_tests::harness::Need;
use integration_tests::terminal::{Master, Pty};

pub(crate) const SCENARIOS: &[&[Scenario]] = &[
    run::SCENARIOS,
    security::SCENARIOS,
    storage::SCENARIOS,
    namespaces::SCENARIOS,
    exec::SCENARIOS,
    lifecycle::SCENARIOS,
    observe::SCENARIOS,
    data::SCENARIOS,
    network::SCENARIOS,
    pods::SCENARIOS,
    limits::SCENARIOS,
    checkpoint::SCENARIOS,
    root::SCENARIOS,
];

pub(crate) const ROOTLESS: &[&[Scenario]] = &[
    run::SCENARIOS,
    security::SCENARIOS,
    storage::SCENARIOS,
    namespaces::SCENARIOS,
    exec::SCENARIOS,
    lifecycle::SCENARIOS,
    observe::SCENARIOS,
    data::SCENARIOS,
    network::SCENARIOS,
    pods::SCENARIOS,
    kube::SCENARIOS,
    rootless::SCENARIOS,
];

pub(crate) const SYSTEMD: &[&[Scenario]] = &[systemd::SCENARIOS, limits::SCENARIOS, kube::SCENARIOS];

/// Podman gives every container that has a --ulimit a limit of processes too, which a root without `CAP_SYS_RESOURCE` may
/// not raise; nor may it make a container harder to kill.
const SYS_RESOURCE: Need = Need::Works("echo -1 > /proc/self/oom_score_adj");

/// Starts a script on a terminal of its own.
fn at_terminal(session: &Session, script: &str) -> (Child, Master) {
    let pty = Pty::new();
    let mut command = session.command(script);
    command.stdin(pty.slave()).stdout(pty.slave()).stderr(pty.slave());
    let child = command.spawn().unwrap();
    (child, pty.master)
}
