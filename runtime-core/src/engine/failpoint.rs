//! Builds for the kill sweep only: the walk stops before the step, or delete after the stage, that PLANC_FAILPOINT names,
//! says so on the descriptor PLANC_FAILPOINT_FD, and hangs until it is killed.

use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::compile::LaunchPlan;
use crate::wire::page::{Recorder, STOP_WHILE_HOSTED};
use crate::wire::{InitOp, Op};

/// How long a step may take before the one behind it counts as reached.
const SOON: Duration = Duration::from_millis(300);

/// What to stop at.
fn name() -> Option<String> {
    std::env::var("PLANC_FAILPOINT").ok()
}

/// The step to stop at; 0 for none.
pub(super) fn number() -> u32 {
    name().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Stops where this is the stage to stop at.
pub(super) fn stage(reached: &str) {
    if name().as_deref() == Some(reached) {
        stop();
    }
}

/// What init is told: nothing kills a process that joins behind a killed runtime, so it must be seen to end by itself.
pub(super) fn of_init(joins: bool) -> u32 {
    number() | if joins { STOP_WHILE_HOSTED } else { 0 }
}

/// Stops where this is the host's step to stop at.
pub(super) fn at(step: u32) {
    if step == number() {
        stop();
    }
}

/// Waits for the turn to end; stops where init is at the step to stop at and stays there.
pub(super) fn watch(recorder: &Recorder, turn: BorrowedFd<'_>) {
    let stop_at = recorder.stop.load(Ordering::Relaxed) & !STOP_WHILE_HOSTED;
    if stop_at == 0 {
        return;
    }
    loop {
        let timeout = PollTimeout::try_from(Duration::from_millis(10)).unwrap_or(PollTimeout::NONE);
        let over = poll(&mut [PollFd::new(turn, PollFlags::POLLIN)], timeout).is_ok_and(|count| count > 0);
        if over {
            return;
        }
        if recorder.step.load(Ordering::Acquire) == stop_at {
            stop();
        }
    }
}

/// Init that waits before it accepts cannot be seen by start: after a while it counts as reached.
pub(super) fn started(plan: &LaunchPlan) {
    let waits = |op: &Op<'_>| matches!(op, Op::Init(InitOp::AwaitStart { .. }));
    if plan.steps().any(|step| step.number == number() && waits(&step.op)) {
        std::thread::sleep(SOON);
        stop();
    }
}

fn stop() -> ! {
    if let Ok(fd) = std::env::var("PLANC_FAILPOINT_FD") {
        // The test reads the other end; where it is gone there is nobody to tell.
        let _ = std::fs::write(format!("/proc/self/fd/{fd}"), format!("stopped at {}\n", name().unwrap_or_default()));
    }
    loop {
        std::thread::park();
    }
}
