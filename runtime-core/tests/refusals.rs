//! What config.json cannot ask for, each with its place and its words; and what looks like it and asks for nothing.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use runtime_core::wire::{InitOp, Op, Param};
use runtime_core::{Acts, CgroupFacts, CreateOptions, Facts, Id, Invalid, Launch, LaunchPlan, LsmFacts, spec};
use serde_json::{Value, json};

const ALL: u64 = (1 << 41) - 1;

fn root() -> Facts {
    Facts {
        kernel: (6, 18),
        euid: 0,
        egid: 0,
        effective: ALL,
        bounding: ALL,
        last_capability: 40,
        initial_user_namespace: true,
        setgroups_denied: false,
        foreign_namespaces: 0,
        time_namespaces: true,
        lsm: LsmFacts::default(),
        resctrl: None,
        mounts: Vec::new(),
        few_mounts: None,
        cgroup: Some(CgroupFacts {
            mount: "/sys/fs/cgroup".into(),
            own: "/user.slice/a.scope".to_owned(),
            delegated: true,
            delegated_below: false,
            controllers: vec![],
        }),
    }
}

/// runc's default bundle without its terminal.
fn base() -> Value {
    let mut config = serde_json::to_value(spec::default_config(None)).unwrap();
    config["process"]["terminal"] = false.into();
    config
}

/// Sets what `pointer` points at; `-` is a new element of a list.
fn set(config: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match config.pointer_mut(parent).unwrap() {
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        Value::Object(map) => drop(map.insert(key.to_owned(), value)),
        other => panic!("{other}"),
    }
}

fn compile(config: &Value, facts: &Facts) -> Result<LaunchPlan, Invalid> {
    let (spec, _) = spec::parse(config.to_string().as_bytes())?;
    let id = Id::new("c1").unwrap();
    let options = CreateOptions::default();
    let (bundle, state_dir) = (Path::new("/bundle"), Path::new("/run/planc/c1"));
    LaunchPlan::create(&spec, facts, &Launch { id: &id, bundle, state_dir, options: &options, acts: Acts::Create })
}

/// Sets each of `patches`; the refusal must have this place and these words.
fn refused(patches: &[(&str, Value)], origin: &str, why: &str) -> Invalid {
    let mut config = base();
    for (pointer, value) in patches {
        set(&mut config, pointer, value.clone());
    }
    let invalid = compile(&config, &root()).map(|plan| plan.to_string()).unwrap_err();
    assert_eq!(invalid.origin, origin, "{invalid}");
    assert!(invalid.why.contains(why), "{invalid}");
    invalid
}

fn without(mut config: Value, pointer: &str) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    config.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key);
    config
}

#[test]
fn scheduling_that_does_not_go_together() {
    for (pointer, value, origin, why) in [
        ("/process/scheduler", json!({"policy": "SCHED_OTHER", "nice": 20}), "/process/scheduler/nice", "invalid"),
        ("/process/scheduler", json!({"policy": "SCHED_BATCH", "priority": 1}), "/process/scheduler/priority", "only"),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_RR", "priority": -1}),
            "/process/scheduler/priority",
            "negative",
        ),
        ("/process/scheduler", json!({"policy": "SCHED_RR", "deadline": 1}), "/process/scheduler/deadline", "only"),
        ("/process/scheduler", json!({"policy": "SCHED_SOON"}), "/process/scheduler/policy", "unknown variant"),
        (
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_BE", "priority": 8}),
            "/process/ioPriority/priority",
            "invalid ioPriority.Priority: 8",
        ),
        ("/linux/timeOffsets", json!({"boottime": {"secs": 1}}), "/linux/timeOffsets/boottime", "new time namespace"),
        ("/linux/timeOffsets", json!({"tai": {"secs": 1}}), "/linux/timeOffsets/tai", "no clock"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND"}), "/linux/memoryPolicy/nodes", "needs nodes"),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_LOCAL", "nodes": "0"}),
            "/linux/memoryPolicy/nodes",
            "invalid memory policy nodes: MPOL_LOCAL mode requires 0 nodes but got 1",
        ),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_BIND", "nodes": "0-9876543210"}),
            "/linux/memoryPolicy/nodes",
            "invalid memory policy node",
        ),
        ("/linux/memoryPolicy", json!({}), "/linux/memoryPolicy", "invalid memory policy mode: missing field `mode`"),
        (
            "/linux/memoryPolicy",
            json!({"mode": "INTERLEAVE", "nodes": "0"}),
            "/linux/memoryPolicy/mode",
            "invalid memory policy mode: unknown variant `INTERLEAVE`",
        ),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_PREFERRED", "flags": ["badflag"]}),
            "/linux/memoryPolicy/flags/0",
            "invalid memory policy flag: unknown variant `badflag`",
        ),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "1-"}), "/linux/memoryPolicy/nodes", "no node"),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}),
            "/linux/memoryPolicy/flags/1",
            "exclude",
        ),
    ] {
        refused(&[(pointer, value)], origin, why);
    }
}

