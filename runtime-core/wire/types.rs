//! The small values that ops are made of, each in the kernel's words.

use core::fmt;

use super::codec::{List, Reader, Sink, Text, Wire};

/// Defines a struct that lies in a plan as its fields one after the other.
macro_rules! record {
    ($(#[$doc:meta])* $name:ident $(<$life:lifetime>)? { $($(#[$fdoc:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name $(<$life>)? { $($(#[$fdoc])* pub $field: $ty,)* }

        record!(@wire $name $(<$life>)? { $($field: $ty,)* });
    };
    (@wire $name:ident { $($field:ident: $ty:ty,)* }) => {
        impl Wire<'_> for $name {
            fn put(&self, out: &mut impl Sink) { $(self.$field.put(out);)* }
            fn get(from: &mut Reader<'_>) -> Option<Self> { Some(Self { $($field: <$ty>::get(from)?,)* }) }
        }
    };
    (@wire $name:ident <$life:lifetime> { $($field:ident: $ty:ty,)* }) => {
        impl<$life> Wire<$life> for $name<$life> {
            fn put(&self, out: &mut impl Sink) { $(self.$field.put(out);)* }
            fn get(from: &mut Reader<$life>) -> Option<Self> { Some(Self { $($field: <$ty>::get(from)?,)* }) }
        }
    };
}

/// A numbered place for a descriptor in init. The first slots are inherited at spawn, the others are filled by init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub u16);

impl Slot {
    /// The container's root directory: filled when the root filesystem is attached.
    pub const ROOT: Self = Self(0);
    /// How many slots there are.
    pub const COUNT: usize = 4096;
}

impl Wire<'_> for Slot {
    fn put(&self, out: &mut impl Sink) {
        self.0.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Option<Self> {
        // Init indexes a table of COUNT entries by it.
        u16::get(from).filter(|n| usize::from(*n) < Self::COUNT).map(Self)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}", self.0)
    }
}

/// The eight kinds of namespaces (`clone(2)`, runtime-spec config-linux.md#namespaces).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Ns {
    /// `CLONE_NEWUSER`
    User,
    /// `CLONE_NEWPID`
    Pid,
    /// `CLONE_NEWNET`
    Network,
    /// `CLONE_NEWIPC`
    Ipc,
    /// `CLONE_NEWUTS`
    Uts,
    /// `CLONE_NEWCGROUP`
    Cgroup,
    /// `CLONE_NEWTIME`
    Time,
    /// `CLONE_NEWNS`
    Mount,
}

impl Ns {
    /// Every kind.
    pub const ALL: [Self; 8] =
        [Self::User, Self::Pid, Self::Network, Self::Ipc, Self::Uts, Self::Cgroup, Self::Time, Self::Mount];

    /// Its `CLONE_NEW*` flag.
    pub const fn flag(self) -> u32 {
        match self {
            Self::Time => 0x80,
            Self::Mount => 0x2_0000,
            Self::Cgroup => 0x0200_0000,
            Self::Uts => 0x0400_0000,
            Self::Ipc => 0x0800_0000,
            Self::User => 0x1000_0000,
            Self::Pid => 0x2000_0000,
            Self::Network => 0x4000_0000,
        }
    }

    /// Its name in config.json.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Pid => "pid",
            Self::Network => "network",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
            Self::Mount => "mount",
        }
    }
}

impl Wire<'_> for Ns {
    fn put(&self, out: &mut impl Sink) {
        (*self as u8).put(out);
    }
    fn get(from: &mut Reader<'_>) -> Option<Self> {
        Self::ALL.get(usize::from(u8::get(from)?)).copied()
    }
}

impl fmt::Display for Ns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of namespaces, as `CLONE_NEW*` flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spaces(pub u32);

impl Spaces {
    /// Whether `ns` is in the set.
    pub const fn has(self, ns: Ns) -> bool {
        self.0 & ns.flag() != 0
    }

    /// The set with `ns`.
    pub const fn with(self, ns: Ns) -> Self {
        Self(self.0 | ns.flag())
    }

    /// The set without `ns`.
    pub const fn without(self, ns: Ns) -> Self {
        Self(self.0 & !ns.flag())
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Wire<'_> for Spaces {
    fn put(&self, out: &mut impl Sink) {
        self.0.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Option<Self> {
        u32::get(from).map(Self)
    }
}

impl fmt::Display for Spaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut named = Ns::ALL.iter().filter(|ns| self.has(**ns));
        let Some(first) = named.next() else { return f.write_str("no") };
        write!(f, "{first}")?;
        named.try_for_each(|ns| write!(f, ", {ns}"))
    }
}

