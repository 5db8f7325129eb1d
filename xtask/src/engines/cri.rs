//! What containerd's CRI and its tests need: tools, and a registry with the images that the tests ask for.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::images::{self, Image};
use super::registry::Registry;
use super::tools;
use crate::containerd;
use crate::run::{Result, bounded, succeed};

/// Everything that the images of critest have, in one root filesystem: a layer of all of them.
const ROOTFS: Image = Image { file: "cri.tar", make: rootfs };

/// Where the programs of that root filesystem are in it, and their sources here.
const PROGRAMS: &[(&str, &str)] =
    &[("bin/sh", "sh"), ("usr/sbin/nginx", "server"), ("nnp", "effective-uid"), ("pause", "pause")];

/// Applets that busybox has not, as scripts.
const APPLETS: &[(&str, &str)] =
    &[("pgrep", "#!/bin/sh\nexec pidof \"$@\"\n"), ("ipcs", "#!/bin/sh\nexec cat /proc/sysvipc/shm\n")];

/// An image of critest's: its repository, without the registry's host, its tags, its user and its program.
type Wanted = (&'static str, &'static [&'static str], &'static str, &'static [&'static str]);

const SHELL: &[&str] = &["sh"];
const SERVER: &[&str] = &["/usr/sbin/nginx"];

/// All of them; the first two are those of Docker's own registry, for pods as people write them.
const WANTED: &[Wanted] = &[
    ("library/busybox", &["latest"], "", SHELL),
    ("library/nginx", &["latest"], "", SERVER),
    ("pause", &["3.9"], "", &["/pause"]),
    ("sandbox", &["1"], "", &["/pause"]),
    ("e2e-test-images/busybox", &["1.29-2"], "", SHELL),
    ("e2e-test-images/nginx", &["1.14-2"], "", SERVER),
    ("e2e-test-images/httpd", &["2.4.39-4"], "", SERVER),
    ("e2e-test-images/nonewprivs", &["1.3"], "", &["/nnp"]),
    ("k8s-staging-cri-tools/test-image-user-uid", &["latest"], "1002", SHELL),
    ("k8s-staging-cri-tools/test-image-user-username", &["latest"], "www-data", SHELL),
    ("k8s-staging-cri-tools/test-image-user-uid-group", &["latest"], "1003:1004", SHELL),
    ("k8s-staging-cri-tools/test-image-user-username-group", &["latest"], "www-data:1004", SHELL),
    ("k8s-staging-cri-tools/test-image-predefined-group", &["latest"], "1000", SHELL),
    ("k8s-staging-cri-tools/test-image-latest", &["latest"], "", SHELL),
    ("k8s-staging-cri-tools/test-image-1", &["latest"], "", SHELL),
    ("k8s-staging-cri-tools/test-image-2", &["latest"], "", SHELL),
    ("k8s-staging-cri-tools/test-image-3", &["latest"], "", SHELL),
    ("k8s-staging-cri-tools/test-image-tag", &["test"], "", SHELL),
    ("k8s-staging-cri-tools/test-image-tag", &["all"], "", SHELL),
    ("k8s-staging-cri-tools/test-image-tags", &["1", "2", "3"], "", SHELL),
    ("k8s-staging-cri-tools/hostnet-nginx-amd64", &["latest"], "", &["/usr/sbin/nginx", "12003"]),
    ("k8s-staging-cri-tools/hostnet-nginx-arm64", &["latest"], "", &["/usr/sbin/nginx", "12003"]),
];

/// Makes it all below `folder`. What the scenarios are told, as variables.
///
/// # Errors
/// What cannot be had: then nothing is known of the runtime.
pub(super) fn prepare(folder: &Path) -> Result<super::Variables> {
    let tools = tools(folder)?;
    let containerd = containerd::newest().ok_or("there is no containerd")?;
    Ok(vec![("CRI_TOOLS", tools), ("CONTAINERD", containerd), ("REGISTRY", registry(folder)?)])
}

/// The storage of a registry that has every image of [`WANTED`].
pub(super) fn registry(folder: &Path) -> Result<PathBuf> {
    let rootfs = images::made(&[ROOTFS], &folder.join("images"))?.join(ROOTFS.file);
    let storage = folder.join("registry");
    let registry = Registry::new(&storage)?;
    let layer = registry.file(&rootfs)?;
    for (repository, tags, user, program) in WANTED {
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        // Images of another name have another id.
        let name = format!("{repository}:{}", tags[0]);
        let config = json!({"Env": [path], "User": user, "Entrypoint": [], "Cmd": program, "Labels": {"name": name}});
        registry.image(repository, tags, &config, &[&layer])?;
    }
    Ok(storage)
}

/// The folder with crictl and critest: what `CRI_TOOLS` names, or else one of `PATH`, or else one that go fills.
fn tools(folder: &Path) -> Result<PathBuf> {
    let named = std::env::var_os("CRI_TOOLS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = named.into_iter().chain(std::env::split_paths(&path));
    let both = |folder: &PathBuf| ["crictl", "critest"].iter().all(|tool| folder.join(tool).is_file());
    if let Some(found) = folders.find(both) {
        return Ok(found);
    }
    let links = folder.join("cri-tools");
    std::fs::create_dir_all(&links).map_err(|why| format!("{}: {why}", links.display()))?;
    let built = tools::CRI.iter().try_for_each(|tool| tool.linked(folder, &links));
    built.map_err(|why| format!("crictl and critest are not in PATH, nor in the folder CRI_TOOLS; go: {why}"))?;
    Ok(links)
}

fn rootfs(rootfs: &Path) -> Result<()> {
    images::busybox(rootfs)?;
    let failed = |why: std::io::Error| format!("{}: {why}", rootfs.display());
    // A masked path hides the file that a link leads to: ls has to be one of its own. sh is compiled below.
    for name in ["ls", "sh"] {
        std::fs::remove_file(rootfs.join("bin").join(name)).map_err(failed)?;
    }
    std::fs::copy("/bin/busybox", rootfs.join("bin/ls")).map_err(failed)?;
    for (name, script) in APPLETS {
        executable(&rootfs.join("bin").join(name), script.as_bytes(), 0o755).map_err(failed)?;
    }
    for folder in ["usr/sbin", "var/run", "var/www"] {
        std::fs::create_dir_all(rootfs.join(folder)).map_err(failed)?;
    }
    let sources: PathBuf = [env!("CARGO_MANIFEST_DIR"), "engines", "cri"].iter().collect();
    for (place, source) in PROGRAMS {
        let source = sources.join(format!("{source}.c"));
        let cc = ["-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o"];
        succeed(bounded(2, "cc", &cc).arg(rootfs.join(place)).arg(source))?;
    }
    std::fs::set_permissions(rootfs.join("nnp"), std::fs::Permissions::from_mode(0o4755)).map_err(failed)?;
    let people = "root:x:0:0:root:/root:/bin/sh\ndefault-user:x:1000:1000::/home/user:/bin/sh\n\
                  www-data:x:33:33::/var/www:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
    let groups = "root:x:0:\ndefault-user:x:1000:\nwww-data:x:33:\ngroup-defined-in-image:x:50000:default-user\n\
                  nogroup:x:65534:\n";
    std::fs::write(rootfs.join("etc/passwd"), people).map_err(failed)?;
    std::fs::write(rootfs.join("etc/group"), groups).map_err(failed)
}

fn executable(file: &Path, text: &[u8], mode: u32) -> std::io::Result<()> {
    // In the place of a link, not through it.
    let _ = std::fs::remove_file(file);
    std::fs::write(file, text)?;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode))
}