#[test]
fn labels_of_security_modules_that_are_not_there() {
    let selinux = "selinux label is specified in config, but selinux is disabled or not supported";
    for (pointer, why) in [
        ("/process/apparmorProfile", "apparmor: config provided but apparmor not supported"),
        ("/process/selinuxLabel", selinux),
        ("/linux/mountLabel", selinux),
    ] {
        let invalid = refused(&[(pointer, json!("a:b:c:s0"))], pointer, why);
        assert!(invalid.unsupported, "{invalid}");
    }
    // One of the two is not the other.
    let mut config = base();
    set(&mut config, "/process/apparmorProfile", json!("x"));
    let only_selinux = Facts { lsm: LsmFacts { selinux: true, ..LsmFacts::default() }, ..root() };
    assert_eq!(compile(&config, &only_selinux).unwrap_err().origin, "/process/apparmorProfile");
}

#[test]
fn labels_are_written_late_and_the_keyring_has_its_own() {
    let all = LsmFacts { apparmor: true, apparmor_directory: true, selinux: true };
    let with = |lsm| Facts { lsm, ..root() };
    let mut config = base();
    set(&mut config, "/process/apparmorProfile", json!("docker-default"));
    let plan = compile(&config, &with(LsmFacts { apparmor_directory: false, ..all })).unwrap();
    assert!(
        plan.to_string().contains("label itself: \"exec docker-default\" in attr/exec"),
        "before Linux 5.8: {plan}"
    );
    set(&mut config, "/process/selinuxLabel", json!("u:r:t:s0:c1,c2"));
    set(&mut config, "/linux/mountLabel", json!("u:object_r:f:s0"));
    set(&mut config, "/mounts/1/options", json!(["context=\"u:o:own:s0\""]));
    let plan = compile(&config, &with(all)).unwrap();
    plan.verify().unwrap();
    let said: Vec<_> = plan.steps().map(|step| step.sentence()).collect();
    let at = |text: &str| said.iter().position(|sentence| sentence.contains(text)).unwrap_or_else(|| panic!("{text}"));
    let order = [
        at("\"u:r:t:s0:c1,c2\" in attr/keycreate"),
        at("join a new session keyring"),
        at("\"\\n\" in attr/keycreate"),
        at("\"u:r:t:s0:c1,c2\" in attr/exec"),
        at("\"exec docker-default\" in attr/apparmor/exec"),
        at("become uid"),
        at("gain no privileges"),
    ];
    assert!(order.is_sorted(), "{order:?}");
    let contexts: Vec<_> = plan
        .steps()
        .filter_map(|step| match step.op {
            Op::Init(InitOp::Mount { fstype, params, .. }) => {
                let of = |param: &Param<'_>| param.key.bytes() == b"context" && param.option.is_none();
                params.iter().any(|param| of(&param)).then(|| String::from_utf8(fstype.bytes().to_vec()).unwrap())
            }
            _ => None,
        })
        .collect();
    assert_eq!(contexts, ["devpts", "tmpfs"], "not the kernel's own, and not where the mount has one");
    assert!(at("mount mqueue") < at("label the mount in") && at("label the mount in") < at("become uid"));
    at(", labelled \"u:object_r:f:s0\"");
}

