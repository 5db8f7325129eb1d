//! `planc features`: prints what is built in (runtime-spec features.md). It needs no privilege, and looks at nothing.

use serde_json::Value;

use super::Command;
use crate::args::Given;
use crate::failure::{Outcome, invalid};
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
    let features = serde_json::to_value(runtime_core::features());
    let mut features = features.map_err(|e| invalid(format!("cannot be written as JSON: {e}")))?;
    leave_out_nulls(&mut features);
    output::print(&super::pretty(&features)?)?;
    Ok(0)
}

/// What is unknown is not there: the schema of the specification allows no null.
fn leave_out_nulls(value: &mut Value) {
    if let Value::Object(members) = value {
        members.retain(|_, member| !member.is_null());
        members.values_mut().for_each(leave_out_nulls);
    }
}
