//! What the tests need from Debian: looked for, and installed where it is missing, saying so.

use std::fs::File;
use std::path::Path;

use crate::run::{Result, bounded, stdout, succeed};

/// A Debian package, a file that tells whether it is there, and what it is for.
pub(crate) struct Package {
    name: &'static str,
    /// A program looked for in `PATH` and the `sbin` folders, or an absolute path.
    file: &'static str,
    purpose: &'static str,
}

const fn package(name: &'static str, file: &'static str, purpose: &'static str) -> Package {
    Package { name, file, purpose }
}

/// For the native lane.
pub(crate) const NATIVE: &[Package] = &[
    package("tini", "tini", "PID 1 of the lanes"),
    package("iproute2", "ip", "the lanes' network"),
    package("hostname", "hostname", "the lanes' name"),
];

/// For the lanes in User Mode Linux.
pub(crate) const UML: &[Package] = &[
    package("tini", "tini", "PID 1 of the lanes"),
    package("user-mode-linux", "linux.uml", "the kernel of the uml lane"),
    package("busybox-static", "busybox", "module loading and power off in the uml lane"),
];

/// For the lane in which systemd is PID 1, beside [`UML`].
pub(crate) const SYSTEMD: &[Package] = &[
    package("systemd", "/lib/systemd/systemd", "PID 1 of the uml-systemd lane"),
    package("dbus", "dbus-daemon", "the bus of the uml-systemd lane"),
    package("dbus-user-session", "/usr/lib/systemd/user/dbus.socket", "a user's bus in the uml-systemd lane"),
    package("libpam-systemd", "/usr/share/pam-configs/systemd", "a user's systemd in the uml-systemd lane"),
];

/// For the integration tests.
pub(crate) const TESTS: &[Package] = &[
    package("busybox-static", "busybox", "the containers' programs"),
    package("uidmap", "newuidmap", "id maps of users without privilege"),
    package("procps", "ps", "the table of planc ps"),
    package("strace", "strace", "system call counts"),
    package("gcc", "cc", "compiles what the seccomp tests execute"),
    package("libc6-dev", "/usr/include/stdio.h", "compiles what the seccomp tests execute"),
    package("libseccomp-dev", "/usr/include/seccomp.h", "the other opinion on seccomp profiles"),
    package("criu", "criu", "checkpoint and restore"),
    package("containerd", "/usr/bin/containerd", "drives the shim"),
    package("bsdutils", "script", "a terminal for what ctr executes"),
];

/// For the scenarios under Docker: the daemon is Debian's, with the containerd and the client of its age.
pub(crate) const DOCKER: &[Package] = &[
    package("docker.io", "/usr/sbin/dockerd", "an engine that planc is under"),
    package("iptables", "iptables", "the network of the engine's containers"),
];

/// For the scenarios under a newer Docker: the client is Debian's, and the runc beside planc is compiled.
pub(crate) const DOCKER_SHIM: &[Package] = &[
    package("docker.io", "/usr/sbin/dockerd", "an engine that planc is under"),
    package("iptables", "iptables", "the network of the engine's containers"),
    package("gcc", "cc", "compiles the runc beside planc"),
    package("libseccomp-dev", "/usr/include/seccomp.h", "compiled into the runc beside planc"),
    package("pkg-config", "pkg-config", "compiles the runc beside planc"),
];

/// For Compose, where no newer one can be built.
pub(crate) const COMPOSE: &[Package] = &[
    package("docker.io", "/usr/sbin/dockerd", "an engine that planc is under"),
    package("iptables", "iptables", "the network of the engine's containers"),
    package("docker-compose", "/usr/bin/docker-compose", "starts applications of several containers"),
    package("curl", "curl", "asks the applications for their pages"),
];

/// For the images of applications.
pub(crate) const IMAGES: &[Package] = &[package("debootstrap", "debootstrap", "an image with Flask, Redis and nginx")];

/// For the scenarios under Podman and Buildah.
pub(crate) const PODMAN: &[Package] = &[
    package("podman", "podman", "an engine that planc is under"),
    package("buildah", "buildah", "builds images with planc"),
    package("conmon", "conmon", "watches over Podman's containers"),
    package("golang-github-containers-common", "/usr/share/containers/seccomp.json", "Podman's own seccomp profile"),
    package("netavark", "/usr/lib/podman/netavark", "the network of Podman's containers"),
    package("aardvark-dns", "/usr/lib/podman/aardvark-dns", "names in the network of Podman's containers"),
    package("iptables", "iptables", "the network of Podman's containers"),
    package("uidmap", "newuidmap", "id maps of users without privilege"),
    package("slirp4netns", "slirp4netns", "the network of a user without privilege"),
    package("catatonit", "catatonit", "the init of Podman's containers and pods"),
];