#[test]
fn network_devices() {
    let devices = |value: Value| [("/linux/netDevices", value)];
    for (name, why) in [
        ("", "empty"),
        (".", "no name"),
        ("..", "no name"),
        ("sixteen-bytes-xx", "16 bytes are more than 15"),
        ("a/b", "'/', ':' or white space"),
        ("a:b", "'/', ':' or white space"),
        ("a b", "'/', ':' or white space"),
        ("a\tb", "'/', ':' or white space"),
        ("a\u{b}", "'/', ':' or white space"),
    ] {
        let origin = format!("/linux/netDevices/{}", name.replace('/', "~1"));
        refused(&devices(json!({ name: {} })), &origin, why);
        if !name.is_empty() {
            refused(&devices(json!({ "eth0": { "name": name } })), "/linux/netDevices/eth0/name", why);
        }
    }
    for name in ["eth%", "%s", "%d%d", "%%d"] {
        refused(&devices(json!({ "eth0": { "name": name } })), "/linux/netDevices/eth0/name", "one %d");
    }
    refused(&devices(json!({ "a": {}, "b": { "name": "a" } })), "/linux/netDevices/b/name", "are called \"a\"");
    let mut config = base();
    set(&mut config, "/linux/netDevices", json!({ "a": { "name": "eth%d" }, "b": { "name": "eth%d" }, "c": {} }));
    let plan = compile(&config, &root()).unwrap();
    assert!(plan.to_string().contains("move the network device a into the container, there eth%d"), "{plan}");
    plan.verify().unwrap();

    let asked = devices(json!({ "eth0": {} }));
    let host = ("/linux/namespaces", json!([{ "type": "mount" }, { "type": "uts" }]));
    refused(&[host, asked[0].clone()], "/linux/netDevices", "private network namespace");
    let mut config = base();
    set(&mut config, "/linux/netDevices", asked[0].1.clone());
    let lacking = [1 << 12, 1 << 21].map(|bit| Facts { effective: ALL & !bit, ..root() });
    let foreign = Facts { foreign_namespaces: 0x4000_0000, initial_user_namespace: false, ..root() };
    for facts in [lacking[0].clone(), foreign] {
        let invalid = compile(&config, &facts).unwrap_err();
        assert_eq!(invalid.origin, "/linux/netDevices", "{invalid}");
        assert!(invalid.why.contains("rootless"), "{invalid}");
    }
    assert!(compile(&config, &lacking[1]).is_err());
}

#[test]
fn a_limit_whose_controller_is_missing_is_unsupported_and_named() {
    for (pointer, value, origin) in [
        ("/linux/resources/memory", json!({ "limit": 1 }), "/linux/resources/memory/limit"),
        ("/linux/resources/cpu", json!({ "shares": 2 }), "/linux/resources/cpu/shares"),
        ("/linux/resources/pids", json!({ "limit": 0 }), "/linux/resources/pids/limit"),
        ("/linux/resources/unified", json!({ "memory.high": "1" }), "/linux/resources/unified/memory.high"),
    ] {
        let invalid = refused(&[(pointer, value)], origin, "not available");
        assert!(invalid.unsupported, "{invalid}");
    }
}

