//! A table as eBPF instructions (Linux Documentation/bpf/standardization/instruction-set.rst).
//!
//! The program is written from its end to its start: a jump can then only go to what is already there, so its distance
//! is known, every jump goes forward, and nothing is written that is not reached.

use super::rule::{Access, Kind};
use super::table::{Majors, Minors, Table};

/// `BPF_MAXINSNS` of linux/bpf_common.h: what every kernel loads. The distance of a jump has room for it.
pub(super) const MOST_INSTRUCTIONS: usize = 4096;

/// Opcodes: the class, and what is done in it.
mod code {
    const LDX: u8 = 0x01;
    const JMP: u8 = 0x05;
    const JMP32: u8 = 0x06;
    const ALU64: u8 = 0x07;

    /// A 32-bit word of memory into a register.
    pub(super) const LOAD: u8 = LDX | 0x60;
    /// A constant into a register.
    pub(super) const SET: u8 = ALU64 | 0xb0;
    pub(super) const JUMP: u8 = JMP;
    // JMP32, since JMP extends the sign of its constant: 0xffffffff would never be equal.
    pub(super) const JUMP_IF_EQUAL: u8 = JMP32 | 0x10;
    pub(super) const JUMP_IF_ANY_BIT: u8 = JMP32 | 0x40;
    pub(super) const JUMP_UNLESS_EQUAL: u8 = JMP32 | 0x50;
    pub(super) const EXIT: u8 = JMP | 0x90;
}

/// A register.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Register {
    /// What the program returns: 1 allows, 0 denies.
    Verdict = 0,
    /// Where `struct bpf_cgroup_dev_ctx` is.
    Context = 1,
    /// Its first word: the type, and in the upper half the access.
    AccessAndType = 2,
    Major = 3,
    Minor = 4,
}

/// The offsets of the fields of `struct bpf_cgroup_dev_ctx`.
const ACCESS_AND_TYPE: i16 = 0;
const MAJOR: i16 = 4;
const MINOR: i16 = 8;

/// By how many bits the access is shifted in the first field.
const ACCESS_SHIFT: u32 = 16;

/// `BPF_DEVCG_DEV_*`: a bit each, and the kernel sets exactly one.
const fn type_bit(kind: Kind) -> u32 {
    match kind {
        Kind::Block => 1,
        Kind::Char => 2,
    }
}

/// An instruction that is written: how many there were with it, counted from the end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Label(usize);

/// The instructions, the last one first.
#[derive(Default)]
struct Program(Vec<[u8; 8]>);

/// The program for `table`; `None` where it has no room in [`MOST_INSTRUCTIONS`].
pub(super) fn of(table: &Table) -> Option<Vec<u8>> {
    let mut program = Program::default();
    // The type with less to ask is asked for first: it then often needs nothing but a jump.
    let [first, last] = match table.of(Kind::Char).uniform() {
        Some(_) => [Kind::Char, Kind::Block],
        None => Kind::ALL,
    };
    let verdicts = Verdicts::write(&mut program, table, table.of(last).rest.rest)?;
    program.majors(table.of(last), &verdicts)?;
    if table.of(first) != table.of(last) {
        match table.of(first).uniform() {
            Some(access) => program.jump_if_type(first, verdicts.of(access)?)?,
            None => {
                let other = program.here();
                program.majors(table.of(first), &verdicts)?;
                program.jump_if_type(last, other)?;
            }
        }
    }
    program.loads(table)?;
    Some(program.0.into_iter().rev().flatten().collect())
}

/// Where the program answers, for each access a device may have.
struct Verdicts([Option<Label>; Access::ALL.bits() as usize + 1]);

impl Verdicts {
    /// Writes the answers for every access in `table`; `last` where the program runs into it without a jump.
    fn write(program: &mut Program, table: &Table, last: Access) -> Option<Self> {
        let mut used = [false; Access::ALL.bits() as usize + 1];
        let minors = || Kind::ALL.into_iter().flat_map(|kind| table.of(kind).minors());
        for access in minors().flat_map(|minors| minors.own.values().chain([&minors.rest])) {
            used[usize::from(access.bits())] = true;
        }
        let [partial @ .., _] = used;
        let deny = if partial.contains(&true) { Some(program.answer(false)?) } else { None };
        let allow = program.answer(true)?;

        let mut labels = [None; Access::ALL.bits() as usize + 1];
        labels[usize::from(Access::ALL.bits())] = Some(allow);
        let order = (0..Access::ALL.bits()).filter(|bits| *bits != last.bits()).chain([last.bits()]);
        for bits in order.filter(|bits| used[usize::from(*bits)] && *bits != Access::ALL.bits()) {
            program.go(allow)?;
            let denied = u32::from(Access::ALL.bits() & !bits) << ACCESS_SHIFT;
            program.jump_if(code::JUMP_IF_ANY_BIT, Register::AccessAndType, denied, deny?)?;
            labels[usize::from(bits)] = Some(program.here());
        }
        Some(Self(labels))
    }

