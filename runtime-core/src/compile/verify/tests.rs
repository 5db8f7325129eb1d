//! Plans that break a rule are told from those that keep it.

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
        mounts: Vec::new(),
        few_mounts: None,
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

/// The same plan with a step behind another one.
fn moved(plan: &LaunchPlan, name: &str, behind: &str) -> LaunchPlan {
    let steps: Vec<_> = plan.steps().collect();
    let moving = steps.iter().find(|step| step.name() == name).unwrap();
    let others = steps.iter().filter(|step| step.name() != name);
    replay(others.flat_map(|step| std::iter::once(step).chain((step.name() == behind).then_some(moving))))
}

#[test]
fn what_runs_in_the_container_is_behind_the_device_filter() {
    let [plan, _] = whole_plans(false);
    assert_eq!(plan.verify(), Ok(()));
    let why = moved(&plan, "FilterDevices", "SpawnInit").verify().unwrap_err();
    assert!(why.contains("may find no device filter"), "{why}");
    let without: Vec<_> = plan.steps().filter(|step| !step.name().starts_with("RunHook")).collect();
    let beside = moved(&replay(&without), "FilterDevices", "SpawnInit");
    assert_eq!(beside.verify(), Ok(()));
    assert!(moved(&beside, "FilterDevices", "Harden").verify().is_err());
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
    let source = include_str!("../../../wire/ops.rs");
    let names = ORDER.iter().flat_map(|(earlier, laters)| [earlier].into_iter().chain(*laters));
    for name in names.chain(&ONCE).chain(&ONCE_IN_LAUNCH).chain(&ONCE_IN_EXEC).chain(&AT_MOST_ONCE) {
        assert!(source.contains(&format!(" {name} {{")), "{name}");
    }
}

#[test]
fn a_state_is_recorded_at_birth_where_nobody_looks_on() {
    let (spec, _) = spec::parse(include_bytes!("../../../tests/golden/runc-run/config.json")).unwrap();
    let facts = serde_json::from_str(include_str!("../../../tests/golden/runc-run/facts.json")).unwrap();
    let (id, options) = (Id::new("x").unwrap(), CreateOptions::default());
    let (bundle, state_dir) = (Path::new("/bundle"), Path::new("/run/x"));
    let launch = Launch { id: &id, bundle, state_dir, options: &options, acts: Acts::Run };
    let plan = LaunchPlan::create(&spec, &facts, &launch).unwrap();
    assert_eq!(plan.verify(), Ok(()));
    let steps: Vec<_> = plan.steps().collect();
    let at = |name: &str| steps.iter().position(|step| step.name() == name).unwrap();
    let record = at("RecordBirth");
    assert_eq!(record, at("SpawnInit") + 2);
    let without = |at: usize| steps.iter().enumerate().filter(move |(place, _)| *place != at).map(|(_, step)| step);
    assert!(replay(without(record)).verify().unwrap_err().contains("not recorded once"));
    let (ahead, rest) = (at("OutliveRuntime"), without(record));
    let later: Vec<_> = rest.take(ahead - 1).chain([&steps[record]]).chain(&steps[ahead..]).collect();
    assert!(replay(later).verify().unwrap_err().contains("neither at birth"));
    let refork = Step { op: Op::Init(InitOp::Refork {}), ..steps[at("NewSession")] };
    let (before, behind) = steps.split_at(at("NewSession"));
    let reborn: Vec<_> = before.iter().chain([&refork]).chain(behind).collect();
    assert!(replay(reborn).verify().unwrap_err().contains("with Refork"));
}