#[test]
fn empty_values_ask_for_nothing() {
    for (pointer, value) in [
        ("/process/apparmorProfile", json!("")),
        ("/process/consoleSize", json!({ "height": 1, "width": 2 })),
        ("/process/execCPUAffinity", json!({ "initial": "0" })),
        ("/hooks", json!({})),
        ("/hooks", json!({ "prestart": [], "poststop": null })),
        ("/linux/seccomp", json!({})),
        ("/linux/netDevices", json!({})),
        ("/linux/timeOffsets", json!({})),
        ("/linux/resources/memory", json!({ "limit": 0, "disableOOMKiller": false })),
        ("/linux/resources/cpu", json!({ "shares": 0, "cpus": "" })),
        ("/linux/resources/pids", json!({})),
        ("/linux/resources/pids", json!({ "limit": -1 })),
        ("/linux/resources/blockIO", json!({ "weight": 0 })),
        ("/linux/resources/network", json!({ "priorities": [] })),
        ("/linux/resources/unified", json!({})),
        ("/linux/mountLabel", json!("")),
        ("/linux/cgroupsPath", json!("")),
        ("/linux/rootfsPropagation", json!("")),
        ("/mounts/0/uidMappings", json!([])),
        ("/annotations", json!({ "a": "" })),
        ("/windows", json!({ "layerFolders": ["x"] })),
    ] {
        let mut config = base();
        set(&mut config, pointer, value.clone());
        let plan = compile(&config, &root()).unwrap_or_else(|invalid| panic!("{pointer} {value}: {invalid}"));
        assert_eq!(plan.to_string(), compile(&base(), &root()).unwrap().to_string(), "{pointer} {value}");
    }
}

#[test]
fn the_process() {
    for (pointer, value, why) in [
        ("/process/args", json!([]), "args must not be empty"),
        ("/process/cwd", json!("usr"), "Cwd must be an absolute path"),
        ("/process/cwd", json!(""), "Cwd property must not be empty"),
        ("/process/env/0", json!("PATH"), "missing '='"),
        ("/process/env/1", json!("=x"), "name cannot be empty"),
        ("/process/user/uid", json!(4_294_967_295u32), "means none"),
        ("/process/user/gid", json!(4_294_967_295u32), "means none"),
        ("/process/user/umask", json!(512), "no umask"),
        ("/process/args/0", json!("x".repeat(131_072)), "execve"),
    ] {
        refused(&[(pointer, value)], pointer, why);
    }
    refused(&[("/process/user/additionalGids", json!([0, u32::MAX]))], "/process/user/additionalGids/1", "means none");
    let limit = |soft, hard| json!({ "type": "RLIMIT_NOFILE", "soft": soft, "hard": hard });
    refused(&[("/process/rlimits/-", limit(1, 1))], "/process/rlimits/1/type", "twice");
    refused(&[("/process/rlimits/0", limit(2, 1))], "/process/rlimits/0/soft", "greater than the hard limit");
    refused(&[("/process/rlimits/0/type", json!("RLIMIT_X"))], "/process/rlimits/0/type", "RLIMIT_X");
    refused(&[("/process", Value::Null)], "/process", "process property must not be empty");
    refused(&[("/root", Value::Null)], "/root", "missing");
    refused(&[("/root/path", json!(""))], "/root/path", "empty");
}

#[test]
fn hooks() {
    let list = |hook: Value| json!([{ "path": "/bin/true" }, hook]);
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        let place = |name: &str| format!("/hooks/{kind}/1/{name}");
        for (hook, name, why) in [
            (json!({ "path": "bin/true" }), "path", "not absolute"),
            (json!({ "path": "" }), "path", "not absolute"),
            (json!({ "path": "./x" }), "path", "not absolute"),
            (json!({ "path": "/x\0y" }), "path", "NUL"),
            (json!({ "path": format!("/{}", "x".repeat(4096)) }), "path", "longer than the kernel takes"),
            (json!({ "path": "/x", "timeout": 0 }), "timeout", "not greater than 0"),
            (json!({ "path": "/x", "timeout": -1 }), "timeout", "not greater than 0"),
            (json!({ "path": "/x", "timeout": 1.5 }), "timeout", "expected i64"),
            (json!({ "path": "/x", "args": ["a", "b\0"] }), "args/1", "NUL"),
            (json!({ "path": "/x", "args": ["x".repeat(131_072)] }), "args/0", "execve"),
            (json!({ "path": "/x", "env": ["A=\0"] }), "env/0", "NUL"),
            (json!({ "path": "/x", "env": [7] }), "env/0", "expected a string"),
        ] {
            refused(&[("/hooks", json!({ kind: list(hook) }))], &place(name), why);
        }
        refused(&[("/hooks", json!({ kind: [{ "args": [] }] }))], &format!("/hooks/{kind}/0"), "path");
    }
}

