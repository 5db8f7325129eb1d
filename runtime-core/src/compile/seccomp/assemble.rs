//! Decisions as classic BPF (linux/filter.h): written from the program's end to its start, so that every jump goes to what
//! is already there.

use super::graph::{Compare, Graph, Id, Node, Word};

/// `BPF_MAXINSNS` of linux/bpf_common.h.
pub(super) const MOST_INSTRUCTIONS: usize = 4096;

/// Opcodes.
mod code {
    /// The word at an offset of `struct seccomp_data`.
    pub(super) const LOAD: u16 = 0x20;
    pub(super) const AND: u16 = 0x54;
    pub(super) const JUMP: u16 = 0x05;
    pub(super) const JUMP_IF_EQUAL: u16 = 0x15;
    pub(super) const JUMP_IF_GREATER: u16 = 0x25;
    pub(super) const JUMP_IF_AT_LEAST: u16 = 0x35;
    pub(super) const JUMP_IF_ANY_BIT: u16 = 0x45;
    pub(super) const RETURN: u16 = 0x06;
}

/// struct sock_filter.
#[derive(Clone, Copy, Debug)]
struct Instruction {
    code: u16,
    yes: u8,
    no: u8,
    k: u32,
}

impl Instruction {
    const fn plain(code: u16, k: u32) -> Self {
        Self { code, yes: 0, no: 0, k }
    }

    fn bytes(self) -> [u8; 8] {
        let ([a, b], [c, d, e, f]) = (self.code.to_ne_bytes(), self.k.to_ne_bytes());
        [a, b, self.yes, self.no, c, d, e, f]
    }
}

/// How far a conditional jump goes, less one for a second one's way on.
const REACH: usize = u8::MAX as usize - 1;

/// An instruction by how many come after it.
type Place = usize;

struct Assembler<'a> {
    nodes: &'a [Node],
    /// The last instruction first.
    code: Vec<Instruction>,
    /// Where each decision is made, once its word is loaded, and with the loading.
    places: Vec<[Option<Place>; 2]>,
}

/// The program that decides as `start` does; `None` where it would be longer than the kernel takes.
pub(super) fn assemble(graph: &Graph, start: Id) -> Option<Vec<u8>> {
    let nodes = graph.nodes();
    let mut assembler = Assembler { nodes, code: Vec::new(), places: vec![[None; 2]; nodes.len()] };
    assembler.place(start, None)?;
    Some(assembler.code.iter().rev().flat_map(|instruction| instruction.bytes()).collect())
}

impl Assembler<'_> {
    /// Where a decision is made for who has this word loaded.
    fn place(&mut self, id: Id, loaded: Option<Word>) -> Option<Place> {
        let index = id as usize;
        let (question, yes, no) = match *self.nodes.get(index)? {
            Node::Return(action) => {
                return match self.places.get(index)?[0] {
                    Some(place) => Some(place),
                    None => self.settle(index, 0, Instruction::plain(code::RETURN, action)),
                };
            }
            Node::Ask { question, yes, no } => (question, yes, no),
        };
        if loaded != Some(question.word) {
            return self.load(id, question.word);
        }
        if let Some(place) = self.places.get(index)?[0] {
            return Some(place);
        }
        // What is placed last is near: what the answer "yes" leads to, which mostly is more of the same.
        let no = (self.place(no, loaded)?, no);
        let yes = (self.place(yes, loaded)?, yes);
        let (no, yes) = (self.reach(no.0)?, self.reach(yes.0)?);
        let jump = Instruction {
            code: match question.compare {
                Compare::Equal => code::JUMP_IF_EQUAL,
                Compare::Greater => code::JUMP_IF_GREATER,
                Compare::AtLeast => code::JUMP_IF_AT_LEAST,
                Compare::AnyBit => code::JUMP_IF_ANY_BIT,
            },
            yes: self.distance(yes)?,
            no: self.distance(no)?,
            k: question.with,
        };
        self.settle(index, 0, jump)
    }

    /// The word is loaded right before its question, or before a jump there.
    fn load(&mut self, id: Id, word: Word) -> Option<Place> {
        let index = id as usize;
        if let Some(place) = self.places.get(index)?[1] {
            return Some(place);
        }
        let place = self.place(id, Some(word))?;
        if place + 1 != self.code.len() {
            self.jump(place)?;
        }
        if word.mask != u32::MAX {
            self.write(Instruction::plain(code::AND, word.mask))?;
        }
        self.settle(index, 1, Instruction::plain(code::LOAD, word.offset.into()))
    }

    /// A place that does the same and is near enough for the instruction that will be the next but one, at the latest.
    fn reach(&mut self, place: Place) -> Option<Place> {
        if self.code.len() - place <= REACH {
            return Some(place);
        }
        match self.code.get(place)? {
            copy if copy.code == code::RETURN => {
                let (copy, near) = (*copy, self.code.len());
                let index = self.nodes.iter().position(|node| *node == Node::Return(copy.k))?;
                self.write(copy)?;
                self.places.get_mut(index)?[0] = Some(near);
                Some(near)
            }
            _ => self.jump(place),
        }
    }

    fn jump(&mut self, place: Place) -> Option<Place> {
        let distance = self.code.len() - place - 1;
        self.write(Instruction::plain(code::JUMP, distance as u32))
    }

    /// How many instructions are between a place and the instruction that is written next.
    fn distance(&self, place: Place) -> Option<u8> {
        u8::try_from(self.code.len() - place - 1).ok()
    }

    fn settle(&mut self, index: usize, which: usize, instruction: Instruction) -> Option<Place> {
        let place = self.write(instruction)?;
        self.places.get_mut(index)?[which] = Some(place);
        Some(place)
    }

    fn write(&mut self, instruction: Instruction) -> Option<Place> {
        if self.code.len() == MOST_INSTRUCTIONS {
            return None;
        }
        self.code.push(instruction);
        Some(self.code.len() - 1)
    }
}
