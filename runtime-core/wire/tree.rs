//! Where init takes a tree of mounts from.

use core::fmt;

use super::codec::{Reader, Sink, Text, Wire};
use super::types::Slot;

/// Where a tree of mounts comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tree<'a> {
    /// A path of the host, as init sees it before the root is changed.
    Path(Text<'a>),
    /// A tree that was put on the stage before the user namespace was made, and the host's path it was taken from.
    Staged(u16, Text<'a>),
    /// A detached copy that an earlier step made, and the path it was taken from. It is used up.
    Held(Slot, Text<'a>),
    /// A path of the container, resolved inside its root: what earlier steps mounted there.
    Inside(Text<'a>),
}

impl<'a> Tree<'a> {
    /// The host's path, or the container's of what is inside.
    pub const fn path(&self) -> Text<'a> {
        match self {
            Self::Path(path) | Self::Staged(_, path) | Self::Held(_, path) | Self::Inside(path) => *path,
        }
    }
}

impl<'a> Wire<'a> for Tree<'a> {
    fn put(&self, out: &mut impl Sink) {
        match self {
            Self::Path(_) => 0u8.put(out),
            Self::Staged(number, _) => {
                1u8.put(out);
                number.put(out);
            }
            Self::Held(slot, _) => {
                2u8.put(out);
                slot.put(out);
            }
            Self::Inside(_) => 3u8.put(out),
        }
        self.path().put(out);
    }
    fn get(from: &mut Reader<'a>) -> Option<Self> {
        match u8::get(from)? {
            0 => Some(Self::Path(Text::get(from)?)),
            1 => Some(Self::Staged(u16::get(from)?, Text::get(from)?)),
            2 => Some(Self::Held(Slot::get(from)?, Text::get(from)?)),
            3 => Some(Self::Inside(Text::get(from)?)),
            _ => None,
        }
    }
}

impl fmt::Display for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path())
    }
}
