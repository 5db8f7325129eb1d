//! `planc features`: prints what is built in (runtime-spec features.md). It needs no privilege, and looks at nothing.

use super::Command;
use crate::args::Given;
use crate::failure::Outcome;
use crate::globals::Context;
use crate::output;

pub(super) const COMMAND: Command = Command {
    name: "features",
    about: "print what this version can do, whatever the host has",
    words: &[],
    flags: &[],
    perform,
};

fn perform(_: &Context, _: &Given) -> Outcome {
    output::print(&super::pretty(&runtime_core::features_json()?)?)?;
    Ok(0)
}