#[test]
fn the_terminal() {
    let terminal = ("/process/terminal", json!(true));
    let size = |height: u64, width: u64| ("/process/consoleSize", json!({ "height": height, "width": width }));
    refused(&[terminal.clone(), size(65_536, 1)], "/process/consoleSize/height", "65536");
    refused(&[terminal.clone(), size(1, 1 << 40)], "/process/consoleSize/width", "more than a terminal has");
    // What stands at /dev/pts, last.
    let pts = |fstype: &str| json!({ "destination": "/dev/pts", "type": fstype, "source": "x" });
    let dev = |options: Value| json!({ "destination": "/dev", "source": "/dev", "options": options });
    for mount in [pts("tmpfs"), dev(json!(["bind"])), json!({ "destination": "/dev/../dev", "type": "tmpfs" })] {
        refused(&[terminal.clone(), ("/mounts/-", mount)], "/process/terminal", "devpts");
    }
    for mount in [pts("devpts"), pts("bind"), dev(json!(["rbind"]))] {
        let mut config = base();
        set(&mut config, "/process/terminal", json!(true));
        set(&mut config, "/mounts/-", mount);
        compile(&config, &root()).unwrap();
    }
    let (spec, _) = spec::parse(base().to_string().as_bytes()).unwrap();
    let options = CreateOptions { console_socket: Some("/s".into()), ..CreateOptions::default() };
    let (id, bundle) = (Id::new("c1").unwrap(), Path::new("/bundle"));
    let launch = Launch { id: &id, bundle, state_dir: Path::new("/run/c1"), options: &options, acts: Acts::Create };
    let invalid = LaunchPlan::create(&spec, &root(), &launch).unwrap_err();
    assert_eq!(invalid.origin, "/process/terminal");
}

#[test]
fn namespaces_and_id_maps() {
    refused(
        &[("/linux/namespaces/-", json!({ "type": "uts" }))],
        "/linux/namespaces/6",
        "malformed spec file: duplicated ns",
    );
    refused(&[("/linux/namespaces/1/path", json!("proc/1/ns/net"))], "/linux/namespaces/1/path", "not absolute");
    refused(&[("/linux/namespaces/1/type", json!("vm"))], "/linux/namespaces/1/type", "unknown variant");
    let user = ("/linux/namespaces/-", json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 10 }]);
    let high = json!([{ "containerID": 1, "hostID": 100_000, "size": 10 }]);
    let (uids, gids) = ("/linux/uidMappings", "/linux/gidMappings");
    let missing = "no namespace path to join nor mappings to apply specified";
    refused(std::slice::from_ref(&user), uids, missing);
    refused(&[user.clone(), (uids, map.clone())], gids, missing);
    refused(&[(gids, map.clone())], gids, "user namespace isn't enabled in the config");
    refused(&[user.clone(), (uids, high), (gids, map.clone())], uids, "root (id 0) is not mapped");
    let mapped = |pointer, value| [user.clone(), (uids, map.clone()), (gids, map.clone()), (pointer, value)];
    refused(&mapped("/process/user/uid", json!(10)), "/process/user/uid", "cannot setuid to unmapped uid 10");
    refused(&mapped("/process/user/gid", json!(10)), "/process/user/gid", "cannot setgid to unmapped gid 10");
}

#[test]
fn without_a_mount_namespace() {
    let (pid, none) = (("/linux/namespaces", json!([{ "type": "pid" }, { "type": "uts" }])), json!([]));
    let (masked, read_only) = ("/linux/maskedPaths", "/linux/readonlyPaths");
    let bare = |more: &[(&'static str, Value)]| {
        [&[pid.clone(), (masked, none.clone()), (read_only, none.clone()), ("/mounts", none.clone())], more].concat()
    };
    let private = "unable to restrict sys entries without a private MNT namespace";
    refused(&bare(&[(masked, json!(["/proc/kcore"]))]), masked, private);
    refused(&bare(&[(read_only, json!(["/proc/sys"]))]), read_only, private);
    refused(&bare(&[("/linux/rootfsPropagation", json!("shared"))]), "/linux/rootfsPropagation", "is not changed");
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 10 }]);
    let user = [
        ("/linux/namespaces/-", json!({ "type": "user" })),
        ("/linux/uidMappings", map.clone()),
        ("/linux/gidMappings", map),
    ];
    refused(&bare(&user), "/linux/namespaces", "needs a mount namespace");
    let mut config = base();
    for (pointer, value) in bare(&[]) {
        set(&mut config, pointer, value);
    }
    compile(&config, &root()).unwrap();
}

