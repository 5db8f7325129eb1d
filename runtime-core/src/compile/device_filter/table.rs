//! Which access each device has: by type, then major, then minor number. There is one table for one meaning.

use std::collections::BTreeMap;

use super::rule::{Access, Kind, Rule};

/// What each number stands for: some for something of their own, all others for `rest`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Split<T> {
    /// None of these is equal to `rest`.
    pub(super) own: BTreeMap<u32, T>,
    pub(super) rest: T,
}

impl<T: Clone + PartialEq> Split<T> {
    /// Changes what `number`, or every number, stands for.
    fn change(&mut self, number: Option<u32>, change: impl Fn(&mut T)) {
        match number {
            Some(number) => change(self.own.entry(number).or_insert_with(|| self.rest.clone())),
            None => {
                self.own.values_mut().for_each(&change);
                change(&mut self.rest);
            }
        }
        self.own.retain(|_, value| *value != self.rest);
    }
}

/// The access by minor number.
pub(super) type Minors = Split<Access>;

/// The access by major and minor number.
pub(super) type Majors = Split<Minors>;

/// The access by type and numbers. The default denies all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    block: Majors,
    char: Majors,
}

impl Table {
    /// What devices of `kind` have.
    pub(super) const fn of(&self, kind: Kind) -> &Majors {
        match kind {
            Kind::Block => &self.block,
            Kind::Char => &self.char,
        }
    }

    /// Gives every device the rule is about what it has after the rule.
    pub(super) fn apply(&mut self, rule: &Rule) {
        let change = |majors: &mut Majors| {
            majors.change(rule.major, |minors| minors.change(rule.minor, |access| *access = rule.apply(*access)));
        };
        match rule.kind {
            Some(Kind::Block) => change(&mut self.block),
            Some(Kind::Char) => change(&mut self.char),
            None => [&mut self.block, &mut self.char].into_iter().for_each(change),
        }
    }

    /// How many numbers have something of their own, for the type that has more of them.
    pub(super) fn cells(&self) -> usize {
        let of = |kind| {
            let majors = self.of(kind);
            majors.rest.own.len() + majors.own.values().map(|minors| 1 + minors.own.len()).sum::<usize>()
        };
        Kind::ALL.map(of).into_iter().fold(0, usize::max)
    }
}

impl Majors {
    /// The access that is all there is, where no number makes a difference.
    pub(super) fn uniform(&self) -> Option<Access> {
        (self.own.is_empty() && self.rest.own.is_empty()).then_some(self.rest.rest)
    }

    /// For each major number that has minors of its own, and for the rest, those minors.
    pub(super) fn minors(&self) -> impl Iterator<Item = &Minors> {
        self.own.values().chain([&self.rest])
    }
}
