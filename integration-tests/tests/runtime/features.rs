//! `features`: what a runtime says it can do (runtime-spec features.md), and whether it can.

use std::path::Path;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::scene::Scene;
use serde_json::{Value, json};

integration_tests::tests! {
    say_the_versions,
    ask_for_nothing,
    list_what_the_specification_lists [Need::Planc],
    have_every_member_and_no_other [Need::Planc],
    agree_with_mount_options [Need::Planc],
    agree_with_hooks [Need::Planc],
    agree_with_namespaces [Need::Planc],
    agree_with_capabilities [Need::Planc],
    list_what_profiles_may_name [Need::Planc],
    agree_with_memory_policies [Need::Planc],
    agree_with_what_is_not_built_in [Need::Planc],
}

/// Engines read both streams as one, so that there may be nothing on the second.
#[track_caller]
fn features(scene: &Scene) -> Value {
    let done = scene.rt(&["features"]);
    assert_eq!(done.ok().stderr, "");
    done.json()
}

/// features.md: the two versions are required, and the first is not above the second.
fn say_the_versions(scene: &Scene) {
    let features = features(scene);
    let version = |name: &str| {
        let text = features[name].as_str().unwrap_or_else(|| panic!("no {name}"));
        let numbers = text.split('-').next().unwrap().split('.').map(|number| number.parse::<u32>().unwrap());
        numbers.collect::<Vec<_>>()
    };
    assert!(version("ociVersionMin") <= version("ociVersionMax"));
    let (major, minor) = scene.runtime.spec;
    assert_eq!(version("ociVersionMax")[..2], [major, minor], "it is what --version says");
    for list in ["hooks", "mountOptions"] {
        assert!(features[list].as_array().is_some_and(|list| !list.is_empty()), "no {list}");
    }
}

/// No container, no root directory, no privilege.
fn ask_for_nothing(scene: &Scene) {
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "-i"];
    let done = scene.call_by(&nobody, &["features"]).done();
    assert_eq!(done.ok().stderr, "");
    assert_eq!(done.json(), features(scene));
    assert!(!scene.root().exists());
}

fn list_what_the_specification_lists(scene: &Scene) {
    let features = features(scene);
    let hooks = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    assert_eq!(features["hooks"], json!(hooks));
    assert_eq!((&features["ociVersionMin"], &features["ociVersionMax"]), (&json!("1.0.0"), &json!("1.3.0")));
    let cgroup = json!({"v1": false, "v2": true, "systemd": true, "systemdUser": true, "rdma": true});
    assert_eq!(features["linux"]["cgroup"], cgroup);
    for member in ["seccomp", "apparmor", "selinux", "intelRdt", "netDevices"] {
        assert!(features["linux"][member]["enabled"].is_boolean(), "{member}");
    }
    assert!(features["linux"]["mountExtensions"]["idmap"]["enabled"].is_boolean());
    assert!(features["linux"]["memoryPolicy"]["modes"].is_array());
    assert!(features["potentiallyUnsafeConfigAnnotations"].is_array() && features["annotations"].is_object());
    assert!(!features.to_string().contains("null"), "the schema has no null");
}

/// features.md and features-linux.md of 1.3. A member that is not there is unknown to who reads them; one that is none of
/// theirs is read by nobody.
fn have_every_member_and_no_other(scene: &Scene) {
    let features = features(scene);
    for (pointer, members) in [
        ("", "annotations hooks linux mountOptions ociVersionMax ociVersionMin potentiallyUnsafeConfigAnnotations"),
        (
            "/linux",
            "apparmor capabilities cgroup intelRdt memoryPolicy mountExtensions namespaces netDevices seccomp selinux",
        ),
        ("/linux/cgroup", "rdma systemd systemdUser v1 v2"),
        ("/linux/seccomp", "actions archs enabled knownFlags operators supportedFlags"),
        ("/linux/apparmor", "enabled"),
        ("/linux/selinux", "enabled"),
        ("/linux/intelRdt", "enabled monitoring schemata"),
        ("/linux/memoryPolicy", "flags modes"),
        ("/linux/mountExtensions", "idmap"),
        ("/linux/mountExtensions/idmap", "enabled"),
        ("/linux/netDevices", "enabled"),
    ] {
        let object = features.pointer(pointer).and_then(Value::as_object).unwrap_or_else(|| panic!("no {pointer}"));
        let mut own: Vec<&str> = object.keys().map(String::as_str).collect();
        own.sort_unstable();
        assert_eq!(own, members.split(' ').collect::<Vec<_>>(), "{pointer}");
    }
    let namespaces = features["linux"]["namespaces"].as_array().unwrap();
    let capabilities = features["linux"]["capabilities"].as_array().unwrap();
    // namespaces(7), capabilities(7)
    assert_eq!((namespaces.len(), capabilities.len()), (8, 41));
}

