//! The tests of `SHIM` under containerd, by subject.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test gives its verdict")]

mod absence;
mod controllers;
mod images;
mod options;
mod run;
mod tasks;

use std::process::ExitCode;

use integration_tests::containerd;

fn main() -> ExitCode {
    let tests = [run::TESTS, tasks::TESTS, images::TESTS, options::TESTS, absence::TESTS, controllers::TESTS];
    let judged = containerd::judged();
    let tests =
        tests.concat().into_iter().filter(|test| judged.as_ref().is_ok_and(|shim| containerd::is_of(shim, test)));
    integration_tests::harness::main_of(judged.clone(), tests.collect::<Vec<_>>())
}
