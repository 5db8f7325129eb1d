//! The encoding of plans: every op comes back as it was written, and damage is never more than a `None`.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::ffi::CString;

use proptest::prelude::*;
use runtime_core::wire::{
    self, Attributes, Capabilities, Device, Hook, HookKind, HostOp, IdMap, InitOp, List, Missing, Ns, Op, Param, Place,
    Propagation, Property, SchedulerAttributes, Slot, Spaces, Steps, Systemd, Target, Text, Tree, Value, WindowSize,
};

/// What the fields of ops are filled with.
#[derive(Clone, Debug)]
struct Values {
    texts: Vec<CString>,
    bytes: Vec<u8>,
    numbers: Vec<u32>,
    wide: u64,
    signed: i32,
    flag: bool,
    slot: u16,
    ns: usize,
}

prop_compose! {
    fn values()(
        texts in prop::collection::vec("[^\0]{0,12}", 2..5),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        numbers in prop::collection::vec(any::<u32>(), 1..6),
        wide in any::<u64>(),
        signed in any::<i32>(),
        flag in any::<bool>(),
        slot in 0..Slot::COUNT as u16,
        ns in 0..8usize,
    ) -> Values {
        let texts = texts.into_iter().map(|text| CString::new(text).unwrap()).collect();
        Values { texts, bytes, numbers, wide, signed, flag, slot, ns }
    }
}

/// The values in the shapes that ops want.
struct Shapes<'a> {
    texts: Vec<Text<'a>>,
    params: Vec<Param<'a>>,
    kinds: Vec<Propagation>,
    maps: Vec<IdMap>,
    properties: Vec<Property<'a>>,
}

impl<'a> Shapes<'a> {
    fn of(values: &'a Values) -> Self {
        let texts: Vec<_> = values.texts.iter().map(|text| Text(text)).collect();
        let param = |(n, key): (usize, &Text<'a>)| Param {
            key: *key,
            value: values.flag.then_some(texts[0]),
            option: (n == 0).then_some(values.slot),
        };
        Self {
            params: texts.iter().enumerate().map(param).collect(),
            kinds: values
                .numbers
                .iter()
                .map(|n| Propagation { kind: values.wide ^ u64::from(*n), recursive: values.flag })
                .collect(),
            maps: values.numbers.iter().map(|n| IdMap { inside: *n, outside: !*n, count: n / 2 }).collect(),
            properties: properties(values),
            texts,
        }
    }
}

/// One of every type; a list of texts has a slice of its own in the op.
fn properties(v: &Values) -> Vec<Property<'_>> {
    let values = [
        Value::Bool(v.flag),
        Value::Byte(v.slot as u8),
        Value::I32(v.signed),
        Value::U32(v.numbers[0]),
        Value::I64(i64::from(v.signed)),
        Value::U64(v.wide),
        Value::Text(Text(&v.texts[1])),
        Value::Set(&v.bytes),
    ];
    values.map(|value| Property { name: Text(&v.texts[0]), value, since: v.slot }).to_vec()
}

