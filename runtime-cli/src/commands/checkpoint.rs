//! `planc checkpoint`: saves a container's processes as images, by criu.

#[cfg(feature = "criu")]
use runtime_core::{CheckpointOptions, Error, inherited};

use super::{Command, criu};
use crate::args::{Flag, Given};
use crate::failure::Outcome;
#[cfg(feature = "criu")]
use crate::failure::invalid;
use crate::globals::Context;

const PARENT: Flag = Flag::value("parent-path", "the images of an earlier pre-dump, relative to the image path");
const LEAVE_RUNNING: Flag = Flag::switch("leave-running", "let the container go on");
const SKIP_IN_FLIGHT: Flag = Flag::switch("tcp-skip-in-flight", "leave out TCP connections that are being made");
const LINK_REMAP: Flag = Flag::switch("link-remap", "give a name to files that have none any more");
const STATUS: Flag = Flag::number("status-fd", "write a NUL to this descriptor when the server of lazy pages is ready");
const PAGE_SERVER: Flag = Flag::value("page-server", "send memory to ADDRESS:PORT; of lazy pages: serve it there");
const PRE_DUMP: Flag = Flag::switch("pre-dump", "save only memory, and let the container go on");

pub(super) const COMMAND: Command = Command {
    name: "checkpoint",
    about: "save a container's processes, by the program criu",
    words: &["<container-id>"],
    flags: &[
        &criu::IMAGES,
        &criu::WORK,
        &PARENT,
        &LEAVE_RUNNING,
        &criu::TCP,
        &SKIP_IN_FLIGHT,
        &LINK_REMAP,
        &criu::UNIX,
        &criu::SHELL,
        &criu::LAZY,
        &STATUS,
        &PAGE_SERVER,
        &criu::LOCKS,
        &PRE_DUMP,
        &criu::CGROUPS,
        &criu::EMPTY,
        &criu::DEDUP,
    ],
    perform,
};

#[cfg(not(feature = "criu"))]
fn perform(context: &Context, _: &Given) -> Outcome {
    Err(criu::not_built_in(context, COMMAND.name))
}

#[cfg(feature = "criu")]
fn perform(context: &Context, given: &Given) -> Outcome {
    let container = super::container(context, given)?;
    let options = options(given)?;
    criu::warn_unprivileged(context, COMMAND.name);
    container.checkpoint(options)?;
    Ok(0)
}

#[cfg(feature = "criu")]
fn options(given: &Given) -> Result<CheckpointOptions, Error> {
    let criu = criu::options(given)?;
    let parent = given.path(&PARENT).map(|parent| criu::parent(&criu.images, parent)).transpose()?;
    let page_server = given.value(&PAGE_SERVER).filter(|word| !word.is_empty());
    let status = given.number(&STATUS).map(|number| {
        let failed = |why: String| invalid(format!("invalid --status-fd argument {number}: {why}"));
        inherited(number.try_into().unwrap_or(-1)).map_err(|error| failed(error.to_string()))
    });
    Ok(CheckpointOptions {
        parent,
        pre_dump: given.is(&PRE_DUMP),
        leave_running: given.is(&LEAVE_RUNNING),
        tcp_skip_in_flight: given.is(&SKIP_IN_FLIGHT),
        link_remap: given.is(&LINK_REMAP),
        page_server: page_server.map(|word| criu::page_server(&word.to_string_lossy())).transpose()?,
        status: status.transpose()?,
        criu,
    })
}
