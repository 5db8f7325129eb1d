//! The last step but execve(2): the container's system call filter, and its listener sent to the agent.

use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use crate::hooks::decimal;
use crate::sys::{self, Errno, Fd};
use crate::wire::{Capabilities, Slot};
use crate::{Init, recorder};

const NEW_LISTENER: u32 = 1 << 3;

/// What [`crate::wire::InitOp::HoldSeccomp`] gave.
#[derive(Clone, Copy)]
pub(crate) struct Filter {
    pub(crate) flags: u32,
    pub(crate) program: &'static [u8],
    pub(crate) raised: Option<Capabilities>,
}

/// What [`crate::wire::InitOp::HoldSeccompAgent`] gave, for the next process that is filtered.
#[derive(Clone, Copy)]
pub(crate) struct Agent {
    pub(crate) socket: Slot,
    pub(crate) state: &'static [u8],
}

// What the two threads of a process tell each other, in memory: a call could be filtered.

/// The connection to the agent.
static SOCKET: AtomicI32 = AtomicI32::new(-1);
/// Where the state lies, and how long it is.
static STATE: (AtomicPtr<u8>, AtomicUsize) = (AtomicPtr::new(core::ptr::null_mut()), AtomicUsize::new(0));
/// The listener's number, plus 1.
static LISTENER: AtomicI32 = AtomicI32::new(0);
/// Whether it was sent.
static SENT: AtomicU32 = AtomicU32::new(0);

/// Installs the filter in this process; it is left with the descriptors below `first` only. No call but execve(2) follows.
pub(crate) fn install(init: &Init, first: u32) -> Result<(), Errno> {
    let Some(filter) = &init.filter else { return sys::close_range(first, u32::MAX, 0) };
    let notifies = filter.flags & NEW_LISTENER != 0;
    if notifies {
        let agent = init.agent.ok_or(Errno::BADF)?;
        let socket = init.slots.get(agent.socket)?;
        close_others(first, socket)?;
        SOCKET.store(socket.0, Ordering::Relaxed);
        STATE.0.store(agent.state.as_ptr().cast_mut(), Ordering::Relaxed);
        STATE.1.store(agent.state.len(), Ordering::Relaxed);
        sys::spawn_thread(send_listener)?;
    } else {
        sys::close_range(first, u32::MAX, 0)?;
    }
    if let Some(raised) = &filter.raised {
        sys::capset(raised.effective, raised.permitted, raised.inheritable)?;
    }
    let listener = sys::install_filter(filter.flags, filter.program)?;
    if notifies {
        LISTENER.store(listener.0 + 1, Ordering::Release);
        // The other thread ends the process where it cannot send it.
        while SENT.load(Ordering::Acquire) == 0 {
            core::hint::spin_loop();
        }
    }
    Ok(())
}

fn close_others(first: u32, kept: Fd) -> Result<(), Errno> {
    let kept = kept.0 as u32;
    if kept > first {
        sys::close_range(first, kept - 1, 0)?;
    }
    sys::close_range(kept + 1, u32::MAX, 0)
}

/// The thread without a filter: it waits for the listener, sends it, and leaves nothing open.
extern "C" fn send_listener() -> ! {
    let listener = loop {
        match LISTENER.load(Ordering::Acquire) {
            0 => sys::pause_for(NAP),
            number => break Fd(number - 1),
        }
    };
    match send(listener) {
        Ok(socket) => {
            sys::close(listener);
            sys::close(socket);
            SENT.store(1, Ordering::Release);
            sys::exit_thread()
        }
        Err(errno) => {
            // The host, or init behind a hook, finds it there.
            if let Some(recorder) = recorder() {
                recorder.errno.store(errno.0 as u32, Ordering::Release);
            }
            sys::exit(1)
        }
    }
}

/// Between two looks, in nanoseconds.
const NAP: u64 = 20_000;

/// One message: the container process state, and with it the listener.
fn send(listener: Fd) -> Result<Fd, Errno> {
    let socket = Fd(SOCKET.load(Ordering::Relaxed));
    // SAFETY: both are of one slice of the plan, which stays, and were stored before this thread was.
    let state = unsafe {
        core::slice::from_raw_parts(STATE.0.load(Ordering::Relaxed), STATE.1.load(Ordering::Relaxed))
    };
    let mut digits = [0; 10];
    let pid = recorder().map_or(0, |recorder| recorder.pid.load(Ordering::Acquire));
    let pid = decimal(pid, &mut digits);
    sys::send_descriptor(socket, &[state, pid, b"},\"pid\":", pid, b"}"], listener)?;
    Ok(socket)
}
