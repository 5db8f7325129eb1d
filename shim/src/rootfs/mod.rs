//! The root filesystem of a container, as a snapshotter has it mounted: each mount is put together unattached, and attached by
//! descriptor (CVE-2021-30465).

mod filesystem;
mod options;
mod overlay;
mod place;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, OpenTreeFlags, UnmountFlags, open_tree, unmount};

use runtime_core::{MountAttributes, MountIds, set_mount_attributes};

use crate::api::Mount;
use crate::status::{Answer, Failure};
use filesystem::Filesystem;
use options::{Kind, Options};
use place::Place;

const ATTR_RDONLY: u64 = MountAttrFlags::MOUNT_ATTR_RDONLY.bits() as u64;
const PRIVATE: u64 = MountPropagationFlags::PRIVATE.bits() as u64;

/// As many mounts as nobody stacks.
const MOST: usize = 4096;

/// Why a mount cannot be made.
#[derive(Debug)]
struct Refusal {
    message: String,
    errno: Option<i32>,
}

impl Refusal {
    fn of(what: &str, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        Self { message: format!("cannot {what}: {error}"), errno: error.raw_os_error() }
    }
}

/// Where the root filesystem of a bundle is mounted, whatever config.json says.
pub(crate) fn of(bundle: &Path) -> PathBuf {
    bundle.join("rootfs")
}

/// Mounts `mounts`, in order, at `rootfs`, a directory of a bundle that is made (0711) where it is missing. None of them is
/// left if one fails.
///
/// # Errors
/// [`Code::InvalidArgument`](crate::status::Code) where an option cannot be done, [`Code::Internal`](crate::status::Code) with
/// the kernel's own words: both say which mount.
pub(crate) fn mount_all(mounts: &[Mount], rootfs: &Path) -> Answer<()> {
    if mounts.is_empty() {
        return Ok(());
    }
    let options = mounts.iter().enumerate().map(|(index, mount)| {
        Options::read(mount).map_err(|why| Failure::invalid(format!("{}: {why}", named(index, mount))))
    });
    let options = options.collect::<Answer<Vec<_>>>()?;
    let place = Place::new(rootfs).map_err(|error| Failure::host(&format!("use {}", rootfs.display()), error))?;
    let mut attached = Vec::new();
    for (index, (mount, options)) in mounts.iter().zip(&options).enumerate() {
        let made = tree(mount, options, &place).and_then(|tree| attach(tree, mount, options, &place, &mut attached));
        if let Err(refusal) = made {
            place::detach(attached);
            place.undo();
            return Err(Failure::host(&named(index, mount), refusal.message));
        }
    }
    Ok(())
}

/// What is being done, for an error.
fn named(index: usize, mount: &Mount) -> String {
    format!("mount {index} of the rootfs ({} from {:?})", mount.kind, mount.source)
}

/// What is to be mounted, attached nowhere.
fn tree(mount: &Mount, options: &Options<'_>, place: &Place) -> Result<OwnedFd, Refusal> {
    let (tree, deep) = match options.kind {
        // Its layers are mapped, not itself.
        Kind::Overlay => return overlay::overlay(&mount.source, options, place),
        Kind::Bind { deep } => (copy(&mount.source, options, deep)?, deep),
        Kind::Filesystem => {
            let fs = Filesystem::new(&mount.kind, &mount.source, &options.flags)?;
            options.data.iter().try_for_each(|(key, value)| fs.set(key, *value))?;
            (fs.mount(options.attributes)?, false)
        }
    };
    if let Some(ids) = &options.ids {
        let mapped = MountIds::new(&ids.uids, &ids.gids).and_then(|ids| ids.map(tree.as_fd(), deep));
        mapped.map_err(|error| Refusal::of("map its ids", error))?;
    }
    Ok(tree)
}

/// A copy of what is mounted at `source`. What is said beside its attributes means nothing, as for mount(2).
fn copy(source: &str, options: &Options<'_>, deep: bool) -> Result<OwnedFd, Refusal> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, deep);
    let tree = open_tree(CWD, source, flags).map_err(|errno| Refusal::of("copy its source", errno))?;
    set_attributes(tree.as_fd(), options.attributes).map_err(|error| Refusal::of("set its attributes", error))?;
    Ok(tree)
}

/// Adds attributes to those that a mount has.
fn set_attributes(mount: BorrowedFd<'_>, attributes: MountAttrFlags) -> io::Result<()> {
    let times = MountAttrFlags::MOUNT_ATTR__ATIME;
    // They are one number of several bits (mount_setattr(2)).
    let clear = if attributes.intersects(times) { times } else { MountAttrFlags::empty() };
    let change = MountAttributes { set: attributes.bits().into(), clear: clear.bits().into(), propagation: 0 };
    if attributes.is_empty() { Ok(()) } else { set_mount_attributes(mount, change, false) }
}

fn attach(
    tree: OwnedFd,
    mount: &Mount,
    options: &Options<'_>,
    place: &Place,
    attached: &mut Vec<OwnedFd>,
) -> Result<(), Refusal> {
    place.attach(tree.as_fd(), &mount.target).map_err(|error| Refusal::of("attach it", error))?;
    attached.push(tree);
    // Behind the attaching, which makes a mount shared where the bundle's own is.
    let Some(tree) = attached.last() else { return Ok(()) };
    options.propagations.iter().try_for_each(|(propagation, deep)| {
        let change = MountAttributes { propagation: *propagation, ..MountAttributes::default() };
        set_mount_attributes(tree.as_fd(), change, *deep).map_err(|error| Refusal::of("set its propagation", error))
    })
}

/// Unmounts all that is mounted at `rootfs`, and below. What is in use is detached, and goes when it no longer is. It is no
/// error that nothing is mounted there, or that there is no such directory.
///
/// # Errors
/// What umount2(2) says.
pub(crate) fn unmount_all(rootfs: &Path) -> io::Result<()> {
    for _ in 0..MOST {
        let mut unmounted = unmount(rootfs, UnmountFlags::NOFOLLOW);
        if unmounted == Err(rustix::io::Errno::BUSY) {
            unmounted = unmount(rootfs, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH);
        }
        match unmounted {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(io::Error::new(io::ErrorKind::QuotaExceeded, "more is mounted on top of it than can be"))
}
