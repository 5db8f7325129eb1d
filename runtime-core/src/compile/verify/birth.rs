//! What is done before init's birth, and what beside init.

use crate::compile::plan::Step;
use crate::wire::{InitOp, Op};

/// There is one way to a cgroup; where the host made it, it is as it is to be before init is born in it, or, as to the device
/// filter, before init runs anything of the container's.
pub(super) fn cgroups(steps: &[Step<'_>]) -> Result<(), String> {
    let at = |name: &str| steps.iter().position(|step| step.name() == name);
    let born = at("SpawnInit");
    match (at("CreateCgroup"), at("StartUnit")) {
        (Some(_), Some(_)) => Err("a cgroup is made in two ways".to_owned()),
        (Some(_), None) if at("OwnCgroup") > born => Err("init is born in a cgroup that is not finished".to_owned()),
        (Some(_), None) if at("FilterDevices") > born => {
            let is_beside = at("FilterDevices") == born.map(|born| born + 1);
            let inside = |step: &Step<'_>| matches!(step.op, Op::Init(InitOp::RunHookInside { .. }));
            let start = at("AwaitStart").unwrap_or(steps.len());
            if is_beside && !steps[..start].iter().any(inside) {
                Ok(())
            } else {
                Err("what runs in the container may find no device filter".to_owned())
            }
        }
        _ => Ok(()),
    }
}

/// Who is recorded at birth is who goes on; and nobody looks at the container meanwhile: nobody is to start it, and no hook is
/// told of its state.
pub(super) fn record(steps: &[Step<'_>]) -> Result<(), String> {
    let at = |name: &str| steps.iter().position(|step| step.name() == name);
    let Some(record) = at("RecordBirth") else { return Ok(()) };
    let born = at("SpawnInit").map_or(0, |born| born + 1);
    let is_beside = record == born || (record == born + 1 && at("FilterDevices") == Some(born));
    let others = ["Refork", "AwaitStart", "RunHook", "RunHookInside", "MoveNetDevice", "StartUnit", "OwePoststop"];
    match others.into_iter().find(|other| at(other).is_some()) {
        Some(other) => Err(format!("the state is recorded at birth, in a plan with {other}")),
        None if !is_beside => {
            Err("the state is recorded neither at birth nor when the container is created".to_owned())
        }
        None => Ok(()),
    }
}