fn host_ops<'a>(v: &'a Values, s: &'a Shapes<'a>) -> Vec<HostOp<'a>> {
    let (text, other, slot, number) = (s.texts[0], s.texts[1], Slot(v.slot), v.numbers[0]);
    vec![
        HostOp::ClaimId { path: text },
        HostOp::CheckRootfs { path: text },
        HostOp::CreateCgroup { root: text, path: other, controllers: text },
        HostOp::SetCgroup { file: text, value: other.bytes(), missing: Missing::Fail },
        HostOp::SetCgroup { file: text, value: &[], missing: Missing::Skip },
        HostOp::SetCgroup { file: text, value: &[], missing: Missing::Instead(other, text.bytes()) },
        HostOp::FilterDevices { program: &v.bytes },
        HostOp::OpenNamespace { ns: Ns::ALL[v.ns], path: text, slot },
        HostOp::ListenForStart { slot },
        HostOp::SpawnInit { spaces: Spaces(number), into_cgroup: v.flag },
        HostOp::WriteIdMaps { uids: List::new(&s.maps), gids: List::new(&s.maps[1..]), deny_setgroups: v.flag },
        HostOp::MakeUserNamespace { uids: List::new(&s.maps), gids: List::new(&s.maps[1..]), slot },
        HostOp::MapCopy { ids: slot, deep: v.flag },
        HostOp::HaveUidsMapped { maps: List::new(&s.maps) },
        HostOp::HaveGidsMapped { maps: List::new(&s.maps[1..]) },
        HostOp::LimitInit { name: text, resource: number, soft: v.wide, hard: !v.wide },
        HostOp::RecordState {},
        HostOp::RecordBirth {},
        HostOp::WritePidFile { path: text },
        HostOp::SendPidfd { socket: text },
        HostOp::OpenCgroup { path: text, below: v.flag.then_some(other), init: number },
        HostOp::OpenRoot { pid: number, slot },
        HostOp::OpenInit { pid: number, slot },
        HostOp::CheckInit {},
        HostOp::ConnectSeccompAgent { path: text, slot },
        HostOp::SendTerminal { path: text },
        HostOp::KeepTerminal {},
        HostOp::FindNetDevice { name: text },
        HostOp::MoveNetDevice { name: text, inside: other, joined: v.flag.then_some(text) },
        HostOp::MakeClos { root: text, name: other, own: v.flag, schemata: List::new(&s.texts) },
        HostOp::SetSchemata { lines: &v.bytes },
        HostOp::MakeMonitoringGroup { path: text },
        HostOp::EnterGroup { path: text },
        HostOp::OwePoststop {},
        HostOp::OwnCgroup { uid: number },
        HostOp::RunHook { hook: hook(v, s) },
        HostOp::StartUnit {
            root: text,
            path: other,
            unit: text,
            by: if v.flag { Systemd::User } else { Systemd::System },
            properties: List::new(&s.properties),
            controllers: other,
        },
        HostOp::SetProperty {
            property: Property { name: text, value: Value::Texts(List::new(&s.texts)), since: v.slot },
        },
        HostOp::ChangeUnit { property: s.properties[v.ns] },
        HostOp::EnterUnit { unit: text, below: v.flag.then_some(other) },
    ]
}

fn hook<'a>(v: &'a Values, s: &'a Shapes<'a>) -> Hook<'a> {
    Hook {
        kind: HookKind::ALL[v.ns % 6],
        index: v.numbers[0],
        path: s.texts[0],
        args: List::new(&s.texts),
        env: List::new(&s.texts[1..]),
        home: v.flag.then_some(v.slot),
        timeout: !v.numbers[0],
    }
}

fn mount_ops<'a>(v: &'a Values, s: &'a Shapes<'a>) -> Vec<InitOp<'a>> {
    let (text, other, slot, flag) = (s.texts[0], s.texts[1], Slot(v.slot), v.flag);
    let place = Place { base: slot, skip: v.slot, path: text };
    let attributes = Attributes { set: v.wide, clear: !v.wide };
    let trees = [Tree::Path(text), Tree::Staged(v.slot, other), Tree::Held(slot, other), Tree::Inside(text)];
    let tree = trees[v.ns % 4];
    let rule = [Target::Directory, Target::RealDirectory, Target::LikeSource, Target::OfProc][v.ns % 4];
    let kinds = List::new(&s.kinds);
    vec![
        InitOp::Propagate { kind: s.kinds[0] },
        InitOp::MakeStage { at: text },
        InitOp::StageTree {
            number: v.slot,
            tree,
            recursive: flag,
            attributes,
            recursive_attributes: attributes,
            propagation: kinds,
        },
        InitOp::CopyTree { source: text, recursive: flag, ids: flag.then_some(slot), deep: !flag, slot: Slot(1) },
        InitOp::LeaveMounts { slot },
        InitOp::Remount {
            params: List::new(&s.params),
            attributes,
            recursive_attributes: Attributes::NONE,
            propagation: kinds,
            place,
        },
        InitOp::ReturnWithRoot { host: slot },
        InitOp::JoinRoot { slot },
        InitOp::AttachRootfs { tree, at: flag.then_some(text), propagation: kinds },
        InitOp::Mount {
            fstype: text,
            source: flag.then_some(other),
            params: List::new(&s.params),
            attributes,
            propagation: kinds,
            target: place,
            rule,
            keep: flag.then_some(slot),
            pid: (!flag).then_some(slot),
            covered_mode: flag,
        },
        InitOp::Bind {
            tree,
            recursive: flag,
            attributes,
            implied: v.wide / 3,
            recursive_attributes: Attributes::NONE,
            propagation: List::new(&[]),
            target: place,
            rule,
        },
        InitOp::CopyInside { place, recursive: flag, slot },
        InitOp::CoverDirectory { place, slot },
        InitOp::CopyUp { from: slot, to: Slot(1), path: text, mode: flag, owner: !flag },
    ]
}

