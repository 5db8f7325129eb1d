//! stub
use super::Command;
use crate::args::Given;
use crate::failure::{Outcome, unsupported};
use crate::globals::Context;
pub(super) const COMMAND: Command = Command {
    name: "demo",
    about: "run a container without an image, and tell what it sees",
    words: &[],
    flags: &[],
    perform,
};
fn perform(_: &Context, _: &Given) -> Outcome {
    Err(unsupported("demo").into())
}
