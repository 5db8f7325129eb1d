//! `containerd-shim-planc-v2`: says that it is not there yet, so that nobody waits for an answer.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let line = "containerd-shim-planc-v2: the shim arrives with a later version; use planc through \
                io.containerd.runc.v2 with BinaryName\n";
    // stderr may be closed; the status says it too.
    let _ = std::io::stderr().write_all(line.as_bytes());
    ExitCode::FAILURE
}
