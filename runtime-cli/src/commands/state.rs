//! `planc state`: prints a container's state.

use super::Command;
use crate::args::Given;
use crate::failure::Outcome;
use crate::globals::Context;
use crate::output;

pub(super) const COMMAND: Command =
    Command { name: "state", about: "print the state of a container", words: &["<container-id>"], flags: &[], perform };

fn perform(context: &Context, given: &Given) -> Outcome {
    let state = super::container(context, given)?.state()?;
    output::print(&super::pretty(&state)?)?;
    Ok(0)
}
