//! The options of a mount (runtime-spec config.md#linux-mount-options): read once, in order, the last one wins.

use super::Invalid;
use super::text::{below, text};
use crate::wire::{Attributes, Propagation};
use std::ffi::CString;

/// `MOUNT_ATTR_RDONLY`
pub(super) const RDONLY: u64 = 0x1;
/// `MOUNT_ATTR_RDONLY`, `NOSUID`, `NODEV` and `NOEXEC` (mount_setattr(2))
pub(super) const ALL_TAKEN: u64 = RDONLY | 0x2 | 0x4 | 0x8;
/// What a mount has or has not whatever its filesystem is: `ALL_TAKEN`, and `MOUNT_ATTR_NOSYMFOLLOW`.
const FLAGS: u64 = ALL_TAKEN | 0x20_0000;
const NODIRATIME: u64 = 0x80;
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
    /// What of `atime` an option asked for by its own name, and none took back.
    atime_by_name: Option<u64>,
    /// Whether there was any option at all.
    any: bool,
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
        let (mode, on) = match option {
            "noatime" | "atime" => (NOATIME, option == "noatime"),
            "strictatime" | "nostrictatime" => (STRICTATIME, option == "strictatime"),
            _ => (0, option == "relatime"),
        };
        if on {
            self.atime_by_name = Some(mode);
        } else if self.atime_by_name == Some(mode) {
            self.atime_by_name = None;
        }
    }

    /// What a copy is to have: once one flag is named, it has those that are named and no other, as a remount by mount(2)
    /// leaves it; access times stay as they are unless a mode of them is named. Also, what of it nobody named; but what
    /// `recursive` sets is named there.
    fn replacing(self, recursive: Self) -> (Attributes, u64) {
        if !self.any {
            return (Attributes::NONE, 0);
        }
        let (mut set, mut clear) = (self.set & FLAGS, FLAGS & !self.set & !(recursive.set & !self.clear));
        if self.atime_by_name.is_some() || self.set & NODIRATIME != 0 {
            set |= self.set & NODIRATIME | self.atime_by_name.unwrap_or(0);
            clear |= Attributes::ATIME | NODIRATIME & !self.set;
        }
        (Attributes { set, clear }, clear & !Attributes::ATIME & !self.clear)
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
    /// Flags of the superblock beside `ro`, each once.
    pub(super) superblock: Vec<Flag>,
    /// `remount`, and where it is asked for.
    pub(super) remount: Option<u16>,
    /// `tmpcopyup`, and where it is asked for.
    pub(super) copy_up: Option<u16>,
    /// `idmap` or `ridmap`
    pub(super) idmap: Option<IdMapped>,
    /// What is the filesystem's own.
    pub(super) data: Vec<Data>,
}

/// `idmap` or `ridmap`, and where it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdMapped {
    pub(super) recursive: bool,
    pub(super) option: u16,
}

/// A flag of the superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flag {
    about: About,
    on: bool,
    /// The word that asked for it last.
    pub(super) word: &'static str,
    pub(super) option: u16,
}

/// What a flag of the superblock is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Sync,
    DirSync,
    Mandatory,
    LazyTime,
    Versions,
    Silence,
    Acl,
}

/// Flags of the superblock: an option, what it is about, and whether it sets it.
const SUPERBLOCK: [(&str, About, bool); 13] = [
    ("sync", About::Sync, true),
    ("async", About::Sync, false),
    ("dirsync", About::DirSync, true),
    ("mand", About::Mandatory, true),
    ("nomand", About::Mandatory, false),
    ("lazytime", About::LazyTime, true),
    ("nolazytime", About::LazyTime, false),
    ("iversion", About::Versions, true),
    ("noiversion", About::Versions, false),
    ("silent", About::Silence, true),
    ("loud", About::Silence, false),
    ("acl", About::Acl, true),
    ("noacl", About::Acl, false),
];

/// Whose inodes have a version that always counts, so that `iversion` asks for nothing.
const KEEP_VERSIONS: [&str; 5] = ["btrfs", "ext4", "nfs4", "tmpfs", "xfs"];
/// Who has a parameter of its own for `acl` and `noacl`.
const SWITCH_ACL: [&str; 6] = ["btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs"];
/// Who always has access control lists.
const KEEP_ACL: [&str; 4] = ["fuse", "overlay", "tmpfs", "xfs"];

