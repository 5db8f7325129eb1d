//! What the log is told of a launch at the level debug: each step as it is reached, by the host at once, by init when it is
//! the host's turn again or when init has ended.

use std::sync::atomic::Ordering;

use log::Level;

use crate::compile::{LaunchPlan, Step};
use crate::wire::page::Recorder;
use crate::wire::{Actor, InitOp, Op};

/// One step, as it is begun.
pub(super) fn step(plan: &LaunchPlan, step: &Step<'_>) {
    if !log::log_enabled!(Level::Debug) {
        return;
    }
    let at = match step.actor() {
        Actor::Host => "on the host",
        Actor::Init => "in the container",
    };
    let origin = if step.origin.is_empty() { String::new() } else { format!(", config.json {}", step.origin) };
    log::debug!("step {} of {}, {at}: {}{origin}", step.number, plan.len(), step.sentence());
    if let Op::Init(InitOp::HoldSeccomp { flags, .. }) = &step.op {
        log::debug!("seccomp filter flags: {flags}");
    }
}

/// How far init's steps were told.
#[derive(Debug, Default)]
pub(super) struct Told(u32);

impl Told {
    /// What comes after a step: the second act from the host's side.
    pub(super) fn from(number: u32) -> Self {
        Self(number)
    }

    /// Init's steps up to the one that the recorder has it at.
    pub(super) fn tell(&mut self, plan: &LaunchPlan, recorder: &Recorder) {
        if !log::log_enabled!(Level::Debug) {
            return;
        }
        let Some(reached) = recorder.index().map(|index| index.saturating_add(1)) else { return };
        let new = |step: &Step<'_>| step.number > self.0 && step.number <= reached;
        plan.steps().filter(new).filter(|step| step.actor() == Actor::Init).for_each(|found| step(plan, &found));
        self.0 = self.0.max(reached);
        let errno = recorder.errno.load(Ordering::Acquire);
        if errno != 0 {
            log::debug!("init ended at step {reached}, errno {errno}");
        }
    }
}
