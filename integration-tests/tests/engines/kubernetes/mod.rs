//! What people do with `kubectl`, on a node whose pods the shim under test runs.

mod ends;
mod limits;
mod namespaces;
mod pods;
mod probes;
mod security;
mod streams;
mod survival;
mod volumes;
mod workloads;

use integration_tests::engines::Scenario;

pub(crate) const SCENARIOS: &[&[Scenario]] = &[
    pods::SCENARIOS,
    ends::SCENARIOS,
    probes::SCENARIOS,
    streams::SCENARIOS,
    volumes::SCENARIOS,
    security::SCENARIOS,
    namespaces::SCENARIOS,
    limits::SCENARIOS,
    workloads::SCENARIOS,
    survival::SCENARIOS,
];
