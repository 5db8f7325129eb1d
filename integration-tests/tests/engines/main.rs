//! Scenarios under real engines, by engine and subject.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test gives its verdict")]

mod buildah;
mod compose;
mod cri;
mod docker;
mod kubernetes;
mod podman;
mod swarm;
mod tutorial;

use std::process::ExitCode;

use integration_tests::engines::{self, Engine};

const ENGINES: &[Engine] = &[
    Engine::new("docker", engines::docker::start, docker::SCENARIOS),
    Engine::new("docker-userns", engines::docker::start_remapped, &[docker::userns::SCENARIOS]),
    Engine::new("docker-shim", engines::docker::start_by_shim, docker::BY_SHIM),
    Engine::new("tutorial", engines::compose::start, &[tutorial::SCENARIOS]),
    Engine::new("compose", engines::compose::start, compose::SCENARIOS),
    Engine::new("swarm", engines::swarm::start, &[swarm::SCENARIOS]),
    Engine::new("podman", engines::podman::start, podman::SCENARIOS),
    Engine::new("podman-rootless", engines::podman::start_rootless, podman::ROOTLESS),
    Engine::new("podman-systemd", engines::podman::start_systemd, podman::SYSTEMD),
    Engine::new("buildah", engines::buildah::start, &[buildah::SCENARIOS]),
    Engine {
        name: "cri",
        start: engines::cri::start,
        scenarios: cri::SCENARIOS,
        suite: Some(engines::cri::critest::run),
    },
    Engine::new("kubernetes", engines::kubernetes::start, kubernetes::SCENARIOS),
];

fn main() -> ExitCode {
    engines::main(ENGINES)
}
