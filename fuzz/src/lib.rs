//! What the fuzz targets do with their bytes. `runtime-core/tests/mutations.rs` includes this file, and does the same
//! with mutations of the golden bundles.

use std::ops::Range;
use std::path::Path;

use runtime_core::compile::features;
use runtime_core::compile::seccomp::{Machine, program};
use runtime_core::wire::{HostOp, IdMap, Op, Steps};
use runtime_core::{
    Acts, CgroupDriver, CgroupFacts, CreateOptions, ExecOptions, Facts, Id, Joining, Launch, LaunchPlan, spec,
};
use serde_json::{Value, json};

/// Decodes bytes as init and the host's walk do: each step, each element of its lists, its sentence. The number of steps.
pub fn plan_decode(bytes: &[u8]) -> usize {
    let steps = Steps::of(bytes).into_iter().flatten();
    steps
        .map(|step| match step.op() {
            Some(Op::Host(op)) => op.to_string().len() + format!("{op:?}").len(),
            Some(Op::Init(op)) => op.to_string().len() + format!("{op:?}").len(),
            None => 0,
        })
        .count()
}

/// Compiles bytes as a config.json, for root and for others; what is compiled keeps the rules. The number of plans.
pub fn config(bytes: &[u8]) -> usize {
    plans(bytes, |_| {})
}

