//! What ends a command badly: its one line of text, what the user sees beside it, and the exit code.

use std::io;

use runtime_core::{Error, ErrorKind};

use crate::commands::Command;

/// A command's result: its exit code.
pub(crate) type Outcome = Result<u8, Failure>;

/// What ended a command.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong; `of` is the command whose usage tells how it should be.
    Usage { why: Why, of: Option<&'static Command> },
    /// There is no such command.
    NoSuchCommand(String),
    /// Making a container failed; `verb` is the command that did, `advice` a line for a person.
    Launch { verb: &'static str, error: Error, advice: Option<String> },
    /// A process could not be added to a container.
    Exec(Error),
    /// Anything else failed.
    Runtime(Error),
}

/// What is wrong with a command line.
#[derive(Debug)]
pub(crate) enum Why {
    /// A flag.
    Flag(String),
    /// How many words there are.
    Count(String),
}

impl Failure {
    /// The line for the log, in the form that engines know from runc. `program` is the name planc was called by.
    pub(crate) fn line(&self, program: &str) -> String {
        match self {
            Self::Usage { why: Why::Flag(why) | Why::Count(why), .. } => why.clone(),
            Self::NoSuchCommand(name) => format!("No help topic for '{name}'"),
            Self::Launch { verb, error, .. } => format!("{program} {verb} failed: {error}"),
            Self::Exec(error) => format!("exec failed: {error}"),
            Self::Runtime(error) => error.to_string(),
        }
    }

    /// What takes the place of the line on the standard error, in the text format: of a program that could not be executed
    /// `run` says what a shell would say, as scripts know it from runc.
    pub(crate) fn plain(&self) -> Option<&str> {
        match self {
            Self::Launch { verb: "run", error, .. } if error.kind() == ErrorKind::Program => Some(error.message()),
            _ => None,
        }
    }

    /// What a person at a terminal is told.
    pub(crate) fn page(&self, program: &str) -> String {
        let error = match self {
            Self::Launch { error, .. } | Self::Exec(error) | Self::Runtime(error) => error,
            Self::Usage { .. } | Self::NoSuchCommand(_) => return format!("error: {}\n", self.line(program)),
        };
        let mut page = format!("error: {}\n", error.message());
        if let Some(note) = error.note() {
            page += &format!("       {note}\n");
        }
        let place = error.step().map(|step| {
            let at = match step.actor {
                runtime_core::wire::Actor::Host => "on the host",
                runtime_core::wire::Actor::Init => "in the container",
            };
            format!("step {} of {}, {at}", step.number, step.of)
        });
        let origin = error.origin().map(|pointer| format!("config.json {pointer}"));
        let places: Vec<_> = place.into_iter().chain(origin).collect();
        if !places.is_empty() {
            page += &format!("  {}\n", places.join(" · "));
        }
        if let Self::Launch { advice: Some(advice), .. } = self {
            page += &format!("  {advice}\n");
        }
        page
    }

    /// The process's exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::NoSuchCommand(_) => 3,
            // What `docker exec` and its like tell from a process's own status.
            Self::Exec(_) => 255,
            Self::Usage { .. } | Self::Launch { .. } | Self::Runtime(_) => 1,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Runtime(error)
    }
}

/// A failed system call of the command line itself.
pub(crate) fn host(what: &str, error: impl Into<io::Error>) -> Error {
    let error = error.into();
    // Not the errno's own words: engines take "no such file or directory" for a missing program.
    let why =
        if error.kind() == io::ErrorKind::NotFound { "does not exist (ENOENT)".into() } else { error.to_string() };
    Error::new(ErrorKind::Host, format!("cannot {what}: {why}"))
}

/// An argument that asks for what cannot be.
pub(crate) fn invalid(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidSpec, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_engines_and_a_page_for_people() {
        let error = invalid("cannot mount tmpfs at \"/run\"");
        let launch = Failure::Launch { verb: "create", error, advice: Some("see: planc explain".into()) };
        assert_eq!(launch.line("runc"), "runc create failed: cannot mount tmpfs at \"/run\"");
        assert_eq!(launch.page("runc"), "error: cannot mount tmpfs at \"/run\"\n  see: planc explain\n");
        assert_eq!(launch.code(), 1);
        let unknown = Failure::NoSuchCommand("foo".into());
        assert_eq!(unknown.page("planc"), "error: No help topic for 'foo'\n");
        assert_eq!(unknown.code(), 3);
    }
}
