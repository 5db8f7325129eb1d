//! Images made of what Debian has: nothing is pulled.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::packages;
use crate::run::{Result, bounded, stdout, succeed};

/// An image: what its file is called, and who makes its root filesystem in a folder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Image {
    pub(super) file: &'static str,
    pub(super) make: fn(&Path) -> Result<()>,
}

/// busybox, with `root` and `user`.
pub(super) const BUSYBOX: Image = Image { file: "busybox.tar", make: busybox };

/// Debian with what the applications of tutorials are made of.
pub(super) const DEBIAN: Image = Image { file: "debian.tar", make: debian };

/// The folder that has them all, as tar files of root filesystems.
pub(super) fn made(images: &[Image], folder: &Path) -> Result<PathBuf> {
    let failed = |why: std::io::Error| format!("{}: {why}", folder.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    for image in images {
        let file = folder.join(image.file);
        if file.is_file() {
            continue;
        }
        let (rootfs, half) =
            (folder.join(format!("{}.rootfs", image.file)), folder.join(format!("{}.part", image.file)));
        let _ = std::fs::remove_dir_all(&rootfs);
        std::fs::create_dir_all(&rootfs).map_err(failed)?;
        (image.make)(&rootfs)?;
        let (half, from) = (half.to_string_lossy().into_owned(), rootfs.to_string_lossy().into_owned());
        succeed(&mut bounded(10, "tar", &["-C", &from, "--numeric-owner", "-cf", &half, "."]))?;
        std::fs::rename(&half, &file).and_then(|()| std::fs::remove_dir_all(&rootfs)).map_err(failed)?;
    }
    Ok(folder.to_owned())
}

pub(super) fn busybox(rootfs: &Path) -> Result<()> {
    let failed = |why: std::io::Error| format!("{}: {why}", rootfs.display());
    for folder in ["bin", "dev", "etc", "home/user", "proc", "root", "run", "sys", "tmp", "var"] {
        std::fs::create_dir_all(rootfs.join(folder)).map_err(failed)?;
    }
    succeed(&mut bounded(1, "chmod", &["1777", &rootfs.join("tmp").to_string_lossy()]))?;
    succeed(&mut bounded(1, "chown", &["1000:1000", &rootfs.join("home/user").to_string_lossy()]))?;
    let people = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n";
    let groups = "root:x:0:\nuser:x:1000:\nstaff:x:50:user\n";
    std::fs::write(rootfs.join("etc/passwd"), people).map_err(failed)?;
    std::fs::write(rootfs.join("etc/group"), groups).map_err(failed)?;
    std::fs::copy("/bin/busybox", rootfs.join("bin/busybox")).map_err(failed)?;
    for applet in stdout(&mut bounded(1, "/bin/busybox", &["--list"]))?.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", rootfs.join("bin").join(applet)).map_err(failed)?;
    }
    Ok(())
}

fn debian(rootfs: &Path) -> Result<()> {
    packages::ensure(&[packages::IMAGES])?;
    let include = "--include=nginx-light,python3-flask,python3-redis,redis-server";
    let rootfs = rootfs.to_string_lossy().into_owned();
    // What it mounts in there is gone with the namespace.
    let words = ["--mount", "--", "debootstrap", "--variant=minbase", include, "bookworm", &rootfs];
    succeed(bounded(20, "unshare", &words).stdout(std::process::Stdio::null()))?;
    // Packages that are installed have no use for the files that they came in.
    let caches = ["var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"];
    let caches: Vec<String> = caches.iter().map(|folder| format!("{rootfs}/{folder}")).collect();
    succeed(&mut bounded(1, "rm", &[&["-rf".to_owned()][..], &caches].concat()))
}
