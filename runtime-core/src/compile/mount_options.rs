//! The options of a mount (runtime-spec config.md#linux-mount-options): read once, in order, the last one wins.

use super::Invalid;
use super::text::{below, text};
use crate::wire::{Attributes, Propagation};
use std::ffi::CString;

/// `MOUNT_ATTR_RDONLY`
pub(super) const RDONLY: u64 = 0x1;
/// `MOUNT_ATTR_RDONLY`, `NOSUID`, `NODEV` and `NOEXEC` (mount_setattr(2))
pub(super) const ALL_TAKEN: u64 = RDONLY | 0x2 | 0x4 | 0x8;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;

/// What is copied from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copy {
    /// `bind`
    Mount,
    /// `rbind`
    Tree,
}

/// Attributes as they are asked for one by one: access times are one field with three values, the rest are flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asked {
    set: u64,
    clear: u64,
    atime: Option<u64>,
}

impl Asked {
    fn flag(&mut self, bit: u64, on: bool) {
        let (to, from) = if on { (&mut self.set, &mut self.clear) } else { (&mut self.clear, &mut self.set) };
        *to |= bit;
        *from &= !bit;
    }

    /// `noatime` and `strictatime` ask for themselves; whatever takes one of them back leaves relatime, which is what
    /// the kernel does unasked.
    fn atime(&mut self, option: &str) {
        self.atime = match option {
            "noatime" => Some(NOATIME),
            "strictatime" => Some(STRICTATIME),
            "relatime" => Some(0),
            "atime" if self.atime != Some(STRICTATIME) => Some(0),
            "nostrictatime" if self.atime != Some(NOATIME) => Some(0),
            "norelatime" if self.atime == Some(0) => None,
            _ => self.atime,
        };
    }

    /// What mount_setattr(2) is given: only what was named is changed.
    fn attributes(self) -> Attributes {
        let clear = self.clear | if self.atime.is_some() { Attributes::ATIME } else { 0 };
        Attributes { set: self.set | self.atime.unwrap_or(0), clear }
    }
}

/// One parameter of the filesystem, and which option it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) key: CString,
    pub(super) value: Option<CString>,
    pub(super) option: u16,
}

/// The options of one mount.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// `bind` or `rbind`
    pub(super) copy: Option<Copy>,
    asked: Asked,
    recursive: Asked,
    /// In the order asked for.
    pub(super) propagation: Vec<Propagation>,
    /// Flags of the superblock beside `ro`, by their names for fsconfig(2).
    pub(super) superblock: Vec<Data>,
    /// What is the filesystem's own.
    pub(super) data: Vec<Data>,
}

/// Flags of the superblock: an option, the flag it is about, and whether it sets it.
const SUPERBLOCK: [(&str, &str, bool); 5] = [
    ("sync", "sync", true),
    ("async", "sync", false),
    ("dirsync", "dirsync", true),
    ("mand", "mand", true),
    ("nomand", "mand", false),
];

/// What is not supported yet: an option, what it is about, and whether it asks for it or takes it back.
const LATER: [(&str, &str, bool); 10] = [
    ("remount", "remount", true),
    ("tmpcopyup", "tmpcopyup", true),
    ("idmap", "idmap", true),
    ("ridmap", "idmap", true),
    ("lazytime", "lazytime", true),
    ("nolazytime", "lazytime", false),
    ("iversion", "iversion", true),
    ("noiversion", "iversion", false),
    ("silent", "silent", true),
    ("loud", "silent", false),
];