fn rootfs_ops<'a>(v: &'a Values, s: &'a Shapes<'a>) -> Vec<InitOp<'a>> {
    let (text, other, slot, flag) = (s.texts[0], s.texts[1], Slot(v.slot), v.flag);
    let place = Place { base: slot, skip: v.slot, path: text };
    let device = Device { mode: v.numbers[0], major: 7, minor: v.numbers[0] };
    let trees = [Tree::Path(text), Tree::Staged(v.slot, other), Tree::Held(slot, other), Tree::Inside(text)];
    vec![
        InitOp::SetReadOnly { slot, path: text },
        InitOp::OpenDirectory { place, slot },
        InitOp::MakeDevice { place, device, uid: 1, gid: v.numbers[0] },
        InitOp::BindDevice { place, source: trees[v.ns % 4], device },
        InitOp::MakeLink { place, target: other },
        InitOp::WriteLabel { proc: slot, file: text, value: other, expect: text },
        InitOp::MakeEmpty { slot, context: flag.then_some(text) },
        InitOp::Mask { place, null: slot, empty: Slot(0) },
        InitOp::Protect { place },
        InitOp::OpenProc { slot, host: flag },
    ]
}

fn process_ops<'a>(v: &'a Values, s: &'a Shapes<'a>) -> Vec<InitOp<'a>> {
    let (text, slot, number) = (s.texts[0], Slot(v.slot), v.numbers[0]);
    let texts = List::new(&s.texts);
    vec![
        InitOp::Harden {},
        InitOp::PivotRoot {},
        InitOp::MoveRoot { others: texts },
        InitOp::TakeNull { slot },
        InitOp::LabelMount { slot, label: text },
        InitOp::ProtectRoot {},
        InitOp::ResetSignals {},
        InitOp::CloseOthers {},
        InitOp::SetOomScore { score: v.signed },
        InitOp::TryOomScore { score: v.signed },
        InitOp::LeaveGroups {},
        InitOp::Join { ns: Ns::ALL[v.ns], slot },
        InitOp::Unshare { spaces: Spaces(number) },
        InitOp::AllowMaps {},
        InitOp::Undump {},
        InitOp::BecomeRoot {},
        InitOp::Refork {},
        InitOp::NewSession {},
        InitOp::RaiseLoopback {},
        InitOp::WriteSysctl { proc: slot, key: text, value: &v.bytes },
        InitOp::SetHostname { name: &v.bytes },
        InitOp::SetDomainname { name: &[] },
        InitOp::Limit { name: text, resource: number, soft: v.wide, hard: !v.wide },
        InitOp::JoinKeyring { name: text, permissions: number },
        InitOp::Bound { keep: v.wide },
        InitOp::SetUser { uid: number, gid: !number, groups: v.flag.then_some(List::new(&v.numbers)) },
        InitOp::SetCapabilities {
            sets: Capabilities { effective: v.wide, permitted: !v.wide, inheritable: v.wide / 3, ambient: 1 },
        },
        InitOp::SetUmask { mask: number },
        InitOp::NoNewPrivileges {},
        InitOp::EnterDirectory { path: text },
        InitOp::VerifyDirectory { path: text },
        InitOp::FindProgram { name: text, candidates: texts },
        InitOp::FindHome { uid: number },
        InitOp::OutliveRuntime {},
        InitOp::AwaitStart { listener: slot },
        InitOp::Execute { args: texts, env: texts, home: v.flag.then_some(v.slot) },
        InitOp::JoinAll { spaces: Spaces(number), init: slot },
        InitOp::TakeRoot {},
        InitOp::ChangeDirectory { path: text },
        InitOp::CloseSlots { keep: List::new(&[Slot(1), Slot(2)]) },
        InitOp::OpenTerminal {
            pts: Place { base: slot, skip: 0, path: text },
            uid: number,
            size: v.flag.then_some(WindowSize { rows: v.slot, columns: !v.slot }),
            onlcr: v.flag,
            slot,
        },
        InitOp::BindConsole { place: Place { base: slot, skip: v.slot, path: text }, terminal: slot },
        InitOp::OwnStreams { uid: number },
        InitOp::TakeTerminal { terminal: slot },
        InitOp::HoldState { state: &v.bytes },
        InitOp::RunHookInside { hook: hook(v, s) },
        InitOp::AllowHooks {},
        InitOp::EndHooks {},
    ]
}

