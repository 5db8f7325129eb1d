//! The seccomp profiles that engines give a container by default, had from the engines' own code: none of it is kept here.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::run::{self, Result, bounded, root, succeed};

/// What the profiles are made by, and the name of the folder that they are kept in.
const MADE_BY: &str = "integration-tests/engine-profiles";

/// The Debian package that has Podman's profile, and where.
const PODMANS: (&str, &str) = ("golang-github-containers-common", "usr/share/containers/seccomp.json");

/// The folder with `docker.json`, `podman.json` and `containerd.json`; `None`, said aloud, where they cannot be made.
pub(crate) fn folder() -> Option<PathBuf> {
    match made() {
        Ok(folder) => Some(folder),
        Err(why) => {
            println!("NOT RUN: the engines' seccomp profiles: {why}");
            None
        }
    }
}

fn made() -> Result<PathBuf> {
    let sum = root().join(MADE_BY).join("go.sum");
    let sum = std::fs::read_to_string(&sum).map_err(|why| format!("{}: {why}", sum.display()))?;
    let folder = run::target_directory()?.join("engine-profiles");
    let stamp = folder.join("go.sum");
    if std::fs::read_to_string(&stamp).is_ok_and(|made| made == sum) {
        return Ok(folder);
    }
    std::fs::create_dir_all(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    let podmans = podmans(&folder)?;
    let mut go = bounded(10, "go", &["run", "."]);
    go.args([&folder, &podmans]).current_dir(root().join(MADE_BY)).env("GOFLAGS", "-mod=readonly");
    // stdout is kept for results.
    succeed(go.stdout(Stdio::null()))?;
    std::fs::write(&stamp, sum).map_err(|why| format!("{}: {why}", stamp.display()))?;
    Ok(folder)
}

/// Unpacked, not installed: the package asks for half of Podman.
fn podmans(folder: &Path) -> Result<PathBuf> {
    let (package, file) = PODMANS;
    let unpacked = folder.join("podman");
    let fetch = format!(
        "rm -rf podman *.deb && {{ apt-get -qq download {package} || apt-get -qq update && apt-get -qq download {package}; }} \
         && dpkg-deb -x *.deb podman && rm *.deb"
    );
    let mut fetch = bounded(5, "sh", &["-c", &fetch]);
    succeed(fetch.current_dir(folder).stdout(Stdio::null()))?;
    Ok(unpacked.join(file))
}
