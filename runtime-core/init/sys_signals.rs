//! The system calls that say what a signal does.

use super::*;

/// Gives a signal its default action.
pub(crate) fn default_action(signal: usize) -> Result<(), Errno> {
    let action = [0usize; 4];
    done(call(nr::RT_SIGACTION, [signal, &raw const action as usize, 0, 8, 0, 0]))
}

/// Has the signals that ask for an end bring it until the program is executed: of pid 1 of a pid namespace the kernel
/// keeps away all that it does not catch (pid_namespaces(7)).
pub(crate) fn end_by_signals() -> Result<(), Errno> {
    const SIGHUP: usize = 1;
    const SIGINT: usize = 2;
    const SIGQUIT: usize = 3;
    const SIGTERM: usize = 15;
    const SA_RESTORER: usize = 0x0400_0000;
    extern "C" fn end(signal: i32) {
        exit(128 + signal)
    }
    let end = end as extern "C" fn(i32) as usize;
    // Nothing returns from it, so nothing need be restored; x86_64 wants the address all the same.
    let action = [end, SA_RESTORER, end, 0];
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        done(call(nr::RT_SIGACTION, [signal, &raw const action as usize, 0, 8, 0, 0]))?;
    }
    Ok(())
}

/// Blocks no signal.
pub(crate) fn unblock_all() -> Result<(), Errno> {
    let none = 0u64;
    done(call(nr::RT_SIGPROCMASK, [2, &raw const none as usize, 0, 8, 0, 0]))
}
