//! Scenarios under real engines, by engine and subject.

mod cri;
mod docker;

use std::process::ExitCode;

use integration_tests::engines::{self, Engine};

const ENGINES: &[Engine] = &[
    Engine { name: "docker", start: engines::docker::start, scenarios: docker::SCENARIOS, suite: None },
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
