//! What every plan must be, whatever config.json says: the rules of the house, checked on the finished steps. The
//! compiler keeps them by its order; this is the second opinion, which the tests ask about every plan they make.

use super::plan::{LaunchPlan, Step};
use crate::wire::{Actor, Hook, HookKind, HostOp, InitOp, Ns, Op, Slot, Tree};

/// Steps that every plan has once.
const ONCE: [&str; 11] = [
    "SpawnInit",
    "ResetSignals",
    "CloseOthers",
    "NewSession",
    "Bound",
    "SetUser",
    "SetCapabilities",
    "SetUmask",
    "VerifyDirectory",
    "FindProgram",
    "OutliveRuntime",
];

/// Those that every plan of a new container has once.
const ONCE_IN_LAUNCH: [&str; 4] = ["ClaimId", "CheckRootfs", "AttachRootfs", "RecordState"];

/// Those that every plan of a process that joins a container has once.
const ONCE_IN_EXEC: [&str; 4] = ["OpenInit", "TakeRoot", "ChangeDirectory", "CheckInit"];

/// Steps that no plan has twice.
const AT_MOST_ONCE: [&str; 40] = [
    "MakeClos",
    "MakeMonitoringGroup",
    "HoldSeccomp",
    "InstallSeccomp",
    "OpenCgroup",
    "StartUnit",
    "EnterUnit",
    "CloseSlots",
    "CreateCgroup",
    "FilterDevices",
    "OwnCgroup",
    "ListenForStart",
    "WriteIdMaps",
    "HaveUidsMapped",
    "HaveGidsMapped",
    "LeaveGroups",
    "AllowMaps",
    "Undump",
    "BecomeRoot",
    "Refork",
    "MakeStage",
    "TakeNull",
    "MakeEmpty",
    "OpenProc",
    "JoinKeyring",
    "OwePoststop",
    "HoldState",
    "AllowHooks",
    "EndHooks",
    "AwaitStart",
    "OpenTerminal",
    "BindConsole",
    "TakeTerminal",
    "SendTerminal",
    "KeepTerminal",
    "SetScheduler",
    "SetIoPriority",
    "SetPersonality",
    "SetMemoryPolicy",
    "SetTimeOffsets",
];

