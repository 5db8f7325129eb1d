//! The system calls, one a function. The raw instruction and the entry are the only assembly.

use core::ffi::{CStr, c_char};

#[cfg(target_arch = "x86_64")]
#[path = "sys_x86_64.rs"]
mod arch;
#[cfg(target_arch = "aarch64")]
#[path = "sys_aarch64.rs"]
mod arch;

#[path = "sys_seccomp.rs"]
mod seccomp;

use arch::{number as nr, syscall};
pub(crate) use seccomp::{exit_thread, install_filter, pause_for, send_descriptor, spawn_thread};

#[path = "sys_files.rs"]
mod files;
pub(crate) use files::*;

#[path = "sys_signals.rs"]
mod signals;
pub(crate) use signals::{default_action, end_by_signals, unblock_all};

/// An error number of the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

impl Errno {
    pub(crate) const PERM: Self = Self(1);
    pub(crate) const NOENT: Self = Self(2);
    pub(crate) const INTR: Self = Self(4);
    pub(crate) const NXIO: Self = Self(6);
    pub(crate) const BADF: Self = Self(9);
    pub(crate) const AGAIN: Self = Self(11);
    pub(crate) const ACCES: Self = Self(13);
    pub(crate) const EXIST: Self = Self(17);
    pub(crate) const XDEV: Self = Self(18);
    pub(crate) const NODEV: Self = Self(19);
    pub(crate) const NOTDIR: Self = Self(20);
    pub(crate) const ISDIR: Self = Self(21);
    pub(crate) const INVAL: Self = Self(22);
    pub(crate) const NAMETOOLONG: Self = Self(36);
    pub(crate) const NOSYS: Self = Self(38);
    pub(crate) const PIPE: Self = Self(32);
    pub(crate) const PROTO: Self = Self(71);
    pub(crate) const OPNOTSUPP: Self = Self(95);
    pub(crate) const LOOP: Self = Self(40);
    pub(crate) const TIMEDOUT: Self = Self(110);
    pub(crate) const DQUOT: Self = Self(122);
    pub(crate) const CANCELED: Self = Self(125);
}

/// A descriptor. Init's few are closed by name or by the final close_range.
#[derive(Clone, Copy)]
pub(crate) struct Fd(pub(crate) i32);

impl Fd {
    /// `AT_FDCWD`
    pub(crate) const CWD: Self = Self(-100);
}

pub(crate) const AT_EMPTY_PATH: u32 = 0x1000;
pub(crate) const AT_RECURSIVE: u32 = 0x8000;
pub(crate) const OPEN_TREE_CLONE: u32 = 1;
pub(crate) const O_CLOEXEC: u32 = 0o2_000_000;
pub(crate) const O_PATH: u32 = 0o10_000_000;
pub(crate) const O_WRONLY: u32 = 1;
pub(crate) const O_RDWR: u32 = 2;
pub(crate) const O_NOCTTY: u32 = 0o400;
pub(crate) const O_CREAT: u32 = 0o100;
pub(crate) const O_EXCL: u32 = 0o200;
pub(crate) use arch::{O_DIRECTORY, O_NOFOLLOW};
pub(crate) const RESOLVE_NO_XDEV: u64 = 1;
pub(crate) const RESOLVE_NO_MAGICLINKS: u64 = 2;
pub(crate) const RESOLVE_NO_SYMLINKS: u64 = 4;
pub(crate) const RESOLVE_BENEATH: u64 = 8;
pub(crate) const RESOLVE_IN_ROOT: u64 = 16;
pub(crate) const FSCONFIG_SET_FLAG: u32 = 0;
pub(crate) const FSCONFIG_SET_STRING: u32 = 1;
pub(crate) const FSCONFIG_SET_FD: u32 = 5;
pub(crate) const FSCONFIG_CMD_CREATE: u32 = 6;
pub(crate) const FSCONFIG_CMD_RECONFIGURE: u32 = 7;
pub(crate) const S_IFMT: u32 = 0o170_000;
pub(crate) const S_IFDIR: u32 = 0o040_000;
pub(crate) const S_IFCHR: u32 = 0o020_000;
pub(crate) const S_IFREG: u32 = 0o100_000;
pub(crate) const S_IFLNK: u32 = 0o120_000;
pub(crate) const O_NONBLOCK: u32 = 0o4000;
const SIGCHLD: usize = 17;
const CLONE_PARENT: usize = 0x8000;
const CLONE_PARENT_SETTID: usize = 0x10_0000;
const CLONE_VM: usize = 0x100;
const CLONE_FS: usize = 0x200;
const CLONE_FILES: usize = 0x400;
const CLONE_SIGHAND: usize = 0x800;
const CLONE_THREAD: usize = 0x1_0000;
const CLONE_SYSVSEM: usize = 0x4_0000;
const CLONE_PIDFD: usize = 0x1000;
const PR_SET_PDEATHSIG: usize = 1;
const PR_SET_DUMPABLE: usize = 4;
const PR_SET_KEEPCAPS: usize = 8;
const PR_CAPBSET_DROP: usize = 24;
const PR_SET_NO_NEW_PRIVS: usize = 38;
const PR_CAP_AMBIENT: usize = 47;