/// How a flag reaches a filesystem.
pub(super) enum Reaches {
    /// By fsconfig(2) with this name.
    As(&'static str),
    /// It is so already.
    Already,
    /// Not at all: mount(2) has a flag that fsconfig(2) has not.
    Never,
}

impl Flag {
    /// How it reaches a filesystem of this type; `new`: one that has no flag yet, so that none is to be taken back.
    pub(super) fn reaches(&self, fstype: &str, new: bool) -> Reaches {
        let unless_new = |word| if new { Reaches::Already } else { Reaches::As(word) };
        match (self.about, self.on) {
            (About::Sync, false) => unless_new("async"),
            (About::Mandatory, false) => unless_new("nomand"),
            (About::LazyTime, false) => unless_new("nolazytime"),
            (About::Sync | About::DirSync | About::Mandatory | About::LazyTime, true) => Reaches::As(self.word),
            // What the kernel says goes to the filesystem context, and so into the error, and not to its log.
            (About::Silence, _) | (About::DirSync, false) => Reaches::Already,
            (About::Versions, on) if on == KEEP_VERSIONS.contains(&fstype) => Reaches::Already,
            (About::Acl, _) if SWITCH_ACL.contains(&fstype) => Reaches::As(self.word),
            (About::Acl, on) if on == KEEP_ACL.contains(&fstype) => Reaches::Already,
            (About::Versions | About::Acl, _) => Reaches::Never,
        }
    }
}

impl Options {
    /// Reads the options below `pointer`, a mount's.
    pub(super) fn read(pointer: &str, options: &[String]) -> Result<Self, Invalid> {
        let mut read = Self::default();
        for (index, option) in options.iter().enumerate() {
            let origin = below(&below(pointer, "options"), index);
            let index = u16::try_from(index).map_err(|_| Invalid::new(origin.as_str(), "too many options"))?;
            if option.starts_with("idmap=") || option.starts_with("ridmap=") {
                let why = "id maps are given as the mount's uidMappings and gidMappings, not in its options";
                return Err(Invalid::unsupported(origin, why));
            }
            if !read.flag(option) && !read.propagate(option) && !read.act(option, index) {
                read.parameters(&origin, option, index)?;
            }
        }
        Ok(read)
    }

    /// Takes what is to be done beside mounting, and flags of the superblock.
    fn act(&mut self, option: &str, index: u16) -> bool {
        match option {
            "remount" => self.remount = Some(index),
            "tmpcopyup" => self.copy_up = Some(index),
            "idmap" | "ridmap" => self.idmap = Some(IdMapped { recursive: option == "ridmap", option: index }),
            _ => {
                let Some((word, about, on)) = SUPERBLOCK.iter().find(|(word, ..)| *word == option) else {
                    return false;
                };
                self.superblock.retain(|earlier| earlier.about != *about);
                self.superblock.push(Flag { about: *about, on: *on, word, option: index });
            }
        }
        true
    }

