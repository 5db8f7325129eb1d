//! The machines and architectures a filter can be for: their numbers, and how wide their arguments are.

use super::table::{CALLS, FOREIGN, NONE};

/// A kernel's machine: it runs programs of its own architecture, and of those that it is compatible with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// x86_64, with x86 and x32.
    X86_64,
    /// aarch64, with arm.
    Aarch64,
}

impl Machine {
    /// The one that this program was compiled for.
    pub const OWN: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    /// Its own architecture, which every filter is for.
    pub(super) const fn native(self) -> Arch {
        match self {
            Self::X86_64 => Arch::X86_64,
            Self::Aarch64 => Arch::Aarch64,
        }
    }

    /// Whether its kernel runs programs of this architecture.
    pub(super) fn runs(self, arch: Arch) -> bool {
        match self {
            Self::X86_64 => matches!(arch, Arch::X86_64 | Arch::X86 | Arch::X32),
            Self::Aarch64 => matches!(arch, Arch::Aarch64 | Arch::Arm),
        }
    }
}

/// An architecture whose system calls have numbers here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Arch {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
}

/// The bit of a number that says its call is one of x32 (linux/arch/x86/include/uapi/asm/unistd.h).
pub(super) const X32: u32 = 1 << 30;

/// From here on arm has calls of its own beside the common ones (linux/arch/arm/include/uapi/asm/unistd.h).
const ARM_PRIVATE: u32 = 0xf_0000;

impl Arch {
    /// What `struct seccomp_data` has for `arch`: `AUDIT_ARCH_*` of linux/audit.h. Those of x86_64 and x32 are the same.
    pub(super) const fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether arguments are compared in all their 64 bits. Those of x32 are not, as with libseccomp.
    pub(super) const fn is_wide(self) -> bool {
        matches!(self, Self::X86_64 | Self::Aarch64)
    }

    /// The number of a call whose row is given.
    fn number(self, row: &[u32; 5]) -> Option<u32> {
        Some(row[self as usize]).filter(|number| *number != NONE)
    }

    /// Whether a number is of the common sequence, in which a newer call has a higher number.
    pub(super) fn is_ordered(self, number: u32) -> bool {
        self != Self::Arm || number < ARM_PRIVATE
    }
}

/// A call that has numbers here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    row: &'static [u32; 5],
    /// Of x86 that is also made through one that stands for many: the number of that, and which of them is meant.
    pub(super) multiplexed: Option<(u32, u64)>,
}

impl Call {
    /// The call with this name.
    pub(super) fn of(name: &str) -> Option<Self> {
        row(name).map(|row| Self { row, multiplexed: multiplexed(name) })
    }

    pub(super) fn number(self, arch: Arch) -> Option<u32> {
        arch.number(self.row)
    }
}

/// The numbers of the call with this name.
pub(super) fn row(name: &str) -> Option<&'static [u32; 5]> {
    let index = CALLS.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    CALLS.get(index).map(|(_, row)| row)
}

/// The name of the call with this number, on the architecture that this program was compiled for.
pub(crate) fn name_of(number: u32) -> Option<&'static str> {
    let column = Machine::OWN.native() as usize;
    CALLS.iter().find(|(_, row)| row.get(column) == Some(&number)).map(|(name, _)| *name)
}

/// Whether only architectures that have no column know the name.
pub(super) fn is_foreign(name: &str) -> bool {
    FOREIGN.binary_search(&name).is_ok()
}

/// See [`Call::multiplexed`].
fn multiplexed(name: &str) -> Option<(u32, u64)> {
    /// socketcall(2), ipc(2).
    const SOCKETCALL: u32 = 102;
    const IPC: u32 = 117;
    // A name of none of them is told by its beginning.
    if !name.starts_with(|first| "abcglmrs".contains(first)) {
        return None;
    }
    let place = SOCKETCALLS.iter().position(|known| *known == name);
    place
        .map(|place| (SOCKETCALL, place as u64 + 1))
        .or_else(|| IPC_CALLS.iter().find(|(known, _)| *known == name).map(|(_, call)| (IPC, *call)))
}

/// From 1 on, as linux/net.h numbers them.
const SOCKETCALLS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// As linux/ipc.h numbers them.
const IPC_CALLS: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted() {
        assert!(CALLS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(FOREIGN.is_sorted());
        assert_eq!(row("read"), Some(&[0, 3, X32, 63, 3]));
        assert_eq!(row("teleport"), None);
        assert!(is_foreign("riscv_flush_icache") && !is_foreign("read"));
    }

    #[test]
    fn numbers_are_the_kernels() {
        // What nix and libc were compiled with.
        for (name, number) in [
            ("openat2", libc::SYS_openat2),
            ("execve", libc::SYS_execve),
            ("seccomp", libc::SYS_seccomp),
            ("statx", libc::SYS_statx),
            ("mount_setattr", libc::SYS_mount_setattr),
        ] {
            let native = Machine::OWN.native();
            assert_eq!(row(name).and_then(|row| native.number(row)), u32::try_from(number).ok(), "{name}");
        }
    }

    #[test]
    fn calls_that_stand_for_many() {
        assert_eq!(multiplexed("socket"), Some((102, 1)));
        assert_eq!(multiplexed("sendmmsg"), Some((102, 20)));
        assert_eq!(multiplexed("shmctl"), Some((117, 24)));
        assert_eq!(multiplexed("read"), None);
    }
}
