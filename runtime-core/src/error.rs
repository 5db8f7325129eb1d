//! The error type of the crate: what could not be done, at which step, and where config.json asks for it.

use std::fmt;

use crate::compile::Invalid;
use crate::wire::Actor;

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What sort of failure it was. A shim maps it to an RPC status; no text need be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// config.json, or an argument, asks for what cannot be.
    InvalidSpec,
    /// There is no such container, bundle or config.json.
    NotFound,
    /// The id is in use.
    AlreadyExists,
    /// The container's status does not allow it (runtime-spec runtime.md#operations).
    WrongStatus,
    /// This host, or this version, does not offer it.
    Unsupported,
    /// A step of the plan failed.
    Step,
    /// All of the container was made, and the kernel would not execute its program (execve(2)).
    Program,
    /// The host failed outside of a plan: its state directory, its cgroups.
    Host,
}

/// Which step failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedStep {
    /// Its number, from 1.
    pub number: u32,
    /// How many steps the plan has.
    pub of: u32,
    /// Who performed it.
    pub actor: Actor,
}

/// What could not be done, and why. Its `Display` is one line.
#[derive(Debug, thiserror::Error)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    note: Option<String>,
    origin: Option<String>,
    step: Option<FailedStep>,
}

impl Error {
    /// An error with a message: lower case, what could not be done and why.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), note: None, origin: None, step: None }))
    }

    pub(crate) fn with_note(mut self, note: Option<String>) -> Self {
        self.0.note = note;
        self
    }

    pub(crate) fn with_origin(mut self, pointer: impl Into<String>) -> Self {
        let pointer = pointer.into();
        self.0.origin = (!pointer.is_empty()).then_some(pointer);
        self
    }

    pub(crate) fn with_step(mut self, step: FailedStep) -> Self {
        self.0.step = Some(step);
        self
    }

    pub(crate) fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What sort of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What could not be done and why, without the place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The kernel's own words, where it had any.
    pub fn note(&self) -> Option<&str> {
        self.0.note.as_deref()
    }

    /// The JSON pointer (RFC 6901) into config.json that asked for it.
    pub fn origin(&self) -> Option<&str> {
        self.0.origin.as_deref()
    }

    /// The step that failed, where it was one.
    pub fn step(&self) -> Option<&FailedStep> {
        self.0.step.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(note) = &self.0.note {
            write!(f, ": {note}")?;
        }
        let place = self.0.step.as_ref().map(|step| {
            let at = match step.actor {
                Actor::Host => "on the host",
                Actor::Init => "in the container",
            };
            format!("step {} of {}, {at}", step.number, step.of)
        });
        let origin = self.0.origin.as_ref().map(|pointer| format!("config.json {pointer}"));
        match (place, origin) {
            (Some(place), Some(origin)) => write!(f, " ({place}, {origin})"),
            (Some(only), None) | (None, Some(only)) => write!(f, " ({only})"),
            (None, None) => Ok(()),
        }
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        let kind = if invalid.unsupported { ErrorKind::Unsupported } else { ErrorKind::InvalidSpec };
        Self::new(kind, invalid.why).with_origin(invalid.origin)
    }
}
