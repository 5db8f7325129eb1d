//! `planc run`: makes a container, starts it, and by default stays until it ends.

use runtime_core::{Deletion, Error};

use super::{Command, launch};
use crate::args::{Flag, Given};
use crate::attached::{Orphans, Vigil};
use crate::descriptors::PRESERVE_FDS;
use crate::failure::Outcome;
use crate::globals::Context;
use crate::terminal::{self, Caller, Proxy, Then};

const DETACH: Flag = Flag::switch("detach", "return as soon as the container runs").or("d");
const KEEP: Flag = Flag::switch("keep", "do not delete the container after it ended");
const NO_SUBREAPER: Flag = Flag::switch("no-subreaper", "do not reap what the container's processes leave behind");

pub(super) const COMMAND: Command = Command {
    name: "run",
    about: "create and run a container",
    words: &["<container-id>"],
    flags: &[
        &launch::BUNDLE,
        &launch::CONSOLE_SOCKET,
        &launch::PIDFD_SOCKET,
        &launch::PID_FILE,
        &launch::NO_PIVOT,
        &launch::NO_NEW_KEYRING,
        &PRESERVE_FDS,
        &DETACH,
        &KEEP,
        &NO_SUBREAPER,
    ],
    perform,
};

fn perform(context: &Context, given: &Given) -> Outcome {
    run(context, given).map_err(|error| launch::failure(context, given, COMMAND.name, error))
}

fn run(context: &Context, given: &Given) -> Result<u8, Error> {
    let (mut options, stdio) = launch::options_and_stdio(context, given)?;
    let id = super::id(given)?;
    let bundle = launch::bundle(given)?;
    let then = if given.is(&DETACH) { Then::Return } else { Then::Stay };
    let is_asked_for = terminal::is_asked_for(&bundle);
    terminal::check(&context.program.name, is_asked_for, options.console_socket.is_some(), then)?;
    let orphans = if given.is(&NO_SUBREAPER) { Orphans::Leave } else { Orphans::Reap };
    // Before the window is looked at: what it changes to later is a signal then.
    let vigil = (then == Then::Stay).then(|| Vigil::begin(orphans)).transpose()?;
    let caller = (then == Then::Stay && is_asked_for).then(Caller::find).transpose()?;
    options.window = caller.as_ref().map(Caller::window);
    let mut container = launch::told(&bundle, context.runtime.run(&id, &bundle, &options, stdio))?;
    let Some(vigil) = vigil else { return Ok(0) };
    let proxy = container.terminal().zip(caller).map(|(master, caller)| Proxy::begin(master, caller)).transpose();
    let ended = proxy.and_then(|proxy| vigil.until_container_ends(&container, proxy));
    if !given.is(&KEEP) {
        // Also what it left running, where it has no pid namespace of its own; and it is no error if somebody was faster.
        context.runtime.delete(&id, Deletion::Force)?;
    }
    ended
}
