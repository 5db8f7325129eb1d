//! The instruction set: what a plan is made of, and how it lies in memory.
//!
//! A plan is one flat run of bytes. The crate's `compile` writes it, the host's walk and `planc explain` read it, and
//! init (a program without an allocator) reads the very same bytes: so there is one list, and nothing to keep in step.
#![deny(missing_docs)]

pub mod codec;
pub mod ops;
pub mod page;
pub mod tree;
pub mod types;
pub mod unit;

pub use codec::{List, Reader, Sink, Text, Wire};
pub use ops::{HostOp, InitOp};
pub use tree::*;
pub use types::*;
#[allow(unused_imports, reason = "init asks systemd for nothing")]
pub use unit::*;

/// The first word of every plan; its last byte is the version of the encoding.
pub const MAGIC: u32 = u32::from_le_bytes(*b"pln\x02");

/// The bit of a step's tag that says the host is its actor.
const HOST: u16 = 0x8000;

/// Who performs a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The calling process.
    Host,
    /// The container's process.
    Init,
}

/// One act, for one actor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op<'a> {
    /// Performed by the calling process.
    Host(HostOp<'a>),
    /// Performed by the container's process.
    Init(InitOp<'a>),
}

/// A step as it lies in the plan: its actor is known, its body is not decoded yet.
#[derive(Clone, Copy, Debug)]
pub struct RawStep<'a> {
    tag: u16,
    /// The JSON pointer into config.json from which the step follows; empty where nothing in config.json asks for it.
    pub origin: &'a [u8],
    body: &'a [u8],
}

impl<'a> RawStep<'a> {
    /// Whose step it is.
    pub fn actor(&self) -> Actor {
        if self.tag & HOST == 0 { Actor::Init } else { Actor::Host }
    }

    /// The step as an init op; `None` where it is the host's, or not decodable.
    pub fn init(&self) -> Option<InitOp<'a>> {
        (self.tag & HOST == 0).then(|| InitOp::decode(self.tag, self.body)).flatten()
    }

    /// The step as a host op; `None` where it is init's, or not decodable.
    pub fn host(&self) -> Option<HostOp<'a>> {
        (self.tag & HOST != 0).then(|| HostOp::decode(self.tag & !HOST, self.body)).flatten()
    }

    /// The step decoded, whoever performs it.
    pub fn op(&self) -> Option<Op<'a>> {
        match self.actor() {
            Actor::Host => self.host().map(Op::Host),
            Actor::Init => self.init().map(Op::Init),
        }
    }
}

/// The steps of a plan, in order.
#[derive(Clone, Debug)]
pub struct Steps<'a>(Reader<'a>);

impl<'a> Steps<'a> {
    /// The steps encoded in `plan`; `None` where it does not begin with [`MAGIC`].
    pub fn of(plan: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(plan);
        (u32::get(&mut reader)? == MAGIC).then_some(Self(reader))
    }
}

impl<'a> Iterator for Steps<'a> {
    type Item = RawStep<'a>;

    /// The next step. A plan whose rest is damaged ends here: init then reports that it ran out of steps.
    fn next(&mut self) -> Option<RawStep<'a>> {
        let tag = u16::get(&mut self.0)?;
        let origin = self.0.run()?;
        let body = self.0.run()?;
        Some(RawStep { tag, origin, body })
    }
}

/// Writes the head of a plan.
pub fn begin(out: &mut impl Sink) {
    MAGIC.put(out);
}

/// Appends one step to a plan. `scratch` is cleared and used to measure the body.
pub fn append<S: Sink + AsRef<[u8]> + Default>(out: &mut S, origin: &str, op: &Op<'_>) {
    let mut body = S::default();
    let tag = match op {
        Op::Host(op) => op.encode(&mut body) | HOST,
        Op::Init(op) => op.encode(&mut body),
    };
    tag.put(out);
    origin.as_bytes().put(out);
    body.as_ref().put(out);
}