record! {
    /// What `mount_setattr(2)` is to set and to clear, as `MOUNT_ATTR_*`.
    Attributes {
        /// The attributes to set.
        set: u64,
        /// The attributes to clear first.
        clear: u64,
    }
}

impl Attributes {
    /// Nothing to change.
    pub const NONE: Self = Self { set: 0, clear: 0 };

    /// The mask of the access-time modes: they are one field of the attributes, not flags.
    pub const ATIME: u64 = 0x70;

    /// Whether nothing is to change.
    pub const fn is_none(self) -> bool {
        self.set == 0 && self.clear == 0
    }

    /// `MOUNT_ATTR_*`, the name of the option that sets it, and of the one that clears it.
    pub const NAMES: [(u64, &'static str, &'static str); 6] = [
        (0x01, "ro", "rw"),
        (0x02, "nosuid", "suid"),
        (0x04, "nodev", "dev"),
        (0x08, "noexec", "exec"),
        (0x80, "nodiratime", "diratime"),
        (0x20_0000, "nosymfollow", "symfollow"),
    ];
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let atime = match (self.clear & Self::ATIME, self.set & Self::ATIME) {
            (0, 0) => None,
            (_, 0) => Some("relatime"),
            (_, 0x10) => Some("noatime"),
            (_, _) => Some("strictatime"),
        };
        let flags = Self::NAMES.iter().filter_map(|(bit, on, off)| match (self.set & bit, self.clear & bit) {
            (0, 0) => None,
            (0, _) => Some(*off),
            (_, _) => Some(*on),
        });
        for (n, name) in flags.chain(atime).enumerate() {
            write!(f, "{}{name}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

record! {
    /// How a mount shares its mounts with its peers (mount_namespaces(7)).
    Propagation {
        /// One of `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE`.
        kind: u64,
        /// Whether the mounts below it change too.
        recursive: bool,
    }
}

impl Propagation {
    /// `MS_*`, and its word in config.json.
    pub const NAMES: [(u64, &'static str); 4] =
        [(1 << 17, "unbindable"), (1 << 18, "private"), (1 << 19, "slave"), (1 << 20, "shared")];
}

impl fmt::Display for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(kind, _)| *kind == self.kind).map_or("unknown", |(_, name)| name);
        write!(f, "{}{name}", if self.recursive { "r" } else { "" })
    }
}

record! {
    /// One parameter for `fsconfig(2)`.
    Param<'a> {
        /// Its name.
        key: Text<'a>,
        /// Its value; a flag has none.
        value: Option<Text<'a>>,
        /// Which of the mount's `options` in config.json it comes from.
        option: Option<u16>,
    }
}

record! {
    /// What sched_setattr(2) sets.
    SchedulerAttributes {
        /// `SCHED_*`
        policy: u32,
        /// `SCHED_FLAG_*`
        flags: u64,
        /// -20 to 19
        nice: i32,
        /// Of a realtime policy.
        priority: u32,
        /// Nanoseconds, of `SCHED_DEADLINE`.
        runtime: u64,
        /// Nanoseconds, of `SCHED_DEADLINE`.
        deadline: u64,
        /// Nanoseconds, of `SCHED_DEADLINE`.
        period: u64,
    }
}

/// What to do where a cgroup has no such file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing<'a> {
    /// It is an error.
    Fail,
    /// Nothing.
    Skip,
    /// Another file gets another value.
    Instead(Text<'a>, &'a [u8]),
}

impl<'a> Wire<'a> for Missing<'a> {
    fn put(&self, out: &mut impl Sink) {
        match self {
            Self::Fail => 0u8.put(out),
            Self::Skip => 1u8.put(out),
            Self::Instead(file, value) => {
                2u8.put(out);
                file.put(out);
                value.put(out);
            }
        }
    }
    fn get(from: &mut Reader<'a>) -> Option<Self> {
        match u8::get(from)? {
            0 => Some(Self::Fail),
            1 => Some(Self::Skip),
            2 => Some(Self::Instead(Text::get(from)?, <&[u8]>::get(from)?)),
            _ => None,
        }
    }
}

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fail => Ok(()),
            Self::Skip => f.write_str(", if it is there"),
            Self::Instead(file, value) => {
                write!(f, ", or else {} to \"{}\"", file.bytes().escape_ascii(), value.escape_ascii())
            }
        }
    }
}

/// What must stand, or is made, where something is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Target {
    /// A directory; symbolic links are followed inside the container's root.
    Directory,
    /// A directory reached without a symbolic link (CVE-2019-19921, CVE-2023-27561).
    RealDirectory,
    /// A directory or a file, as the source is.
    LikeSource,
    /// /proc, or what may be covered in it: as the source is, reached without a symbolic link. No other place may lie in a
    /// procfs (CVE-2019-16884).
    OfProc,
}