/// Performs a call whose arguments hold for as long as it runs.
fn call(number: usize, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: every caller below passes numbers, or pointers made from references that outlive the call and have the
    // layout the kernel's manual page gives.
    let answer = unsafe { syscall(number, args) };
    if answer >= 0 {
        return Ok(answer as usize);
    }
    let errno = Errno(-answer as i32);
    if errno == Errno::NOSYS {
        note_missing(number);
    }
    Err(errno)
}

/// Which call it was, for the error message: a step is made of several.
#[cold]
fn note_missing(number: usize) {
    if let Some(recorder) = crate::recorder() {
        recorder.missing.store((number as u32).wrapping_add(1), core::sync::atomic::Ordering::Relaxed);
    }
}

fn done(answer: Result<usize, Errno>) -> Result<(), Errno> {
    answer.map(|_| ())
}

fn fd(answer: Result<usize, Errno>) -> Result<Fd, Errno> {
    answer.map(|fd| Fd(fd as i32))
}

fn text(text: &CStr) -> usize {
    text.as_ptr() as usize
}

const EMPTY: &CStr = c"";

pub(crate) fn exit(code: i32) -> ! {
    let _ = call(nr::EXIT_GROUP, [code as usize, 0, 0, 0, 0, 0]);
    // A filter denies even that. A fault ends pid 1 of a pid namespace too.
    arch::trap()
}

pub(crate) fn pause() {
    // ppoll of nothing, without a limit: it returns for a signal only.
    let _ = call(nr::PPOLL, [0; 6]);
}

pub(crate) fn monotonic() -> u64 {
    let mut time = [0i64; 2];
    let _ = call(nr::CLOCK_GETTIME, [1, &raw mut time as usize, 0, 0, 0, 0]);
    (time[0] as u64).wrapping_mul(1_000_000_000).wrapping_add(time[1] as u64)
}

/// The size of a file in bytes.
pub(crate) fn size(of: Fd) -> Result<usize, Errno> {
    call(nr::LSEEK, [of.0 as usize, 0, 2, 0, 0, 0])
}

/// Maps a file shared, for reading and writing.
pub(crate) fn map_shared(of: Fd, size: usize) -> Result<*mut u8, Errno> {
    call(nr::MMAP, [0, size, 3, 1, of.0 as usize, 0]).map(|start| start as *mut u8)
}

pub(crate) fn close(fd: Fd) {
    let _ = call(nr::CLOSE, [fd.0 as usize, 0, 0, 0, 0, 0]);
}

pub(crate) fn close_range(first: u32, last: u32, flags: u32) -> Result<(), Errno> {
    done(call(nr::CLOSE_RANGE, [first as usize, last as usize, flags as usize, 0, 0, 0]))
}

pub(crate) fn dup3(from: Fd, to: Fd, flags: u32) -> Result<(), Errno> {
    done(call(nr::DUP3, [from.0 as usize, to.0 as usize, flags as usize, 0, 0, 0]))
}

pub(crate) fn set_dumpable(dumpable: bool) -> Result<(), Errno> {
    prctl(PR_SET_DUMPABLE, usize::from(dumpable), 0)
}

