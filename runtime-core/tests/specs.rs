//! Arbitrary small bundles, put together from what engines send and from what they never would: the compiler refuses or
//! compiles, and what it compiles keeps the rules (`fuzz::config` asserts it).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, dead_code, reason = "a library of its own for cargo-fuzz")]
mod fuzz;

const TYPES: [&str; 8] = ["user", "pid", "network", "ipc", "uts", "cgroup", "time", "mount"];
const PLACES: [&str; 12] = [
    "/proc",
    "/dev",
    "/dev/pts",
    "/sys",
    "/sys/fs/cgroup",
    "/data",
    "data/../..",
    "/proc/self",
    "/proc/uptime",
    "/dev/x",
    "",
    "/a/b/",
];
const FILESYSTEMS: [&str; 11] =
    ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "ext4", "bind", "none", ""];
const OPTIONS: [&str; 24] = [
    "ro",
    "rw",
    "nosuid",
    "suid",
    "noexec",
    "rbind",
    "bind",
    "rro",
    "rrw",
    "ratime",
    "noatime",
    "strictatime",
    "rprivate",
    "shared",
    "unbindable",
    "gid=5",
    "mode=755,size=1k",
    "sync",
    "defaults",
    "remount",
    "tmpcopyup",
    "idmap",
    "",
    "a\u{0}b",
];
const SYSCTLS: [&str; 7] = [
    "net.ipv4.ip_forward",
    "kernel.msgmax",
    "kernel.hostname",
    "kernel.panic",
    "user.max_user_namespaces",
    "net/../x",
    "fs.mqueue.x",
];

fn namespaces() -> impl Strategy<Value = Value> {
    // The mount namespace is nearly always there: without one nothing is compiled.
    let namespace = (0..TYPES.len(), 0..4usize).prop_map(|(typ, path)| {
        let path = ["", "", "/proc/7/ns/x", "relative"][path];
        json!({ "type": TYPES[typ], "path": path })
    });
    (prop::collection::vec(namespace, 0..7), 0..10usize).prop_map(|(mut list, odds)| {
        list.sort_by_key(|namespace| namespace["type"].to_string());
        list.dedup_by_key(|namespace| namespace["type"].to_string());
        if odds > 0 && !list.iter().any(|namespace| namespace["type"] == "mount") {
            list.push(json!({ "type": "mount" }));
        }
        list.into()
    })
}

fn mount() -> impl Strategy<Value = Value> {
    let options = prop::collection::vec(0..OPTIONS.len(), 0..5);
    (0..PLACES.len(), 0..FILESYSTEMS.len(), options, any::<bool>()).prop_map(|(place, fstype, options, has_source)| {
        let options: Vec<_> = options.into_iter().map(|option| OPTIONS[option]).collect();
        let source = if has_source { "/proc" } else { "" };
        json!({ "destination": PLACES[place], "type": FILESYSTEMS[fstype], "source": source, "options": options })
    })
}

fn process() -> impl Strategy<Value = Value> {
    let capabilities = prop::collection::vec(0..4usize, 0..4).prop_map(|names| {
        names.into_iter().map(|name| ["CAP_KILL", "CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_NO"][name]).collect::<Vec<_>>()
    });
    let env = prop::collection::vec("(PATH|HOME|A)?=?[a/:]{0,4}", 0..4);
    let ids = prop::collection::vec(prop::sample::select(vec![0u32, 1, 1000, 70_000, u32::MAX]), 3);
    (prop::collection::vec(capabilities, 5), env, ids, "[/.a]{0,5}", prop::collection::vec("[a/.]{0,3}", 0..3), 0..200u64)
        .prop_map(|(sets, env, ids, cwd, args, limit)| {
            json!({
                "user": { "uid": ids[0], "gid": ids[1], "additionalGids": [ids[2]] },
                "cwd": cwd,
                "args": args,
                "env": env,
                "capabilities": {
                    "bounding": sets[0], "permitted": sets[1], "effective": sets[2], "inheritable": sets[3], "ambient": sets[4],
                },
                "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": limit, "hard": 100 }],
                "oomScoreAdj": ids[0] as i32,
            })
        })
}

