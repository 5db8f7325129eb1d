//! Processes by descriptor: pidfds, their waiting, their limits.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

/// pidfd_open(2); ESRCH where no process has this pid.
pub(crate) fn pidfd_open(pid: u32) -> nix::Result<OwnedFd> {
    // SAFETY: takes numbers only; the answer is a new descriptor.
    let fd = match Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) }) {
        // KERNEL(6.1): a pid that lives on as a session's or a group's only is no process, and said so by EINVAL.
        Err(Errno::EINVAL) => return Err(Errno::ESRCH),
        opened => opened?,
    };
    // SAFETY: nobody else owns the new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// pidfd_send_signal(2)
pub(crate) fn pidfd_send_signal(process: BorrowedFd<'_>, signal: i32) -> nix::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo means "as kill(2)".
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, none, 0) };
    Errno::result(answer).map(drop)
}

/// Collects a child that ended, without waiting; `None` where it runs or is no child of this process.
pub(crate) fn try_wait(process: &OwnedFd) -> Option<WaitStatus> {
    match waitid(Id::PIDFd(process.as_fd()), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
        Ok(WaitStatus::StillAlive) | Err(_) => None,
        Ok(status) => Some(status),
    }
}

/// How a child that has ended did so. It is not collected; ECHILD where this process's SIGCHLD is ignored, or another
/// thread was faster.
pub(crate) fn ended(process: &OwnedFd) -> nix::Result<ExitStatus> {
    status_of(process, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
}

/// Waits for a child's end.
pub(crate) fn wait(process: &OwnedFd) -> nix::Result<ExitStatus> {
    status_of(process, libc::WEXITED)
}

/// waitid(2). Not nix's: it knows no real-time signal.
fn status_of(process: &OwnedFd, flags: i32) -> nix::Result<ExitStatus> {
    loop {
        // SAFETY: siginfo_t is plain integers, for which zero is a value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: `info` outlives the call.
        let answer = unsafe { libc::waitid(libc::P_PIDFD, process.as_raw_fd() as libc::id_t, &raw mut info, flags) };
        match Errno::result(answer) {
            Err(Errno::EINTR) => continue,
            waited => waited?,
        };
        // SAFETY: of a child that ended, these are its status or signal.
        let status = unsafe { info.si_status() };
        // As wait4(2) encodes it.
        let raw = match info.si_code {
            libc::CLD_EXITED => (status & 0xff) << 8,
            libc::CLD_DUMPED => status | 0x80,
            // It runs.
            0 => return Err(Errno::EAGAIN),
            _ => status,
        };
        return Ok(ExitStatus::from_raw(raw));
    }
}

/// Fails with ECHILD where the process is no child of this one. Nothing is collected.
pub(crate) fn is_child(process: &OwnedFd) -> nix::Result<()> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::PIDFd(process.as_fd()), flags).map(drop)
}

/// Waits for a child that is about to end.
pub(crate) fn reap(process: &OwnedFd) -> Option<WaitStatus> {
    waitid(Id::PIDFd(process.as_fd()), WaitPidFlag::WEXITED).ok()
}

/// prlimit(2) of another process.
pub(crate) fn set_limit(pid: u32, resource: u32, soft: u64, hard: u64) -> nix::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let old = std::ptr::null_mut::<libc::rlimit64>();
    // SAFETY: `limit` outlives the call, and the old one is not asked for.
    let answer = unsafe { libc::syscall(libc::SYS_prlimit64, pid as libc::pid_t, resource, &raw const limit, old) };
    Errno::result(answer).map(drop)
}

/// prctl(2), PR_SCHED_CORE: a new cookie for every thread of this process.
pub(crate) fn new_core_cookie() -> nix::Result<()> {
    const PR_SCHED_CORE: i32 = 62;
    const PR_SCHED_CORE_CREATE: libc::c_ulong = 1;
    const PR_SCHED_CORE_SCOPE_THREAD_GROUP: libc::c_ulong = 1;
    let none: libc::c_ulong = 0;
    // SAFETY: takes numbers only; pid 0 is the calling process.
    let answer =
        unsafe { libc::prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, none, PR_SCHED_CORE_SCOPE_THREAD_GROUP, none) };
    Errno::result(answer).map(drop)
}

/// The kind of namespace a descriptor is, as a CLONE_NEW* flag: ioctl NS_GET_NSTYPE (ioctl_ns(2)).
pub(crate) fn namespace_type(namespace: BorrowedFd<'_>) -> nix::Result<u32> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    // SAFETY: the request takes no argument.
    let answer = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_NSTYPE as _) };
    Errno::result(answer).map(|kind| kind as u32)
}

/// The user namespace that a namespace belongs to: ioctl NS_GET_USERNS (ioctl_ns(2)).
pub(crate) fn owner_of_namespace(namespace: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    const NS_GET_USERNS: libc::c_ulong = 0xb701;
    // SAFETY: the request takes no argument.
    let fd = Errno::result(unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS as _) })?;
    // SAFETY: the answer is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The calling process's user namespace: ioctl PIDFD_GET_USER_NAMESPACE of its own pidfd (Linux 6.11).
pub(crate) fn own_user_namespace() -> nix::Result<OwnedFd> {
    const PIDFD_GET_USER_NAMESPACE: libc::c_ulong = 0xff09;
    let own = pidfd_open(std::process::id())?;
    // SAFETY: the request takes no argument.
    let fd = Errno::result(unsafe { libc::ioctl(own.as_raw_fd(), PIDFD_GET_USER_NAMESPACE as _, 0) })?;
    // SAFETY: the answer is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The calling thread's bounding set, as a bit set, and the greatest capability that this kernel knows: prctl(2),
/// PR_CAPBSET_READ.
pub(crate) fn bounding_set() -> (u64, u8) {
    let mut set = 0;
    for capability in 0..64u8 {
        // SAFETY: takes numbers only.
        match unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(capability)) } {
            0 => {}
            1 => set |= 1 << capability,
            _ => return (set, capability.saturating_sub(1)),
        }
    }
    (set, 63)
}

/// A close-on-exec copy of a descriptor that this process was started with: one without close-on-exec; EBADF where there
/// is none.
pub(crate) fn inherited(number: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let flags = Errno::result(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: takes numbers only; the answer is a new descriptor.
    let copy = Errno::result(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) })?;
    // SAFETY: nobody else owns the new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Takes ownership of descriptors that the kernel has just made for a received message; the last one is returned.
pub(crate) fn own(received: &[RawFd]) -> Option<OwnedFd> {
    // SAFETY: recvmsg made these numbers, and this is the only place that takes them.
    received.iter().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) }).next_back()
}