pub(crate) fn set_parent_death_signal(signal: usize) -> Result<(), Errno> {
    prctl(PR_SET_PDEATHSIG, signal, 0)
}

pub(crate) fn no_new_privileges() -> Result<(), Errno> {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0)
}

pub(crate) fn keep_capabilities(keep: bool) -> Result<(), Errno> {
    prctl(PR_SET_KEEPCAPS, usize::from(keep), 0)
}

pub(crate) fn drop_bounding(capability: usize) -> Result<(), Errno> {
    prctl(PR_CAPBSET_DROP, capability, 0)
}

pub(crate) fn clear_ambient() -> Result<(), Errno> {
    prctl(PR_CAP_AMBIENT, 4, 0)
}

pub(crate) fn raise_ambient(capability: usize) -> Result<(), Errno> {
    prctl(PR_CAP_AMBIENT, 2, capability)
}

fn prctl(option: usize, second: usize, third: usize) -> Result<(), Errno> {
    done(call(nr::PRCTL, [option, second, third, 0, 0, 0]))
}

/// Holds these sets: effective, permitted, inheritable.
pub(crate) fn capset(effective: u64, permitted: u64, inheritable: u64) -> Result<(), Errno> {
    let header = [0x2008_0522u32, 0];
    let half = |shift: u32| [(effective >> shift) as u32, (permitted >> shift) as u32, (inheritable >> shift) as u32];
    let data = [half(0), half(32)];
    done(call(nr::CAPSET, [&raw const header as usize, &raw const data as usize, 0, 0, 0, 0]))
}

pub(crate) fn umask(mask: u32) -> Result<(), Errno> {
    done(call(nr::UMASK, [mask as usize, 0, 0, 0, 0, 0]))
}

pub(crate) fn setns(namespace: Fd, kind: u32) -> Result<(), Errno> {
    done(call(nr::SETNS, [namespace.0 as usize, kind as usize, 0, 0, 0, 0]))
}

pub(crate) fn unshare(flags: u32) -> Result<(), Errno> {
    done(call(nr::UNSHARE, [flags as usize, 0, 0, 0, 0, 0]))
}

pub(crate) fn setsid() -> Result<(), Errno> {
    done(call(nr::SETSID, [0; 6]))
}

pub(crate) fn setresuid(uid: u32) -> Result<(), Errno> {
    done(call(nr::SETRESUID, [uid as usize, uid as usize, uid as usize, 0, 0, 0]))
}

pub(crate) fn setresgid(gid: u32) -> Result<(), Errno> {
    done(call(nr::SETRESGID, [gid as usize, gid as usize, gid as usize, 0, 0, 0]))
}

pub(crate) fn setgroups(groups: &[u32]) -> Result<(), Errno> {
    done(call(nr::SETGROUPS, [groups.len(), groups.as_ptr() as usize, 0, 0, 0, 0]))
}

/// Goes on as another process, a child of this one's parent, with this one's memory; this one ends. The kernel stores the
/// new pid, as this process sees it, in `pid` before the new one runs.
pub(crate) fn be_born_again(pid: &core::sync::atomic::AtomicU32) -> Result<(), Errno> {
    let flags = CLONE_PARENT | CLONE_PARENT_SETTID | SIGCHLD;
    // SAFETY: the one that ends does so without its stack, which is the other's from then on; nobody else runs here.
    match Errno(unsafe { arch::rebirth(CLONE_VM | flags, pid.as_ptr() as usize).wrapping_neg() } as i32) {
        Errno(0) => Ok(()),
        // Memory is not shared with a process in another time namespace (clone(2)).
        Errno::INVAL if call(nr::CLONE, [flags, 0, pid.as_ptr() as usize, 0, 0, 0])? == 0 => Ok(()),
        Errno::INVAL => exit(0),
        errno => Err(errno),
    }
}

/// A copy of this process that shares its descriptors; `None` in the child.
pub(crate) fn fork_sharing_descriptors() -> Result<Option<usize>, Errno> {
    call(nr::CLONE, [CLONE_FILES | SIGCHLD, 0, 0, 0, 0, 0]).map(|pid| (pid != 0).then_some(pid))
}