    fn of(&self, access: Access) -> Option<Label> {
        self.0[usize::from(access.bits())]
    }
}

impl Program {
    /// The questions about the major number, and where one has minors of its own, those about the minor.
    fn majors(&mut self, majors: &Majors, verdicts: &Verdicts) -> Option<()> {
        self.minors(&majors.rest, verdicts)?;
        let (alike, apart): (Vec<_>, Vec<_>) = majors.own.iter().rev().partition(|(_, minors)| minors.own.is_empty());
        for (major, minors) in apart {
            let next = self.here();
            // To go on to the questions about other majors would be shorter; but the verifier then follows each major
            // through all that come after it, and 2000 of them are more than it has patience for (measured: E2BIG).
            self.minors(minors, verdicts)?;
            self.jump_if(code::JUMP_UNLESS_EQUAL, Register::Major, *major, next)?;
        }
        for (major, minors) in alike {
            self.jump_if(code::JUMP_IF_EQUAL, Register::Major, *major, verdicts.of(minors.rest)?)?;
        }
        Some(())
    }

    /// The questions about the minor number, then on to the answer for the rest.
    fn minors(&mut self, minors: &Minors, verdicts: &Verdicts) -> Option<()> {
        self.go(verdicts.of(minors.rest)?)?;
        for (minor, access) in minors.own.iter().rev() {
            self.jump_if(code::JUMP_IF_EQUAL, Register::Minor, *minor, verdicts.of(*access)?)?;
        }
        Some(())
    }

    /// Reads what `table` asks for.
    fn loads(&mut self, table: &Table) -> Option<()> {
        let majors = || Kind::ALL.into_iter().map(|kind| table.of(kind));
        if majors().flat_map(Majors::minors).any(|minors| !minors.own.is_empty()) {
            self.load(Register::Minor, MINOR)?;
        }
        if majors().any(|majors| !majors.own.is_empty()) {
            self.load(Register::Major, MAJOR)?;
        }
        if majors().any(|majors| majors.uniform() != Some(Access::ALL)) {
            self.load(Register::AccessAndType, ACCESS_AND_TYPE)?;
        }
        Some(())
    }

    fn load(&mut self, into: Register, offset: i16) -> Option<()> {
        self.push(code::LOAD, into, Register::Context, offset, 0)
    }

    fn answer(&mut self, allow: bool) -> Option<Label> {
        self.push(code::EXIT, Register::Verdict, Register::Verdict, 0, 0)?;
        self.push(code::SET, Register::Verdict, Register::Verdict, 0, allow.into())?;
        Some(self.here())
    }

    /// Goes to `label`, which takes no instruction where it is the next one.
    fn go(&mut self, label: Label) -> Option<()> {
        match self.distance(label)? {
            0 => Some(()),
            distance => self.push(code::JUMP, Register::Verdict, Register::Verdict, distance, 0),
        }
    }

    fn jump_if_type(&mut self, kind: Kind, label: Label) -> Option<()> {
        self.jump_if(code::JUMP_IF_ANY_BIT, Register::AccessAndType, type_bit(kind), label)
    }

    fn jump_if(&mut self, code: u8, register: Register, constant: u32, label: Label) -> Option<()> {
        // The source is the constant; its nibble must be 0, which is the verdict's number.
        self.push(code, register, Register::Verdict, self.distance(label)?, constant)
    }

    /// The instruction written last: the next one to be run.
    fn here(&self) -> Label {
        Label(self.0.len())
    }

    /// How many instructions stand between one written now and `label`.
    fn distance(&self, label: Label) -> Option<i16> {
        i16::try_from(self.0.len().checked_sub(label.0)?).ok()
    }

    /// Writes a `struct bpf_insn`. Both architectures that planc is built for are little-endian.
    fn push(&mut self, code: u8, to: Register, from: Register, offset: i16, constant: u32) -> Option<()> {
        let [offset_low, offset_high] = offset.to_le_bytes();
        let [a, b, c, d] = constant.to_le_bytes();
        self.0.push([code, (from as u8) << 4 | to as u8, offset_low, offset_high, a, b, c, d]);
        (self.0.len() <= MOST_INSTRUCTIONS).then_some(())
    }
}
