//! `containerd-shim-planc-v2`: planc for containerd, in process.
#![allow(dead_code, reason = "being put together")]

mod api;
mod status;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::FAILURE
}
