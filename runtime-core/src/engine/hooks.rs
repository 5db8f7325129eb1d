//! Hooks as steps: those that the host runs, in either act, and what is said of init's.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;

use nix::errno::Errno;

use super::failure;
use super::walk::Walk;
use crate::compile::{LaunchPlan, Step};
use crate::error::{Error, Result};
use crate::host::hooks::{Failure, Output, message, run};
use crate::host::record::Record;
use crate::state::HookState;
use crate::wire::page::Recorder;
use crate::wire::{Hook, HostOp, InitOp, Op};

impl Walk<'_> {
    /// The journal says it before the first hook is run: whoever deletes the container then runs the last ones.
    pub(super) fn owe_poststop(&mut self, step: &Step<'_>) -> Result<()> {
        self.record.owes_poststop = true;
        self.state().map_err(|errno| failure::refused(self.plan, step, errno))?.save(&self.record)
    }

    pub(super) fn run_hook(&self, step: &Step<'_>, hook: &Hook<'_>) -> Result<()> {
        let pid = self.pid().map_err(|errno| failure::refused(self.plan, step, errno))?;
        run_step(self.plan, step, hook, &self.record, pid)
    }
}

/// Runs a hook of the host's: `pid` is init's.
fn run_step(plan: &LaunchPlan, step: &Step<'_>, hook: &Hook<'_>, record: &Record, pid: u32) -> Result<()> {
    let unspoken = |error| failure::failed(plan, step, &format!("cannot write the state: {error}"));
    let state = HookState::of(record).json(hook.kind, Some(pid)).map_err(unspoken)?;
    run(hook, &state, &record.bundle).map_err(|why| failure::at(plan, step, message(hook, &why)))
}

/// Runs the hooks that come when the program was executed.
pub(super) fn run_poststart(plan: &LaunchPlan, record: &Record) -> Result<()> {
    let pid = record.init.as_ref().map_or(0, |init| init.pid);
    let after = plan.steps().skip_while(|step| !matches!(step.op, Op::Init(InitOp::Execute { .. })));
    for step in after {
        if let Op::Host(HostOp::RunHook { hook }) = &step.op {
            #[cfg(feature = "failpoints")]
            super::failpoint::at(step.number);
            run_step(plan, &step, hook, record, pid)?;
        }
    }
    Ok(())
}

/// How long init may be busy with a step beside its own work, in seconds.
pub(super) fn time_of(op: &InitOp<'_>) -> i64 {
    match op {
        InitOp::RunHookInside { hook } => hook.timeout.into(),
        _ => 0,
    }
}

/// The error of a hook that init ran: `errno` is the step's, and the page has the rest.
pub(super) fn failed_inside(
    plan: &LaunchPlan,
    step: &Step<'_>,
    hook: &Hook<'_>,
    errno: Errno,
    recorder: &Recorder,
) -> Error {
    let note: Vec<u8> = recorder.read_note().collect();
    let (stdout, stderr) = note.split_at(note.iter().position(|byte| *byte == 0).unwrap_or(note.len()));
    let mut output = Output::default();
    output.stdout.push(stdout);
    output.stderr.push(stderr.get(1..).unwrap_or_default());
    let why = match recorder.hook.load(Ordering::Acquire) {
        0 if errno == Errno::ETIMEDOUT => Failure::Overdue(hook.timeout, output),
        0 => Failure::Host(errno),
        status => Failure::Ended(ExitStatus::from_raw(status as i32), output),
    };
    failure::at(plan, step, message(hook, &why))
}

impl Error {
    /// Whether a hook failed: the container's life then goes on at its deletion.
    pub(crate) fn is_of_hook(&self) -> bool {
        self.origin().is_some_and(|origin| origin.starts_with("/hooks/"))
    }
}
