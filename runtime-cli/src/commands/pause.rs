//! `planc pause`: freezes every process of a container.

use super::Command;
use crate::args::Given;
use crate::failure::Outcome;
use crate::globals::Context;

pub(super) const COMMAND: Command = Command {
    name: "pause",
    about: "freeze every process of a container",
    words: &["<container-id>"],
    flags: &[],
    perform,
};

fn perform(context: &Context, given: &Given) -> Outcome {
    super::container(context, given)?.pause()?;
    Ok(0)
}
