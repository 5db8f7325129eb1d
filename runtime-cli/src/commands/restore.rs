//! `planc restore`: makes a container of saved processes, by criu, and by default stays until it ends.

#[cfg(feature = "criu")]
use runtime_core::{Deletion, Error, RestoreOptions, Stdio};

use super::{Command, criu, launch};
use crate::args::{Flag, Given};
use crate::failure::Outcome;
use crate::globals::Context;
#[cfg(feature = "criu")]
use crate::{
    attached::{Orphans, Vigil},
    terminal::{self, Caller, Proxy, Then},
};

const DETACH: Flag = Flag::switch("detach", "return as soon as the container runs").or("d");
const NO_SUBREAPER: Flag = Flag::switch("no-subreaper", "do not reap what the container's processes leave behind");
const LSM_PROFILE: Flag = Flag::value("lsm-profile", "TYPE:NAME, in place of the saved profile or label");
const LSM_CONTEXT: Flag = Flag::value("lsm-mount-context", "in place of the saved context of mounts");

pub(super) const COMMAND: Command = Command {
    name: "restore",
    about: "make a container of saved processes, by the program criu",
    words: &["<container-id>"],
    flags: &[
        &launch::CONSOLE_SOCKET,
        &criu::IMAGES,
        &criu::WORK,
        &criu::TCP,
        &criu::UNIX,
        &criu::SHELL,
        &criu::LOCKS,
        &criu::CGROUPS,
        &launch::BUNDLE,
        &DETACH,
        &launch::PID_FILE,
        &NO_SUBREAPER,
        &launch::NO_PIVOT,
        &criu::EMPTY,
        &criu::DEDUP,
        &criu::LAZY,
        &LSM_PROFILE,
        &LSM_CONTEXT,
    ],
    perform,
};

#[cfg(not(feature = "criu"))]
fn perform(context: &Context, _: &Given) -> Outcome {
    Err(criu::not_built_in(context, COMMAND.name))
}

#[cfg(feature = "criu")]
fn perform(context: &Context, given: &Given) -> Outcome {
    restore(context, given).map_err(|error| launch::failure(context, given, COMMAND.name, error))
}

#[cfg(feature = "criu")]
fn restore(context: &Context, given: &Given) -> Result<u8, Error> {
    let id = super::id(given)?;
    let options = launch::options(context, given)?;
    let text = |flag| given.value(flag).filter(|word| !word.is_empty()).map(|word| word.to_string_lossy().into_owned());
    let from = RestoreOptions {
        criu: criu::options(given)?,
        lsm_profile: text(&LSM_PROFILE),
        lsm_mount_context: text(&LSM_CONTEXT),
    };
    let bundle = launch::bundle(given)?;
    let then = if given.is(&DETACH) { Then::Return } else { Then::Stay };
    let is_asked_for = terminal::is_asked_for(&bundle);
    terminal::check(&context.program.name, is_asked_for, options.console_socket.is_some(), then)?;
    criu::warn_unprivileged(context, COMMAND.name);
    let orphans = if given.is(&NO_SUBREAPER) { Orphans::Leave } else { Orphans::Reap };
    let vigil = (then == Then::Stay).then(|| Vigil::begin(orphans)).transpose()?;
    let caller = (then == Then::Stay && is_asked_for).then(Caller::find).transpose()?;
    let made = context.runtime.restore(&id, &bundle, &options, &from, Stdio::default());
    let mut container = launch::told(&bundle, made)?;
    let Some(vigil) = vigil else { return Ok(0) };
    let proxy = container.terminal().zip(caller).map(|(master, caller)| Proxy::begin(master, caller)).transpose();
    let ended = proxy.and_then(|proxy| vigil.until_container_ends(&container, proxy));
    // Also what it left running; and it is no error if somebody was faster.
    context.runtime.delete(&id, Deletion::Force)?;
    ended
}
