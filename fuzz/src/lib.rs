//! What the fuzz targets do with their bytes. `runtime-core/tests/mutations.rs` includes this file, and does the same
//! with mutations of the golden bundles.

use std::path::Path;

use runtime_core::compile::seccomp::{Machine, program};
use runtime_core::wire::{Op, Steps};
use runtime_core::{
    Acts, CgroupDriver, CgroupFacts, CreateOptions, ExecOptions, Facts, Id, Joining, Launch, LaunchPlan, spec,
};

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
    let Ok((spec, _)) = spec::parse(bytes) else { return 0 };
    let id = Id::new("fuzz").expect("an id");
    let options = CreateOptions::default();
    let (bundle, state_dir) = (Path::new("/bundle"), Path::new("/run/planc/fuzz"));
    let launch = Launch { id: &id, bundle, state_dir, options: &options, acts: Acts::Create };
    let by_systemd = CreateOptions { cgroup_driver: CgroupDriver::Systemd, ..CreateOptions::default() };
    let by_systemd = Launch { options: &by_systemd, ..launch };
    let callers = [facts(0, true), facts(1000, true), facts(0, false)];
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
        cgroup: Some(CgroupFacts {
            mount: "/sys/fs/cgroup".into(),
            own: "/a/b".to_owned(),
            delegated: euid == 0,
            delegated_below: false,
            controllers: Vec::new(),
        }),
    }
}