fn seccomp_ops(v: &Values) -> Vec<InitOp<'_>> {
    let (slot, number) = (Slot(v.slot), v.numbers[0]);
    vec![
        InitOp::HoldSeccomp {
            flags: number,
            program: &v.bytes,
            raised: v.flag.then_some(Capabilities {
                effective: v.wide,
                permitted: !v.wide,
                inheritable: 1,
                ambient: 0,
            }),
        },
        InitOp::HoldSeccompAgent { socket: slot, state: &v.bytes },
        InitOp::InstallSeccomp {},
    ]
}

/// Every op, filled with these values.
fn scheduling_ops<'a>(v: &'a Values) -> Vec<InitOp<'a>> {
    let number = v.numbers[0];
    vec![
        InitOp::ResetAffinity {},
        InitOp::TryAffinity { cpus: &v.bytes },
        InitOp::SetAffinity { cpus: &v.bytes },
        InitOp::SetScheduler {
            attributes: SchedulerAttributes {
                policy: number,
                flags: v.wide,
                nice: v.signed,
                priority: !number,
                runtime: !v.wide,
                deadline: v.wide / 3,
                period: 1,
            },
        },
        InitOp::SetIoPriority { value: v.slot },
        InitOp::SetPersonality { persona: number },
        InitOp::SetMemoryPolicy { mode: number, nodes: &v.bytes },
        InitOp::SetTimeOffsets { lines: &v.bytes },
    ]
}

fn every<'a>(v: &'a Values, s: &'a Shapes<'a>) -> Vec<Op<'a>> {
    let init = mount_ops(v, s)
        .into_iter()
        .chain(rootfs_ops(v, s))
        .chain(process_ops(v, s))
        .chain(scheduling_ops(v))
        .chain(seccomp_ops(v))
        .map(Op::Init);
    host_ops(v, s).into_iter().map(Op::Host).chain(init).collect()
}

fn encoded(ops: &[Op<'_>], origin: &str) -> Vec<u8> {
    let mut plan = Vec::new();
    wire::begin(&mut plan);
    ops.iter().for_each(|op| wire::append(&mut plan, origin, op));
    plan
}

fn name(op: &Op<'_>) -> &'static str {
    match op {
        Op::Host(op) => op.name(),
        Op::Init(op) => op.name(),
    }
}

#[test]
fn no_op_is_left_out() {
    let v = Values {
        texts: vec![c"a".into(), c"b".into()],
        bytes: vec![],
        numbers: vec![0],
        wide: 0,
        signed: 0,
        flag: false,
        slot: 0,
        ns: 0,
    };
    let shapes = Shapes::of(&v);
    let mut names: Vec<_> = every(&v, &shapes).iter().map(name).collect();
    let source = include_str!("../wire/ops.rs").split("struct Bare").next().unwrap();
    let is_op = |line: &&str| line.trim_start().split(' ').next().is_some_and(|word| word.parse::<u16>().is_ok());
    let defined = source.lines().filter(is_op);
    let mut defined: Vec<_> = defined.map(|line| line.trim_start().split(' ').nth(1).unwrap()).collect();
    names.sort_unstable();
    // Some are there in several shapes.
    names.dedup();
    defined.sort_unstable();
    assert_eq!(names, defined);
}

proptest! {
    #[test]
    fn every_op_comes_back(v in values(), origin in "[/a-z0-9~]{0,20}") {
        let shapes = Shapes::of(&v);
        let ops = every(&v, &shapes);
        let plan = encoded(&ops, &origin);
        let mut count = 0;
        for (step, op) in Steps::of(&plan).unwrap().zip(&ops) {
            prop_assert_eq!(step.origin, origin.as_bytes());
            prop_assert_eq!(step.op(), Some(*op));
            let shown = format!("{:?}", step.op());
            prop_assert!(shown.contains(name(op)));
            count += 1;
        }
        prop_assert_eq!(count, ops.len());
    }

    #[test]
    fn a_cut_plan_is_its_beginning(v in values(), at in any::<prop::sample::Index>()) {
        let shapes = Shapes::of(&v);
        let ops = every(&v, &shapes);
        let plan = encoded(&ops, "/x");
        let cut = &plan[..at.index(plan.len())];
        let steps: Vec<_> = Steps::of(cut).into_iter().flatten().collect();
        prop_assert!(steps.len() < ops.len());
        for (step, op) in steps.iter().zip(&ops) {
            prop_assert_eq!(step.op(), Some(*op));
        }
    }
}
