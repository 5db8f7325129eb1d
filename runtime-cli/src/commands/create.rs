//! `planc create`: makes a container up to status *created*.

use runtime_core::Error;

use super::{Command, launch};
use crate::args::{Flag, Given};
use crate::descriptors::PRESERVE_FDS;
use crate::failure::Outcome;
use crate::globals::Context;
use crate::terminal::{self, Then};

/// For engines that pass it to create as they do to run: a created container is always detached.
const DETACH: Flag = Flag::switch("detach", "no effect: what create makes is always detached").or("d");

pub(super) const COMMAND: Command = Command {
    name: "create",
    about: "create a container",
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
    ],
    perform,
};

fn perform(context: &Context, given: &Given) -> Outcome {
    create(context, given).map_err(|error| launch::failure(context, given, COMMAND.name, error))?;
    Ok(0)
}

fn create(context: &Context, given: &Given) -> Result<(), Error> {
    let (options, stdio) = launch::options_and_stdio(context, given)?;
    let id = super::id(given)?;
    let bundle = launch::bundle(given)?;
    let (is_asked_for, has_socket) = (terminal::is_asked_for(&bundle), options.console_socket.is_some());
    terminal::check(&context.program.name, is_asked_for, has_socket, Then::Return)?;
    launch::told(&bundle, context.runtime.create(&id, &bundle, &options, stdio)).map(drop)
}