fn linux() -> impl Strategy<Value = Value> {
    let maps = prop::collection::vec((0..3u32, 0..200_000u32, 0..70_000u32), 0..3).prop_map(|maps| {
        maps.into_iter()
            .map(|(inside, outside, size)| json!({ "containerID": inside, "hostID": outside, "size": size }))
            .collect::<Vec<_>>()
    });
    let device = ("/(dev/)?[abn]{0,4}", "[abcpu]", -1..5000i64).prop_map(
        |(path, typ, number)| json!({ "path": path, "type": typ, "major": number, "minor": number, "fileMode": 420 }),
    );
    let sysctl = (0..SYSCTLS.len()).prop_map(|key| Value::from_iter([(SYSCTLS[key], "1")]));
    let paths = prop::collection::vec("/?[a/.]{0,4}", 0..3);
    let devices = prop::collection::vec(device, 0..3);
    (namespaces(), maps, devices, sysctl, paths, "/?[a/.]{0,4}", 0..6usize).prop_map(
        |(namespaces, maps, devices, sysctl, paths, cgroup, propagation)| {
            let propagation = ["", "", "rslave", "private", "shared", "nonsense"][propagation];
            json!({
                "namespaces": namespaces, "uidMappings": maps, "gidMappings": maps, "devices": devices,
                "sysctl": sysctl, "maskedPaths": paths, "readonlyPaths": paths, "cgroupsPath": cgroup,
                "rootfsPropagation": propagation,
            })
        },
    )
}

/// One bundle. Each part is odd in half of them only, or hardly any would be compiled.
fn bundle(process: Value, linux: Value, mounts: Vec<Value>, tame: u32) -> Value {
    let is_tame = |bit: u32| tame >> bit & 1 == 1;
    let mut bundle = json!({
        "ociVersion": "1.2.0",
        "root": { "path": "rootfs", "readonly": is_tame(0) },
        "process": process, "linux": linux, "mounts": mounts,
    });
    if !is_tame(12) {
        let hooks = json!([{ "path": "/bin/a" }, { "path": "/bin/b", "args": ["b"], "env": ["A=b"], "timeout": 1 }]);
        bundle["hooks"] = json!({
            "prestart": hooks, "createRuntime": hooks, "createContainer": hooks, "startContainer": hooks, "poststart": hooks,
            "poststop": hooks,
        });
    }
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    for (bit, pointer, value) in [
        (1, "/process/args", json!(["sh"])),
        (2, "/process/env", json!(["PATH=/bin"])),
        (3, "/process/cwd", json!("/")),
        (4, "/process/user", json!({})),
        (5, "/process/rlimits", json!([])),
        (6, "/mounts", json!([{ "destination": "/proc", "type": "proc" }])),
        (7, "/linux/devices", json!([])),
        (8, "/linux/sysctl", json!({})),
        (9, "/linux/maskedPaths", json!(["/proc/kcore"])),
        (9, "/linux/readonlyPaths", json!(["/proc/sys"])),
        (10, "/linux/cgroupsPath", json!("/a")),
        (10, "/linux/rootfsPropagation", json!("")),
        (11, "/linux/uidMappings", map.clone()),
        (11, "/linux/gidMappings", map),
    ] {
        if is_tame(bit)
            && let Some(place) = bundle.pointer_mut(pointer)
        {
            *place = value;
        }
    }
    bundle
}

#[test]
fn any_bundle_is_compiled_or_refused() {
    // Two throws, so that a part is tame in three of four bundles.
    let tame = (any::<u32>(), any::<u32>()).prop_map(|(a, b)| a | b);
    let bundles = (process(), linux(), prop::collection::vec(mount(), 0..4), tame);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) };
    let plans = AtomicUsize::new(0);
    let result = TestRunner::new(config).run(&bundles, |(process, linux, mounts, tame)| {
        let bundle = bundle(process, linux, mounts, tame);
        plans.fetch_add(fuzz::config(&serde_json::to_vec(&bundle).unwrap()), Ordering::Relaxed);
        Ok(())
    });
    result.unwrap();
    let plans = plans.into_inner();
    assert!(plans > 100, "only {plans} plans");
}
