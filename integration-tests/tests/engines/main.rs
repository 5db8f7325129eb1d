//! Scenarios under real engines, by engine and subject.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test gives its verdict")]

mod compose;
mod cri;
mod docker;
mod swarm;
mod tutorial;

use std::process::ExitCode;

use integration_tests::engines::{self, Engine};

const ENGINES: &[Engine] = &[
    Engine { name: "docker", start: engines::docker::start, scenarios: docker::SCENARIOS, suite: None },
    Engine { name: "tutorial", start: engines::compose::start, scenarios: &[tutorial::SCENARIOS], suite: None },
    Engine { name: "compose", start: engines::compose::start, scenarios: compose::SCENARIOS, suite: None },
    Engine { name: "swarm", start: engines::swarm::start, scenarios: &[swarm::SCENARIOS], suite: None },
    Engine {
        name: "cri",
        start: engines::cri::start,
        scenarios: cri::SCENARIOS,
        suite: Some(engines::cri::critest::run),
    },
];

fn main() -> ExitCode {
    engines::main(ENGINES)
}
