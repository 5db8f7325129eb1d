//! Until the shim exists, whoever calls it is told so.

use std::process::Command;

/// containerd calls a shim with `start`, `delete` or `-info`; none may look like an answer.
#[test]
fn every_call_is_refused_in_one_line() {
    let calls: [&[&str]; 4] = [&[], &["-info"], &["-namespace", "k8s.io", "-id", "a", "start"], &["delete"]];
    for arguments in calls {
        let output = Command::new(env!("CARGO_BIN_EXE_containerd-shim-planc-v2")).args(arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        assert!(stderr.contains("arrives with a later version"), "{arguments:?}: {stderr}");
    }
}