impl Wire<'_> for Target {
    fn put(&self, out: &mut impl Sink) {
        (*self as u8).put(out);
    }
    fn get(from: &mut Reader<'_>) -> Option<Self> {
        match u8::get(from)? {
            0 => Some(Self::Directory),
            1 => Some(Self::RealDirectory),
            2 => Some(Self::LikeSource),
            3 => Some(Self::OfProc),
            _ => None,
        }
    }
}

record! {
    /// A path of the container: resolved below a directory that is held open, never by string.
    Place<'a> {
        /// The directory from which it is resolved.
        base: Slot,
        /// How many bytes of `path` lead to that directory.
        skip: u16,
        /// The whole path, from the container's root.
        path: Text<'a>,
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)
    }
}

record! {
    /// A line of an id map (user_namespaces(7)).
    IdMap {
        /// The first id inside the namespace.
        inside: u32,
        /// The first id outside of it.
        outside: u32,
        /// How many ids.
        count: u32,
    }
}

record! {
    /// A device node's type and numbers.
    Device {
        /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`, with the permission bits.
        mode: u32,
        /// The major number.
        major: u32,
        /// The minor number.
        minor: u32,
    }
}

impl Device {
    /// `/dev/null` (Linux Documentation/admin-guide/devices.txt).
    pub const NULL: Self = Self { mode: 0o020_666, major: 1, minor: 3 };
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mode & 0o170_000 {
            0o010_000 => f.write_str("fifo"),
            0o060_000 => write!(f, "block {}:{}", self.major, self.minor),
            _ => write!(f, "character {}:{}", self.major, self.minor),
        }
    }
}

record! {
    /// The size of a terminal in characters (TIOCSWINSZ, ioctl_tty(2)).
    WindowSize {
        /// How many rows.
        rows: u16,
        /// How many columns.
        columns: u16,
    }
}

impl fmt::Display for WindowSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows and {} columns", self.rows, self.columns)
    }
}

record! {
    /// The four capability sets that one process holds, as bit sets (capabilities(7)); the bounding set is apart.
    Capabilities {
        /// What counts in a check.
        effective: u64,
        /// What may be made effective.
        permitted: u64,
        /// What a file's inheritable set may let through an execve.
        inheritable: u64,
        /// What passes an execve of an ordinary file.
        ambient: u64,
    }
}

/// The six kinds of hooks (runtime-spec config.md#posix-platform-hooks), in the order of a container's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum HookKind {
    /// On the host, before the root is changed. The spec's older name for [`Self::CreateRuntime`].
    Prestart,
    /// On the host, before the root is changed.
    CreateRuntime,
    /// In the container's namespaces, before the root is changed.
    CreateContainer,
    /// In the container, before the user's program.
    StartContainer,
    /// On the host, once the user's program was executed.
    Poststart,
    /// On the host, once the container is deleted.
    Poststop,
}

impl HookKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    /// Its name in config.json.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// The container's status while such a hook runs, as the state on its standard input says it (runtime.md#state).
    pub const fn status(self) -> &'static str {
        match self {
            Self::Prestart | Self::CreateRuntime | Self::CreateContainer => "creating",
            Self::StartContainer => "created",
            Self::Poststart => "running",
            Self::Poststop => "stopped",
        }
    }
}

impl Wire<'_> for HookKind {
    fn put(&self, out: &mut impl Sink) {
        (*self as u8).put(out);
    }
    fn get(from: &mut Reader<'_>) -> Option<Self> {
        Self::ALL.get(usize::from(u8::get(from)?)).copied()
    }
}

impl fmt::Display for HookKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

record! {
    /// A hook: a program that is executed at one point of a container's life.
    Hook<'a> {
        /// At which point.
        kind: HookKind,
        /// Which of its kind, from 0.
        index: u32,
        /// The program; absolute.
        path: Text<'a>,
        /// Its arguments, its own name included.
        args: List<'a, Text<'a>>,
        /// Its whole environment.
        env: List<'a, Text<'a>>,
        /// Which of `env` is replaced by the home directory that [`super::InitOp::FindHome`] found.
        home: Option<u16>,
        /// How long it may run, in seconds.
        timeout: u32,
    }
}

impl fmt::Display for Hook<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hook #{}, {}", self.kind, self.index, self.path)
    }
}

/// Texts with commas between them.
pub(super) struct Joined<'a, T>(pub(super) &'a List<'a, T>);

impl<'a, T: Wire<'a> + Copy + fmt::Display> fmt::Display for Joined<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
