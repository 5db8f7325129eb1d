//! `planc run`: makes a container, starts it, and by default stays until it ends.

use runtime_core::{Deletion, Error};

use super::{Command, launch};
use crate::args::{Flag, Given};
use crate::attached::{Orphans, Vigil};
use crate::descriptors::PRESERVE_FDS;
use crate::failure::Outcome;
use crate::globals::Context;

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
    let (options, stdio) = launch::options_and_stdio(context, given)?;
    let id = super::id(given)?;
    let bundle = launch::bundle(given)?;
    launch::warn(bundle.warnings());
    let orphans = if given.is(&NO_SUBREAPER) { Orphans::Leave } else { Orphans::Reap };
    let vigil = if given.is(&DETACH) { None } else { Some(Vigil::begin(orphans)?) };
    let container = context.runtime.run(&id, &bundle, &options, stdio)?;
    launch::warn(container.warnings());
    let Some(vigil) = vigil else { return Ok(0) };
    let ended = vigil.until_container_ends(&container);
    if !given.is(&KEEP) {
        // Also what it left running, where it has no pid namespace of its own; and it is no error if somebody was faster.
        context.runtime.delete(&id, Deletion::Force)?;
    }
    ended
}
