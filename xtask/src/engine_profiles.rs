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
    let folder = run::target_directory()?.join("engine-profiles");
    let source = folder.join("source");
    let failed = |why: std::io::Error| format!("{}: {why}", folder.display());
    std::fs::create_dir_all(&source).map_err(failed)?;
    let made = folder.join("containerd.json");
    let mut is_made = made.is_file();
    for name in ["go.mod", "main.go"] {
        let (kept, copy) = (root().join(MADE_BY).join(name), folder.join(name));
        let text = std::fs::read(&kept).map_err(|why| format!("{}: {why}", kept.display()))?;
        is_made &= std::fs::read(&copy).is_ok_and(|copied| copied == text);
        std::fs::write(copy, &text).and_then(|()| std::fs::write(source.join(name), text)).map_err(failed)?;
    }
    if is_made {
        return Ok(folder);
    }
    // It is written last: what is there is whole.
    let _ = std::fs::remove_file(&made);
    let podmans = podmans(&folder)?;
    // What go adds to go.mod, and go.sum, are the copy's.
    let mut go = bounded(10, "go", &["run", "-mod=mod", "."]);
    go.args([&folder, &podmans]).current_dir(source).stdout(Stdio::null());
    succeed(&mut go)?;
    Ok(folder)
}

/// Unpacked, not installed: the package asks for half of Podman.
fn podmans(folder: &Path) -> Result<PathBuf> {
    let (package, file) = PODMANS;
    let unpacked = folder.join("podman");
    let fetch = format!(
        "rm -rf podman *.deb; get='apt-get -qq -o APT::Sandbox::User=root'; \
         {{ $get download {package} || {{ $get update && $get download {package}; }}; }} \
         && dpkg-deb -x *.deb podman && rm *.deb"
    );
    let mut fetch = bounded(5, "sh", &["-c", &fetch]);
    succeed(fetch.current_dir(folder).stdout(Stdio::null()))?;
    Ok(unpacked.join(file))
}
