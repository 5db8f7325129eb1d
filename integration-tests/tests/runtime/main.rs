//! The tests of `RUNTIME`, by subject.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test gives its verdict")]

mod lifecycle;
mod run;

use std::process::ExitCode;

fn main() -> ExitCode {
    let tests = [lifecycle::TESTS, run::TESTS];
    integration_tests::harness::main(tests.concat())
}
