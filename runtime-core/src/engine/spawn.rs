//! The spawning of init: which descriptors it gets under which numbers, and all signals blocked meanwhile.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::signal::SigSet;

use crate::process::Stdio;
use crate::sys::clone::{self, Move};
use crate::wire::page::{PAGE_FD, SLOT_FDS};
use crate::wire::{Ns, Spaces};

/// What init is born with.
pub(super) struct Birth<'a> {
    pub(super) spaces: Spaces,
    pub(super) cgroup: Option<BorrowedFd<'a>>,
    pub(super) program: BorrowedFd<'a>,
    pub(super) stdio: &'a Stdio,
    pub(super) turn: BorrowedFd<'a>,
    pub(super) page: BorrowedFd<'a>,
    /// The inherited slots, from slot 1.
    pub(super) slots: &'a [OwnedFd],
}

/// Spawns init; its pid and pidfd.
pub(super) fn spawn(birth: &Birth<'_>) -> nix::Result<(u32, OwnedFd)> {
    let others = &birth.stdio.others;
    // The number of init's turn socket: the first one behind what its program is to have.
    let base = 3 + others.len() as RawFd;
    let mut wanted = Vec::with_capacity(5 + others.len() + birth.slots.len());
    let streams = [&birth.stdio.stdin, &birth.stdio.stdout, &birth.stdio.stderr];
    for (to, stream) in (0..).zip(streams) {
        wanted.push(Move { from: stream.as_ref().map_or(to, AsRawFd::as_raw_fd), to });
    }
    for (to, other) in (3..).zip(others) {
        wanted.push(Move { from: other.as_raw_fd(), to });
    }
    wanted.push(Move { from: birth.turn.as_raw_fd(), to: base });
    wanted.push(Move { from: birth.page.as_raw_fd(), to: base + PAGE_FD as RawFd });
    for (to, slot) in (base + SLOT_FDS as RawFd..).zip(birth.slots) {
        wanted.push(Move { from: slot.as_raw_fd(), to });
    }
    // The program is executed last: no other descriptor may land on its number.
    let program = birth.program.as_raw_fd();
    let (moves, program) = order(&wanted, program);
    let flags = u64::from(birth.spaces.0 & Ns::Pid.flag());
    let old = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK)?;
    let argument = CString::new(base.to_string()).unwrap_or_default();
    let spawned = clone::spawn(flags, birth.cgroup, program, &[c"planc-init", &argument], &moves);
    old.thread_set_mask()?;
    spawned
}

/// Orders moves so that no descriptor is overwritten before it was moved itself; a cycle is broken by a copy under a
/// number that nobody wants. `keep` is in use to the end: where its number is wanted, it is copied away first, and the
/// copy's number is returned.
fn order(wanted: &[Move], keep: RawFd) -> (Vec<Move>, RawFd) {
    let top = wanted.iter().flat_map(|m| [m.from, m.to]).chain([keep]).max().unwrap_or(keep);
    let mut spare = top + 1;
    let mut moves = Vec::with_capacity(wanted.len() + 1);
    let mut kept = keep;
    if wanted.iter().any(|m| m.to == keep) {
        kept = spare;
        spare += 1;
        moves.push(Move { from: keep, to: kept });
    }
    let mut left: Vec<Move> = wanted.to_vec();
    while !left.is_empty() {
        let free = |m: &Move| !left.iter().any(|other| other.from == m.to && other != m);
        if let Some(at) = left.iter().position(free) {
            moves.push(left.swap_remove(at));
        } else {
            // Only cycles are left: one member waits under another number.
            let from = left[0].from;
            moves.push(Move { from, to: spare });
            left.iter_mut().filter(|m| m.from == from).for_each(|m| m.from = spare);
            spare += 1;
        }
    }
    (moves, kept)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Performing the moves in order gives every wanted number what stood at its source before.
        #[test]
        fn every_descriptor_arrives(from in prop::collection::vec(0..24i32, 1..12), keep in 0..24i32, base in 0..12i32) {
            let wanted: Vec<Move> = (base..).zip(&from).map(|(to, from)| Move { from: *from, to }).collect();
            let (moves, kept) = order(&wanted, keep);
            let mut table: BTreeMap<RawFd, RawFd> = (0..24).map(|fd| (fd, fd)).collect();
            for Move { from, to } in moves {
                let what = table[&from];
                table.insert(to, what);
            }
            for Move { from, to } in wanted {
                prop_assert_eq!(table[&to], from);
            }
            prop_assert_eq!(table[&kept], keep);
        }
    }
}
