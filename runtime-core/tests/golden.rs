//! Golden plans: for each bundle in `golden/`, the whole plan, or the refusal, and in `fields.txt` what the sentences do
//! not tell. `UPDATE_GOLDEN=1` writes them anew.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use runtime_core::wire::Op;
use runtime_core::{
    Acts, CgroupDriver, CreateOptions, ExecOptions, Facts, Id, Invalid, Joining, Keyring, Launch, LaunchPlan,
    RootSwitch, Rootless, Timing, WindowSize, spec,
};
use serde::Deserialize;

/// `launch.json`: what the caller asks for where it is not the default.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Asked {
    no_pivot: bool,
    no_new_keyring: bool,
    run: bool,
    pid_file: Option<PathBuf>,
    pidfd_socket: Option<PathBuf>,
    listen_fds: u32,
    systemd_cgroup: bool,
    console_socket: Option<PathBuf>,
    /// Rows and columns.
    window: Option<(u16, u16)>,
}

/// `exec.json`, in a folder of its own: a process that joins the container of another folder.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AskedExec {
    /// The other folder.
    of: String,
    process: serde_json::Value,
    cgroup: Option<PathBuf>,
    unit: Option<String>,
    /// Groups of resctrl.
    #[serde(default)]
    groups: Vec<PathBuf>,
    below: Option<String>,
    pid_file: Option<PathBuf>,
    console_socket: Option<PathBuf>,
}

fn exec(name: &str) -> Option<AskedExec> {
    let path = folder().join(name).join("exec.json");
    path.exists().then(|| read(&path))
}

/// Compiles the plan of an exec.
fn compile_exec(asked: &AskedExec) -> (Vec<String>, Result<LaunchPlan, String>) {
    let folder = folder().join(&asked.of);
    let (spec, _) = spec::parse(&fs::read(folder.join("config.json")).unwrap()).unwrap();
    let (process, warnings) = match spec::parse_process(asked.process.to_string().as_bytes()) {
        Err(invalid) => return (vec![], Err(refusal(&invalid))),
        Ok(parsed) => parsed,
    };
    let options = ExecOptions {
        pid_file: asked.pid_file.clone(),
        console_socket: asked.console_socket.clone(),
        cgroup: asked.below.clone(),
        ..ExecOptions::default()
    };
    let joining = Joining {
        id: &Id::new("golden").unwrap(),
        bundle: Path::new("/bundle"),
        state_dir: Path::new("/run/planc/golden"),
        process: &process,
        init: 4711,
        cgroup: asked.cgroup.as_deref(),
        unit: asked.unit.as_deref(),
        groups: &asked.groups,
        options: &options,
    };
    let plan = LaunchPlan::exec(&spec, &read(&folder.join("facts.json")), &joining);
    (warnings, plan.map_err(|invalid| refusal(&invalid)))
}

