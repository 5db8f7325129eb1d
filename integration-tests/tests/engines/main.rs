//! Scenarios under real engines, by engine and subject.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test gives its verdict")]

mod buildah;
mod compose;
mod docker;
mod podman;
mod swarm;
mod tutorial;

use std::process::ExitCode;

use integration_tests::engines::{self, Engine};

const ENGINES: &[Engine] = &[
    Engine { name: "docker", start: engines::docker::start, scenarios: docker::SCENARIOS },
    Engine { name: "tutorial", start: engines::compose::start, scenarios: &[tutorial::SCENARIOS] },
    Engine { name: "compose", start: engines::compose::start, scenarios: compose::SCENARIOS },
    Engine { name: "swarm", start: engines::swarm::start, scenarios: &[swarm::SCENARIOS] },
    Engine { name: "podman", start: engines::podman::start, scenarios: podman::SCENARIOS },
    Engine { name: "podman-rootless", start: engines::podman::start_rootless, scenarios: podman::ROOTLESS },
    Engine { name: "podman-systemd", start: engines::podman::start_systemd, scenarios: podman::SYSTEMD },
    Engine { name: "buildah", start: engines::buildah::start, scenarios: &[buildah::SCENARIOS] },
];

fn main() -> ExitCode {
    engines::main(ENGINES)
}