impl Options {
    /// Reads the options below `pointer`, a mount's.
    pub(super) fn read(pointer: &str, options: &[String]) -> Result<Self, Invalid> {
        let mut read = Self::default();
        let mut later: Vec<(&str, String)> = Vec::new();
        for (index, option) in options.iter().enumerate() {
            let origin = || below(&below(pointer, "options"), index);
            // crun's "idmap=…" means more than the spec's "idmap", but not something else.
            let name = option.split_once('=').map_or(option.as_str(), |(key, _)| key);
            if let Some((_, about, on)) = LATER.iter().find(|(later, ..)| *later == name) {
                later.retain(|(earlier, _)| earlier != about);
                if *on {
                    later.push((about, origin()));
                }
            } else if !read.flag(option) && !read.propagate(option) {
                let index = u16::try_from(index).map_err(|_| Invalid::new(origin(), "too many options"))?;
                read.parameters(&origin(), option, index)?;
            }
        }
        match later.into_iter().next() {
            None => Ok(read),
            Some((about, origin)) => {
                Err(Invalid::unsupported(origin, format!("the mount option {about} is not supported yet")))
            }
        }
    }

    /// Takes what is a flag of the mount or of what is copied.
    fn flag(&mut self, option: &str) -> bool {
        let (asked, name) = match option.strip_prefix('r') {
            Some(name) if is_attribute(name) => (&mut self.recursive, name),
            _ => (&mut self.asked, option),
        };
        if ATIMES.contains(&name) {
            asked.atime(name);
            return true;
        }
        for (bit, on, off) in Attributes::NAMES {
            if name == on || name == off {
                asked.flag(bit, name == on);
                return true;
            }
        }
        match option {
            "bind" => self.copy = Some(Copy::Mount),
            "rbind" => self.copy = Some(Copy::Tree),
            "defaults" | "" => {}
            _ => return false,
        }
        true
    }

    fn propagate(&mut self, option: &str) -> bool {
        let named = |name: &str| Propagation::NAMES.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind);
        let asked = match (named(option), option.strip_prefix('r').and_then(named)) {
            (Some(kind), _) => Some(Propagation { kind, recursive: false }),
            (None, Some(kind)) => Some(Propagation { kind, recursive: true }),
            (None, None) => None,
        };
        self.propagation.extend(asked);
        asked.is_some()
    }

    fn parameters(&mut self, origin: &str, option: &str, index: u16) -> Result<(), Invalid> {
        if let Some((_, flag, on)) = SUPERBLOCK.iter().find(|(name, ..)| *name == option) {
            self.superblock.retain(|earlier| earlier.key.to_bytes() != flag.as_bytes());
            if *on {
                self.superblock.push(Data { key: text(origin, flag)?, value: None, option: index });
            }
            return Ok(());
        }
        for parameter in split(option) {
            let (key, value) = match parameter.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (parameter, None),
            };
            let value = value.map(|value| short(origin, value)).transpose()?;
            self.data.push(Data { key: short(origin, key)?, value, option: index });
        }
        Ok(())
    }

    /// What is to change on the top of what is copied.
    pub(super) fn attributes(&self) -> Attributes {
        self.asked.attributes()
    }

    /// What is to change on all of what is copied.
    pub(super) fn recursive_attributes(&self) -> Attributes {
        self.recursive.attributes()
    }

    /// What a new mount is made with: it is one mount, so that the recursive options mean it too.
    pub(super) fn new_attributes(&self) -> Attributes {
        let set = self.asked.set & !self.recursive.clear | self.recursive.set;
        let atime = self.recursive.atime.or(self.asked.atime);
        Asked { set, clear: 0, atime }.attributes()
    }
}

/// The options that stand for themselves.
const WORDS: [&str; 3] = ["bind", "rbind", "defaults"];

/// The options about access times.
const ATIMES: [&str; 6] = ["atime", "noatime", "relatime", "norelatime", "strictatime", "nostrictatime"];

/// Every option that is understood, sorted: what else there may be is the filesystem's own.
pub(super) fn known() -> Vec<String> {
    let attributes: Vec<&str> = Attributes::NAMES.iter().flat_map(|(_, on, off)| [*on, *off]).chain(ATIMES).collect();
    let kinds = Propagation::NAMES.iter().map(|(_, name)| *name);
    let recursive = attributes.iter().copied().chain(kinds.clone()).map(|name| format!("r{name}"));
    let superblock = SUPERBLOCK.iter().map(|(name, ..)| *name);
    // What is not done yet can be taken back.
    let later = LATER.iter().filter(|(_, _, asks)| !asks).map(|(name, ..)| *name);
    let plain = attributes.iter().copied().chain(kinds).chain(superblock).chain(later).chain(WORDS);
    let mut known: Vec<String> = plain.map(str::to_owned).chain(recursive).collect();
    known.sort_unstable();
    known
}

