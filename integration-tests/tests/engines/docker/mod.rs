//! What people do with Docker, by subject.

mod checkpoint;
mod confinement;
mod copying;
mod exec;
mod filesystem;
mod health;
mod images;
mod information;
mod lifecycle;
mod limits;
mod mounts;
mod namespaces;
mod network;
mod run;
mod shim;
mod survival;
mod terminal;
mod user;
pub(crate) mod userns;

use integration_tests::engines::Scenario;

pub(crate) const SCENARIOS: &[&[Scenario]] = &[
    run::SCENARIOS,
    terminal::SCENARIOS,
    user::SCENARIOS,
    filesystem::SCENARIOS,
    mounts::SCENARIOS,
    confinement::SCENARIOS,
    namespaces::SCENARIOS,
    limits::SCENARIOS,
    exec::SCENARIOS,
    lifecycle::SCENARIOS,
    survival::SCENARIOS,
    information::SCENARIOS,
    copying::SCENARIOS,
    network::SCENARIOS,
    images::SCENARIOS,
    health::SCENARIOS,
    checkpoint::SCENARIOS,
];

/// Where every runtime is a shim.
pub(crate) const BY_SHIM: &[&[Scenario]] = &[
    shim::SCENARIOS,
    run::SCENARIOS,
    terminal::SCENARIOS,
    user::SCENARIOS,
    filesystem::SCENARIOS,
    mounts::SCENARIOS,
    confinement::SCENARIOS,
    namespaces::SCENARIOS,
    limits::SCENARIOS,
    exec::SCENARIOS,
    lifecycle::SCENARIOS,
    survival::SCENARIOS,
    information::SCENARIOS,
    copying::SCENARIOS,
    network::SCENARIOS,
    images::SCENARIOS,
    health::SCENARIOS,
    checkpoint::SCENARIOS,
];
