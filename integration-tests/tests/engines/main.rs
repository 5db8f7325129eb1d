//! Scenarios under real engines, by engine and subject.

mod buildah;
mod docker;
mod podman;

use std::process::ExitCode;

use integration_tests::engines::{self, Engine};

const ENGINES: &[Engine] = &[
    Engine { name: "docker", start: engines::docker::start, scenarios: docker::SCENARIOS },
    Engine { name: "podman", start: engines::podman::start, scenarios: podman::SCENARIOS },
    Engine { name: "podman-rootless", start: engines::podman::start_rootless, scenarios: podman::ROOTLESS },
    Engine { name: "podman-systemd", start: engines::podman::start_systemd, scenarios: podman::SYSTEMD },
    Engine { name: "buildah", start: engines::buildah::start, scenarios: &[buildah::SCENARIOS] },
];

fn main() -> ExitCode {
    engines::main(ENGINES)
}