/// config.md#linux-mount-options, and what mount(8) knows beside it. Options of file systems are none of these.
const OPTIONS: &[&str] = &[
    "acl",
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "idmap",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noacl",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "remount",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
];

/// Whether the plan of a bundle can be compiled; where not, it points at the place.
#[track_caller]
fn compiles(scene: &Scene, bundle: &Bundle, pointer: &str) -> bool {
    bundle.write();
    let done = scene.rt(&["explain", "--bundle", bundle.arg()]);
    if done.status.success() {
        return true;
    }
    done.fails().says(pointer);
    false
}

fn agree_with_mount_options(scene: &Scene) {
    let features = features(scene);
    let listed: Vec<&str> = features["mountOptions"].as_array().unwrap().iter().map(|o| o.as_str().unwrap()).collect();
    for option in &listed {
        assert!(OPTIONS.contains(option), "{option} is no option of the specification's");
    }
    let mut bundle = scene.bundle();
    bundle.mount("/data", "tmpfs", "tmpfs", &[]).user_namespace(100_000);
    for &option in OPTIONS {
        // The ids of a bind mount only can be mapped.
        let fstype = if option.ends_with("idmap") { "bind" } else { "tmpfs" };
        bundle.set("/mounts/7/options", json!([option])).set("/mounts/7/type", fstype);
        let compiles = compiles(scene, &bundle, "config.json /mounts/7/options/0");
        assert_eq!(compiles, listed.contains(&option), "{option}");
    }
}

fn agree_with_hooks(scene: &Scene) {
    let features = features(scene);
    for hook in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        let mut bundle = scene.bundle();
        bundle.set("/hooks", json!({hook: [{"path": "/bin/true"}]}));
        let listed = features["hooks"].as_array().unwrap().contains(&json!(hook));
        assert_eq!(compiles(scene, &bundle, &format!("config.json /hooks/{hook}")), listed, "{hook}");
    }
}

fn agree_with_namespaces(scene: &Scene) {
    let features = features(scene);
    for kind in ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts", "nosuch"] {
        if kind == "time" && !Path::new("/proc/self/ns/time").exists() {
            // What is built in says nothing of this kernel.
            continue;
        }
        let mut bundle = scene.bundle();
        match kind {
            "user" => drop(bundle.user_namespace(100_000)),
            kind => drop(bundle.namespace(kind, Some(""))),
        }
        let listed = features["linux"]["namespaces"].as_array().unwrap().contains(&json!(kind));
        assert_eq!(compiles(scene, &bundle, "config.json /linux/namespaces"), listed, "{kind}");
    }
}

