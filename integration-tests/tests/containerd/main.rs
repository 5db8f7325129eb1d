//! The tests of `SHIM` under containerd, by subject.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test gives its verdict")]

mod absence;
mod controllers;
mod images;
mod options;
mod run;
mod tasks;

use std::process::ExitCode;

fn main() -> ExitCode {
    let tests =
        [run::TESTS, tasks::TESTS, images::TESTS, options::TESTS, absence::TESTS, controllers::TESTS];
    integration_tests::harness::main_of(integration_tests::containerd::judged(), tests.concat())
}
