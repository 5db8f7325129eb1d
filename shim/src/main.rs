//! `containerd-shim-planc-v2`: planc for containerd, in process.

mod api;
mod bootstrap;
mod container;
mod delete;
mod flags;
mod frames;
mod info;
mod log;
mod metrics;
mod options;
mod poller;
mod publisher;
mod rootfs;
mod serve;
mod server;
mod status;
mod stdio;
mod task;

use std::io::{self, Write};
use std::process::ExitCode;

use ::log::LevelFilter;
use runtime_core::Id;

use crate::bootstrap::Settings;
use crate::flags::{Flags, USAGE};
use crate::log::Log;
use crate::status::{Answer, Failure};

/// Of a wrong command line, as Go has it.
const USAGE_ERROR: u8 = 2;

/// musl's own asks the kernel for each few pages, and gives them back.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let flags = match Flags::read(std::env::args_os().skip(1)) {
        Ok(flags) => flags,
        Err(why) => return refuse(&why, USAGE_ERROR),
    };
    perform(&flags).unwrap_or_else(|failure| refuse(&failure.message, 1))
}

/// Does what the flags say. containerd takes a byte on the standard error of `start` for part of the answer.
fn perform(flags: &Flags) -> Answer<ExitCode> {
    if flags.help {
        return print(USAGE.as_bytes());
    }
    if flags.version {
        return print(info::version().as_bytes());
    }
    if flags.info {
        let input = bootstrap::standard_input().map_err(|error| Failure::host("read the standard input", error))?;
        return print(&info::info(&input)?);
    }
    check(flags)?;
    match flags.action.as_deref() {
        Some("start") => print(&bootstrap::start(flags)?),
        Some("delete") => {
            Log::Stderr.install(if flags.debug { LevelFilter::Debug } else { LevelFilter::Warn });
            print(&delete::delete(flags)?)
        }
        None => {
            let settings = Settings::new(flags)?;
            let listener = bootstrap::listener(flags).inspect_err(|failure| ::log::error!("{failure}"))?;
            Ok(serve::serve(listener, settings))
        }
        Some(other) => Err(Failure::invalid(format!("unknown action {other:?}: it is start, delete, or none"))),
    }
}

/// Both name directories.
fn check(flags: &Flags) -> Answer<()> {
    if flags.namespace.is_empty() {
        return Err(Failure::invalid("shim namespace cannot be empty"));
    }
    Id::new(&flags.namespace)
        .map_err(|error| Failure::invalid(format!("invalid namespace {:?}: {error}", flags.namespace)))?;
    Id::new(&flags.id)?;
    Ok(())
}

fn print(bytes: &[u8]) -> Answer<ExitCode> {
    let mut output = io::stdout().lock();
    let written = output.write_all(bytes).and_then(|()| output.flush());
    written.map_err(|error| Failure::host("write to the standard output", error))?;
    Ok(ExitCode::SUCCESS)
}

/// One line, whatever is in the message.
fn refuse(why: &str, code: u8) -> ExitCode {
    let why: Vec<&str> = why.lines().map(str::trim).collect();
    // There is nowhere else to say it.
    let _ = writeln!(io::stderr(), "containerd-shim-planc-v2: {}", why.join("; "));
    ExitCode::from(code)
}
