//! A containerd of the second generation for the tests under containerd, beside Debian's, which is of the first.

use std::path::PathBuf;

use crate::run::{self, Result, bounded, succeed};

/// The newest one that the tests were run with.
const VERSION: &str = "v2.4.2";
const MODULE: &str = "github.com/containerd/containerd/v2";

/// The last one's presence says that all were built. runc's shim is for who wants to judge it beside ours.
const PROGRAMS: [&str; 3] = ["ctr", "containerd-shim-runc-v2", "containerd"];

/// Its program, with ctr beside it: what `CONTAINERD` names, or else one that go builds once; `None`, said aloud, where it
/// cannot.
pub(crate) fn newest() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("CONTAINERD") {
        return Some(given.into());
    }
    built().inspect_err(|why| println!("NOT RUN: the tests under containerd {VERSION}: {why}")).ok()
}

fn built() -> Result<PathBuf> {
    let folder = run::target_directory()?.join("containerd").join(VERSION);
    let containerd = folder.join("containerd");
    if containerd.is_file() {
        return Ok(containerd);
    }
    for program in PROGRAMS {
        // The version of what it needs is that of its own go.mod, and go.sum is checked by go's checksum database.
        let mut go = bounded(25, "go", &["install", &format!("{MODULE}/cmd/{program}@{VERSION}")]);
        succeed(go.env("GOBIN", &folder).env("CGO_ENABLED", "0"))?;
    }
    Ok(containerd)
}