/// Whether a word is one that `r` can stand before.
fn is_attribute(name: &str) -> bool {
    ATIMES.contains(&name) || Attributes::NAMES.iter().any(|(_, on, off)| *on == name || *off == name)
}

/// fsconfig(2) takes strings up to this.
const FSCONFIG_MAX: usize = 255;

/// A string for fsconfig(2).
pub(super) fn short(origin: &str, string: &str) -> Result<CString, Invalid> {
    if string.len() > FSCONFIG_MAX {
        let why = format!("{} bytes are more than the {FSCONFIG_MAX} that the kernel takes", string.len());
        return Err(Invalid::new(origin, why));
    }
    text(origin, string)
}

/// The parameters in one option: mount(2) takes them with commas between. A comma before a digit belongs to a list of
/// numbers (tmpfs(5), mpol=), and one between quotes to a label (SELinux).
fn split(option: &str) -> impl Iterator<Item = &str> {
    let bytes = option.as_bytes();
    let mut quoted = false;
    let mut cuts = vec![];
    for (at, byte) in bytes.iter().enumerate() {
        quoted ^= *byte == b'"';
        if *byte == b',' && !quoted && !bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
            cuts.push(at);
        }
    }
    let ends = cuts.clone().into_iter().chain([option.len()]);
    let starts = [0].into_iter().chain(cuts.into_iter().map(|at| at + 1));
    starts.zip(ends).filter_map(|(start, end)| option.get(start..end)).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(options: &[&str]) -> Result<Options, Invalid> {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        Options::read("/mounts/3", &options)
    }

    fn copied(options: &[&str]) -> (u64, u64) {
        let Attributes { set, clear } = read(options).unwrap().attributes();
        (set, clear)
    }

    #[test]
    fn only_what_is_named_is_changed_on_a_copy() {
        assert_eq!(copied(&["rbind", "defaults", ""]), (0, 0));
        assert_eq!(copied(&["ro", "nosuid"]), (3, 0));
        assert_eq!(copied(&["ro", "rw", "suid"]), (0, 3));
        assert_eq!(copied(&["nodev", "noexec", "nosymfollow", "nodiratime"]), (0x20_008c, 0));
    }

    #[test]
    fn access_times_are_one_field() {
        for (options, wanted) in [
            (&["noatime"][..], (0x10, 0x70)),
            (&["strictatime"], (0x20, 0x70)),
            (&["noatime", "strictatime"], (0x20, 0x70)),
            (&["strictatime", "relatime"], (0, 0x70)),
            (&["noatime", "atime"], (0, 0x70)),
            (&["atime"], (0, 0x70)),
            (&["strictatime", "atime"], (0x20, 0x70)),
            (&["strictatime", "nostrictatime"], (0, 0x70)),
            (&["relatime", "norelatime"], (0, 0)),
            (&["norelatime"], (0, 0)),
        ] {
            assert_eq!(copied(options), wanted, "{options:?}");
        }
    }

    #[test]
    fn a_new_mount_is_made_with_what_stays_set() {
        let made = |options| read(options).unwrap().new_attributes();
        assert_eq!(made(&["ro", "nosuid", "suid"]), Attributes { set: 1, clear: 0 });
        assert_eq!(made(&["nosuid", "rro", "rsuid"]), Attributes { set: 1, clear: 0 });
        assert_eq!(made(&["strictatime"]), Attributes { set: 0x20, clear: 0x70 });
        assert_eq!(made(&["rnoatime"]), Attributes { set: 0x10, clear: 0x70 });
    }

    #[test]
    fn recursive_options_and_propagation() {
        let options = read(&["rbind", "rro", "rnosuid", "rslave", "shared", "rstrictatime"]).unwrap();
        assert_eq!(options.copy, Some(Copy::Tree));
        assert_eq!(options.recursive_attributes(), Attributes { set: 0x23, clear: 0x70 });
        assert!(options.attributes().is_none());
        let shown: Vec<_> = options.propagation.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["rslave", "shared"]);
    }

    #[test]
    fn what_is_left_belongs_to_the_filesystem() {
        let options = read(&["mode=755,size=64k", "newinstance", "mpol=bind:0,2", "sync", "async", "dirsync"]).unwrap();
        let shown = |data: &[Data]| -> Vec<_> {
            data.iter().map(|d| format!("{:?}={:?}@{}", d.key, d.value, d.option)).collect()
        };
        assert_eq!(
            shown(&options.data),
            [
                r#""mode"=Some("755")@0"#,
                r#""size"=Some("64k")@0"#,
                r#""newinstance"=None@1"#,
                r#""mpol"=Some("bind:0,2")@2"#
            ]
        );
        assert_eq!(shown(&options.superblock), [r#""dirsync"=None@5"#]);
        let long = format!("lowerdir=/{}", "x".repeat(255));
        assert_eq!(read(&["ro", &long]).unwrap_err().origin, "/mounts/3/options/1");
    }

    #[test]
    fn what_is_not_supported_yet_is_refused_unless_it_is_taken_back() {
        for (options, origin) in [
            (&["ro", "tmpcopyup"][..], "/mounts/3/options/1"),
            (&["remount"], "/mounts/3/options/0"),
            (&["bind", "ro", "ridmap"], "/mounts/3/options/2"),
            (&["bind", "idmap=uids=0-1-2"], "/mounts/3/options/1"),
            (&["loud", "silent"], "/mounts/3/options/1"),
        ] {
            let invalid = read(options).unwrap_err();
            assert_eq!((invalid.origin.as_str(), invalid.unsupported), (origin, true));
        }
        assert!(read(&["lazytime", "nolazytime", "noiversion", "loud"]).is_ok());
    }

    #[test]
    fn what_is_known_is_understood_and_what_is_not_supported_is_not_known() {
        let known = known();
        assert!(known.windows(2).all(|pair| pair[0] < pair[1]), "sorted, each once: {known:?}");
        for option in &known {
            let read = read(&[option]).unwrap_or_else(|invalid| panic!("{option}: {invalid}"));
            assert!(read.data.is_empty(), "{option} is left to the filesystem");
        }
        for (option, _, asks) in LATER {
            assert_eq!(known.iter().any(|known| known == option), !asks, "{option}");
        }
        // And nothing is missing: each word of the tables that is understood is known.
        for option in ["ro", "rrw", "rnosymfollow", "nostrictatime", "rnorelatime", "runbindable", "dirsync", "nomand"]
        {
            assert!(known.iter().any(|known| known == option), "{option}");
        }
    }

    proptest! {
        #[test]
        fn of_contrary_options_the_last_one_wins(picks in prop::collection::vec((0usize..6, any::<bool>(), any::<bool>()), 0..40)) {
            let word = |(which, on, recursive): &(usize, bool, bool)| {
                let (_, set, unset) = Attributes::NAMES[*which];
                format!("{}{}", if *recursive { "r" } else { "" }, if *on { set } else { unset })
            };
            let options: Vec<String> = picks.iter().map(word).collect();
            let options = Options::read("/mounts/0", &options).unwrap();
            for (which, (bit, ..)) in Attributes::NAMES.into_iter().enumerate() {
                for (recursive, got) in [(false, options.attributes()), (true, options.recursive_attributes())] {
                    let last = picks.iter().rfind(|(w, _, r)| *w == which && *r == recursive).map(|(_, on, _)| *on);
                    prop_assert_eq!(got.set & bit != 0, last == Some(true));
                    prop_assert_eq!(got.clear & bit != 0, last == Some(false));
                }
            }
        }
    }
}
