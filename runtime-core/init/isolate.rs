//! The steps before the container's filesystem: what init was born with is shed, and its namespaces are entered.

use core::sync::atomic::Ordering;

use crate::Init;
use crate::sys::{self, AT_RECURSIVE, Errno, Fd, O_WRONLY};
use crate::wire::{List, Slot};
use crate::wire::page::{Recorder, SLOT_FDS};

const SIGKILL: usize = 9;
const SIGSTOP: usize = 19;
const SIGNALS: usize = 64;
const CLOSE_RANGE_CLOEXEC: u32 = 4;

/// Dies with the runtime, and makes files with exactly the modes that later steps name.
pub(crate) fn harden() -> Result<(), Errno> {
    sys::set_dumpable(false)?;
    sys::umask(0)?;
    sys::set_parent_death_signal(SIGKILL)
}

pub(crate) fn reset_signals() -> Result<(), Errno> {
    for signal in (1..=SIGNALS).filter(|signal| ![SIGKILL, SIGSTOP].contains(signal)) {
        sys::default_action(signal)?;
    }
    sys::unblock_all()
}

/// What lies behind the inherited slots is closed; they themselves close at execve, should a step forget one.
pub(crate) fn close_others(init: &Init) -> Result<(), Errno> {
    let end = init.base + SLOT_FDS + init.recorder.slots.load(Ordering::Relaxed);
    sys::close_range(end, u32::MAX, 0)?;
    sys::close_range(init.base, end, CLOSE_RANGE_CLOEXEC)
}

/// Everything behind the page but the slots to keep: what is between two of them goes in one call.
pub(crate) fn close_slots(init: &Init, keep: &List<'_, Slot>) -> Result<(), Errno> {
    let mut from = init.base + SLOT_FDS;
    loop {
        let kept = keep.iter().filter_map(|slot| init.slots.get(slot).ok()).map(|fd| fd.0 as u32);
        let Some(next) = kept.filter(|fd| *fd >= from).min() else { return sys::close_range(from, u32::MAX, 0) };
        if next > from {
            sys::close_range(from, next - 1, 0)?;
        }
        from = next + 1;
    }
}

pub(crate) fn set_oom_score(score: i32) -> Result<(), Errno> {
    let mut digits = [0u8; 12];
    let mut rest = score.unsigned_abs();
    let mut count = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    let text = digits.get(digits.len() - count..).unwrap_or_default();
    let file = sys::openat2(Fd::CWD, c"/proc/self/oom_score_adj", O_WRONLY, 0, 0)?;
    let mut line = [b'-'; 13];
    let start = usize::from(score >= 0);
    for (to, from) in line.iter_mut().skip(1).zip(text) {
        *to = *from;
    }
    let written = sys::write(file, line.get(start..=count).unwrap_or_default());
    sys::close(file);
    written
}

/// What was set with CAP_SYS_RESOURCE is a floor for who has it not (proc_pid_oom_score_adj(5)).
pub(crate) fn try_oom_score(score: i32) -> Result<(), Errno> {
    match set_oom_score(score) {
        Err(Errno::ACCES | Errno::PERM) => Ok(()),
        set => set,
    }
}

pub(crate) fn become_root() -> Result<(), Errno> {
    sys::setresgid(0)?;
    sys::setresuid(0)?;
    // New ids make a process as dumpable as fs.suid_dumpable says.
    sys::set_dumpable(false)
}

/// A socket is of the network namespace that it was made in, whatever its family: one of AF_UNIX is in every kernel.
pub(crate) fn raise_loopback() -> Result<(), Errno> {
    const SIOCSIFFLAGS: usize = 0x8914;
    const IFF_UP: u16 = 1;
    /// struct ifreq.
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: u16,
        unused: [u8; 22],
    }
    let mut request = Request { name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0", flags: IFF_UP, unused: [0; 22] };
    let socket = sys::unix_socket()?;
    let raised = sys::ioctl_with(socket, SIOCSIFFLAGS, &mut request);
    sys::close(socket);
    raised.map(|_| ())
}

/// Goes on in a child that is the host's, not init's own: so nothing stands between the host and the container. The
/// child's pid is in the recorder before the child runs, hence before its next turn.
pub(crate) fn refork(recorder: &Recorder) -> Result<(), Errno> {
    sys::be_born_again(&recorder.pid)?;
    // A parent's death signal is not inherited.
    sys::set_parent_death_signal(SIGKILL)
}

pub(crate) fn take_root(init: &Init) -> Result<(), Errno> {
    let root = sys::openat2(Fd::CWD, c"/", sys::O_PATH | sys::O_DIRECTORY, 0, 0)?;
    init.slots.set(Slot::ROOT, root);
    Ok(())
}

/// The flag of the calls that change a whole tree.
pub(crate) const fn recursion(recursive: bool) -> u32 {
    if recursive { AT_RECURSIVE } else { 0 }
}
