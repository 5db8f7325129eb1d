//! "Your turn": a packet of one byte. Zero bytes is the end of the other side, and never anything else.

use crate::Init;
use crate::sys::{self, Errno, Fd, O_CLOEXEC};
use crate::wire::page::PAGE_FD;

fn socket(init: &Init) -> Fd {
    Fd(init.base as i32)
}

/// Tells the host that its steps are next, and gives it what is for it.
pub(crate) fn give(init: &mut Init) -> Result<(), Errno> {
    let given = init.for_host.take();
    sys::send_turn(socket(init), given)?;
    given.into_iter().for_each(sys::close);
    Ok(())
}

/// Waits until the host has performed its steps. A host that is gone leaves nothing to go on for.
pub(crate) fn await_host(init: &Init) -> Result<(), Errno> {
    match sys::receive_turn(socket(init))? {
        0 => Err(Errno::PIPE),
        _ => Ok(()),
    }
}

/// Whoever connects becomes the host: it is given the recorder, and the connection takes the turn socket's place.
pub(crate) fn await_start(init: &Init, listener: Fd) -> Result<(), Errno> {
    sys::end_by_signals()?;
    let connection = sys::accept(listener)?;
    sys::close(listener);
    sys::dup3(connection, socket(init), O_CLOEXEC)?;
    sys::close(connection);
    sys::send_turn(socket(init), Some(Fd((init.base + PAGE_FD) as i32)))
}
