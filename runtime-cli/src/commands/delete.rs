//! `planc delete`: deletes what a container holds.

use runtime_core::Deletion;

use super::Command;
use crate::args::{Flag, Given};
use crate::failure::Outcome;
use crate::globals::Context;

const FORCE: Flag = Flag::switch("force", "kill it if it runs; a container that does not exist is no error").or("f");

pub(super) const COMMAND: Command = Command {
    name: "delete",
    about: "delete what a container holds, often one that ran detached",
    words: &["<container-id>"],
    flags: &[&FORCE],
    perform,
};

fn perform(context: &Context, given: &Given) -> Outcome {
    let deletion = if given.is(&FORCE) { Deletion::Force } else { Deletion::Stopped };
    context.runtime.delete(&super::id(given)?, deletion)?;
    Ok(0)
}