/// For the scenarios under containerd's CRI.
pub(crate) const CRI: &[Package] = &[
    package("docker-registry", "docker-registry", "images are pulled from it"),
    package("containernetworking-plugins", "/usr/lib/cni/bridge", "the network of pods"),
    package("iptables", "iptables", "the network of pods"),
    package("gcc", "cc", "compiles what is in the images"),
    package("libc6-dev", "/usr/include/stdio.h", "compiles what is in the images"),
    package("busybox-static", "busybox", "the containers' programs"),
];

/// For the benches.
pub(crate) const BENCHES: &[Package] = &[
    package("runc", "runc", "measured beside planc"),
    package("crun", "crun", "measured beside planc"),
    package("gcc", "cc", "compiles the floor program"),
    package("libseccomp-dev", "/usr/include/seccomp.h", "measured beside planc's compiler"),
    package("busybox-static", "busybox", "the containers' programs"),
    package("containerd", "containerd", "runs the shims that are measured"),
    package("strace", "strace", "counts what a shim starts"),
];

/// For `cargo xtask order`.
pub(crate) const ORDER: &[Package] =
    &[package("gdb", "gdb", "sees which functions are called"), package("binutils", "nm", "their names")];

/// For the counts of `cargo xtask check` and `cargo xtask bench`.
pub(crate) const COUNTS: &[Package] = &[package("valgrind", "valgrind", "instruction counts")];

/// For `cargo xtask conformance --beside`.
pub(crate) const BESIDE: &[Package] = &[
    package("runc", "/usr/sbin/runc", "judged beside planc"),
    package("crun", "/usr/bin/crun", "judged beside planc"),
];

/// For `cargo xtask bats`.
pub(crate) const BATS: &[Package] = &[
    package("bats", "bats", "runs runc's suite"),
    package("jq", "jq", "edits config.json in runc's suite"),
    package("bsdutils", "script", "the terminal of runc's suite"),
    package("busybox-static", "busybox", "an image of runc's suite"),
    package("debootstrap", "debootstrap", "an image of runc's suite"),
    package("uidmap", "newuidmap", "id maps of users without privilege"),
    package("iproute2", "ip", "network devices in runc's suite"),
    package("criu", "criu", "checkpoints in runc's suite"),
    package("gcc", "cc", "builds runc"),
    package("libseccomp-dev", "/usr/include/seccomp.h", "builds runc"),
    package("pkg-config", "pkg-config", "builds runc"),
];

impl Package {
    /// Its name, and the version that is installed.
    pub(crate) fn version(&self) -> Result<String> {
        let show = ["--show", "--showformat=${Version}", self.name];
        Ok(format!("{} {}", self.name, stdout(&mut bounded(1, "dpkg-query", &show))?.trim()))
    }
}

/// Installs those of `wanted` that are missing.
///
/// # Errors
/// When a package is missing and cannot be installed.
pub(crate) fn ensure(wanted: &[&'static [Package]]) -> Result<()> {
    if missing(wanted).is_empty() {
        return Ok(());
    }
    let _alone = alone()?;
    let missing = missing(wanted);
    let mut names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Ok(());
    }
    let list = names.join(" ");
    if !present("apt-get") {
        return Err(format!("missing here, and there is no apt-get to install it: {list}"));
    }
    for package in &missing {
        eprintln!("xtask: installing {}: {}", package.name, package.purpose);
    }
    // Another apt-get may be at work.
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"];
    install.extend(&names);
    if apt_get(5, &["update", "-qq"]).and_then(|()| apt_get(10, &install)).is_err() {
        return Err(format!("cannot install {list}; as root: apt-get update && apt-get install {list}"));
    }
    match missing.iter().find(|package| !present(package.file)) {
        Some(package) => Err(format!("{} was installed, but {} is still missing", package.name, package.file)),
        None => Ok(()),
    }
}

fn missing(wanted: &[&'static [Package]]) -> Vec<&'static Package> {
    wanted.iter().copied().flatten().filter(|package| !present(package.file)).collect()
}

/// One xtask at a time: apt-get does not wait for another one that updates its lists. Whoever has it is bounded itself.
fn alone() -> Result<File> {
    let path = std::env::temp_dir().join("planc-xtask-packages.lock");
    let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
    lock.map_err(|why| format!("{}: {why}", path.display()))
}

fn apt_get(minutes: u32, arguments: &[&str]) -> Result<()> {
    let mut command = bounded(minutes, "apt-get", arguments);
    // stdout is kept for results.
    command.env("DEBIAN_FRONTEND", "noninteractive").stdout(std::io::stderr());
    succeed(&mut command)
}

/// Whether a program, or the file of an absolute path, is there.
pub(crate) fn present(file: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/local/sbin:/usr/sbin:/sbin";
    // join() with an absolute path is that path.
    path.split(':').any(|folder| Path::new(folder).join(file).is_file())
}
