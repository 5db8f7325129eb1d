//! Decisions as a graph: each asks one word of `struct seccomp_data` one question, or says what is to be done. Equal ones
//! are one, and what was asked is not asked again.

use std::collections::BTreeMap;

/// A decision; those that come after it have lower numbers.
pub(super) type Id = u32;

/// A word of `struct seccomp_data` (linux/seccomp.h), masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Word {
    /// Its offset in bytes.
    pub(super) offset: u8,
    pub(super) mask: u32,
}

impl Word {
    pub(super) const NUMBER: Self = Self::at(0);
    pub(super) const ARCH: Self = Self::at(4);

    const fn at(offset: u8) -> Self {
        Self { offset, mask: u32::MAX }
    }

    /// The lower half of an argument; the machines that there are have it first.
    pub(super) const fn low(argument: u8) -> Self {
        Self::at(16 + 8 * argument)
    }

    /// The upper half.
    pub(super) const fn high(argument: u8) -> Self {
        Self::at(20 + 8 * argument)
    }

    pub(super) const fn masked(self, mask: u32) -> Self {
        Self { mask, ..self }
    }
}

/// What is asked of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Compare {
    Equal,
    Greater,
    AtLeast,
    /// Whether they have a bit in common.
    AnyBit,
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Question {
    pub(super) word: Word,
    pub(super) compare: Compare,
    pub(super) with: u32,
}

impl Question {
    fn answer(self, word: u32) -> bool {
        let word = word & self.word.mask;
        match self.compare {
            Compare::Equal => word == self.with,
            Compare::Greater => word > self.with,
            Compare::AtLeast => word >= self.with,
            Compare::AnyBit => word & self.with != 0,
        }
    }

    /// The answer that every word gets.
    fn always(self) -> Option<bool> {
        match (self.compare, self.with) {
            (Compare::AtLeast, 0) => Some(true),
            (Compare::Greater, u32::MAX) | (Compare::AnyBit, 0) => Some(false),
            _ => None,
        }
    }

    /// The answer, where that to another question is known.
    fn after(self, known: Self, answer: bool) -> Option<bool> {
        if self == known {
            return Some(answer);
        }
        // Bits that were masked away are not known.
        let is_told = answer && known.compare == Compare::Equal && known.word.offset == self.word.offset;
        (is_told && known.word.mask & self.word.mask == self.word.mask).then(|| self.answer(known.with))
    }
}

/// One decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    Return(u32),
    Ask { question: Question, yes: Id, no: Id },
}

/// How many decisions are looked at again to simplify them: rules may be made so that it would take forever.
const LOOKS: u32 = 50_000;

/// All decisions.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    ids: BTreeMap<Node, Id>,
    known: BTreeMap<(Id, Question, bool), Id>,
    looks: u32,
    /// The few actions there are.
    ends: Vec<(u32, Id)>,
}

impl Graph {
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The action is returned.
    pub(super) fn finish(&mut self, action: u32) -> Id {
        // Asked for once for every call of a profile.
        if let Some((_, id)) = self.ends.iter().find(|(known, _)| *known == action) {
            return *id;
        }
        let id = self.add(Node::Return(action));
        self.ends.push((action, id));
        id
    }

    /// One of two decisions, by the answer to a question; they are simplified by what it says.
    pub(super) fn ask(&mut self, question: Question, yes: Id, no: Id) -> Id {
        if let Some(answer) = question.always() {
            return if answer { yes } else { no };
        }
        let yes = self.assume(yes, question, true);
        let no = self.assume(no, question, false);
        self.join(question, yes, no)
    }

    /// As [`Self::ask`], of decisions that do not ask about the same word.
    pub(super) fn join(&mut self, question: Question, yes: Id, no: Id) -> Id {
        if yes == no { yes } else { self.add(Node::Ask { question, yes, no }) }
    }

    /// As [`Self::join`], where nobody asks the same for the same two.
    pub(super) fn fork(&mut self, question: Question, yes: Id, no: Id) -> Id {
        self.nodes.push(Node::Ask { question, yes, no });
        self.nodes.len() as Id - 1
    }

    fn add(&mut self, node: Node) -> Id {
        let next = self.nodes.len() as Id;
        let id = *self.ids.entry(node).or_insert(next);
        if id == next {
            self.nodes.push(node);
        }
        id
    }

    /// The decision where the answer to a question is known.
    fn assume(&mut self, id: Id, known: Question, answer: bool) -> Id {
        let Some(Node::Ask { question, yes, no }) = self.nodes.get(id as usize).copied() else { return id };
        if self.looks == LOOKS {
            return id;
        }
        self.looks += 1;
        if let Some(simpler) = self.known.get(&(id, known, answer)) {
            return *simpler;
        }
        let simpler = match question.after(known, answer) {
            Some(true) => self.assume(yes, known, answer),
            Some(false) => self.assume(no, known, answer),
            None => {
                let yes = self.assume(yes, known, answer);
                let no = self.assume(no, known, answer);
                self.join(question, yes, no)
            }
        };
        self.known.insert((id, known, answer), simpler);
        simpler
    }
}
