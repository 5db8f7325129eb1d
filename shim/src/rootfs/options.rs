//! The options of a mount in the words of fstab(5) and mount(8), taken apart for the kernel's calls.

use rustix::mount::MountAttrFlags;

use runtime_core::IdRange;

use crate::api::Mount;

/// Words of a mount's own attributes: what they set, and what they take back of what other words have set.
const ATTRIBUTES: [(&str, MountAttrFlags, MountAttrFlags); 18] = {
    use MountAttrFlags as Flags;
    const NONE: Flags = Flags::empty();
    [
        ("ro", Flags::MOUNT_ATTR_RDONLY, NONE),
        ("rw", NONE, Flags::MOUNT_ATTR_RDONLY),
        ("nosuid", Flags::MOUNT_ATTR_NOSUID, NONE),
        ("suid", NONE, Flags::MOUNT_ATTR_NOSUID),
        ("nodev", Flags::MOUNT_ATTR_NODEV, NONE),
        ("dev", NONE, Flags::MOUNT_ATTR_NODEV),
        ("noexec", Flags::MOUNT_ATTR_NOEXEC, NONE),
        ("exec", NONE, Flags::MOUNT_ATTR_NOEXEC),
        ("noatime", Flags::MOUNT_ATTR_NOATIME, Flags::MOUNT_ATTR_STRICTATIME),
        ("atime", NONE, Flags::MOUNT_ATTR_NOATIME),
        ("strictatime", Flags::MOUNT_ATTR_STRICTATIME, Flags::MOUNT_ATTR_NOATIME),
        ("nostrictatime", NONE, Flags::MOUNT_ATTR_STRICTATIME),
        // What the kernel does anyway, where no other word is there.
        ("relatime", NONE, Flags::MOUNT_ATTR_NOATIME.union(Flags::MOUNT_ATTR_STRICTATIME)),
        ("norelatime", NONE, NONE),
        ("nodiratime", Flags::MOUNT_ATTR_NODIRATIME, NONE),
        ("diratime", NONE, Flags::MOUNT_ATTR_NODIRATIME),
        ("nosymfollow", Flags::MOUNT_ATTR_NOSYMFOLLOW, NONE),
        ("symfollow", NONE, Flags::MOUNT_ATTR_NOSYMFOLLOW),
    ]
};

/// Words of the filesystem's, whatever its type: which flag of fsconfig(2) they switch on, or back.
const FLAGS: [(&str, &str, bool); 11] = [
    ("ro", "ro", true),
    ("rw", "ro", false),
    ("sync", "sync", true),
    ("async", "sync", false),
    ("dirsync", "dirsync", true),
    ("mand", "mand", true),
    ("nomand", "mand", false),
    ("lazytime", "lazytime", true),
    ("nolazytime", "lazytime", false),
    ("iversion", "iversion", true),
    ("noiversion", "iversion", false),
];

/// Words of propagation (mount_namespaces(7)): MS_*, and whether it is for all that is mounted below.
const PROPAGATIONS: [(&str, u64, bool); 8] = [
    ("private", libc_ms::PRIVATE, false),
    ("rprivate", libc_ms::PRIVATE, true),
    ("shared", libc_ms::SHARED, false),
    ("rshared", libc_ms::SHARED, true),
    ("slave", libc_ms::SLAVE, false),
    ("rslave", libc_ms::SLAVE, true),
    ("unbindable", libc_ms::UNBINDABLE, false),
    ("runbindable", libc_ms::UNBINDABLE, true),
];

/// As mount_setattr(2) takes them.
mod libc_ms {
    use rustix::mount::MountPropagationFlags as Flags;

    pub(super) const PRIVATE: u64 = Flags::PRIVATE.bits() as u64;
    pub(super) const SHARED: u64 = Flags::SHARED.bits() as u64;
    pub(super) const SLAVE: u64 = Flags::DOWNSTREAM.bits() as u64;
    pub(super) const UNBINDABLE: u64 = Flags::UNBINDABLE.bits() as u64;
}

/// What a mount is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A copy of what is mounted at the source, where it is `deep` with all below.
    Bind { deep: bool },
    /// Layers.
    Overlay,
    /// A filesystem of its own.
    Filesystem,
}

/// How the ids of a mount are mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdMaps {
    pub(super) uids: Vec<IdRange>,
    pub(super) gids: Vec<IdRange>,
}

/// A mount's options, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options<'a> {
    pub(super) kind: Kind,
    pub(super) attributes: MountAttrFlags,
    /// The filesystem's flags, each `true` or not there.
    pub(super) flags: Vec<&'static str>,
    /// MS_*, and whether it is for all that is mounted below.
    pub(super) propagations: Vec<(u64, bool)>,
    pub(super) ids: Option<IdMaps>,
    /// What is for the filesystem itself to understand.
    pub(super) data: Vec<(&'a str, Option<&'a str>)>,
}

impl<'a> Options<'a> {
    /// Takes `mount` apart.
    ///
    /// # Errors
    /// Which word cannot be done.
    pub(super) fn read(mount: &'a Mount) -> Result<Self, String> {
        let kind = match mount.kind.as_str() {
            "bind" => Kind::Bind { deep: false },
            "rbind" => Kind::Bind { deep: true },
            "overlay" => Kind::Overlay,
            kind if kind.starts_with("fuse.") || kind.starts_with("fuse3.") => {
                return Err("filesystems that a program mounts are not supported".to_owned());
            }
            _ => Kind::Filesystem,
        };
        let mut options = Self {
            kind,
            attributes: MountAttrFlags::empty(),
            flags: Vec::new(),
            propagations: Vec::new(),
            ids: None,
            data: Vec::new(),
        };
        let (mut uids, mut gids) = (None, None);
        for word in mount.options.iter().map(String::as_str) {
            if let Some(maps) = word.strip_prefix("uidmap=") {
                uids = Some(ranges(maps)?);
            } else if let Some(maps) = word.strip_prefix("gidmap=") {
                gids = Some(ranges(maps)?);
            } else {
                options.add(word)?;
            }
        }
        options.ids = match (uids, gids) {
            (Some(uids), Some(gids)) => Some(IdMaps { uids, gids }),
            (None, None) => None,
            _ => return Err("uidmap and gidmap need each other".to_owned()),
        };
        Ok(options)
    }

