//! Scenarios under real engines, by engine and subject.

mod docker;

use std::process::ExitCode;

use integration_tests::engines::{self, Engine};

const ENGINES: &[Engine] = &[Engine { name: "docker", start: engines::docker::start, scenarios: docker::SCENARIOS }];

fn main() -> ExitCode {
    engines::main(ENGINES)
}
