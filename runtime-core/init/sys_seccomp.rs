//! The system calls around a seccomp filter: the filter itself, the thread that has none, the message with its listener.

use super::*;

/// The stack of the one thread beside init's first.
#[repr(C, align(16))]
struct Stack(core::cell::UnsafeCell<[u8; 8192]>);
// SAFETY: only that thread uses it.
unsafe impl Sync for Stack {}
static THREAD_STACK: Stack = Stack(core::cell::UnsafeCell::new([0; 8192]));

/// Ends the calling thread, and no other.
pub(crate) fn exit_thread() -> ! {
    let _ = call(nr::EXIT, [0; 6]);
    arch::trap()
}

/// Starts a thread that shares everything, on a stack of its own; there can be one.
pub(crate) fn spawn_thread(entry: extern "C" fn() -> !) -> Result<(), Errno> {
    const SHARED: usize = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    let top = (&raw const THREAD_STACK as usize) + size_of::<Stack>();
    // SAFETY: the stack is used by this one thread only, and `entry` does not return.
    let answer = unsafe { arch::spawn_thread(SHARED, top, entry) };
    if answer < 0 { Err(Errno(-answer as i32)) } else { Ok(()) }
}

/// Waits this many nanoseconds, or until a signal.
pub(crate) fn pause_for(nanoseconds: u64) {
    let time = [0, nanoseconds];
    let _ = call(nr::PPOLL, [0, 0, &raw const time as usize, 0, 0, 0]);
}

/// seccomp(2), SECCOMP_SET_MODE_FILTER; the listener, where the flags ask for one.
pub(crate) fn install_filter(flags: u32, program: &[u8]) -> Result<Fd, Errno> {
    // struct sock_fprog: how many instructions of 8 bytes, and where they are.
    let program = [program.len() / 8, program.as_ptr() as usize];
    fd(call(nr::SECCOMP, [1, flags as usize, &raw const program as usize, 0, 0, 0]))
}

/// Sends a descriptor, and with it the bytes of some runs in one message.
pub(crate) fn send_descriptor(socket: Fd, runs: &[&[u8]; 5], with: Fd) -> Result<(), Errno> {
    const MSG_NOSIGNAL: usize = 0x4000;
    let vectors = runs.map(|run| [run.as_ptr() as usize, run.len()]);
    let control = [20u64, 1 | 1 << 32, with.0 as u64];
    let message = Message {
        name: 0,
        name_size: 0,
        vectors: vectors.as_ptr(),
        vector_count: vectors.len(),
        control: control.as_ptr(),
        control_size: 24,
        flags: 0,
    };
    let count = call(nr::SENDMSG, [socket.0 as usize, &raw const message as usize, MSG_NOSIGNAL, 0, 0, 0])?;
    if count == runs.iter().map(|run| run.len()).sum::<usize>() { Ok(()) } else { Err(Errno::AGAIN) }
}
