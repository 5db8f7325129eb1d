//! One rule of the allow list: read from config.json, or built in.

use std::fmt::Display;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::{Invalid, ORIGIN};

/// The type of a device, in the order of a [`super::Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `b`
    Block,
    /// `c`
    Char,
}

impl Kind {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Block, Self::Char];
}

/// A set of accesses to a device: `BPF_DEVCG_ACC_*` of linux/bpf.h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Access(u8);

impl Access {
    /// Each access, and its letter in config.json.
    const LETTERS: [(char, Self); 3] = [('m', Self(1)), ('r', Self(2)), ('w', Self(4))];

    /// None.
    pub(super) const NONE: Self = Self(0);
    /// mknod(2) of it.
    pub(super) const MKNOD: Self = Self(1);
    /// All three.
    pub(super) const ALL: Self = Self(7);

    /// The set with those of `other`.
    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set without those of `other`.
    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The set as the kernel's bits.
    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    /// A letter that is none of them names no access, so that nothing is denied by it.
    fn read(letters: &str) -> Option<Self> {
        let named = Self::LETTERS.iter().filter(|(known, _)| letters.contains(*known));
        let access = named.fold(Self::NONE, |access, (_, one)| access.with(*one));
        (access != Self::NONE).then_some(access)
    }

    /// What of a rule's letters is none of them.
    pub(super) fn unknown(letters: &str) -> String {
        letters.chars().filter(|letter| Self::LETTERS.iter().all(|(known, _)| known != letter)).collect()
    }
}

/// A rule. `None` stands for every type, for every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) allow: bool,
    pub(super) kind: Option<Kind>,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) access: Access,
}

impl Rule {
    /// Reads the rule at `index`.
    pub(super) fn read(rule: &LinuxDeviceCgroup, index: usize) -> Result<Self, Invalid> {
        let kind = match rule.typ() {
            None | Some(LinuxDeviceType::A) => None,
            Some(LinuxDeviceType::B) => Some(Kind::Block),
            Some(LinuxDeviceType::C) => Some(Kind::Char),
            Some(other @ (LinuxDeviceType::U | LinuxDeviceType::P)) => {
                return Err(invalid(index, "type", format_args!("device type {:?} is not a, b or c", other.as_str())));
            }
        };
        let major = number(rule.major(), index, "major")?;
        let minor = number(rule.minor(), index, "minor")?;
        let access = match rule.access() {
            None => Access::ALL,
            Some(letters) if rule.allow() && !Access::unknown(letters).is_empty() => {
                return Err(invalid(
                    index,
                    "access",
                    format_args!("device access {letters:?} is not made of r, w and m"),
                ));
            }
            Some(letters) => Access::read(letters).ok_or_else(|| {
                invalid(index, "access", format_args!("device access {letters:?} has none of r, w and m"))
            })?,
        };
        Ok(match kind {
            // Type a is all there is, whatever stands beside it: so the kernel's devices.allow had it.
            None => Self { allow: rule.allow(), kind, major: None, minor: None, access: Access::ALL },
            Some(_) => Self { allow: rule.allow(), kind, major, minor, access },
        })
    }

    /// What a device that had `access` has after the rule.
    pub(super) const fn apply(&self, access: Access) -> Access {
        if self.allow { access.with(self.access) } else { access.without(self.access) }
    }

    /// What `{"allow": true}` says.
    pub(super) const ALLOW_ALL: Self = Self { allow: true, kind: None, major: None, minor: None, access: Access::ALL };

    const fn allow_char(major: u32, minor: Option<u32>) -> Self {
        Self { allow: true, kind: Some(Kind::Char), major: Some(major), minor, access: Access::ALL }
    }

    const fn allow_mknod(kind: Kind) -> Self {
        Self { allow: true, kind: Some(kind), major: None, minor: None, access: Access::MKNOD }
    }
}

/// The rules behind those of every config.json; docs/decisions/device-filter.md says why these
/// (numbers: Linux Documentation/admin-guide/devices.txt).
pub(super) const BUILT_IN: [Rule; 11] = [
    Rule::allow_mknod(Kind::Char),
    Rule::allow_mknod(Kind::Block),
    Rule::allow_char(1, Some(3)),    // null
    Rule::allow_char(1, Some(5)),    // zero
    Rule::allow_char(1, Some(7)),    // full
    Rule::allow_char(1, Some(8)),    // random
    Rule::allow_char(1, Some(9)),    // urandom
    Rule::allow_char(5, Some(0)),    // tty
    Rule::allow_char(5, Some(2)),    // ptmx
    Rule::allow_char(136, None),     // pts/*
    Rule::allow_char(10, Some(200)), // net/tun
];

/// A device number; -1 and absence stand for all.
fn number(value: Option<i64>, index: usize, name: &str) -> Result<Option<u32>, Invalid> {
    match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value).map(Some).map_err(|_| {
            invalid(index, name, format_args!("{name} device number {value} is not -1, nor of 32 bits without a sign"))
        }),
    }
}

fn invalid(index: usize, field: &str, why: impl Display) -> Invalid {
    Invalid { origin: format!("{ORIGIN}/{index}/{field}"), why: why.to_string(), unsupported: false }
}
