//! `planc resume`: lets a paused container go on.

use super::Command;
use crate::args::Given;
use crate::failure::Outcome;
use crate::globals::Context;

pub(super) const COMMAND: Command =
    Command { name: "resume", about: "let a paused container go on", words: &["<container-id>"], flags: &[], perform };

fn perform(context: &Context, given: &Given) -> Outcome {
    super::container(context, given)?.resume()?;
    Ok(0)
}