    fn add(&mut self, word: &'a str) -> Result<(), String> {
        match word {
            "" | "defaults" => return Ok(()),
            "bind" => self.kind = Kind::Bind { deep: matches!(self.kind, Kind::Bind { deep: true }) },
            "rbind" => self.kind = Kind::Bind { deep: true },
            "loop" => return Err("loop devices are not supported".to_owned()),
            "remount" => return Err("remount is not supported".to_owned()),
            // For containerd's own mount manager.
            _ if word.starts_with("X-containerd.") => return Ok(()),
            _ => {}
        }
        let attribute = ATTRIBUTES.iter().find(|(known, ..)| *known == word);
        if let Some((_, set, clear)) = attribute {
            self.attributes = self.attributes.difference(*clear) | *set;
        }
        let flag = FLAGS.iter().find(|(known, ..)| *known == word);
        if let Some((_, flag, is_on)) = flag {
            self.flags.retain(|other| other != flag);
            self.flags.extend(is_on.then_some(*flag));
        }
        let propagation = PROPAGATIONS.iter().find(|(known, ..)| *known == word);
        self.propagations.extend(propagation.map(|(_, kind, deep)| (*kind, *deep)));
        let is_known =
            attribute.is_some() || flag.is_some() || propagation.is_some() || matches!(word, "bind" | "rbind");
        if !is_known {
            self.data.push(word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value))));
        }
        Ok(())
    }

    /// What the filesystem was told for `key`, the last time.
    pub(super) fn value(&self, key: &str) -> Option<&'a str> {
        self.data.iter().rev().find(|(known, _)| *known == key).and_then(|(_, value)| *value)
    }
}

/// `inside:outside:count`, any number of times with a comma between.
fn ranges(text: &str) -> Result<Vec<IdRange>, String> {
    let range = |text: &str| {
        let mut numbers = text.split(':').map(|number| number.parse().ok());
        let (inside, outside, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(IdRange { inside, outside, count })
    };
    text.split(',').map(|part| range(part).ok_or_else(|| format!("{part:?} is no id map"))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mount(kind: &str, options: &[&str]) -> Mount {
        Mount {
            kind: kind.to_owned(),
            source: "s".to_owned(),
            target: String::new(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        }
    }

    #[test]
    fn binds() {
        for (kind, words, deep) in [
            ("bind", &["rbind", "ro"][..], true),
            ("none", &["bind"], false),
            ("rbind", &["bind"], true),
            ("bind", &[], false),
        ] {
            let mount = mount(kind, words);
            assert_eq!(Options::read(&mount).unwrap().kind, Kind::Bind { deep }, "{kind} {words:?}");
        }
        let mount = mount("bind", &["rbind", "nosuid", "ro", "rw", "noatime", "strictatime", "rprivate"]);
        let options = Options::read(&mount).unwrap();
        assert_eq!(options.attributes, MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_STRICTATIME);
        assert_eq!(options.propagations, [(libc_ms::PRIVATE, true)]);
        assert_eq!((options.flags, options.data), (vec![], vec![]));
    }

    #[test]
    fn overlays() {
        let mount =
            mount("overlay", &["index=off", "X-containerd.x=1", "volatile", "lowerdir=/a:/b", "ro", "defaults"]);
        let options = Options::read(&mount).unwrap();
        assert_eq!(options.kind, Kind::Overlay);
        assert_eq!(options.data, [("index", Some("off")), ("volatile", None), ("lowerdir", Some("/a:/b"))]);
        assert_eq!((options.flags.as_slice(), options.value("lowerdir")), (&["ro"][..], Some("/a:/b")));
    }

    #[test]
    fn id_maps() {
        let with_ids = mount("bind", &["rbind", "uidmap=0:100000:65536,65536:1:1", "gidmap=0:0:1"]);
        let range = |inside, outside, count| IdRange { inside, outside, count };
        let ids = Options::read(&with_ids).unwrap().ids.unwrap();
        assert_eq!((ids.uids, ids.gids), (vec![range(0, 100_000, 65536), range(65536, 1, 1)], vec![range(0, 0, 1)]));
        for odd in [
            &["uidmap=0:0:1"][..],
            &["gidmap=0:0:1"],
            &["uidmap=0:0", "gidmap=0:0:1"],
            &["uidmap=-1:0:1"],
            &["uidmap="],
        ] {
            Options::read(&mount("bind", odd)).unwrap_err();
        }
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        for (kind, word, named) in
            [("ext4", "loop", "loop"), ("bind", "remount", "remount"), ("fuse3.overlayfs", "ro", "a program")]
        {
            assert!(Options::read(&mount(kind, &[word])).unwrap_err().contains(named));
        }
    }

    proptest! {
        #[test]
        fn no_words_panic(kind in "[a-z.3]{0,8}", words in proptest::collection::vec("[a-z=:,0-9-]{0,16}", 0..5)) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let _ = Options::read(&mount(&kind, &words));
        }
    }
}
