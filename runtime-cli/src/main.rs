//! planc: the command line of the OCI runtime. It parses, calls runtime-core, and prints.

mod args;
mod attached;
mod commands;
mod descriptors;
mod duration;
mod failure;
mod globals;
mod log;
mod metrics;
mod output;
mod signals;
mod terminal;
mod usage;

use std::process::ExitCode;

use crate::args::{HELP, Until, Words};
use crate::commands::COMMANDS;
use crate::failure::{Failure, Outcome, Why};
use crate::globals::{Context, Program};
use crate::log::Log;

/// musl's own asks the kernel for each few pages, and gives them back.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let (program, words) = Program::called();
    let mut log: &Log = &Log::STDERR;
    match perform(&program, Words::new(words), &mut log) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if let Failure::Usage { why, of } = &failure {
                // A standard output that is closed changes nothing: this is a failure already.
                let _ = output::print(&usage::incorrect(&program, why, *of));
            }
            log.fatal(&program.name, &failure);
            ExitCode::from(failure.code())
        }
    }
}

/// Does what the words say. `log` becomes the one that they ask for as soon as it is open.
fn perform(program: &Program, mut words: Words, log: &mut &Log) -> Outcome {
    let flag = |why| Failure::Usage { why: Why::Flag(why), of: None };
    let given = words.read(&globals::FLAGS, Until::FirstWord).map_err(flag)?;
    if given.is(&globals::VERSION) {
        output::print(&program.version())?;
        return Ok(0);
    }
    let name = match given.word(0) {
        Some(name) if !given.is(&HELP) => name,
        _ => {
            output::print(&usage::of_all(program))?;
            return Ok(0);
        }
    };
    if name == "help" || name == "h" {
        return help(program, &words.read(&[&HELP], Until::End).map_err(flag)?);
    }
    *log = Log::open(given.path(&globals::LOG).as_deref(), globals::log_format(&given)?)?
        .install(given.is(&globals::DEBUG));
    let context = Context::new(program.clone(), &given)?;
    let command = COMMANDS.iter().copied().find(|command| command.name == name);
    command.ok_or(Failure::NoSuchCommand(name))?.perform(&context, &mut words)
}

/// `planc help [COMMAND]`
fn help(program: &Program, given: &args::Given) -> Outcome {
    let text = match given.word(0) {
        None => usage::of_all(program),
        Some(name) => {
            let command = COMMANDS.iter().copied().find(|command| command.name == name);
            usage::of(program, command.ok_or(Failure::NoSuchCommand(name))?)
        }
    };
    output::print(&text)?;
    Ok(0)
}