/// Waits for a child; its exit status.
pub(crate) fn wait_for(pid: usize) -> Result<i32, Errno> {
    let mut status = 0i32;
    call(nr::WAIT4, [pid, &raw mut status as usize, 0, 0, 0, 0])?;
    Ok(status)
}

/// A copy of this process, its pid and its pidfd; `None` in the child.
pub(crate) fn fork_with_pidfd() -> Result<Option<(usize, Fd)>, Errno> {
    let mut pidfd = -1i32;
    // The kernel stores a pidfd where CLONE_PARENT_SETTID would want the pid (clone(2)).
    let pid = call(nr::CLONE, [CLONE_PIDFD | SIGCHLD, 0, &raw mut pidfd as usize, 0, 0, 0])?;
    Ok((pid != 0).then_some((pid, Fd(pidfd))))
}

/// Kills a child that may not have made its group yet, and its group.
pub(crate) fn kill_group(pid: usize) {
    for target in [pid, pid.wrapping_neg()] {
        let _ = call(nr::KILL, [target, 9, 0, 0, 0, 0]);
    }
}

/// Collects every child that has ended.
pub(crate) fn reap_all() {
    const ANY: usize = usize::MAX;
    const WNOHANG: usize = 1;
    while call(nr::WAIT4, [ANY, 0, WNOHANG, 0, 0, 0]).is_ok_and(|pid| pid != 0) {}
}

pub(crate) fn getpid() -> u32 {
    call(nr::GETPID, [0; 6]).map_or(0, |pid| pid as u32)
}

/// A pipe: the reading end, and the writing end.
pub(crate) fn pipe() -> Result<(Fd, Fd), Errno> {
    let mut fds = [0i32; 2];
    call(nr::PIPE2, [&raw mut fds as usize, O_CLOEXEC as usize, 0, 0, 0, 0])?;
    Ok((Fd(fds[0]), Fd(fds[1])))
}

/// Reading from it, when it is empty, is EAGAIN.
pub(crate) fn set_nonblocking(fd: Fd) -> Result<(), Errno> {
    const F_SETFL: usize = 4;
    done(call(nr::FCNTL, [fd.0 as usize, F_SETFL, O_NONBLOCK as usize, 0, 0, 0]))
}

/// An empty file in memory, which can be sealed.
pub(crate) fn memfd(name: &CStr) -> Result<Fd, Errno> {
    const MFD_CLOEXEC: usize = 1;
    const MFD_ALLOW_SEALING: usize = 2;
    fd(call(nr::MEMFD_CREATE, [text(name), MFD_CLOEXEC | MFD_ALLOW_SEALING, 0, 0, 0, 0]))
}

/// Nobody can change it any more: no seals are added, nothing shrinks, grows or is written.
pub(crate) fn seal(memfd: Fd) -> Result<(), Errno> {
    const F_ADD_SEALS: usize = 1033;
    done(call(nr::FCNTL, [memfd.0 as usize, F_ADD_SEALS, 0xf, 0, 0, 0]))
}

/// Whoever reads it next reads from its start.
pub(crate) fn rewind(file: Fd) -> Result<(), Errno> {
    done(call(nr::LSEEK, [file.0 as usize, 0, 0, 0, 0, 0]))
}

/// struct pollfd: a descriptor that is waited for until it can be read, or is at its end.
#[repr(C)]
pub(crate) struct Watched {
    fd: i32,
    events: i16,
    ready: i16,
}

impl Watched {
    pub(crate) fn new(fd: Fd) -> Self {
        const POLLIN: i16 = 1;
        Self { fd: fd.0, events: POLLIN, ready: 0 }
    }

    /// Its descriptor; one that does not exist where it is ignored.
    pub(crate) fn fd(&self) -> Fd {
        Fd(self.fd)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready != 0
    }

    /// It is not waited for any more.
    pub(crate) fn ignore(&mut self) {
        self.fd = -1;
    }
}

/// Waits until one of them is ready, or this many nanoseconds are over. A signal may end it earlier.
pub(crate) fn poll(watched: &mut [Watched], limit: u64) -> Result<(), Errno> {
    let limit = [limit / 1_000_000_000, limit % 1_000_000_000];
    watched.iter_mut().for_each(|one| one.ready = 0);
    let (start, count) = (watched.as_mut_ptr() as usize, watched.len());
    match call(nr::PPOLL, [start, count, &raw const limit as usize, 0, 0, 0]) {
        Err(Errno::INTR) => Ok(()),
        answer => done(answer),
    }
}