/// Which steps come after which: all of the first before any of the second.
const ORDER: &[(&str, &[&str])] = &[
    // Before init is born the host has made what init will be in, and what outlives a crash is journalled.
    ("ClaimId", &["CheckRootfs", "CreateCgroup", "OpenNamespace", "ListenForStart", "SpawnInit"]),
    ("CreateCgroup", &["SetCgroup", "FilterDevices", "OwnCgroup", "SpawnInit"]),
    // Nothing of the container's runs outside of its limits.
    ("SetCgroup", &["RecordState", "AwaitStart", "Execute"]),
    ("MakeUserNamespace", &["SpawnInit"]),
    ("FilterDevices", &["Join", "Unshare", "BecomeRoot", "AttachRootfs"]),
    // Init is in its unit before it makes a cgroup namespace, and before it has children; by then it dies with the host.
    ("SetProperty", &["StartUnit"]),
    ("CloseOthers", &["StartUnit", "EnterUnit"]),
    (
        "StartUnit",
        &["SetCgroup", "FilterDevices", "OwnCgroup", "ChangeUnit", "Join", "Unshare", "BecomeRoot", "Refork"],
    ),
    ("ChangeUnit", &["RecordState", "AwaitStart", "Execute"]),
    ("EnterUnit", &["JoinAll", "Refork"]),
    // What the container may write to is complete by then, and it is its own before anything of the container's runs.
    ("FilterDevices", &["OwnCgroup"]),
    ("OwnCgroup", &["Join", "Unshare", "BecomeRoot", "AttachRootfs"]),
    ("OpenNamespace", &["SpawnInit"]),
    ("ListenForStart", &["SpawnInit"]),
    // CVE-2016-9962: nothing of the host's and no dumpable process when a namespace is entered.
    ("CloseOthers", &["Join", "Unshare", "AllowMaps"]),
    ("Undump", &["Join", "BecomeRoot"]),
    ("SetOomScore", &["BecomeRoot", "Undump", "SetUser"]),
    ("TryOomScore", &["BecomeRoot", "Undump", "SetUser"]),
    // The host's trees are locked by what comes after.
    ("MakeStage", &["StageTree"]),
    // Whose ids are mapped is seen by nobody before, and mapped by who may.
    ("CopyMapped", &["WriteIdMaps", "BecomeRoot", "PivotRoot", "MoveRoot"]),
    ("StageTree", &["WriteIdMaps", "BecomeRoot", "AttachRootfs"]),
    ("WriteIdMaps", &["HaveUidsMapped", "HaveGidsMapped", "Undump", "BecomeRoot"]),
    ("HaveUidsMapped", &["HaveGidsMapped", "Undump", "BecomeRoot"]),
    ("HaveGidsMapped", &["Undump", "BecomeRoot"]),
    ("BecomeRoot", &["AttachRootfs"]),
    ("Refork", &["NewSession", "Mask", "SetUser"]),
    // A group is complete before init is in it, and init is in it before it has children.
    ("ClaimId", &["MakeClos"]),
    ("MakeClos", &["SetSchemata", "MakeMonitoringGroup", "SpawnInit"]),
    ("SetSchemata", &["MakeMonitoringGroup", "SpawnInit"]),
    ("MakeMonitoringGroup", &["SpawnInit"]),
    ("CloseOthers", &["EnterGroup"]),
    ("EnterGroup", &["Join", "JoinAll", "Unshare", "Refork", "RunHook", "RunHookInside"]),
    // A device comes into the container's namespace, and hooks see it there.
    ("ClaimId", &["FindNetDevice"]),
    ("FindNetDevice", &["SpawnInit", "MoveNetDevice"]),
    ("Unshare", &["MoveNetDevice"]),
    ("Join", &["MoveNetDevice"]),
    ("MoveNetDevice", &["RunHook", "RunHookInside", "WriteSysctl", "AttachRootfs", "RecordState"]),
    // What joins holds nothing of the host's by then, and does not become the program behind the host's back.
    ("OpenCgroup", &["SpawnInit"]),
    ("OpenInit", &["SpawnInit"]),
    ("CloseOthers", &["JoinAll"]),
    ("Undump", &["JoinAll"]),
    ("SetOomScore", &["JoinAll"]),
    ("JoinAll", &["BecomeRoot", "Refork", "TakeRoot", "SetUser"]),
    ("TakeRoot", &["ChangeDirectory"]),
    ("ChangeDirectory", &["SetUser"]),
    ("OutliveRuntime", &["CheckInit"]),
    ("CheckInit", &["WritePidFile", "Execute"]),
    // Nothing is mounted over a cover, and no cover is put where a mount still comes.
    (
        "AttachRootfs",
        &["Mount", "Bind", "OpenDirectory", "MakeDevice", "BindDevice", "MakeLink", "PivotRoot", "MoveRoot"],
    ),
    ("Mount", &["SetReadOnly", "PivotRoot", "MoveRoot", "Mask", "Protect"]),
    ("Bind", &["SetReadOnly", "PivotRoot", "MoveRoot", "Mask", "Protect"]),
    ("CopyUp", &["SetReadOnly", "PivotRoot", "MoveRoot"]),
    ("Remount", &["SetReadOnly", "PivotRoot", "MoveRoot", "Mask", "Protect"]),
    ("MakeDevice", &["SetReadOnly", "PivotRoot", "MoveRoot"]),
    ("BindDevice", &["SetReadOnly", "PivotRoot", "MoveRoot"]),
    ("MakeLink", &["SetReadOnly", "PivotRoot", "MoveRoot"]),
    ("SetReadOnly", &["PivotRoot", "MoveRoot"]),
    // The terminal is the container's own, of its own devpts, and it is taken by the leader of a session.
    ("Mount", &["OpenTerminal"]),
    ("Bind", &["OpenTerminal"]),
    ("OpenTerminal", &["BindConsole", "TakeTerminal", "PivotRoot", "MoveRoot"]),
    ("BindConsole", &["SetReadOnly", "PivotRoot", "MoveRoot"]),
    ("NewSession", &["TakeTerminal"]),
    ("TakeRoot", &["OpenTerminal"]),
    ("TakeTerminal", &["SetUser", "SendTerminal", "KeepTerminal"]),
    ("SendTerminal", &["RecordState", "CloseSlots", "CheckInit"]),
    ("KeepTerminal", &["RecordState", "CloseSlots", "CheckInit"]),
    ("TakeNull", &["PivotRoot", "MoveRoot"]),
    // Before anything of it is masked, and labelled while init has the rights to.
    ("OpenProc", &["Mask", "Protect", "WriteSysctl", "WriteLabel"]),
    ("Refork", &["WriteLabel"]),
    ("PivotRoot", &["WriteLabel"]),
    ("MoveRoot", &["WriteLabel"]),
    ("WriteLabel", &["Bound", "SetUser", "NoNewPrivileges", "RecordState"]),
    // The clocks of a namespace are fixed by the first process in it.
    ("SetTimeOffsets", &["Refork", "AttachRootfs"]),
    // A deadline cannot be inherited by a child (sched(7)), and realtime needs privileges.
    ("Refork", &["SetScheduler", "SetMemoryPolicy"]),
    ("SetScheduler", &["SetUser", "Bound"]),
    ("SetIoPriority", &["SetUser", "Bound"]),
    // What hooks look at is complete, and whatever becomes of them is journalled.
    ("SetReadOnly", &["OwePoststop", "RunHook", "RunHookInside"]),
    ("OwePoststop", &["RunHook", "RunHookInside", "PivotRoot", "MoveRoot"]),
    ("HoldState", &["RunHookInside"]),
    ("AllowHooks", &["RunHook", "EndHooks"]),
    ("EndHooks", &["HoldState", "RunHookInside", "PivotRoot", "MoveRoot"]),
    ("PivotRoot", &["Mask", "Protect", "WriteSysctl", "EnterDirectory", "ProtectRoot"]),
    ("MoveRoot", &["Mask", "Protect", "WriteSysctl", "EnterDirectory", "ProtectRoot"]),
    ("Mask", &["ProtectRoot", "SetUser"]),
    ("Protect", &["ProtectRoot", "SetUser"]),
    ("WriteSysctl", &["SetUser"]),
    ("EnterDirectory", &["ProtectRoot", "SetUser"]),
    ("ProtectRoot", &["SetUser"]),
    // CVE-2023-25173, CVE-2022-29162, CVE-2024-21626: who the program is, in this order.
    ("LimitInit", &["SetUser"]),
    ("JoinKeyring", &["SetUser"]),
    ("LeaveGroups", &["SetUser"]),
    ("Bound", &["SetUser"]),
    ("SetUser", &["SetCapabilities", "NoNewPrivileges", "VerifyDirectory", "FindProgram"]),
    ("SetCapabilities", &["FindProgram"]),
    ("NoNewPrivileges", &["AwaitStart", "Execute"]),
    ("VerifyDirectory", &["AwaitStart"]),
    ("FindProgram", &["RecordState", "CloseSlots"]),
    ("CloseSlots", &["RecordState", "AwaitStart"]),
    ("FindHome", &["RecordState"]),
    ("OutliveRuntime", &["RecordState"]),
    ("SendPidfd", &["RecordState", "CheckInit"]),
    ("RecordState", &["WritePidFile", "AwaitStart"]),
    ("WritePidFile", &["AwaitStart"]),
    // No filter stops what comes before the program.
    ("ConnectSeccompAgent", &["SpawnInit"]),
    ("SetCapabilities", &["HoldSeccomp"]),
    ("HoldSeccomp", &["HoldSeccompAgent", "InstallSeccomp"]),
];

