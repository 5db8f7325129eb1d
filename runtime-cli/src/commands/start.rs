//! `planc start`: starts the user's program in a created container.

use super::Command;
use crate::args::Given;
use crate::failure::Outcome;
use crate::globals::Context;

pub(super) const COMMAND: Command = Command {
    name: "start",
    about: "execute the user's program in a created container",
    words: &["<container-id>"],
    flags: &[],
    perform,
};

fn perform(context: &Context, given: &Given) -> Outcome {
    super::container(context, given)?.start()?;
    Ok(0)
}
