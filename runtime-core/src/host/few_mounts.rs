//! A mount namespace with few mounts, kept for every container that is made on a host with many: a mount of it pins it.
//!
//! It has a tmpfs that is read-only, and what user namespaces need to see before they may mount their own (mount(2), EPERM):
//! a procfs and a sysfs with nothing hidden. Nothing runs in it.

use std::fs::{DirBuilder, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, unshare};
use nix::sys::stat::Mode;
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::unistd::{Pid, chdir, pivot_root};

use crate::compile::departure::{ROOT, STAGE};
use crate::sys::mount::has_mounts;
use crate::sys::page::errno_of;
use crate::sys::process::namespace_type;
use crate::wire::Ns;

/// Its folder: root's alone, with a tmpfs of its own over it, since a mount namespace can only be bound where nothing is shared.
const FOLDER: &str = "/run/planc-mounts";
const PIN: &str = "/run/planc-mounts/few";

/// From how many mounts on copying them takes longer than going without: each takes some 4 µs.
const MANY: usize = 128;

/// Whether a host's root that has many mounts lacks it, and makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is made.
    Make,
    /// It is taken for made.
    Assume,
}

/// Where it is; `None` on a host with few mounts, on a kernel before 6.8, which cannot count them in one call, and where it cannot
/// be made: then every mount is copied as ever.
pub(crate) fn find(missing: Missing) -> Option<PathBuf> {
    let many = has_mounts(MANY).unwrap_or(false);
    let found = many && (is_there() || missing == Missing::Assume || make().inspect_err(told).is_ok());
    found.then(|| PathBuf::from(PIN))
}

fn told(errno: &Errno) {
    log::debug!("no mount namespace with few mounts is made: {}", errno.desc());
}

fn is_there() -> bool {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let pinned = open(PIN, flags, Mode::empty());
    pinned.is_ok_and(|pinned| namespace_type(pinned.as_fd()) == Ok(Ns::Mount.flag()))
}

/// On how many CPUs it is tried.
const CPUS: usize = 8;

/// Makes and pins it. Whoever comes meanwhile does without (EWOULDBLOCK), and so does everybody after one who failed (EEXIST):
/// trying takes as long as going without.
fn make() -> nix::Result<()> {
    match DirBuilder::new().mode(0o700).create(FOLDER).map_err(errno_of) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    let folder = open_folder()?;
    let locked = Flock::lock(folder, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
    // Another may have covered the folder before the lock was to be had.
    if identity(&locked)? != identity(&open_folder()?)? {
        return if is_there() { Ok(()) } else { Err(Errno::EWOULDBLOCK) };
    }
    if is_there() {
        return Ok(());
    }
    let none = None::<&str>;
    if fstatfs(&*locked)?.filesystem_type() != TMPFS_MAGIC || !is_mount(&locked)? {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("planc"), FOLDER, Some("tmpfs"), flags, Some("mode=0700,nr_inodes=4,size=4k"))?;
    }
    mount(none, FOLDER, none, MsFlags::MS_PRIVATE, none)?;
    let flags = OFlag::O_RDONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    open(PIN, flags, Mode::from_bits_truncate(0o400))?;
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let cpus = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true)).take(CPUS);
    let mut done = Err(Errno::EINVAL);
    for cpu in [None].into_iter().chain(cpus.map(Some)) {
        done = pin(cpu);
        // KERNEL(6.18): namespaces are numbered by CPU, in batches, and only one with a greater number than the caller's can be
        // bound: which CPU that is depends on where the caller's was made. The first of the host is less than any.
        if done != Err(Errno::EINVAL) {
            break;
        }
    }
    done
}

/// Makes the namespace, on a CPU, and binds it. A thread may leave the mount namespace of its process.
fn pin(cpu: Option<usize>) -> nix::Result<()> {
    let made = std::thread::Builder::new().spawn(move || namespace(cpu)).map_err(errno_of)?;
    let namespace = made.join().map_err(|_| Errno::EAGAIN)??;
    mount(Some(by_number(&namespace).as_path()), PIN, None::<&str>, MsFlags::MS_BIND, None::<&str>)
}

/// The path of an open file.
fn by_number(file: &OwnedFd) -> PathBuf {
    Path::new("/proc/self/fd").join(file.as_raw_fd().to_string())
}

fn open_folder() -> nix::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    open(FOLDER, flags, Mode::empty()).map(File::from)
}

fn identity(file: &File) -> nix::Result<(u64, u64)> {
    file.metadata().map(|metadata| (metadata.dev(), metadata.ino())).map_err(errno_of)
}

/// Whether a folder is on another filesystem than the one above it.
fn is_mount(folder: &File) -> nix::Result<bool> {
    let above = std::fs::metadata(Path::new(FOLDER).parent().unwrap_or(Path::new("/"))).map_err(errno_of)?;
    Ok(above.dev() != identity(folder)?.0)
}

/// In a thread of its own, whose mount namespace it becomes: everything of the host's is left out of it.
fn namespace(cpu: Option<usize>) -> nix::Result<OwnedFd> {
    let none = None::<&str>;
    if let Some(cpu) = cpu {
        let mut only = CpuSet::new();
        only.set(cpu)?;
        sched_setaffinity(Pid::from_raw(0), &only)?;
    }
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("planc"), FOLDER, Some("tmpfs"), quiet, Some("mode=0755,size=16k"))?;
    chdir(FOLDER)?;
    for name in ["proc", "sys", folder_of(ROOT), folder_of(STAGE)] {
        DirBuilder::new().mode(0o755).create(name).map_err(errno_of)?;
    }
    mount(Some("proc"), "proc", Some("proc"), quiet, none)?;
    mount(Some("sysfs"), "sys", Some("sysfs"), quiet, none)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    mount(none, "/", none, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | quiet, none)?;
    open("/proc/thread-self/ns/mnt", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
}

fn folder_of(path: &'static std::ffi::CStr) -> &'static str {
    path.to_str().unwrap_or_default().trim_start_matches('/')
}