#[test]
fn names_and_kernel_parameters() {
    let host = json!([{ "type": "mount" }]);
    refused(
        &[("/linux/namespaces", host.clone())],
        "/hostname",
        "unable to set hostname without a private UTS namespace",
    );
    refused(&[("/hostname", json!("x".repeat(65)))], "/hostname", "more than 64");
    refused(&[("/domainname", json!("x".repeat(65)))], "/domainname", "more than 64");
    for (key, namespaces, why) in [
        ("kernel.hostname", None, "use hostname"),
        ("kernel.panic", None, "is not in a separate kernel namespace"),
        ("vm.swappiness", None, "is not in a separate kernel namespace"),
        ("net", None, "is not in a separate kernel namespace"),
        ("net.ipv4", Some(&host), "not allowed in the host's network namespace"),
        ("kernel.msgmax", Some(&host), "not allowed in the host's ipc namespace"),
        ("kernel.domainname", Some(&host), "not allowed in the host's uts namespace"),
        ("user.max_user_namespaces", None, "not allowed in the host's user namespace"),
        ("net/../kernel/core_pattern", None, "no name"),
        ("net..x", None, "no name"),
    ] {
        let mut patches = vec![("/linux/sysctl", json!({ key: "1" })), ("/hostname", json!(""))];
        patches.extend(namespaces.map(|list| ("/linux/namespaces", list.clone())));
        refused(&patches, &format!("/linux/sysctl/{}", key.replace('/', "~1")), why);
    }
}

#[test]
fn mounts_whose_ids_cannot_be_mapped() {
    let line = json!([{ "containerID": 0, "hostID": 1000, "size": 10 }]);
    let mount = |options: &[&str], uids: &Value, gids: &Value| {
        json!({
            "destination": "/d", "type": "none", "source": "/srv", "options": options, "uidMappings": uids,
            "gidMappings": gids
        })
    };
    let none = json!([]);
    let broken = json!([{ "containerID": 0, "hostID": 1000, "size": 0 }]);
    for (value, place, why) in [
        (mount(&["bind"], &line, &none), "gidMappings", "both"),
        (mount(&["bind", "idmap"], &none, &line), "uidMappings", "both"),
        (mount(&["bind", "idmap"], &none, &none), "options/1", "no user namespace"),
        (mount(&["rbind", "ridmap"], &none, &none), "options/1", "no user namespace"),
        (mount(&["bind"], &line, &broken), "gidMappings/0", "size 0"),
        (mount(&["bind", "remount"], &line, &line), "uidMappings", "only the ids of a bind mount"),
        (mount(&["bind", "idmap=uids=0-1-2"], &none, &none), "options/1", "uidMappings and gidMappings"),
    ] {
        refused(&[("/mounts/-", value)], &format!("/mounts/7/{place}"), why);
    }
    let tmpfs = json!({ "destination": "/d", "type": "tmpfs", "uidMappings": line, "gidMappings": line });
    refused(&[("/mounts/-", tmpfs)], "/mounts/7/uidMappings", "only the ids of a bind mount");
    // A rootless caller has no privilege over any filesystem of the host.
    let mut config = base();
    set(&mut config, "/mounts/-", mount(&["bind"], &line, &line));
    let own = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
    set(&mut config, "/linux/uidMappings", own(1000));
    set(&mut config, "/linux/gidMappings", own(1000));
    set(&mut config, "/linux/namespaces/-", json!({ "type": "user" }));
    let rootless = Facts { euid: 1000, egid: 1000, effective: 0, ..root() };
    let invalid = compile(&config, &rootless).map(|plan| plan.to_string()).unwrap_err();
    assert!(invalid.origin == "/mounts/7/uidMappings" && invalid.unsupported, "{invalid}");
}

