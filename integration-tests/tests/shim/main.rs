//! The tests of `SHIM`, by subject.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test gives its verdict")]

mod bootstrap;
mod execs;
mod killed;
mod late;
mod metrics;
mod options;
mod order;
mod rootfs;
mod stdio;
mod strangers;
mod tasks;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    let tests = [
        bootstrap::TESTS,
        tasks::TESTS,
        execs::TESTS,
        order::TESTS,
        stdio::TESTS,
        terminal::TESTS,
        rootfs::TESTS,
        options::TESTS,
        metrics::TESTS,
        killed::TESTS,
        late::TESTS,
        strangers::TESTS,
    ];
    integration_tests::harness::main_of(integration_tests::shim::judged(), tests.concat())
}