/// Compiles bytes as the options of a mount, one a line; a line of one byte that is no ASCII means one of those that
/// features.md lists. The first byte says what is mounted, and whether in a user namespace. The number of plans.
pub fn mount_options(bytes: &[u8]) -> usize {
    let Some((&what, rest)) = bytes.split_first() else { return 0 };
    let known = features().mount_options().clone().unwrap_or_default();
    let option = |line: &[u8]| match line {
        [byte] if !byte.is_ascii() => known[usize::from(byte & 0x7f) % known.len()].clone(),
        text => String::from_utf8_lossy(text).into_owned(),
    };
    let options: Vec<String> = rest.split(|byte| *byte == b'\n').map(option).collect();
    let kinds = ["tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "bind", "none"];
    let kind = kinds[usize::from(what & 7)];
    let mut config = bundle(what & 8 != 0);
    config["mounts"] = json!([{"destination": "/data", "type": kind, "source": "/src", "options": options}]);
    plans(config.to_string().as_bytes(), |_| {})
}

/// Compiles bytes as id maps: of a user namespace and of a mount, for uids and for gids. Two bytes say how many lines each
/// has; three numbers of one or four bytes are a line. Every map of a plan is one that the kernel takes. The number of plans.
pub fn id_maps(bytes: &[u8]) -> usize {
    let Some((&[of_space, of_mount], rest)) = bytes.split_first_chunk() else { return 0 };
    let mut numbers = rest.iter().copied();
    let mut number = || match numbers.next()? {
        0xff => Some(u32::from_le_bytes([numbers.next()?, numbers.next()?, numbers.next()?, numbers.next()?])),
        // What is small meets, and what is great does not.
        small => Some(u32::from(small & 0x7f) << (small >> 7 << 3)),
    };
    let mut lines = |count: u8| {
        let line = |_| Some(json!({"containerID": number()?, "hostID": number()?, "size": number()?}));
        (0..count).map_while(line).collect::<Vec<Value>>()
    };
    let mut config = bundle(false);
    if of_space & 8 == 0 {
        config["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "user"}]);
    }
    config["linux"]["uidMappings"] = lines(of_space & 7).into();
    config["linux"]["gidMappings"] = lines(of_space >> 4).into();
    let option = ["idmap", "ridmap", "ro", "nosuid"][usize::from(of_mount >> 3 & 3)];
    config["mounts"] = json!([{"destination": "/data", "source": "/src", "options": ["bind", option],
        "uidMappings": lines(of_mount & 7), "gidMappings": lines(of_mount >> 5)}]);
    plans(config.to_string().as_bytes(), |plan| {
        let maps = plan.steps().flat_map(|step| match step.op {
            Op::Host(HostOp::WriteIdMaps { uids, gids, .. } | HostOp::MakeUserNamespace { uids, gids, .. }) => {
                vec![uids, gids]
            }
            Op::Host(HostOp::HaveUidsMapped { maps } | HostOp::HaveGidsMapped { maps }) => vec![maps],
            _ => Vec::new(),
        });
        maps.for_each(|map| assert!(is_map(&map.iter().collect::<Vec<_>>()), "{map:?}"));
    })
}

/// Whether the kernel would take the lines (user_namespaces(7)).
fn is_map(lines: &[IdMap]) -> bool {
    let range = |start: u32, line: &IdMap| u64::from(start)..u64::from(start) + u64::from(line.count);
    let meet = |a: Range<u64>, b: Range<u64>| a.start < b.end && b.start < a.end;
    let pairs = lines.iter().enumerate().flat_map(|(n, a)| lines[..n].iter().map(move |b| (a, b)));
    lines.len() <= 340
        && lines.iter().all(|line| line.count > 0)
        && lines.iter().all(|line| range(line.inside.max(line.outside), line).end <= u64::from(u32::MAX))
        && pairs.into_iter().all(|(a, b)| {
            !meet(range(a.inside, a), range(b.inside, b)) && !meet(range(a.outside, a), range(b.outside, b))
        })
}

/// A config.json that compiles.
fn bundle(user: bool) -> Value {
    let mut namespaces = vec![json!({"type": "mount"})];
    let mut config = json!({"ociVersion": "1.3.0", "root": {"path": "rootfs"}, "linux": {},
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/x"], "cwd": "/"}});
    if user {
        namespaces.push(json!({"type": "user"}));
        for map in ["uidMappings", "gidMappings"] {
            config["linux"][map] = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        }
    }
    config["linux"]["namespaces"] = namespaces.into();
    config
}

/// The plans of a config.json for several callers, each of which keeps the rules.
fn plans(config: &[u8], see: impl Fn(&LaunchPlan)) -> usize {
    let Ok((spec, _)) = spec::parse(config) else { return 0 };
    let id = Id::new("fuzz").expect("an id");
    let options = CreateOptions::default();
    let (bundle, state_dir) = (Path::new("/bundle"), Path::new("/run/planc/fuzz"));
    let launch = Launch { id: &id, bundle, state_dir, options: &options, acts: Acts::Create };
    let by_systemd = CreateOptions { cgroup_driver: CgroupDriver::Systemd, ..CreateOptions::default() };
    let by_systemd = Launch { options: &by_systemd, ..launch };
    let many_mounts = Facts { few_mounts: Some("/run/planc-mounts/few".into()), ..facts(0, true) };
    let callers = [facts(0, true), many_mounts, facts(1000, true), facts(0, false)];
    let plans = callers.iter().flat_map(|facts| [&launch, &by_systemd].map(|launch| (facts, launch)));
    let plans = plans.filter_map(|(facts, launch)| LaunchPlan::create(&spec, facts, launch).ok());
    // Its own process once more, as one that joins.
    let options = ExecOptions::default();
    let process = spec.process().clone().unwrap_or_default();
    let cgroup = Some(Path::new("/sys/fs/cgroup/fuzz"));
    let joining = Joining {
        id: &id,
        bundle,
        state_dir,
        process: &process,
        init: 1,
        cgroup,
        unit: None,
        groups: &[],
        options: &options,
    };
    let execs = callers.iter().filter_map(|facts| LaunchPlan::exec(&spec, facts, &joining).ok());
    plans
        .chain(execs)
        .map(|plan| {
            assert_eq!(plan.verify(), Ok(()), "{plan}");
            assert!(plan.steps().all(|step| step.origin.is_empty() || step.origin.starts_with('/')));
            see(&plan);
        })
        .count()
}

/// Compiles bytes as a seccomp profile, for both machines; what is compiled is a program. The number of instructions.
pub fn seccomp(bytes: &[u8]) -> usize {
    let Ok(profile) = serde_json::from_slice(bytes) else { return 0 };
    let programs = [Machine::X86_64, Machine::Aarch64].map(|machine| program(&profile, machine));
    programs
        .into_iter()
        .flatten()
        .map(|program| {
            let count = program.len() / 8;
            assert!((1..=4096).contains(&count) && program.len() % 8 == 0);
            // BPF_RET | BPF_K
            assert_eq!(program[(count - 1) * 8..][..2], 6u16.to_ne_bytes());
            count
        })
        .sum()
}

fn facts(euid: u32, initial_user_namespace: bool) -> Facts {
    let all = (1 << 41) - 1;
    Facts {
        kernel: (6, 18),
        euid,
        egid: euid,
        effective: if euid == 0 { all } else { 0 },
        bounding: all,
        last_capability: 40,
        initial_user_namespace,
        setgroups_denied: !initial_user_namespace,
        foreign_namespaces: if initial_user_namespace { 0 } else { u32::MAX },
        time_namespaces: true,
        lsm: runtime_core::LsmFacts::default(),
        resctrl: None,
        mounts: Vec::new(),
        few_mounts: None,
        cgroup: Some(CgroupFacts {
            mount: "/sys/fs/cgroup".into(),
            own: "/a/b".to_owned(),
            delegated: euid == 0,
            delegated_below: false,
            controllers: Vec::new(),
        }),
    }
}