pub(crate) fn open_tree(at: Fd, path: &CStr, flags: u32) -> Result<Fd, Errno> {
    fd(call(nr::OPEN_TREE, [at.0 as usize, text(path), (flags | O_CLOEXEC) as usize, 0, 0, 0]))
}

/// Attaches a detached mount at a path below `at`.
pub(crate) fn move_mount(mount: Fd, at: Fd, path: &CStr) -> Result<(), Errno> {
    const F_EMPTY_PATH: usize = 4;
    const T_SYMLINKS: usize = 0x10;
    const T_EMPTY_PATH: usize = 0x40;
    let flags = F_EMPTY_PATH | if path.is_empty() { T_EMPTY_PATH } else { T_SYMLINKS };
    done(call(nr::MOVE_MOUNT, [mount.0 as usize, text(EMPTY), at.0 as usize, text(path), flags, 0]))
}

/// mount_setattr(2) of the mount that a descriptor or path names.
pub(crate) fn mount_setattr(at: Fd, path: &CStr, flags: u32, set: u64, clear: u64, kind: u64) -> Result<(), Errno> {
    let attributes = [set, clear, kind, 0];
    let flags = flags | if path.is_empty() { AT_EMPTY_PATH } else { 0 };
    let attr = &raw const attributes as usize;
    done(call(nr::MOUNT_SETATTR, [at.0 as usize, text(path), flags as usize, attr, size_of_val(&attributes), 0]))
}

/// Maps the ids of a detached mount by a user namespace (mount_setattr(2), MOUNT_ATTR_IDMAP).
pub(crate) fn map_ids(mount: Fd, flags: u32, namespace: Fd) -> Result<(), Errno> {
    const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
    let attributes = [MOUNT_ATTR_IDMAP, 0, 0, namespace.0 as u64];
    let (flags, attr) = (flags | AT_EMPTY_PATH, &raw const attributes as usize);
    done(call(nr::MOUNT_SETATTR, [mount.0 as usize, text(EMPTY), flags as usize, attr, size_of_val(&attributes), 0]))
}

/// The filesystem of what is mounted at a descriptor, to be reconfigured.
pub(crate) fn fspick(mount: Fd) -> Result<Fd, Errno> {
    const FSPICK_CLOEXEC: usize = 1;
    const FSPICK_EMPTY_PATH: usize = 8;
    fd(call(nr::FSPICK, [mount.0 as usize, text(EMPTY), FSPICK_CLOEXEC | FSPICK_EMPTY_PATH, 0, 0, 0]))
}

pub(crate) fn fsopen(fstype: &CStr) -> Result<Fd, Errno> {
    fd(call(nr::FSOPEN, [text(fstype), 1, 0, 0, 0, 0]))
}

pub(crate) fn fsconfig(fs: Fd, command: u32, key: Option<&CStr>, value: Option<&CStr>, aux: i32) -> Result<(), Errno> {
    let (key, value) = (key.map_or(0, text), value.map_or(0, text));
    done(call(nr::FSCONFIG, [fs.0 as usize, command as usize, key, value, aux as usize, 0]))
}

pub(crate) fn fsmount(fs: Fd, attributes: u64) -> Result<Fd, Errno> {
    fd(call(nr::FSMOUNT, [fs.0 as usize, 1, attributes as usize, 0, 0, 0]))
}

pub(crate) fn pivot_root() -> Result<(), Errno> {
    done(call(nr::PIVOT_ROOT, [text(c"."), text(c"."), 0, 0, 0, 0]))
}

/// Detaches what is mounted at a path.
pub(crate) fn detach(path: &CStr) -> Result<(), Errno> {
    done(call(nr::UMOUNT2, [text(path), 2, 0, 0, 0, 0]))
}

pub(crate) fn chroot(path: &CStr) -> Result<(), Errno> {
    done(call(nr::CHROOT, [text(path), 0, 0, 0, 0, 0]))
}

