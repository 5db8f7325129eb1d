//! The plan: one flat run of steps (`wire/`), and how it is read aloud.

use std::fmt;

use super::Invalid;
use crate::wire::{self, Actor, HostOp, InitOp, Op, Sink, Slot, Steps};

impl Sink for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A plan while it is written.
#[derive(Debug)]
pub(super) struct Draft {
    bytes: Vec<u8>,
    warnings: Vec<String>,
    notes: Vec<String>,
    slots: u16,
}

impl Default for Draft {
    fn default() -> Self {
        let mut bytes = Vec::with_capacity(8192);
        wire::begin(&mut bytes);
        Self { bytes, warnings: Vec::new(), notes: Vec::new(), slots: 0 }
    }
}

impl Draft {
    /// Appends a step of the host; `origin` is the JSON pointer that asks for it, or empty.
    pub(super) fn host(&mut self, origin: &str, op: HostOp<'_>) {
        wire::append(&mut self.bytes, origin, &Op::Host(op));
    }

    /// Appends a step of init; `origin` is the JSON pointer that asks for it, or empty.
    pub(super) fn init(&mut self, origin: &str, op: InitOp<'_>) {
        wire::append(&mut self.bytes, origin, &Op::Init(op));
    }

    /// The next slot. Those that the host fills are asked for first, so that the inherited ones are 1, 2, 3 …
    pub(super) fn slot(&mut self) -> Result<Slot, Invalid> {
        self.slots += 1;
        if usize::from(self.slots) < Slot::COUNT {
            Ok(Slot(self.slots))
        } else {
            Err(Invalid::new("", format!("more than {} descriptors would have to be kept open", Slot::COUNT)))
        }
    }

    /// Adds what the caller should be told although it goes on.
    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Adds what only who looks at the plan should be told.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The finished plan.
    pub(super) fn finish(self) -> LaunchPlan {
        LaunchPlan { bytes: self.bytes, warnings: self.warnings, notes: self.notes }
    }
}

/// All steps that make a container, in order, with their actors and their places in config.json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchPlan {
    bytes: Vec<u8>,
    warnings: Vec<String>,
    notes: Vec<String>,
}

impl LaunchPlan {
    /// A plan that was stored; `None` where `bytes` are no plan, or one of another version.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let is_plan = Steps::of(&bytes)?.all(|step| step.op().is_some());
        is_plan.then_some(Self { bytes, warnings: Vec::new(), notes: Vec::new() })
    }

    /// The plan as it is given to init.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the caller should be told although the plan can be performed.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What was left out of the plan and is no cause for a warning: what `planc explain` shows beside the warnings.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let steps = Steps::of(&self.bytes).into_iter().flatten();
        steps.enumerate().filter_map(|(index, raw)| {
            let origin = std::str::from_utf8(raw.origin).ok()?;
            Some(Step { number: index as u32 + 1, origin, op: raw.op()? })
        })
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.steps().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for LaunchPlan {
    /// One line a step: its number, its actor, its sentence, its place in config.json.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in self.steps() {
            writeln!(f, "{step}")?;
        }
        Ok(())
    }
}

/// One step of a plan. Its `Display` is one line of `planc explain`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step<'a> {
    /// Its number, from 1.
    pub number: u32,
    /// The JSON pointer (RFC 6901) into config.json that asks for it; empty where none does.
    pub origin: &'a str,
    /// What is done.
    pub op: Op<'a>,
}

impl Step<'_> {
    /// Who performs it.
    pub fn actor(&self) -> Actor {
        match self.op {
            Op::Host(_) => Actor::Host,
            Op::Init(_) => Actor::Init,
        }
    }

    /// The op's name.
    pub fn name(&self) -> &'static str {
        match &self.op {
            Op::Host(op) => op.name(),
            Op::Init(op) => op.name(),
        }
    }

    /// What is done, as a sentence.
    pub fn sentence(&self) -> String {
        match &self.op {
            Op::Host(op) => op.to_string(),
            Op::Init(op) => op.to_string(),
        }
    }
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actor = match self.actor() {
            Actor::Host => "host",
            Actor::Init => "init",
        };
        write!(f, "{:>4}  {actor}  {}", self.number, self.sentence())?;
        if self.origin.is_empty() { Ok(()) } else { write!(f, "  [{}]", self.origin) }
    }
}