impl LaunchPlan {
    /// Checks that the plan keeps the rules that hold for every plan.
    ///
    /// # Errors
    /// The first rule that is broken, in words.
    pub fn verify(&self) -> Result<(), String> {
        let steps: Vec<Step<'_>> = self.steps().collect();
        let kind = if count(&steps, "OpenInit") == 0 { PlanKind::Launch } else { PlanKind::Exec };
        counts(&steps, kind)?;
        order(&steps)?;
        ends(&steps, kind)?;
        slots(&steps)?;
        cgroups(&steps)?;
        trees(&steps)?;
        hooks(&steps)?;
        rights(&steps)
    }
}

fn count(steps: &[Step<'_>], name: &str) -> usize {
    steps.iter().filter(|step| step.name() == name).count()
}

/// What a plan makes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PlanKind {
    /// A container.
    Launch,
    /// A process in one.
    Exec,
}

fn counts(steps: &[Step<'_>], kind: PlanKind) -> Result<(), String> {
    let wrong = |name: &str, times| Err(format!("{name} is there {times} times"));
    let own = if kind == PlanKind::Launch { ONCE_IN_LAUNCH } else { ONCE_IN_EXEC };
    for name in own.into_iter().chain(ONCE) {
        if count(steps, name) != 1 {
            return wrong(name, count(steps, name));
        }
    }
    for name in AT_MOST_ONCE {
        if count(steps, name) > 1 {
            return wrong(name, count(steps, name));
        }
    }
    if count(steps, "PivotRoot") + count(steps, "MoveRoot") != usize::from(kind == PlanKind::Launch) {
        return Err("the root is not changed once".to_owned());
    }
    let terminals = count(steps, "OpenTerminal");
    let handed_over = count(steps, "SendTerminal") + count(steps, "KeepTerminal");
    if count(steps, "TakeTerminal") != terminals || handed_over != terminals || count(steps, "BindConsole") > terminals
    {
        return Err("a terminal is opened, taken and handed over".to_owned());
    }
    if count(steps, "AwaitStart") != count(steps, "CloseSlots") {
        return Err("who waits for start holds nothing else".to_owned());
    }
    if count(steps, "AwaitStart") != count(steps, "ListenForStart") {
        return Err("who listens for start must wait for it".to_owned());
    }
    Ok(())
}

fn order(steps: &[Step<'_>]) -> Result<(), String> {
    for (earlier, laters) in ORDER {
        let Some(last) = steps.iter().rposition(|step| step.name() == *earlier) else { continue };
        let too_early = steps.iter().take(last).find(|step| laters.contains(&step.name()));
        if let Some(step) = too_early {
            return Err(format!("{} (step {}) comes before {earlier} (step {})", step.name(), step.number, last + 1));
        }
    }
    Ok(())
}

/// How a plan begins and ends, and where its actors change.
fn ends(steps: &[Step<'_>], kind: PlanKind) -> Result<(), String> {
    let is = |step: Option<&Step<'_>>, name: &str| step.is_some_and(|step| step.name() == name);
    let last = steps.iter().rev().find(|step| hook_of(step).is_none_or(|hook| hook.kind != HookKind::Poststart));
    if !is(last, "Execute") || count(steps, "Execute") != 1 {
        return Err("a plan ends with Execute".to_owned());
    }
    let execute = steps.iter().position(|step| step.name() == "Execute").unwrap_or_default();
    let held = count(steps, "HoldSeccomp") == 1;
    if held != is(steps.get(execute.wrapping_sub(1)), "InstallSeccomp") || held != (count(steps, "InstallSeccomp") == 1)
    {
        return Err("a filter that is held is installed right before Execute".to_owned());
    }
    if !is(steps.first(), "ClaimId") && kind == PlanKind::Launch {
        return Err("the plan of a container begins with ClaimId".to_owned());
    }
    let first = steps.iter().position(|step| step.actor() == Actor::Init).unwrap_or_default();
    if !is(steps.get(first), "Harden") || !is(steps.get(first.wrapping_sub(1)), "SpawnInit") {
        return Err("init's first step is Harden, right after it was spawned".to_owned());
    }
    for (index, step) in steps.iter().enumerate() {
        let makes_user = matches!(step.op, Op::Init(InitOp::Unshare { spaces }) if spaces.has(Ns::User));
        if makes_user && !has_id_maps(steps.get(index + 1..).unwrap_or_default()) {
            return Err("a user namespace without id maps".to_owned());
        }
    }
    Ok(())
}

/// The slot that a step fills.
fn fills(op: &Op<'_>) -> Option<Slot> {
    match op {
        Op::Host(
            HostOp::OpenNamespace { slot, .. }
            | HostOp::MakeUserNamespace { slot, .. }
            | HostOp::ListenForStart { slot }
            | HostOp::OpenInit { slot, .. }
            | HostOp::ConnectSeccompAgent { slot, .. },
        ) => Some(*slot),
        Op::Init(InitOp::Mount { keep, .. }) => *keep,
        Op::Init(InitOp::AttachRootfs { .. } | InitOp::TakeRoot {}) => Some(Slot::ROOT),
        Op::Init(
            InitOp::OpenDirectory { slot, .. }
            | InitOp::CopyMapped { slot, .. }
            | InitOp::CoverDirectory { slot, .. }
            | InitOp::TakeNull { slot }
            | InitOp::MakeEmpty { slot, .. }
            | InitOp::OpenProc { slot, .. }
            | InitOp::OpenTerminal { slot, .. },
        ) => Some(*slot),
        _ => None,
    }
}

/// The slots that a step needs.
fn needs(op: &Op<'_>) -> Vec<Slot> {
    let Op::Init(op) = op else { return Vec::new() };
    match op {
        InitOp::JoinAll { init, .. } => vec![*init],
        InitOp::HoldSeccompAgent { socket, .. } => vec![*socket],
        InitOp::ChangeDirectory { .. } => vec![Slot::ROOT],
        InitOp::Join { slot, .. } | InitOp::SetReadOnly { slot, .. } => vec![*slot],
        InitOp::Mount { target, pid, .. } => [target.base].into_iter().chain(*pid).collect(),
        InitOp::CopyMapped { ids, .. } => vec![*ids],
        InitOp::StageTree { tree, .. } => held(tree).into_iter().collect(),
        InitOp::Bind { target, tree, .. } => [target.base].into_iter().chain(held(tree)).collect(),
        InitOp::CopyUp { from, to, .. } => vec![*from, *to],
        InitOp::Remount { place, .. }
        | InitOp::CoverDirectory { place, .. }
        | InitOp::OpenDirectory { place, .. }
        | InitOp::MakeDevice { place, .. }
        | InitOp::BindDevice { place, .. }
        | InitOp::MakeLink { place, .. }
        | InitOp::Protect { place } => vec![place.base],
        InitOp::Mask { place, null, empty } => vec![place.base, *null, *empty],
        InitOp::WriteSysctl { proc, .. } | InitOp::WriteLabel { proc, .. } => vec![*proc],
        InitOp::LabelMount { slot, .. } => vec![*slot],
        InitOp::AwaitStart { listener } => vec![*listener],
        InitOp::OpenTerminal { pts, .. } => vec![pts.base],
        InitOp::BindConsole { place, terminal } => vec![place.base, *terminal],
        InitOp::TakeTerminal { terminal } => vec![*terminal],
        _ => Vec::new(),
    }
}

fn held(tree: &Tree<'_>) -> Option<Slot> {
    match tree {
        Tree::Held(slot, _) => Some(*slot),
        Tree::Path(_) | Tree::Staged(..) => None,
    }
}

/// Inherited slots are numbered from 1 without a gap, every slot is filled once, and before it is used.
fn slots(steps: &[Step<'_>]) -> Result<(), String> {
    let mut filled: Vec<Slot> = Vec::new();
    for step in steps {
        if let Some(slot) = needs(&step.op).into_iter().find(|slot| !filled.contains(slot)) {
            return Err(format!("step {} uses {slot}, which nothing has filled", step.number));
        }
        if let Some(slot) = fills(&step.op) {
            if filled.contains(&slot) {
                return Err(format!("step {} fills {slot} again", step.number));
            }
            if step.actor() == Actor::Host && usize::from(slot.0) != filled.len() + 1 {
                return Err(format!("step {} fills {slot} out of turn", step.number));
            }
            filled.push(slot);
        }
    }
    Ok(())
}

/// There is one way to a cgroup; where the host made it, it is as it is to be before init is born in it.
fn cgroups(steps: &[Step<'_>]) -> Result<(), String> {
    let at = |name: &str| steps.iter().position(|step| step.name() == name);
    let born = at("SpawnInit");
    match (at("CreateCgroup"), at("StartUnit")) {
        (Some(_), Some(_)) => Err("a cgroup is made in two ways".to_owned()),
        (Some(_), None) if at("FilterDevices").max(at("OwnCgroup")) > born => {
            Err("init is born in a cgroup that is not finished".to_owned())
        }
        _ => Ok(()),
    }
}

/// Where there is a stage, everything of the host's comes from it, once and as it was staged.
fn trees(steps: &[Step<'_>]) -> Result<(), String> {
    let mut staged = Vec::new();
    let has_stage = count(steps, "MakeStage") == 1;
    for step in steps {
        let (tree, is_free) = match &step.op {
            Op::Init(InitOp::StageTree { number, tree, .. }) => {
                staged.push(Tree::Staged(*number, tree.path()));
                continue;
            }
            Op::Init(InitOp::AttachRootfs { tree, .. }) => (tree, false),
            Op::Init(InitOp::Bind { tree, attributes, recursive_attributes, .. }) => {
                (tree, !attributes.is_none() || !recursive_attributes.is_none())
            }
            _ => continue,
        };
        if matches!(tree, Tree::Staged(..)) != has_stage || has_stage && !staged.contains(tree) {
            return Err(format!("step {} takes {tree} past the stage", step.number));
        }
        if has_stage && is_free {
            return Err(format!("step {} changes what the stage has locked", step.number));
        }
    }
    Ok(())
}

/// The hook that a step runs.
fn hook_of<'a>(step: &Step<'a>) -> Option<Hook<'a>> {
    match step.op {
        Op::Host(HostOp::RunHook { hook }) | Op::Init(InitOp::RunHookInside { hook }) => Some(hook),
        _ => None,
    }
}

/// Each kind of hook has its actor and its place, and they come in the order of config.json.
fn hooks(steps: &[Step<'_>]) -> Result<(), String> {
    let at = |name: &str| steps.iter().position(|step| step.name() == name);
    let switch = at("PivotRoot").or(at("MoveRoot")).unwrap_or_default();
    let (created, execute) = (at("AwaitStart").or(at("RecordState")).unwrap_or_default(), at("Execute").unwrap_or(0));
    if count(steps, "AllowHooks") != count(steps, "EndHooks") {
        return Err("init stays dumpable".to_owned());
    }
    let mut before = None;
    for (place, step) in steps.iter().enumerate() {
        let Some(hook) = hook_of(step) else { continue };
        let (actor, is_there) = match hook.kind {
            HookKind::Prestart | HookKind::CreateRuntime => (Actor::Host, place < switch),
            HookKind::CreateContainer => (Actor::Init, place < switch),
            HookKind::StartContainer => (Actor::Init, created < place && place < execute),
            HookKind::Poststart => (Actor::Host, execute < place),
            HookKind::Poststop => (Actor::Host, false),
        };
        if step.actor() != actor || !is_there || before >= Some((hook.kind, hook.index)) || hook.timeout == 0 {
            return Err(format!("step {} does not {} at its time", step.number, step.sentence()));
        }
        before = Some((hook.kind, hook.index));
    }
    Ok(())
}

/// Whether the host's next steps write one map of each kind.
fn has_id_maps(steps: &[Step<'_>]) -> bool {
    let written = steps.iter().map_while(|step| match step.op {
        Op::Host(HostOp::WriteIdMaps { uids, gids, .. }) => Some([!uids.is_empty(), !gids.is_empty()]),
        Op::Host(HostOp::HaveUidsMapped { maps }) => Some([!maps.is_empty(), false]),
        Op::Host(HostOp::HaveGidsMapped { maps }) => Some([false, !maps.is_empty()]),
        _ => None,
    });
    let kinds = written.fold([0, 0], |[uids, gids], [uid, gid]| [uids + i32::from(uid), gids + i32::from(gid)]);
    kinds == [1, 1]
}

/// What capset(2) and prctl(2) would refuse, and what nobody must have.
fn rights(steps: &[Step<'_>]) -> Result<(), String> {
    let mut keep = 0;
    for step in steps {
        match step.op {
            Op::Init(InitOp::Bound { keep: bounding }) => keep = bounding,
            Op::Init(InitOp::SetCapabilities { sets }) => {
                if sets.effective & !sets.permitted != 0 || sets.inheritable & !keep != 0 {
                    return Err("capabilities that capset refuses".to_owned());
                }
                if sets.ambient & !(sets.permitted & sets.inheritable) != 0 {
                    return Err("ambient capabilities that are not both permitted and inheritable".to_owned());
                }
            }
            Op::Init(InitOp::SetUser { uid: u32::MAX, .. } | InitOp::SetUser { gid: u32::MAX, .. }) => {
                return Err("an id that means none".to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::compile::plan::Draft;
    use crate::facts::{CgroupFacts, Facts};
    use crate::{Acts, CreateOptions, ExecOptions, Id, Joining, Launch, spec};

    /// The plans of a bundle with nearly everything in it, and of a process that joins its container.
    fn whole_plans(has_user: bool) -> [LaunchPlan; 2] {
        let mut config = serde_json::to_value(spec::default_config(None)).unwrap();
        let linux = &mut config["linux"];
        linux["sysctl"] = serde_json::json!({ "kernel.msgmax": "1" });
        linux["namespaces"][1]["path"] = "/proc/7/ns/net".into();
        if has_user {
            let map = serde_json::json!([{ "containerID": 0, "hostID": 100_000, "size": 10 }]);
            (linux["uidMappings"], linux["gidMappings"]) = (map.clone(), map);
            linux["namespaces"].as_array_mut().unwrap().push(serde_json::json!({ "type": "user" }));
        }
        config["process"]["terminal"] = (!has_user).into();
        config["process"]["oomScoreAdj"] = 7.into();
        let hook = serde_json::json!([{ "path": "/bin/true" }]);
        config["hooks"] = HookKind::ALL.into_iter().map(|kind| (kind.name().to_owned(), hook.clone())).collect();
        let extra = serde_json::json!([
            { "destination": "/a", "source": "/a", "options": ["bind", "ro"] },
            { "destination": "/b", "type": "tmpfs", "options": ["ro"] },
        ]);
        config["mounts"].as_array_mut().unwrap().extend(extra.as_array().unwrap().iter().cloned());
        let (spec, _) = spec::parse(config.to_string().as_bytes()).unwrap();
        let all = (1 << 41) - 1;
        let cgroup = CgroupFacts {
            mount: "/sys/fs/cgroup".into(),
            own: "/".to_owned(),
            delegated: true,
            delegated_below: true,
            controllers: vec![],
        };
        let facts = Facts {
            kernel: (6, 18),
            euid: 0,
            egid: 0,
            effective: all,
            bounding: all,
            last_capability: 40,
            setgroups_denied: false,
            foreign_namespaces: 0,
            initial_user_namespace: true,
            time_namespaces: true,
            lsm: crate::facts::LsmFacts::default(),
            resctrl: None,
            cgroup: Some(cgroup),
        };
        let console_socket = (!has_user).then(|| "/console.sock".into());
        let options = CreateOptions { pid_file: Some("/pid".into()), console_socket, ..CreateOptions::default() };
        let id = Id::new("x").unwrap();
        let (bundle, state_dir) = (Path::new("/bundle"), Path::new("/run/x"));
        let launch = Launch { id: &id, bundle, state_dir, options: &options, acts: Acts::Create };
        let create = LaunchPlan::create(&spec, &facts, &launch).unwrap();
        let options = ExecOptions { pid_file: options.pid_file.clone(), ..ExecOptions::default() };
        let process = spec.process().as_ref().unwrap();
        let cgroup = Some(Path::new("/sys/fs/cgroup/x"));
        let unit = has_user.then_some("runc-x.scope");
        let (init, groups, options) = (7, &[][..], &options);
        let joining = Joining { id: &id, bundle, state_dir, process, init, cgroup, unit, groups, options };
        [create, LaunchPlan::exec(&spec, &facts, &joining).unwrap()]
    }

    fn all_plans() -> impl Iterator<Item = LaunchPlan> {
        [false, true].into_iter().flat_map(whole_plans)
    }

    fn replay<'a>(steps: impl IntoIterator<Item = &'a Step<'a>>) -> LaunchPlan {
        let mut draft = Draft::default();
        for step in steps {
            match step.op {
                Op::Host(op) => draft.host(step.origin, op),
                Op::Init(op) => draft.init(step.origin, op),
            }
        }
        draft.finish()
    }

    #[test]
    fn without_any_of_its_steps_a_plan_is_none() {
        assert!(Draft::default().finish().verify().unwrap_err().contains("ClaimId is there 0 times"));
        let mut tried = 0;
        for plan in all_plans() {
            assert_eq!(plan.verify(), Ok(()));
            let steps: Vec<_> = plan.steps().collect();
            let others = ["Execute", "Harden", "ListenForStart", "AwaitStart", "PivotRoot"];
            let names = ONCE.into_iter().chain(ONCE_IN_LAUNCH).chain(ONCE_IN_EXEC).chain(others);
            for name in names.filter(|name| count(&steps, name) != 0) {
                tried += 1;
                let without = replay(steps.iter().filter(|step| step.name() != name));
                assert!(without.verify().is_err(), "without {name}");
            }
        }
        assert!(tried > 50, "{tried}");
    }

    #[test]
    fn no_two_steps_of_a_rule_may_change_places() {
        let mut tried = 0;
        for plan in all_plans() {
            let steps: Vec<_> = plan.steps().collect();
            for (earlier, laters) in ORDER {
                for later in *laters {
                    let Some(last) = steps.iter().rposition(|step| step.name() == *earlier) else { continue };
                    let Some(first) = steps.iter().position(|step| step.name() == *later) else { continue };
                    let mut order: Vec<_> = steps.iter().collect();
                    let moved = order.remove(first);
                    order.insert(last, moved);
                    assert!(replay(order).verify().is_err(), "{later} before {earlier}");
                    tried += 1;
                }
            }
        }
        assert!(tried > 100, "{tried}");
    }

    #[test]
    fn sets_that_the_kernel_would_refuse_are_told() {
        let [plan, _] = whole_plans(false);
        let with = |permitted, inheritable, ambient| {
            let sets = crate::wire::Capabilities { effective: 1, permitted, inheritable, ambient };
            let mut steps: Vec<_> = plan.steps().collect();
            let set = steps.iter_mut().find(|step| step.name() == "SetCapabilities").unwrap();
            set.op = Op::Init(InitOp::SetCapabilities { sets });
            replay(&steps).verify()
        };
        // CAP_KILL is in the default bounding set.
        let kill = 1 << 5;
        assert_eq!(with(1 | kill, kill, kill), Ok(()));
        assert!(with(kill, kill, kill).is_err(), "effective and not permitted");
        assert!(with(1, kill, kill).is_err(), "ambient and not permitted");
        assert!(with(1 | kill, 0, kill).is_err(), "ambient and not inheritable");
        assert!(with(1, 2, 0).is_err(), "inheritable and not in the bounding set");
    }

    #[test]
    fn the_rules_are_about_steps_that_exist() {
        let source = include_str!("../../wire/ops.rs");
        let names = ORDER.iter().flat_map(|(earlier, laters)| [earlier].into_iter().chain(*laters));
        for name in names.chain(&ONCE).chain(&ONCE_IN_LAUNCH).chain(&ONCE_IN_EXEC).chain(&AT_MOST_ONCE) {
            assert!(source.contains(&format!(" {name} {{")), "{name}");
        }
    }
}