#[test]
fn mounts_devices_and_covers() {
    let mount = |destination: &str, fstype: &str, source: &str, options: &[&str]| json!({ "destination": destination, "type": fstype, "source": source, "options": options });
    for (value, place, why) in [
        (mount("/", "tmpfs", "", &[]), "destination", "cover the root filesystem"),
        (mount("/a/..", "tmpfs", "", &[]), "destination", "cover the root filesystem"),
        (mount("", "tmpfs", "", &[]), "destination", "needs a destination"),
        (mount("/proc/1", "tmpfs", "", &[]), "destination", "because it is inside /proc"),
        (mount("/sys/../proc//sys", "", "/x", &["bind"]), "destination", "because it is inside /proc"),
        (mount("/proc", "tmpfs", "", &[]), "type", "not of type proc"),
        (mount("/proc", "", "/srv/volume", &["rbind"]), "source", "not of type proc"),
        (mount("/a", "", "x", &[]), "type", "needs a type"),
        (mount("/a", "none", "x", &["ro"]), "type", "needs a type"),
        (mount("/a", "", "", &["bind"]), "source", "needs a source"),
        (mount("/a", "", "/x", &["bind", "tmpcopyup"]), "options/1", "of a new tmpfs"),
        (mount("/a", "ext4", "/x", &["tmpcopyup"]), "options/0", "of a new tmpfs"),
        (mount("/a", "ext4", &"x".repeat(256), &[]), "source", "255"),
        (mount("/a", "overlay", "", &["ro", &format!("lowerdir={}", "x".repeat(256))]), "options/1", "255"),
    ] {
        refused(&[("/mounts/-", value)], &format!("/mounts/7/{place}"), why);
    }
    for (value, place, why) in [
        (json!({ "path": "dev/x", "type": "c", "major": 1, "minor": 3 }), "/path", "not absolute"),
        (json!({ "path": "/dev/x", "type": "c" }), "", "needs a major and a minor"),
        (json!({ "path": "/dev/x", "type": "b", "major": 7 }), "", "needs a major and a minor"),
        (json!({ "path": "/dev/x", "type": "a", "major": 1, "minor": 3 }), "/type", "cannot be made"),
        (json!({ "path": "/dev/x", "type": "c", "major": -1, "minor": 3 }), "/major", "no device number"),
        (json!({ "path": "/dev/x", "type": "b", "major": 1, "minor": 1 << 20 }), "/minor", "no device number"),
        (json!({ "path": "/dev/x", "type": "c", "major": 1, "minor": 0, "uid": u32::MAX }), "/uid", "means none"),
    ] {
        refused(&[("/linux/devices", json!([value]))], &format!("/linux/devices/0{place}"), why);
    }
    refused(&[("/linux/maskedPaths/3", json!("proc/x"))], "/linux/maskedPaths/3", "not absolute");
    refused(&[("/linux/readonlyPaths/0", json!("/.."))], "/linux/readonlyPaths/0", "root itself");
    refused(&[("/linux/rootfsPropagation", json!("rpublic"))], "/linux/rootfsPropagation", "rootfsPropagation=rpublic");
    for path in ["/a/../b", "..", "/", "a/./b"] {
        refused(&[("/linux/cgroupsPath", json!(path))], "/linux/cgroupsPath", "cgroup");
    }
}

#[test]
fn what_the_host_lacks() {
    let config = base();
    let told = |facts: Facts, origin: &str, why: &str| {
        let invalid = compile(&config, &facts).map(|plan| plan.to_string()).unwrap_err();
        assert_eq!(invalid.origin, origin);
        assert!(invalid.why.contains(why), "{invalid}");
    };
    told(Facts { kernel: (5, 13), ..root() }, "", "at least 5.14 is needed");
    told(Facts { cgroup: None, ..root() }, "", "cgroup v2 is required");
    told(
        Facts { effective: 0, euid: 1000, ..root() },
        "/linux/namespaces",
        "rootless container requires user namespaces",
    );
    let mut config = base();
    set(&mut config, "/linux/namespaces/-", json!({ "type": "time" }));
    let invalid = compile(&config, &Facts { time_namespaces: false, ..root() }).unwrap_err();
    assert!(invalid.unsupported && invalid.origin == "/linux/namespaces/6", "{invalid}");
}