fn refusal(invalid: &Invalid) -> String {
    let sort = if invalid.unsupported { "refused (unsupported)" } else { "refused" };
    format!("{sort}: {invalid}\n")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compiles the bundle `name`: the plan, or why there is none; the warnings before it.
fn compile(name: &str) -> (Vec<String>, Result<LaunchPlan, String>) {
    match exec(name) {
        Some(asked) => compile_exec(&asked),
        None => compile_config(name, &fs::read(folder().join(name).join("config.json")).unwrap()),
    }
}

/// The same of another config.json for that bundle.
fn compile_config(name: &str, config: &[u8]) -> (Vec<String>, Result<LaunchPlan, String>) {
    let folder = folder().join(name);
    let facts: Facts = read(&folder.join("facts.json"));
    let asked: Asked = match folder.join("launch.json") {
        path if path.exists() => read(&path),
        _ => Asked::default(),
    };
    let options = CreateOptions {
        timing: Timing::None,
        pid_file: asked.pid_file,
        pidfd_socket: asked.pidfd_socket,
        listen_fds: asked.listen_fds,
        console_socket: asked.console_socket,
        window: asked.window.map(|(rows, columns)| WindowSize { rows, columns }),
        root_switch: if asked.no_pivot { RootSwitch::Move } else { RootSwitch::Pivot },
        keyring: if asked.no_new_keyring { Keyring::Keep } else { Keyring::New },
        rootless: Rootless::Auto,
        cgroup_driver: if asked.systemd_cgroup { CgroupDriver::Systemd } else { CgroupDriver::Cgroupfs },
    };
    let launch = Launch {
        id: &Id::new("golden").unwrap(),
        bundle: Path::new("/bundle"),
        state_dir: Path::new("/run/planc/golden"),
        options: &options,
        acts: if asked.run { Acts::Run } else { Acts::Create },
    };
    match spec::parse(config) {
        Err(invalid) => (vec![], Err(refusal(&invalid))),
        Ok((spec, warnings)) => {
            (warnings, LaunchPlan::create(&spec, &facts, &launch).map_err(|invalid| refusal(&invalid)))
        }
    }
}

/// What `plan.txt` holds: the warnings, then the plan or the refusal.
fn shown(name: &str) -> String {
    let (mut warnings, plan) = compile(name);
    warnings.extend(plan.iter().flat_map(|plan| plan.warnings().iter().cloned()));
    let mut shown = String::new();
    for warning in warnings {
        writeln!(shown, "warning: {warning}").unwrap();
    }
    match plan {
        Ok(plan) => write!(shown, "{plan}").unwrap(),
        Err(refusal) => shown.push_str(&refusal),
    }
    shown
}

/// Ops whose sentences leave fields out.
const TERSE: [&str; 22] = [
    "MakeClos",
    "MoveNetDevice",
    "StartUnit",
    "OpenCgroup",
    "SpawnInit",
    "WriteIdMaps",
    "HaveUidsMapped",
    "HaveGidsMapped",
    "StageTree",
    "AttachRootfs",
    "Mount",
    "Bind",
    "MakeDevice",
    "OpenProc",
    "JoinKeyring",
    "SetCapabilities",
    "FindProgram",
    "HoldState",
    "RunHook",
    "RunHookInside",
    "Execute",
    "OpenTerminal",
];

/// What `fields.txt` holds: the terse steps, field by field.
fn fields(name: &str) -> String {
    let Ok(plan) = compile(name).1 else { return String::new() };
    let terse = plan.steps().filter(|step| TERSE.contains(&step.name()));
    terse.fold(String::new(), |mut fields, step| {
        let op = match step.op {
            Op::Host(op) => format!("{op:?}"),
            Op::Init(op) => format!("{op:?}"),
        };
        writeln!(fields, "{:>4}  {op}", step.number).unwrap();
        fields
    })
}

/// Where a file is not what it was, or nothing.
fn difference(name: &str, file: &str, now: &str) -> Option<String> {
    let path = folder().join(name).join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, now).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let same = now.lines().zip(golden.lines()).take_while(|(now, golden)| now == golden).count();
    let at = |text: &str| text.lines().nth(same).unwrap_or("(nothing)").to_owned();
    let told = || format!("{name}/{file}:{}\n  golden {}\n  now    {}", same + 1, at(&golden), at(now));
    (now != golden).then(told)
}

#[test]
fn every_plan_is_the_golden_one() {
    let files =
        |name: String| [difference(&name, "plan.txt", &shown(&name)), difference(&name, "fields.txt", &fields(&name))];
    let differ: Vec<_> = names().into_iter().flat_map(files).flatten().collect();
    assert!(differ.is_empty(), "{}\n(UPDATE_GOLDEN=1 writes them anew)", differ.join("\n"));
}

#[test]
fn every_golden_plan_keeps_the_rules() {
    let plans: Vec<_> = names().into_iter().filter_map(|name| Some((compile(&name).1.ok()?, name))).collect();
    for (plan, name) in &plans {
        assert_eq!(plan.verify(), Ok(()), "{name}");
    }
    assert!(plans.len() >= 15, "{} plans", plans.len());
}

