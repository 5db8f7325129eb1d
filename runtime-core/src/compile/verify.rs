//! What every plan must be, whatever config.json says: the rules of the house, checked on the finished steps. The
//! compiler keeps them by its order; this is the second opinion, which the tests ask about every plan they make.

mod birth;

use super::plan::{LaunchPlan, Step};
use crate::wire::{Actor, Attributes, Hook, HookKind, HostOp, InitOp, Ns, Op, Slot, Tree};

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
const ONCE_IN_LAUNCH: [&str; 3] = ["ClaimId", "CheckRootfs", "AttachRootfs"];

/// Those that every plan of a process that joins a container has once.
const ONCE_IN_EXEC: [&str; 4] = ["OpenInit", "TakeRoot", "ChangeDirectory", "CheckInit"];

/// Steps that no plan has twice.
const AT_MOST_ONCE: [&str; 43] = [
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
    "RaiseLoopback",
    "LeaveMounts",
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
    "OwnStreams",
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
    ("LeaveMounts", &["Unshare", "MakeStage", "AttachRootfs", "PivotRoot"]),
    ("CopyTree", &["WriteIdMaps", "BecomeRoot", "PivotRoot", "MoveRoot", "ReturnWithRoot"]),
    ("AttachRootfs", &["CopyInside"]),
    ("MapCopy", &["PivotRoot", "MoveRoot", "ReturnWithRoot"]),
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
    ("OpenRoot", &["SpawnInit"]),
    ("JoinAll", &["JoinRoot"]),
    ("JoinRoot", &["TakeRoot"]),
    ("TakeRoot", &["ChangeDirectory"]),
    ("ChangeDirectory", &["SetUser"]),
    ("OutliveRuntime", &["CheckInit"]),
    ("CheckInit", &["WritePidFile", "Execute"]),
    // Nothing is mounted over a cover, and no cover is put where a mount still comes.
    (
        "AttachRootfs",
        &[
            "Mount",
            "Bind",
            "OpenDirectory",
            "MakeDevice",
            "BindDevice",
            "MakeLink",
            "PivotRoot",
            "MoveRoot",
            "ReturnWithRoot",
        ],
    ),
    ("Mount", &["SetReadOnly", "PivotRoot", "MoveRoot", "ReturnWithRoot", "Mask", "Protect"]),
    ("Bind", &["SetReadOnly", "PivotRoot", "MoveRoot", "ReturnWithRoot", "Mask", "Protect"]),
    ("CopyUp", &["SetReadOnly", "PivotRoot", "MoveRoot", "ReturnWithRoot"]),
    ("Remount", &["SetReadOnly", "PivotRoot", "MoveRoot", "ReturnWithRoot", "Mask", "Protect"]),
    ("MakeDevice", &["SetReadOnly", "PivotRoot", "MoveRoot", "ReturnWithRoot"]),
    ("BindDevice", &["SetReadOnly", "PivotRoot", "MoveRoot", "ReturnWithRoot"]),
    ("MakeLink", &["SetReadOnly", "PivotRoot", "MoveRoot", "ReturnWithRoot"]),
    ("SetReadOnly", &["PivotRoot", "MoveRoot", "ReturnWithRoot"]),
    // The terminal is the container's own, of its own devpts, and it is taken by the leader of a session.
    ("Mount", &["OpenTerminal"]),
    ("Bind", &["OpenTerminal"]),
    ("OpenTerminal", &["BindConsole", "TakeTerminal", "PivotRoot", "MoveRoot", "ReturnWithRoot"]),
    ("BindConsole", &["SetReadOnly", "PivotRoot", "MoveRoot", "ReturnWithRoot"]),
    ("NewSession", &["TakeTerminal"]),
    ("TakeRoot", &["OpenTerminal"]),
    // With the rights of root, and before a filter could refuse it.
    ("BecomeRoot", &["OwnStreams"]),
    ("JoinAll", &["OwnStreams"]),
    ("OwnStreams", &["SetUser", "InstallSeccomp"]),
    ("TakeTerminal", &["SetUser", "SendTerminal", "KeepTerminal"]),
    ("SendTerminal", &["RecordState", "CloseSlots", "CheckInit"]),
    ("KeepTerminal", &["RecordState", "CloseSlots", "CheckInit"]),
    ("TakeNull", &["PivotRoot", "MoveRoot", "ReturnWithRoot"]),
    // Before anything of it is masked, and labelled while init has the rights to.
    ("OpenProc", &["Mask", "Protect", "WriteSysctl", "WriteLabel"]),
    ("Refork", &["WriteLabel"]),
    ("PivotRoot", &["WriteLabel"]),
    ("MoveRoot", &["WriteLabel"]),
    ("ReturnWithRoot", &["WriteLabel"]),
    ("WriteLabel", &["Bound", "SetUser", "NoNewPrivileges", "RecordState"]),
    // The clocks of a namespace are fixed by the first process in it.
    ("SetTimeOffsets", &["Refork", "AttachRootfs"]),
    // A deadline cannot be inherited by a child (sched(7)), and realtime needs privileges.
    ("Refork", &["SetScheduler", "SetMemoryPolicy"]),
    ("SetScheduler", &["SetUser", "Bound"]),
    ("SetIoPriority", &["SetUser", "Bound"]),
    // What hooks look at is complete, and whatever becomes of them is journalled.
    ("SetReadOnly", &["OwePoststop", "RunHook", "RunHookInside"]),
    ("OwePoststop", &["RunHook", "RunHookInside", "PivotRoot", "MoveRoot", "ReturnWithRoot"]),
    ("HoldState", &["RunHookInside"]),
    ("AllowHooks", &["RunHook", "EndHooks"]),
    ("EndHooks", &["HoldState", "RunHookInside", "PivotRoot", "MoveRoot", "ReturnWithRoot"]),
    ("PivotRoot", &["Mask", "Protect", "WriteSysctl", "EnterDirectory", "ProtectRoot"]),
    ("MoveRoot", &["Mask", "Protect", "WriteSysctl", "EnterDirectory", "ProtectRoot"]),
    ("ReturnWithRoot", &["WriteSysctl", "EnterDirectory", "ProtectRoot"]),
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
    ("RecordBirth", &["WritePidFile", "SendPidfd"]),
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
        birth::cgroups(&steps)?;
        birth::record(&steps)?;
        trees(&steps)?;
        departure(&steps)?;
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
    let own: &[&str] = if kind == PlanKind::Launch { &ONCE_IN_LAUNCH } else { &ONCE_IN_EXEC };
    for name in own.iter().copied().chain(ONCE) {
        if count(steps, name) != 1 {
            return wrong(name, count(steps, name));
        }
    }
    for name in AT_MOST_ONCE {
        if count(steps, name) > 1 {
            return wrong(name, count(steps, name));
        }
    }
    let launches = usize::from(kind == PlanKind::Launch);
    let any_of = |names: &[&str]| names.iter().map(|name| count(steps, name)).sum::<usize>();
    if any_of(&["RecordState", "RecordBirth"]) != launches {
        return Err("the state is not recorded once".to_owned());
    }
    if any_of(&["PivotRoot", "MoveRoot", "ReturnWithRoot"]) != launches {
        return Err("the root is not changed once".to_owned());
    }
    if count(steps, "OpenRoot") != count(steps, "JoinRoot") {
        return Err("a root directory is opened to be joined".to_owned());
    }
    if count(steps, "ReturnWithRoot") == 1 && any_of(&["Mask", "Protect"]) > 0 {
        return Err("mounts are changed behind the copy of the root".to_owned());
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
    // What follows its birth is done beside it.
    let before = steps[..first].iter().rfind(|step| !["FilterDevices", "RecordBirth"].contains(&step.name()));
    if !is(steps.get(first), "Harden") || !is(before, "SpawnInit") {
        return Err("init's first step is Harden, right after it was spawned".to_owned());
    }
    let own_mounts = |step: &Step<'_>| match step.op {
        Op::Init(InitOp::Unshare { spaces }) => spaces.has(Ns::Mount),
        Op::Init(InitOp::Join { ns, .. }) => ns == Ns::Mount,
        _ => false,
    };
    let mut before_propagate = steps.iter().take_while(|step| step.name() != "Propagate");
    if kind == PlanKind::Launch && !before_propagate.any(own_mounts) {
        return Err("mounts of the host's are changed".to_owned());
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
            | HostOp::OpenRoot { slot, .. }
            | HostOp::ConnectSeccompAgent { slot, .. },
        ) => Some(*slot),
        Op::Init(InitOp::Mount { keep, .. }) => *keep,
        Op::Init(InitOp::AttachRootfs { .. } | InitOp::TakeRoot {}) => Some(Slot::ROOT),
        Op::Init(
            InitOp::OpenDirectory { slot, .. }
            | InitOp::CopyTree { slot, .. }
            | InitOp::CopyInside { slot, .. }
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
        InitOp::JoinRoot { slot } => vec![*slot],
        InitOp::ReturnWithRoot { host } => vec![Slot::ROOT, *host],
        InitOp::HoldSeccompAgent { socket, .. } => vec![*socket],
        InitOp::ChangeDirectory { .. } => vec![Slot::ROOT],
        InitOp::Join { slot, .. } | InitOp::SetReadOnly { slot, .. } => vec![*slot],
        InitOp::Mount { target, pid, .. } => [target.base].into_iter().chain(*pid).collect(),
        InitOp::CopyTree { ids, .. } => ids.iter().copied().collect(),
        InitOp::LeaveMounts { slot } => vec![*slot],
        InitOp::StageTree { tree, .. } | InitOp::AttachRootfs { tree, .. } => held(tree).into_iter().collect(),
        InitOp::BindDevice { place: target, source: tree, .. } | InitOp::Bind { target, tree, .. } => {
            [target.base].into_iter().chain(held(tree)).collect()
        }
        InitOp::CopyUp { from, to, .. } => vec![*from, *to],
        InitOp::Remount { place, .. }
        | InitOp::CopyInside { place, .. }
        | InitOp::CoverDirectory { place, .. }
        | InitOp::OpenDirectory { place, .. }
        | InitOp::MakeDevice { place, .. }
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
        // The container's root directory.
        Tree::Inside(_) => Some(Slot::ROOT),
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

/// What a mount keeps in another user namespace once it is set (mount_namespaces(7)).
const LOCKED: u64 = 0xf;

/// Where there is a stage, everything of the host's comes from it, once, and with all that is to be locked; what is in the
/// container by then does not.
fn trees(steps: &[Step<'_>]) -> Result<(), String> {
    let (mut staged, mut inside) = (Vec::new(), Vec::new());
    let has_stage = count(steps, "MakeStage") == 1;
    for step in steps {
        let (tree, set, recursive) = match &step.op {
            Op::Init(InitOp::StageTree { number, tree, attributes, .. }) => {
                staged.push((Tree::Staged(*number, tree.path()), attributes.set));
                continue;
            }
            Op::Init(InitOp::CopyInside { slot, .. }) => {
                inside.push(*slot);
                continue;
            }
            Op::Init(InitOp::AttachRootfs { tree, .. }) => (tree, 0, Attributes::NONE),
            Op::Init(InitOp::Bind { tree, attributes, recursive_attributes, .. }) => {
                (tree, attributes.set & LOCKED, *recursive_attributes)
            }
            _ => continue,
        };
        if matches!(tree, Tree::Inside(_)) || matches!(tree, Tree::Held(slot, _) if inside.contains(slot)) {
            continue;
        }
        let locked = staged.iter().find(|(known, _)| known == tree).map(|(_, locked)| *locked);
        if locked.is_some() != has_stage {
            return Err(format!("step {} takes {tree} past the stage", step.number));
        }
        if has_stage && (set & !locked.unwrap_or(0) != 0 || !recursive.is_none()) {
            return Err(format!("step {} sets what the stage has not locked", step.number));
        }
    }
    Ok(())
}

/// Who has left the host's mounts finds nothing of the host's by a path any more.
fn departure(steps: &[Step<'_>]) -> Result<(), String> {
    let Some(left) = steps.iter().position(|step| step.name() == "LeaveMounts") else { return Ok(()) };
    for step in steps.iter().skip(left) {
        let by_path = match &step.op {
            Op::Init(
                InitOp::AttachRootfs { tree, .. }
                | InitOp::StageTree { tree, .. }
                | InitOp::Bind { tree, .. }
                | InitOp::BindDevice { source: tree, .. },
            ) => matches!(tree, Tree::Path(_)),
            Op::Init(op) => matches!(
                op,
                InitOp::CopyTree { .. }
                    | InitOp::TakeNull { .. }
                    | InitOp::OpenProc { host: true, .. }
                    | InitOp::MoveRoot { .. }
                    | InitOp::SetTimeOffsets { .. }
                    | InitOp::SetOomScore { .. }
                    | InitOp::Propagate { .. }
            ),
            Op::Host(HostOp::RunHook { hook }) => hook.kind <= HookKind::CreateContainer,
            Op::Host(_) => false,
        };
        let switched =
            steps.iter().take_while(|other| other.number < step.number).any(|other| other.name() == "PivotRoot");
        if by_path && !switched {
            return Err(format!("step {} wants something of the host's after it was left", step.number));
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
    let switch = at("PivotRoot").or(at("MoveRoot")).or(at("ReturnWithRoot")).unwrap_or_default();
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
mod tests;
