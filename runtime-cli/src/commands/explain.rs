//! `planc explain`: tells every step that create or run would perform, and performs none. It needs no privilege, but for
//! `--timing`, which makes the container to see how long that takes.

use std::path::Path;

use runtime_core::wire::Op;
use runtime_core::{
    Acts, Container, CreateOptions, Deletion, Error, ErrorKind, ExecOptions, Id, LaunchPlan, Stdio, Step, Timing,
};
use serde::Serialize;
use serde_json::Value;

use super::{Command, exec, launch, timing};
use crate::args::{Flag, Given};
use crate::descriptors::PRESERVE_FDS;
use crate::failure::{Failure, Outcome, Why};
use crate::globals::Context;
use crate::output;

const JSON: Flag = Flag::switch("json", "print the steps as JSON");
const STEP: Flag = Flag::number("step", "print one step with all that it carries");

const TIMING: Flag =
    Flag::switch("timing", "make the container, up to created, delete it, and tell how long each step took");
const RUN: Flag = Flag::switch("run", "tell the steps of run, which does not wait for a start");

pub(super) const COMMAND: Command = Command {
    name: "explain",
    about: "tell every step that a bundle's container takes, and perform none",
    words: &["[container-id]"],
    flags: &[
        &launch::BUNDLE,
        &launch::CONSOLE_SOCKET,
        &launch::PIDFD_SOCKET,
        &launch::PID_FILE,
        &launch::NO_PIVOT,
        &launch::NO_NEW_KEYRING,
        &PRESERVE_FDS,
        &JSON,
        &STEP,
        &RUN,
        &TIMING,
        &exec::PROCESS,
    ],
    perform,
};

fn perform(context: &Context, given: &Given) -> Outcome {
    let options = launch::options(context, given)?;
    let id = Id::new(given.word(0).as_deref().unwrap_or("explained"))?;
    if given.is(&TIMING) {
        return timed(context, given, &id, options);
    }
    let Explained { plan, warnings, config } = match given.path(&exec::PROCESS) {
        Some(path) => exec(&super::container(context, given)?, &path, options)?,
        None => launch(context, given, &id, &options)?,
    };
    let warnings = warnings.iter().chain(plan.warnings()).chain(plan.notes());
    let text = if let Some(number) = given.number(&STEP) {
        detail(&plan, number, &config)?
    } else if given.is(&JSON) {
        super::pretty(&Explanation { steps: plan.steps().map(Line::of).collect(), warnings: warnings.collect() })?
    } else {
        launch::warn(warnings);
        plan.to_string()
    };
    output::print(&text)?;
    Ok(0)
}

/// Makes the container, up to *created*: no program of it is executed, but for its hooks.
fn timed(context: &Context, given: &Given, id: &Id, options: CreateOptions) -> Outcome {
    for (flag, is_given) in [("json", given.is(&JSON)), ("run", given.is(&RUN))]
        .into_iter()
        .chain([("step", given.number(&STEP).is_some()), ("process", given.path(&exec::PROCESS).is_some())])
    {
        if is_given {
            let why = format!("--timing and --{flag} are not to be had together");
            return Err(Failure::Usage { why: Why::Flag(why), of: Some(&COMMAND) });
        }
    }
    let bundle = launch::bundle(given)?;
    let options = CreateOptions { timing: Timing::Steps, ..options };
    let plan = context.runtime.plan(id, &bundle, &options, Acts::Create)?;
    let container = context.runtime.create(id, &bundle, &options, Stdio::default())?;
    context.runtime.delete(id, Deletion::Force)?;
    launch::warn(bundle.warnings().iter().chain(plan.warnings()).chain(plan.notes()));
    output::print(&timing::steps(&plan, &container))?;
    Ok(0)
}

/// What is explained.
struct Explained {
    plan: LaunchPlan,
    warnings: Vec<String>,
    /// What config.json itself says: the loaded form no longer tells what was given and what is a default.
    config: Option<Value>,
}

fn launch(context: &Context, given: &Given, id: &Id, options: &CreateOptions) -> Result<Explained, Error> {
    let bundle = launch::bundle(given)?;
    let acts = if given.is(&RUN) { Acts::Run } else { Acts::Create };
    let plan = context.runtime.explain(id, &bundle, options, acts)?;
    let text = std::fs::read(bundle.path().join("config.json")).ok();
    let config = text.and_then(|text| serde_json::from_slice(&text).ok());
    Ok(Explained { plan, warnings: bundle.warnings().to_vec(), config })
}

/// The plan of an exec, where the process is described by a file.
fn exec(container: &Container, path: &Path, options: CreateOptions) -> Result<Explained, Error> {
    let process = exec::from_file(path)?;
    let options =
        ExecOptions { pid_file: options.pid_file, console_socket: options.console_socket, ..ExecOptions::default() };
    let plan = container.plan_exec(&process, &options)?;
    let config = serde_json::to_value(&process).ok().map(|process| serde_json::json!({ "process": process }));
    Ok(Explained { plan, warnings: Vec::new(), config })
}

/// A plan as `--json` prints it.
#[derive(Serialize)]
struct Explanation<'a> {
    steps: Vec<Line<'a>>,
    warnings: Vec<&'a String>,
}

#[derive(Serialize)]
struct Line<'a> {
    number: u32,
    actor: &'static str,
    op: &'static str,
    sentence: String,
    origin: &'a str,
}

impl<'a> Line<'a> {
    fn of(step: Step<'a>) -> Self {
        Self {
            number: step.number,
            actor: super::actor(step.actor()),
            op: step.name(),
            sentence: step.sentence(),
            origin: step.origin,
        }
    }
}

/// One step, its fields, and what config.json has at its origin.
fn detail(plan: &LaunchPlan, number: u32, config: &Option<Value>) -> Result<String, Error> {
    let none = || Error::new(ErrorKind::NotFound, format!("there is no step {number}: the plan has {}", plan.len()));
    let step = plan.steps().find(|step| step.number == number).ok_or_else(none)?;
    let (place, fields) = match &step.op {
        Op::Host(op) => ("on the host", format!("{op:#?}")),
        Op::Init(op) => ("in the container", format!("{op:#?}")),
    };
    let mut text = format!("step {number} of {}, {place}\n{}\n\n{fields}\n", plan.len(), step.sentence());
    if !step.origin.is_empty() {
        text += &format!("\nconfig.json {}\n", step.origin);
        let value = config.as_ref().and_then(|config| config.pointer(step.origin));
        text += &value.map_or_else(|| Ok("not given\n".to_owned()), super::pretty)?;
    }
    Ok(text)
}