/// One that is not known is told in a warning (config.md#linux-process).
fn agree_with_capabilities(scene: &Scene) {
    let features = features(scene);
    let listed: Vec<&str> =
        features["linux"]["capabilities"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let mut bundle = scene.bundle();
    // In a user namespace all can be had that the kernel has.
    bundle.user_namespace(100_000).capabilities(&listed).write();
    let done = scene.rt(&["explain", "--bundle", bundle.arg()]);
    assert_eq!(done.ok().stderr, "");
    bundle.capabilities(&["CAP_NOSUCH"]).write();
    scene.rt(&["explain", "--bundle", bundle.arg()]).ok().says("CAP_NOSUCH");
    assert!(!listed.contains(&"CAP_NOSUCH"));
}

/// Each name that is listed is one that a profile may have.
fn list_what_profiles_may_name(scene: &Scene) {
    let seccomp = features(scene)["linux"]["seccomp"].clone();
    let list = |key: &str| seccomp[key].as_array().unwrap_or_else(|| panic!("no {key}")).clone();
    assert_eq!((list("actions").len(), list("operators").len()), (9, 7));
    for needed in ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"] {
        assert!(list("archs").contains(&json!(needed)), "{needed}");
    }
    assert!(list("supportedFlags").iter().all(|flag| list("knownFlags").contains(flag)));
    let compiles = |profile: Value| {
        let mut bundle = scene.bundle();
        bundle.set("/linux/seccomp", profile);
        compiles(scene, &bundle, "config.json /linux/seccomp")
    };
    let rule = |action: &Value, op: Value| json!({"names": ["kill"], "action": action, "args": [{"index": 0, "value": 1, "valueTwo": 1, "op": op}]});
    for action in list("actions") {
        let calls = json!([rule(&action, json!("SCMP_CMP_EQ"))]);
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/agent", "syscalls": calls});
        assert!(compiles(profile), "{action}");
    }
    let calls: Vec<Value> = list("operators").into_iter().map(|op| rule(&json!("SCMP_ACT_TRAP"), op)).collect();
    assert!(compiles(json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": seccomp["archs"],
        "flags": seccomp["supportedFlags"], "syscalls": calls})));
}

/// Each mode and each flag that is listed is taken (set_mempolicy(2): two modes are without nodes, two flags exclude each
/// other), and no other.
fn agree_with_memory_policies(scene: &Scene) {
    let policy = features(scene)["linux"]["memoryPolicy"].clone();
    let list = |key: &str| policy[key].as_array().unwrap_or_else(|| panic!("no {key}")).clone();
    let compiles = |policy: Value| {
        let mut bundle = scene.bundle();
        bundle.set("/linux/memoryPolicy", policy);
        compiles(scene, &bundle, "config.json /linux/memoryPolicy")
    };
    let without_nodes = ["MPOL_DEFAULT", "MPOL_LOCAL"];
    for mode in list("modes") {
        let nodes = if without_nodes.iter().any(|name| mode == *name) { "" } else { "0" };
        assert!(compiles(json!({"mode": mode, "nodes": nodes})), "{mode}");
    }
    for flag in list("flags") {
        assert!(compiles(json!({"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]})), "{flag}");
    }
    assert!(!compiles(json!({"mode": "MPOL_NOSUCH", "nodes": "0"})));
    assert!(!compiles(json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NOSUCH"]})));
    assert_eq!((list("modes").len(), list("flags").len()), (7, 3), "set_mempolicy(2)");
}

fn agree_with_what_is_not_built_in(scene: &Scene) {
    let features = features(scene);
    let cases = [
        ("/linux/seccomp/enabled", "/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW"})),
        ("/linux/netDevices/enabled", "/linux/netDevices", json!({"eth9": {}})),
    ];
    for (feature, pointer, value) in cases {
        let enabled = features.pointer(feature).and_then(Value::as_bool).unwrap_or_else(|| panic!("no {feature}"));
        let mut bundle = scene.bundle();
        bundle.set(pointer, value);
        assert_eq!(compiles(scene, &bundle, &format!("config.json {pointer}")), enabled, "{feature}");
    }
    // Built in, whatever this host has: what it has not is another refusal.
    for (feature, pointer, value) in [
        ("/linux/apparmor/enabled", "/process/apparmorProfile", json!("unconfined")),
        ("/linux/selinux/enabled", "/process/selinuxLabel", json!("system_u:system_r:t:s0")),
        ("/linux/intelRdt/enabled", "/linux/intelRdt", json!({"closID": "x", "l3CacheSchema": "L3:0=f"})),
        ("/linux/intelRdt/schemata", "/linux/intelRdt", json!({"schemata": ["L3:0=f"]})),
        ("/linux/intelRdt/monitoring", "/linux/intelRdt", json!({"enableMonitoring": true})),
    ] {
        let mut bundle = scene.bundle();
        bundle.set(pointer, value).write();
        let done = scene.rt(&["explain", "--bundle", bundle.arg()]);
        assert_eq!(features.pointer(feature), Some(&json!(true)), "{feature}");
        assert!(!done.stderr.contains("not supported yet"), "{feature}: {done}");
    }
}