pub(crate) fn chdir(path: &CStr) -> Result<(), Errno> {
    done(call(nr::CHDIR, [text(path), 0, 0, 0, 0, 0]))
}

pub(crate) fn fchdir(fd: Fd) -> Result<(), Errno> {
    done(call(nr::FCHDIR, [fd.0 as usize, 0, 0, 0, 0, 0]))
}

pub(crate) fn getcwd(buffer: &mut [u8]) -> Result<usize, Errno> {
    call(nr::GETCWD, [buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0, 0])
}

/// openat2(2)
pub(crate) fn openat2(at: Fd, path: &CStr, flags: u32, mode: u32, resolve: u64) -> Result<Fd, Errno> {
    let how = [u64::from(flags | O_CLOEXEC), u64::from(mode), resolve];
    fd(call(nr::OPENAT2, [at.0 as usize, text(path), &raw const how as usize, size_of_val(&how), 0, 0]))
}

pub(crate) fn mkdirat(at: Fd, name: &CStr, mode: u32) -> Result<(), Errno> {
    done(call(nr::MKDIRAT, [at.0 as usize, text(name), mode as usize, 0, 0, 0]))
}

pub(crate) fn mknodat(at: Fd, name: &CStr, mode: u32, rdev: u64) -> Result<(), Errno> {
    done(call(nr::MKNODAT, [at.0 as usize, text(name), mode as usize, rdev as usize, 0, 0]))
}

pub(crate) fn symlinkat(target: &CStr, at: Fd, name: &CStr) -> Result<(), Errno> {
    done(call(nr::SYMLINKAT, [text(target), at.0 as usize, text(name), 0, 0, 0]))
}

/// ioctl(2) with a number, or with nothing, for its argument.
pub(crate) fn ioctl(fd: Fd, request: usize, argument: usize) -> Result<usize, Errno> {
    call(nr::IOCTL, [fd.0 as usize, request, argument, 0, 0, 0])
}

/// ioctl(2) with a value that the kernel reads, or that it writes.
pub(crate) fn ioctl_with<T>(fd: Fd, request: usize, value: &mut T) -> Result<usize, Errno> {
    ioctl(fd, request, &raw mut *value as usize)
}

/// What kind of filesystem an open file is in: f_type of statfs(2).
pub(crate) fn filesystem(fd: Fd) -> Result<u64, Errno> {
    // struct statfs: 120 bytes, the type first.
    let mut status = [0u64; 15];
    call(nr::FSTATFS, [fd.0 as usize, &raw mut status as usize, 0, 0, 0, 0])?;
    Ok(status[0])
}

/// Whether the effective user may execute a path: faccessat2(X_OK, AT_EACCESS).
pub(crate) fn may_execute(path: &CStr) -> Result<(), Errno> {
    done(call(nr::FACCESSAT2, [Fd::CWD.0 as usize, text(path), 1, 0x200, 0, 0]))
}

pub(crate) fn read(fd: Fd, buffer: &mut [u8]) -> Result<usize, Errno> {
    call(nr::READ, [fd.0 as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0])
}

/// Writes all of `bytes` in one call: what procfs and sysfs need.
pub(crate) fn write(fd: Fd, bytes: &[u8]) -> Result<(), Errno> {
    let count = call(nr::WRITE, [fd.0 as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0])?;
    if count == bytes.len() { Ok(()) } else { Err(Errno::INVAL) }
}

pub(crate) fn setrlimit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = [soft, hard];
    done(call(nr::PRLIMIT64, [0, resource as usize, &raw const limit as usize, 0, 0, 0]))
}

/// Which CPUs this process may run on, as a bit set; the kernel takes out those that its cgroup has not.
pub(crate) fn sched_setaffinity(cpus: &[u8]) -> Result<(), Errno> {
    done(call(nr::SCHED_SETAFFINITY, [0, cpus.len(), cpus.as_ptr() as usize, 0, 0, 0]))
}

/// `attributes` is a struct sched_attr, which tells its own size.
pub(crate) fn sched_setattr(attributes: &[u64; 7]) -> Result<(), Errno> {
    done(call(nr::SCHED_SETATTR, [0, attributes.as_ptr() as usize, 0, 0, 0, 0]))
}

