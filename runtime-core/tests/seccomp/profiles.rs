//! Random profiles and calls.

use oci_spec::runtime::LinuxSeccomp;
use proptest::prelude::*;
use runtime_core::compile::seccomp::Machine;
use runtime_core::oci_spec;
use serde_json::{Value, json};

use crate::interpreter::Data;
use crate::table::{CALLS, NONE};
use crate::{AARCH64, ARM, X32, X86, X86_64};

/// Calls of all architectures, of some, of one; such that stand for many, and what they stand for; one that is none.
const NAMES: [&str; 24] = [
    "read",
    "write",
    "open",
    "kill",
    "clone",
    "clone3",
    "personality",
    "openat2",
    "socket",
    "socketcall",
    "accept",
    "sendmsg",
    "recvmmsg",
    "semop",
    "ipc",
    "shmctl",
    "semtimedop",
    "mmap2",
    "setuid32",
    "io_setup",
    "rt_sigaction",
    "set_tls",
    "futex_time64",
    "teleport",
];

const ACTIONS: [&str; 8] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
];

const OPERATORS: [&str; 7] =
    ["SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"];

/// Few, so that they meet; at the edges of the halves.
const VALUES: [u64; 14] = [
    0,
    1,
    2,
    5,
    0x80,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0001,
    0x1_0000_0005,
    0x2_0000_0000,
    0x8000_0000_0000_0000,
    0xffff_ffff_0000_0000,
    u64::MAX,
];

/// How many kinds of rules a profile mixes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mix {
    /// The rules of one call do the same where they match, as in every profile that is in use.
    OneAction,
    /// Anything.
    Any,
}

fn action() -> impl Strategy<Value = (&'static str, Option<u32>)> {
    let errno = prop_oneof![3 => Just(None), 1 => Just(Some(13)), 1 => Just(Some(38))];
    (prop::sample::select(&ACTIONS[..]), errno)
        .prop_map(|(action, errno)| (action, errno.filter(|_| action.ends_with("ERRNO") || action.ends_with("TRACE"))))
}

fn arg() -> impl Strategy<Value = Value> {
    // Mostly of the first two, so that they meet.
    let index = prop::sample::select(&[0, 0, 0, 1, 1, 5][..]);
    (index, prop::sample::select(&OPERATORS[..]), value(), value())
        .prop_map(|(index, op, a, b)| json!({ "index": index, "op": op, "value": a, "valueTwo": b }))
}

fn value() -> impl Strategy<Value = u64> {
    prop::sample::select(&VALUES[..])
}

/// What libseccomp 2.5 knows as well: of Linux 5.17.
fn old() -> Vec<&'static str> {
    let is_new = |number: &u32| [335, 336].contains(number) || (451..600).contains(&(number & !X32));
    CALLS.iter().filter(|(_, row)| !row.iter().any(is_new)).map(|(name, _)| *name).collect()
}

fn rule() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        4 => prop::collection::vec(prop::sample::select(&NAMES[..]), 1..4),
        1 => prop::collection::vec(prop::sample::select(old()), 1..40),
    ];
    let args = prop_oneof![2 => Just(Vec::new()), 3 => prop::collection::vec(arg(), 1..4)];
    (names, action(), args).prop_map(
        |(names, (action, errno), args)| json!({ "names": names, "action": action, "errnoRet": errno, "args": args }),
    )
}

/// A profile for a machine.
pub(crate) fn any(machine: Machine, mix: Mix) -> impl Strategy<Value = LinuxSeccomp> {
    let archs = match machine {
        Machine::X86_64 => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"][..],
        Machine::Aarch64 => &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"][..],
    };
    let default = action().prop_filter("refused", |(action, _)| *action != "SCMP_ACT_NOTIFY");
    let archs = prop::sample::subsequence(archs, 0..=archs.len());
    (default, archs, prop::collection::vec(rule(), 0..10), action()).prop_map(move |((default, errno), archs, mut rules, one)| {
        if matches!(mix, Mix::OneAction) {
            rules.iter_mut().for_each(|rule| (rule["action"], rule["errnoRet"]) = (one.0.into(), json!(one.1)));
        }
        let json = json!({ "defaultAction": default, "defaultErrnoRet": errno, "architectures": archs, "syscalls": rules });
        serde_json::from_value(json).unwrap()
    })
}

/// A call that has something to do with the profile: a number it names or one beside it, and values it names or such beside
/// them.
pub(crate) fn call(profile: &LinuxSeccomp, machine: Machine, mut random: impl FnMut() -> usize) -> Data {
    let archs = match machine {
        Machine::X86_64 => [X86_64, X86_64, X86, X86_64],
        Machine::Aarch64 => [AARCH64, AARCH64, ARM, ARM],
    };
    let which = random() % 20;
    let arch = if which == 0 { [X86_64, X86, AARCH64, ARM, 0][random() % 5] } else { archs[which % 4] };
    let is_x32 = arch == X86_64 && which % 4 == 3;
    let column = match arch {
        X86_64 if is_x32 => 2,
        X86_64 => 0,
        X86 => 1,
        AARCH64 => 3,
        _ => 4,
    };
    let names: Vec<&str> = profile
        .syscalls()
        .iter()
        .flatten()
        .flat_map(|call| call.names())
        .map(String::as_str)
        .chain(["socketcall", "ipc"])
        .collect();
    let name = names[random() % names.len()];
    let named = CALLS.iter().find(|(known, _)| *known == name).map_or(NONE, |(_, row)| row[column]);
    let number = match random() % 12 {
        0 => named.wrapping_add(1),
        1 => named.wrapping_sub(1),
        2 => (random() as u32 % 600) | if is_x32 { X32 } else { 0 },
        3 if random().is_multiple_of(10) => u32::MAX,
        _ if named == NONE => random() as u32 % 500,
        _ => named,
    };
    let mut args = [0; 6];
    for arg in &mut args {
        let value = VALUES[random() % VALUES.len()];
        *arg = match random() % 6 {
            0 => value.wrapping_add(1),
            1 => value.wrapping_sub(1),
            2 => random() as u64 % 25,
            _ => value,
        };
    }
    Data { number, arch, args }
}
