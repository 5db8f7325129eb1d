//! `planc events`: tells what a container uses, and when the kernel kills in it for want of memory.

use std::io;
use std::time::{Duration, Instant};

use runtime_core::{Container, Error, ErrorKind, Event, Meter, Pids, Status};
use serde::Serialize;

use super::Command;
use crate::args::{Flag, Given};
use crate::failure::{Outcome, invalid};
use crate::globals::Context;
use crate::metrics::Metrics;
use crate::output;

const INTERVAL: Flag = Flag::duration("interval", "how often to tell what it uses (default: 5s)");
const STATS: Flag = Flag::switch("stats", "tell what it uses once, and return");

/// What engines do not ask for is what runc does.
const EVERY: i64 = 5_000_000_000;

pub(super) const COMMAND: Command = Command {
    name: "events",
    about: "tell what a container uses, every now and then, and when it runs out of memory",
    words: &["<container-id>"],
    flags: &[&INTERVAL, &STATS],
    perform,
};

/// A line of the stream.
#[derive(Serialize)]
struct Line<'a> {
    r#type: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Metrics>,
}

fn perform(context: &Context, given: &Given) -> Outcome {
    let container = super::container(context, given)?;
    let interval = u64::try_from(given.duration(&INTERVAL).unwrap_or(EVERY)).unwrap_or(0);
    if interval == 0 {
        return Err(invalid("duration interval must be greater than 0").into());
    }
    if matches!(container.status()?, Status::Stopped | Status::Creating) {
        let why = format!("container with id {} is not running", container.id());
        return Err(Error::new(ErrorKind::WrongStatus, why).into());
    }
    let done = if given.is(&STATS) {
        tell_use(&container, &container.meter()?)
    } else {
        stream(&container, Duration::from_nanos(interval))
    };
    match done {
        // Whoever read has heard enough.
        Err(Stop::NobodyReads) => Ok(0),
        Err(Stop::Failed(error)) => Err(error.into()),
        Ok(()) => Ok(0),
    }
}

/// Why a stream stops before the container does.
enum Stop {
    NobodyReads,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Lines until the container ends. A signal that ends this process ends them, too: there is nothing to be put in order.
fn stream(container: &Container, interval: Duration) -> Result<(), Stop> {
    let mut watch = container.watch()?;
    let meter = container.meter()?;
    let mut next = Instant::now() + interval;
    loop {
        match watch.next(Some(next.saturating_duration_since(Instant::now())))? {
            Some(Event::Ended) => return Ok(()),
            Some(Event::OutOfMemory { kills, shortage }) => {
                log::debug!("{kills} processes of the container were killed: {shortage}");
                tell(&Line { r#type: "oom", id: container.id(), data: None })?;
            }
            None => {
                match tell_use(container, &meter) {
                    // It is being deleted: its end comes next.
                    Err(Stop::Failed(error)) if error.kind() == ErrorKind::NotFound => {}
                    told => told?,
                }
                // A reader that was slow gets one line, not all those that it missed.
                next = (next + interval).max(Instant::now());
            }
        }
    }
}

fn tell_use(container: &Container, meter: &Meter) -> Result<(), Stop> {
    let mut found = meter.read()?;
    if found.pids.is_none() {
        // Without the controller they can still be counted.
        found.pids = Some(Pids { current: container.processes()?.len() as u64, max: None });
    }
    let data = Some(Metrics::of(&found));
    tell(&Line { r#type: "stats", id: container.id(), data })
}

fn tell(line: &Line<'_>) -> Result<(), Stop> {
    let json = serde_json::to_string(line).map_err(|e| invalid(format!("cannot be written as JSON: {e}")))?;
    output::write(&(json + "\n")).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Stop::NobodyReads,
        _ => Stop::Failed(output::failed(error)),
    })
}