/// Of this process (IOPRIO_WHO_PROCESS).
pub(crate) fn ioprio_set(value: u16) -> Result<(), Errno> {
    done(call(nr::IOPRIO_SET, [1, 0, value.into(), 0, 0, 0]))
}

pub(crate) fn personality(persona: u32) -> Result<(), Errno> {
    done(call(nr::PERSONALITY, [persona as usize, 0, 0, 0, 0, 0]))
}

/// `nodes` is a bit set in whole words; the kernel counts one bit more than it reads.
pub(crate) fn set_mempolicy(mode: u32, nodes: &[u8]) -> Result<(), Errno> {
    let (mask, bits) = if nodes.is_empty() { (0, 0) } else { (nodes.as_ptr() as usize, nodes.len() * 8 + 1) };
    done(call(nr::SET_MEMPOLICY, [mode as usize, mask, bits, 0, 0, 0]))
}

/// socket(2): AF_UNIX, SOCK_DGRAM, SOCK_CLOEXEC.
pub(crate) fn unix_socket() -> Result<Fd, Errno> {
    call(nr::SOCKET, [1, 2 | 0o2_000_000, 0, 0, 0, 0]).map(|fd| Fd(fd as i32))
}

pub(crate) fn sethostname(name: &[u8]) -> Result<(), Errno> {
    done(call(nr::SETHOSTNAME, [name.as_ptr() as usize, name.len(), 0, 0, 0, 0]))
}

pub(crate) fn setdomainname(name: &[u8]) -> Result<(), Errno> {
    done(call(nr::SETDOMAINNAME, [name.as_ptr() as usize, name.len(), 0, 0, 0, 0]))
}

/// Joins a new session keyring of this name; its serial number.
pub(crate) fn join_session_keyring(name: &CStr) -> Result<usize, Errno> {
    call(nr::KEYCTL, [1, text(name), 0, 0, 0, 0])
}

pub(crate) fn set_key_permissions(key: usize, permissions: u32) -> Result<(), Errno> {
    done(call(nr::KEYCTL, [5, key, permissions as usize, 0, 0, 0]))
}

pub(crate) fn accept(listener: Fd) -> Result<Fd, Errno> {
    fd(call(nr::ACCEPT4, [listener.0 as usize, 0, 0, O_CLOEXEC as usize, 0, 0]))
}

/// struct msghdr of a 64-bit kernel.
#[repr(C)]
struct Message {
    name: usize,
    name_size: usize,
    vectors: *const [usize; 2],
    vector_count: usize,
    control: *const u64,
    control_size: usize,
    flags: usize,
}

/// Sends one byte, and with it a descriptor where one is given. A peer that is gone is EPIPE, not SIGPIPE.
pub(crate) fn send_turn(socket: Fd, with: Option<Fd>) -> Result<(), Errno> {
    const MSG_NOSIGNAL: usize = 0x4000;
    let byte = 1u8;
    let vector = [&raw const byte as usize, 1];
    // struct cmsghdr: length 20, SOL_SOCKET and SCM_RIGHTS, then the descriptor.
    let control = [20u64, 1 | 1 << 32, with.map_or(0, |fd| fd.0 as u64)];
    let message = Message {
        name: 0,
        name_size: 0,
        vectors: &raw const vector,
        vector_count: 1,
        control: &raw const control as *const u64,
        control_size: if with.is_some() { 24 } else { 0 },
        flags: 0,
    };
    done(call(nr::SENDMSG, [socket.0 as usize, &raw const message as usize, MSG_NOSIGNAL, 0, 0, 0]))
}

/// Receives one packet's byte; 0 is the end of the peer.
pub(crate) fn receive_turn(socket: Fd) -> Result<usize, Errno> {
    let mut byte = 0u8;
    call(nr::RECVFROM, [socket.0 as usize, &raw mut byte as usize, 1, 0, 0, 0])
}

/// execve(2); returns only with an error.
pub(crate) fn execve(program: &CStr, args: *const *const c_char, env: *const *const c_char) -> Errno {
    match call(nr::EXECVE, [text(program), args as usize, env as usize, 0, 0, 0]) {
        Err(errno) => errno,
        Ok(_) => Errno::INVAL,
    }
}
