//! The commands: one file each, and the table of them.

mod checkpoint;
mod create;
mod criu;
mod delete;
mod demo;
mod doctor;
mod events;
mod exec;
mod explain;
mod features;
mod kill;
mod launch;
mod list;
mod pause;
mod ps;
mod restore;
mod resume;
mod run;
mod spec;
mod start;
mod state;
mod timing;
mod update;

use runtime_core::wire::Actor;
use runtime_core::{Container, Error, Id};

use crate::args::{Flag, Given, HELP, Until, Words};
use crate::failure::{Failure, Outcome, Why, invalid};
use crate::globals::Context;
use crate::{output, usage};

/// A command: how it is called, and what it does.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// One line, for the usage.
    pub(crate) about: &'static str,
    /// Its words, for the usage; those that may be left out are in brackets, and the last one may stand for many.
    pub(crate) words: &'static [&'static str],
    pub(crate) flags: &'static [&'static Flag],
    pub(crate) perform: fn(&Context, &Given) -> Outcome,
}

/// Every command, in the order of the usage.
pub(crate) const COMMANDS: &[&Command] = &[
    &checkpoint::COMMAND,
    &create::COMMAND,
    &delete::COMMAND,
    &demo::COMMAND,
    &doctor::COMMAND,
    &events::COMMAND,
    &exec::COMMAND,
    &explain::COMMAND,
    &features::COMMAND,
    &kill::COMMAND,
    &list::COMMAND,
    &pause::COMMAND,
    &ps::COMMAND,
    &restore::COMMAND,
    &resume::COMMAND,
    &run::COMMAND,
    &spec::COMMAND,
    &start::COMMAND,
    &state::COMMAND,
    &update::COMMAND,
];

impl Command {
    /// Reads the command's flags and words, and performs it.
    pub(crate) fn perform(&'static self, context: &Context, words: &mut Words) -> Outcome {
        let known: Vec<&Flag> = self.flags.iter().copied().chain([&HELP]).collect();
        let wrong = |why| Failure::Usage { why, of: Some(self) };
        let given = words.read(&known, self.until()).map_err(|why| wrong(Why::Flag(why)))?;
        if given.is(&HELP) {
            output::print(&usage::of(&context.program, self))?;
            return Ok(0);
        }
        if let Some(rule) = self.miscounts(given.words.len()) {
            return Err(wrong(Why::Count(format!("{}: {:?} {rule}", context.program.path, self.name))));
        }
        (self.perform)(context, &given)
    }

    /// A command line at the end has flags of its own.
    fn until(&self) -> Until {
        if self.takes_many() { Until::Command } else { Until::End }
    }

    fn takes_many(&self) -> bool {
        self.words.last().is_some_and(|word| word.trim_end_matches(']').ends_with("..."))
    }

    /// Which rule `count` words break, in the words of runc.
    fn miscounts(&self, count: usize) -> Option<String> {
        let most = if self.takes_many() { usize::MAX } else { self.words.len() };
        let least = self.words.iter().filter(|word| !word.starts_with('[')).count();
        if (least..=most).contains(&count) {
            None
        } else if least == most {
            Some(format!("requires exactly {most} argument(s)"))
        } else if count < least {
            Some(format!("requires a minimum of {least} argument(s)"))
        } else {
            Some(format!("requires a maximum of {most} argument(s)"))
        }
    }
}

/// The id that is the command's first word.
fn id(given: &Given) -> Result<Id, Error> {
    Id::new(&given.word(0).unwrap_or_default())
}

/// The container whose id is the command's first word.
fn container(context: &Context, given: &Given) -> Result<Container, Error> {
    context.runtime.load(&id(given)?)
}

/// Who performs a step.
fn actor(actor: Actor) -> &'static str {
    match actor {
        Actor::Host => "host",
        Actor::Init => "init",
    }
}

/// A value as the JSON that people read.
fn pretty(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|e| invalid(format!("cannot be written as JSON: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted() {
        assert_eq!(create::COMMAND.miscounts(1), None);
        assert_eq!(create::COMMAND.miscounts(0).unwrap(), "requires exactly 1 argument(s)");
        assert_eq!(create::COMMAND.miscounts(2).unwrap(), "requires exactly 1 argument(s)");
        assert_eq!(list::COMMAND.miscounts(1).unwrap(), "requires exactly 0 argument(s)");
        assert_eq!(kill::COMMAND.miscounts(0).unwrap(), "requires a minimum of 1 argument(s)");
        assert_eq!(kill::COMMAND.miscounts(2), None);
        assert_eq!(kill::COMMAND.miscounts(3).unwrap(), "requires a maximum of 2 argument(s)");
        assert_eq!(ps::COMMAND.miscounts(0).unwrap(), "requires a minimum of 1 argument(s)");
        assert_eq!(ps::COMMAND.miscounts(9), None);
        assert_eq!(exec::COMMAND.miscounts(0).unwrap(), "requires a minimum of 1 argument(s)");
        assert_eq!(exec::COMMAND.miscounts(9), None);
    }

    #[test]
    fn names_and_flags_are_unique() {
        for command in COMMANDS {
            assert_eq!(COMMANDS.iter().filter(|other| other.name == command.name).count(), 1);
            let spelt = command.flags.iter().copied().chain([&HELP]).flat_map(|flag| [Some(flag.name), flag.short]);
            let mut spelt: Vec<_> = spelt.flatten().collect();
            let all = spelt.len();
            spelt.sort_unstable();
            spelt.dedup();
            assert_eq!(spelt.len(), all, "{}", command.name);
        }
    }
}
