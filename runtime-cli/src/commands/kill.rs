//! `planc kill`: sends a signal to a container.

use runtime_core::{ErrorKind, Target};

use super::Command;
use crate::args::{Flag, Given};
use crate::failure::Outcome;
use crate::globals::Context;
use crate::signals;

const ALL: Flag = Flag::switch("all", "send it to every process in the container").or("a");

pub(super) const COMMAND: Command = Command {
    name: "kill",
    about: "send a signal (default: SIGTERM) to the container's init",
    words: &["<container-id>", "[signal]"],
    flags: &[&ALL],
    perform,
};

fn perform(context: &Context, given: &Given) -> Outcome {
    // Of a container that is gone engines must hear that, whatever the signal is.
    let container = super::container(context, given)?;
    let signal = signals::parse(given.word(1).as_deref().filter(|name| !name.is_empty()).unwrap_or("TERM"))?;
    let target = if given.is(&ALL) { Target::All } else { Target::Init };
    match container.kill(signal, target) {
        // Engines clean up with --all, and take an error for a container that cannot be killed.
        Err(error) if target == Target::All && error.kind() == ErrorKind::WrongStatus => Ok(0),
        done => done.map(|()| 0).map_err(Into::into),
    }
}