    /// Takes what is a flag of the mount or of what is copied.
    fn flag(&mut self, option: &str) -> bool {
        let (asked, name) = match option.strip_prefix('r') {
            Some(name) if is_attribute(name) => (&mut self.recursive, name),
            _ => (&mut self.asked, option),
        };
        if ATIMES.contains(&name) {
            asked.any = true;
            asked.atime(name);
            return true;
        }
        for (bit, on, off) in Attributes::NAMES {
            if name == on || name == off {
                asked.any = true;
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

    /// What is to change on the top of what is copied, and what of that nobody named.
    pub(super) fn replacing_attributes(&self) -> (Attributes, u64) {
        self.asked.replacing(self.recursive)
    }

    /// What is to change on the top of what is there.
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
        Asked { set, atime, ..Asked::default() }.attributes()
    }
}

/// The options that stand for themselves.
const WORDS: [&str; 7] = ["bind", "rbind", "defaults", "remount", "tmpcopyup", "idmap", "ridmap"];

/// The options about access times.
const ATIMES: [&str; 6] = ["atime", "noatime", "relatime", "norelatime", "strictatime", "nostrictatime"];

/// Every option that is understood, sorted: what else there may be is the filesystem's own.
pub(super) fn known() -> Vec<String> {
    let attributes: Vec<&str> = Attributes::NAMES.iter().flat_map(|(_, on, off)| [*on, *off]).chain(ATIMES).collect();
    let kinds = Propagation::NAMES.iter().map(|(_, name)| *name);
    let recursive = attributes.iter().copied().chain(kinds.clone()).map(|name| format!("r{name}"));
    let superblock = SUPERBLOCK.iter().map(|(name, ..)| *name);
    let plain = attributes.iter().copied().chain(kinds).chain(superblock).chain(WORDS);
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
    fn a_copy_with_flags_has_no_others() {
        let replaced = |options| {
            let (Attributes { set, clear }, implied) = read(options).unwrap().replacing_attributes();
            (set, clear, implied)
        };
        // 0x20_000f: ro, nosuid, nodev, noexec, nosymfollow.
        for (options, wanted) in [
            (&["rbind", "rprivate", "defaults", "sync"][..], (0, 0, 0)),
            (&["ro"], (1, 0x20_000e, 0x20_000e)),
            (&["rw"], (0, 0x20_000f, 0x20_000e)),
            (&["dev", "nosuid"], (2, 0x20_000d, 0x20_0009)),
            (&["noatime"], (0x10, 0x20_00ff, 0x20_008f)),
            (&["noatime", "atime"], (0, 0x20_000f, 0x20_000f)),
            (&["atime"], (0, 0x20_000f, 0x20_000f)),
            (&["diratime"], (0, 0x20_000f, 0x20_000f)),
            (&["nodiratime"], (0x80, 0x20_007f, 0x20_000f)),
            (&["nodiratime", "norelatime"], (0x80, 0x20_007f, 0x20_000f)),
            (&["nodiratime", "strictatime"], (0xa0, 0x20_007f, 0x20_000f)),
            (&["rro"], (0, 0, 0)),
            (&["rro", "nosuid"], (2, 0x20_000c, 0x20_000c)),
            (&["rro", "rw"], (0, 0x20_000f, 0x20_000e)),
        ] {
            assert_eq!(replaced(options), wanted, "{options:?}");
        }
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
        let flags: Vec<_> = options.superblock.iter().map(|flag| (flag.word, flag.option)).collect();
        assert_eq!(flags, [("async", 4), ("dirsync", 5)]);
        let long = format!("lowerdir=/{}", "x".repeat(255));
        assert_eq!(read(&["ro", &long]).unwrap_err().origin, "/mounts/3/options/1");
    }

    #[test]
    fn what_is_done_beside_mounting() {
        let options = read(&["ro", "remount", "tmpcopyup", "idmap", "ridmap"]).unwrap();
        assert_eq!((options.remount, options.copy_up), (Some(1), Some(2)));
        assert_eq!(options.idmap, Some(IdMapped { recursive: true, option: 4 }));
        let invalid = read(&["bind", "idmap=uids=0-1-2"]).unwrap_err();
        assert_eq!((invalid.origin.as_str(), invalid.unsupported), ("/mounts/3/options/1", true));
    }

    #[test]
    fn a_flag_of_the_superblock_reaches_who_takes_it() {
        let reach =
            |option: &str, fstype: &str, new: bool| match read(&[option]).unwrap().superblock[0].reaches(fstype, new) {
                Reaches::As(word) => word,
                Reaches::Already => "already",
                Reaches::Never => "never",
            };
        for (option, fstype, new, wanted) in [
            ("lazytime", "tmpfs", true, "lazytime"),
            ("nolazytime", "tmpfs", true, "already"),
            ("nolazytime", "tmpfs", false, "nolazytime"),
            ("async", "ext4", false, "async"),
            ("silent", "ext4", true, "already"),
            ("loud", "ext4", true, "already"),
            ("iversion", "tmpfs", true, "already"),
            ("iversion", "vfat", true, "never"),
            ("noiversion", "vfat", true, "already"),
            ("noiversion", "xfs", true, "never"),
            ("acl", "ext4", true, "acl"),
            ("noacl", "ext4", true, "noacl"),
            ("acl", "tmpfs", true, "already"),
            ("noacl", "tmpfs", true, "never"),
            ("acl", "vfat", true, "never"),
            ("noacl", "vfat", true, "already"),
        ] {
            assert_eq!(reach(option, fstype, new), wanted, "{option} of {fstype}");
        }
    }

    #[test]
    fn what_is_known_is_understood() {
        let known = known();
        assert!(known.windows(2).all(|pair| pair[0] < pair[1]), "sorted, each once: {known:?}");
        for option in &known {
            let read = read(&[option]).unwrap_or_else(|invalid| panic!("{option}: {invalid}"));
            assert!(read.data.is_empty(), "{option} is left to the filesystem");
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
