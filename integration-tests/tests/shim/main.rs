//! The tests of `SHIM`, by subject.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test gives its verdict")]

mod bootstrap;
mod tasks;

use std::process::ExitCode;

fn main() -> ExitCode {
    let tests = [bootstrap::TESTS, tasks::TESTS];
    integration_tests::harness::main_of(integration_tests::shim::judged(), tests.concat())
}
