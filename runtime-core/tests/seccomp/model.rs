//! What a profile means, naively: every rule is looked at for every call.

use std::cmp::Reverse;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompOperator as Op,
};
use runtime_core::oci_spec;
use serde_json::json;

use crate::interpreter::Data;
use crate::libseccomp::action;
use crate::table::{CALLS, NONE};
use crate::{AARCH64, ARM, X32, X86, X86_64};

/// A rule's conditions, all of which must hold, and its action.
pub(crate) type Alternative = (Vec<LinuxSeccompArg>, u32);

/// The architecture of a call: its column in the table.
pub(crate) fn column(data: &Data) -> Option<usize> {
    match data.arch {
        X86_64 if data.number & X32 != 0 => Some(2),
        X86_64 => Some(0),
        X86 => Some(1),
        AARCH64 => Some(3),
        ARM => Some(4),
        _ => None,
    }
}

/// The name of a call.
pub(crate) fn name(data: &Data) -> Option<String> {
    let column = column(data)?;
    CALLS.iter().find(|(_, row)| row[column] == data.number).map(|(name, _)| (*name).to_owned())
}

fn is_listed(profile: &LinuxSeccomp, column: usize, native: u32) -> bool {
    let archs = profile.architectures().as_deref().unwrap_or_default();
    match column {
        0 => native == X86_64,
        3 => native == AARCH64,
        1 => native == X86_64 && archs.contains(&Arch::ScmpArchX86),
        2 => native == X86_64 && archs.contains(&Arch::ScmpArchX32),
        _ => native == AARCH64 && archs.contains(&Arch::ScmpArchArm),
    }
}

fn number(name: &str, column: usize) -> Option<u32> {
    let place = CALLS.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    Some(CALLS[place].1[column]).filter(|number| *number != NONE)
}

/// Whether the call is above all that the profile names, and the profile denies what it does not name.
pub(crate) fn is_newer(profile: &LinuxSeccomp, data: &Data) -> bool {
    let Some(column) = column(data) else { return false };
    let permissive = [Action::ScmpActAllow, Action::ScmpActLog, Action::ScmpActTrace];
    let names = || profile.syscalls().iter().flatten().flat_map(|call| call.names());
    let mut numbers: Vec<u32> = names().filter_map(|name| number(name, column)).collect();
    // A name of those that socketcall(2) and ipc(2) stand for names these too.
    let mut through = names().filter_map(|name| multiplexed(name)).map(|(number, _)| number);
    if numbers.contains(&data.number) || column == 1 && through.any(|number| number == data.number) {
        return false;
    }
    // Arm's own calls are above all others.
    numbers.retain(|number| column != 4 || *number < 0xf_0000);
    let last = numbers.into_iter().max().unwrap_or(0);
    last != 0 && data.number > last && !permissive.contains(&profile.default_action())
}

/// All rules for a call, in their order.
pub(crate) fn alternatives(profile: &LinuxSeccomp, data: &Data) -> Vec<Alternative> {
    let default = action(profile.default_action(), profile.default_errno_ret());
    let Some(column) = column(data) else { return Vec::new() };
    let mut all = Vec::new();
    for call in profile.syscalls().iter().flatten() {
        let action = action(call.action(), call.errno_ret());
        let args = call.args().clone().unwrap_or_default();
        let is_twice = (0..6).any(|index| args.iter().filter(|arg| arg.index() == index).count() > 1);
        let lists: Vec<Vec<_>> = if is_twice { args.iter().map(|arg| vec![*arg]).collect() } else { vec![args] };
        for name in call.names().iter().filter(|_| action != default) {
            if number(name, column) == Some(data.number) {
                all.extend(lists.iter().map(|list| (list.clone(), action)));
            }
            let many = if column == 1 { multiplexed(name) } else { None };
            if let Some((_, which)) = many.filter(|(number, _)| *number == data.number) {
                for list in &lists {
                    let mut list: Vec<_> = list.iter().filter(|arg| arg.index() != 0).cloned().collect();
                    let first = json!({ "index": 0, "value": which, "op": "SCMP_CMP_EQ" });
                    list.push(serde_json::from_value(first).unwrap());
                    all.push((list, action));
                }
            }
        }
    }
    all
}

/// socketcall(2) and ipc(2).
fn multiplexed(name: &str) -> Option<(u32, u64)> {
    let socket = "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown \
                  setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg";
    let ipc = "0 semop semget semctl semtimedop 0 0 0 0 0 0 msgsnd msgrcv msgget msgctl 0 0 0 0 0 0 shmat shmdt shmget shmctl";
    let place = |list: &str| list.split_whitespace().position(|known| known == name).map(|place| place as u64);
    place(socket).map(|place| (102, place + 1)).or_else(|| place(ipc).map(|place| (117, place)))
}

fn is_narrow(data: &Data) -> bool {
    matches!(column(data), Some(1 | 2 | 4))
}

fn holds(arg: &LinuxSeccompArg, data: &Data) -> bool {
    let width = if is_narrow(data) { u32::MAX.into() } else { u64::MAX };
    let (is, value) = (data.args[arg.index()] & width, arg.value() & width);
    match arg.op() {
        Op::ScmpCmpNe => is != value,
        Op::ScmpCmpLt => is < value,
        Op::ScmpCmpLe => is <= value,
        Op::ScmpCmpEq => is == value,
        Op::ScmpCmpGe => is >= value,
        Op::ScmpCmpGt => is > value,
        Op::ScmpCmpMaskedEq => is & value == arg.value_two().unwrap_or(0) & value,
    }
}

/// The conditions of a rule by which rules are put in order, and those that always hold are left out.
fn order(list: &[LinuxSeccompArg], data: &Data) -> Vec<(Reverse<usize>, u8, u64)> {
    let width = if is_narrow(data) { u32::MAX.into() } else { u64::MAX };
    let mut list: Vec<_> = list.to_vec();
    list.sort_by_key(|arg| arg.index());
    list.retain(|arg| arg.op() != Op::ScmpCmpMaskedEq || arg.value() & width != 0);
    let key = |arg: &LinuxSeccompArg| {
        let value = match arg.op() {
            Op::ScmpCmpMaskedEq => arg.value() & arg.value_two().unwrap_or(0),
            _ => arg.value(),
        } & width;
        let (class, value) = match arg.op() {
            Op::ScmpCmpEq | Op::ScmpCmpNe | Op::ScmpCmpMaskedEq => (0, u64::MAX - value),
            Op::ScmpCmpLt | Op::ScmpCmpLe => (1, value),
            Op::ScmpCmpGt | Op::ScmpCmpGe => (2, u64::MAX - value),
        };
        (Reverse(arg.index()), class, value)
    };
    list.iter().map(key).collect()
}

/// What is done with a call.
pub(crate) fn verdict(profile: &LinuxSeccomp, native: u32, data: &Data) -> u32 {
    let default = action(profile.default_action(), profile.default_errno_ret());
    match column(data) {
        Some(column) if is_listed(profile, column, native) => {}
        // What a tracer puts in the place of a call that it skips.
        Some(2) if native == X86_64 && data.number == u32::MAX => return default,
        _ => return 0,
    }
    if is_newer(profile, data) {
        return 0x0005_0026;
    }
    let all = alternatives(profile, data);
    if let Some((_, action)) = all.iter().find(|(list, _)| order(list, data).is_empty()) {
        return *action;
    }
    let matching = all.iter().filter(|(list, _)| list.iter().all(|arg| holds(arg, data)));
    matching.min_by_key(|(list, _)| order(list, data)).map_or(default, |(_, action)| *action)
}