/// Annotations that steer other runtimes, shims and engines, and some that look like planc's. Those that planc heeds are
/// `org.systemd.property.*` with systemd's driver, `run.oci.keep_original_groups` without root, and `org.criu.config`.
const STRANGE: [(&str, &str); 14] = [
    ("run.oci.delegate-cgroup", "../../.."),
    ("run.oci.handler", "krun"),
    ("run.oci.hooks.stdout", "/etc/passwd"),
    ("run.oci.hooks.stderr", "/etc/passwd"),
    ("run.oci.mount_context_type", "rootcontext"),
    ("run.oci.pidfd_receiver", "/run/receiver"),
    ("run.oci.seccomp.receiver", "/run/receiver"),
    ("run.oci.seccomp.plugins", "/tmp/plugin.so"),
    ("run.oci.systemd.force_cgroup_v1", "/sys/fs/cgroup/systemd"),
    ("module.wasm.image/variant", "compat"),
    ("io.containerd.runc.v2.log_uri", "binary:///bin/sh"),
    ("nerdctl/log-uri", "binary:///bin/sh"),
    ("PLANC_FAILPOINT", "1"),
    ("planc.root", "/tmp"),
];

/// Variables that steer planc, shims and what is loaded into them, if they are the caller's.
const VARIABLES: [&str; 9] = [
    "PLANC_FAILPOINT=1",
    "PLANC_FAILPOINT_FD=1",
    "XDG_RUNTIME_DIR=/tmp",
    "LISTEN_FDS=3",
    "LISTEN_PID=1",
    "TTRPC_ADDRESS=/tmp/socket",
    "SCHED_CORE=1",
    "LD_PRELOAD=/tmp/evil.so",
    "DBUS_SESSION_BUS_ADDRESS=unix:path=/tmp/bus",
];

/// The steps field by field, but for what hooks and seccomp agents are told: annotations are a part of the state.
fn steps(plan: &LaunchPlan) -> Vec<String> {
    let step = |step: runtime_core::Step<'_>| match step.op {
        _ if ["HoldState", "HoldSeccompAgent"].contains(&step.name()) => step.origin.to_owned(),
        Op::Host(op) => format!("{op:?}"),
        Op::Init(op) => format!("{op:?}"),
    };
    plan.steps().map(step).collect()
}

/// SECURITY.md T-57, R-57; CVE-2026-53488.
#[test]
fn annotations_and_variables_that_look_like_orders_are_none() {
    let mut looked_at = 0;
    for name in names().into_iter().filter(|name| exec(name).is_none()) {
        let Ok(plan) = compile(&name).1 else { continue };
        let mut config: serde_json::Value = read(&folder().join(&name).join("config.json"));
        for (key, value) in STRANGE {
            config["annotations"][key] = value.into();
        }
        let annotated = compile_config(&name, config.to_string().as_bytes()).1.unwrap();
        let (strange, plain) = (steps(&annotated), steps(&plan));
        let differs = strange.iter().zip(&plain).find(|(strange, plain)| strange != plain);
        assert!(differs.is_none() && strange.len() == plain.len(), "{name}, annotated: {differs:?}");
        if let Some(variables) = config.pointer_mut("/process/env").and_then(serde_json::Value::as_array_mut) {
            variables.extend(VARIABLES.map(Into::into));
            let steered = compile_config(&name, config.to_string().as_bytes()).1.unwrap();
            assert_eq!(steered.to_string(), annotated.to_string(), "{name}, with variables");
        }
        looked_at += 1;
    }
    assert!(looked_at >= 50, "{looked_at} plans");
}

#[test]
fn every_step_names_a_place_that_config_json_has() {
    for name in names() {
        let config: serde_json::Value = match exec(&name) {
            None => read(&folder().join(&name).join("config.json")),
            Some(AskedExec { of, process, .. }) => {
                let mut config: serde_json::Value = read(&folder().join(of).join("config.json"));
                config["process"] = process;
                config
            }
        };
        for step in compile(&name).1.iter().flat_map(LaunchPlan::steps) {
            assert!(config.pointer(step.origin).is_some(), "{name}: {step}");
        }
    }
}