#[test]
fn an_unknown_capability_is_only_a_warning() {
    let mut config = base();
    set(&mut config, "/process/capabilities/ambient", json!(["CAP_CHOWN"]));
    let plan = compile(&config, &root()).unwrap();
    let warned = |text: &str| plan.warnings().iter().any(|warning| warning.contains(text));
    assert!(warned("can't raise ambient capability CAP_CHOWN: "), "{:?}", plan.warnings());
    let plan = compile(&without(base(), "/process/capabilities"), &root()).unwrap();
    assert!(plan.to_string().contains("bound capabilities to 0x0"), "none configured are none at all");
}

/// config-linux.md#intelrdt
#[test]
fn odd_classes_of_service_and_schemata() {
    let with = |value: Value| {
        let mut config = base();
        set(&mut config, "/linux/intelRdt", value);
        compile(&config, &Facts { resctrl: Some("/sys/fs/resctrl".into()), ..root() })
    };
    for (value, origin, why) in [
        (json!({ "closID": "." }), "closID", "no name"),
        (json!({ "closID": ".." }), "closID", "no name"),
        (json!({ "closID": "a/b" }), "closID", "slash"),
        (json!({ "closID": "/a" }), "closID", "slash"),
        (json!({ "closID": "//" }), "closID", "slash"),
        (json!({ "closID": "a\nb" }), "closID", "control"),
        (json!({ "closID": "info" }), "closID", "for itself"),
        (json!({ "closID": "mon_groups" }), "closID", "for itself"),
        (json!({ "closID": "x".repeat(256) }), "closID", "255"),
        (json!({ "memBwSchema": "L3:0=f" }), "memBwSchema", "MB:"),
        (json!({ "memBwSchema": "MB:0=10\nMB:1=10" }), "memBwSchema", "one line"),
        (json!({ "schemata": ["L3:0=f", "MB:0=10\nL2:0=1"] }), "schemata/1", "no line"),
        (json!({ "schemata": [""] }), "schemata/0", "no line"),
    ] {
        let invalid = with(value).unwrap_err();
        assert_eq!(invalid.origin, format!("/linux/intelRdt/{origin}"), "{invalid}");
        assert!(invalid.why.contains(why) && !invalid.unsupported, "{invalid}");
    }
    // The spec says SHOULD of this one, and engines have lines for code and for data in it.
    let plan = with(json!({ "l3CacheSchema": "L3DATA:0=f\nL3CODE:0=f" })).unwrap();
    assert!(plan.warnings().iter().any(|warning| warning.contains("/linux/intelRdt/l3CacheSchema")));
    assert!(plan.to_string().contains("L3DATA:0=f\\nL3CODE:0=f\""), "{plan}");
    // An empty object is one that is set.
    assert!(with(json!({})).unwrap().to_string().contains("make the CLOS"));
    let invalid = refused(&[("/linux/intelRdt", json!({}))], "/linux/intelRdt", "resctrl is not mounted");
    assert!(invalid.unsupported);
}

/// Podman asks by an annotation for its caller's groups. Images have annotations too: root is not asked by one.
#[test]
fn an_annotation_keeps_no_groups_of_root() {
    let mut config = base();
    set(&mut config, "/process/user/additionalGids", json!([5]));
    set(&mut config, "/annotations", json!({ "run.oci.keep_original_groups": "1" }));
    let sets_groups = |facts: &Facts| compile(&config, facts).unwrap().to_string().contains(", groups 5");
    assert!(sets_groups(&root()));
    assert!(!sets_groups(&Facts { initial_user_namespace: false, ..root() }));
}
