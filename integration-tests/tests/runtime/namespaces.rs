//! Namespaces (runtime-spec config-linux.md#namespaces): new ones, the caller's, those of others; host and domain name.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::mountinfo;
use integration_tests::process;
use integration_tests::runtime::{Call, Kind};
use integration_tests::scene::{Container, Scene};
use serde_json::json;

integration_tests::tests! {
    new_ones_differ_from_the_hosts,
    absent_ones_are_the_callers,
    init_is_pid_1_of_a_new_pid_namespace,
    a_new_network_namespace_has_only_lo,
    a_new_network_namespace_speaks_to_itself,
    joins_pid,
    joins_network,
    joins_ipc,
    joins_uts,
    joins_mount,
    joins_cgroup,
    joins_user,
    joins_user_by_path_alone,
    joins_several_at_once,
    joins_time [Need::TimeNamespaces, Need::Spec(1, 2)],
    offsets_a_new_time_namespace [Need::TimeNamespaces, Need::Spec(1, 2)],
    refuses_a_path_of_another_type,
    refuses_a_path_that_is_no_namespace,
    refuses_a_missing_path,
    refuses_a_duplicate,
    refuses_an_unknown_type,
    sets_the_host_name,
    refuses_a_host_name_without_a_uts_namespace,
    sets_the_domain_name [Need::Spec(1, 1)],
}

/// `type` of config.json → name below /proc/<pid>/ns.
const NAMES: [(&str, &str); 6] =
    [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("mount", "mnt"), ("cgroup", "cgroup")];

/// A running container, and its pid.
fn running<'s>(scene: &'s Scene, bundle: &mut Bundle) -> (Container<'s>, u32) {
    let container = scene.container(bundle.sleep());
    container.run_detached();
    let pid = container.pid();
    (container, pid)
}

/// The namespaces of a program in the bundle's container.
fn namespaces_inside(scene: &Scene, bundle: &mut Bundle) -> BTreeMap<String, PathBuf> {
    let (container, pid) = running(scene, bundle);
    let namespaces = process::namespaces(pid);
    container.delete_force();
    namespaces
}

fn new_ones_differ_from_the_hosts(scene: &Scene) {
    let inside = namespaces_inside(scene, &mut scene.bundle());
    let own = process::namespaces("self");
    for (_, name) in NAMES {
        assert_ne!(inside[name], own[name], "{name}");
    }
    assert_eq!(inside["user"], own["user"]);
}

/// An absent type is inherited.
fn absent_ones_are_the_callers(scene: &Scene) {
    for (kind, name) in NAMES.into_iter().filter(|&(kind, _)| kind != "mount") {
        let mut bundle = scene.bundle();
        bundle.namespace(kind, None);
        match kind {
            // Neither can be mounted anew in the namespace of somebody else's host.
            "network" => bundle.unmount("/sys/fs/cgroup").unmount("/sys"),
            "uts" => bundle.remove("/hostname"),
            _ => &mut bundle,
        };
        let inside = namespaces_inside(scene, &mut bundle);
        assert_eq!(inside[name], process::namespaces("self")[name], "{kind}");
    }
}

fn init_is_pid_1_of_a_new_pid_namespace(scene: &Scene) {
    assert_eq!(scene.sh(&mut scene.bundle(), "echo $$; ls -d /proc/[0-9]* | head -n 1"), "1\n/proc/1\n");
}

fn a_new_network_namespace_has_only_lo(scene: &Scene) {
    let devices = scene.sh(&mut scene.bundle(), "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '");
    assert!(devices.lines().any(|line| line == "lo"), "{devices:?}");
    // Kernels with tunnels built in put their fallback devices into every network namespace.
    assert!(!devices.contains("eth") && !devices.contains("veth"), "{devices:?}");
}

fn a_new_network_namespace_speaks_to_itself(scene: &Scene) {
    for bundle in [&mut scene.bundle(), scene.bundle().user_namespace(200_000)] {
        let lo = scene.sh(bundle, "ip -o address show dev lo");
        assert!(lo.contains("inet 127.0.0.1/8"), "{lo:?}");
    }
}

/// B joins A's namespace of this type and has its other ones new.
fn joins(scene: &Scene, kind: &str) {
    let name = NAMES.into_iter().find(|&(of, _)| of == kind).unwrap().1;
    let (first, pid) = running(scene, &mut scene.bundle());
    let theirs = process::namespaces(pid);
    let mut bundle = scene.bundle();
    bundle.namespace(kind, Some(&format!("/proc/{pid}/ns/{name}")));
    let inside = namespaces_inside(scene, &mut bundle);
    assert_eq!(inside[name], theirs[name], "joined");
    for (_, other) in NAMES.into_iter().filter(|&(of, _)| of != kind) {
        assert_ne!(inside[other], theirs[other], "{other} is a new one");
    }
    assert_eq!(first.status(), "running", "who was joined is not disturbed");
    first.delete_force();
}

fn joins_pid(scene: &Scene) {
    joins(scene, "pid");
    let (first, pid) = running(scene, &mut scene.bundle());
    let mut bundle = scene.bundle();
    bundle.namespace("pid", Some(&format!("/proc/{pid}/ns/pid")));
    let seen = scene.sh(&mut bundle, "tr '\\0' ' ' < /proc/1/cmdline; test $$ -ne 1 && echo not 1");
    assert_eq!(seen, "/bin/sleep 1000 not 1\n");
    first.delete_force();
}

fn joins_network(scene: &Scene) {
    joins(scene, "network");
}

fn joins_ipc(scene: &Scene) {
    joins(scene, "ipc");
}

fn joins_uts(scene: &Scene) {
    joins(scene, "uts");
    let (first, pid) = running(scene, scene.bundle().set("/hostname", "first"));
    let mut bundle = scene.bundle();
    bundle.remove("/hostname").namespace("uts", Some(&format!("/proc/{pid}/ns/uts")));
    assert_eq!(scene.sh(&mut bundle, "hostname"), "first\n");
    first.delete_force();
}

/// One that a shell made, with a mount that is nowhere else.
fn joins_mount(scene: &Scene) {
    let marker = scene.path("marker");
    fs::create_dir(&marker).unwrap();
    let script = format!("busybox mount -t tmpfs marker {} && echo ready && exec sleep 1000", marker.display());
    let mut other = Call::new(["unshare", "--mount", "sh", "-c", &script], &scene.path("other")).spawn();
    scene.wait_until("the namespace is made", || other.printed() == "ready\n");
    let theirs = process::namespaces(other.pid());
    let mut bundle = scene.bundle();
    bundle.namespace("mount", Some(&format!("/proc/{}/ns/mnt", other.pid())));
    bundle.mount("/data", "bind", &marker, &["bind"]);
    let (container, pid) = running(scene, &mut bundle);
    assert_eq!(process::namespaces(pid)["mnt"], theirs["mnt"]);
    let mounts = mountinfo::parse(&fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap());
    assert_eq!(mountinfo::at(&mounts, "/data").unwrap().source, "marker");
    container.delete_force();
    other.kill();
}

fn joins_cgroup(scene: &Scene) {
    joins(scene, "cgroup");
}

/// B joins A's user namespace, and has the same maps in its config.json or none.
fn join_user(scene: &Scene, edit: impl Fn(&mut Bundle) -> &mut Bundle) {
    let (first, pid) = running(scene, scene.bundle().user_namespace(100_000));
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).namespace("user", Some(&format!("/proc/{pid}/ns/user")));
    let (second, pid_2) = running(scene, edit(&mut bundle));
    assert_eq!(process::namespaces(pid_2)["user"], process::namespaces(pid)["user"]);
    assert_ne!(process::namespaces(pid_2)["mnt"], process::namespaces(pid)["mnt"]);
    second.delete_force();
    first.delete_force();
}

/// containerd and CRI-O give the path and the maps.
fn joins_user(scene: &Scene) {
    join_user(scene, |bundle| bundle);
}

/// The maps are those of the namespace that is there.
fn joins_user_by_path_alone(scene: &Scene) {
    join_user(scene, |bundle| bundle.remove("/linux/uidMappings").remove("/linux/gidMappings"));
}

/// A pod: the members share the sandbox's namespaces.
fn joins_several_at_once(scene: &Scene) {
    let (sandbox, pid) = running(scene, &mut scene.bundle());
    let mut bundle = scene.bundle();
    bundle.remove("/hostname");
    for (kind, name) in [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
        bundle.namespace(kind, Some(&format!("/proc/{pid}/ns/{name}")));
    }
    let inside = namespaces_inside(scene, &mut bundle);
    let theirs = process::namespaces(pid);
    for name in ["pid", "net", "ipc", "uts"] {
        assert_eq!(inside[name], theirs[name], "{name}");
    }
    assert_ne!(inside["mnt"], theirs["mnt"]);
    sandbox.delete_force();
}

fn joins_time(scene: &Scene) {
    let (first, pid) = running(scene, scene.bundle().namespace("time", Some("")));
    let mut bundle = scene.bundle();
    bundle.namespace("time", Some(&format!("/proc/{pid}/ns/time")));
    assert_eq!(namespaces_inside(scene, &mut bundle)["time"], process::namespaces(pid)["time"]);
    assert_ne!(process::namespaces(pid)["time"], process::namespaces("self")["time"]);
    first.delete_force();
}

fn offsets_a_new_time_namespace(scene: &Scene) {
    let mut bundle = scene.bundle();
    let offsets =
        json!({"boottime": {"secs": 1_000_000, "nanosecs": 0}, "monotonic": {"secs": 1_000_000, "nanosecs": 0}});
    bundle.namespace("time", Some("")).set("/linux/timeOffsets", offsets);
    if scene.runtime.kind == Kind::Planc && scene.container(&bundle).run().code() != 0 {
        // Until it is supported: refused by name, never ignored.
        scene.refused(&bundle, "/linux/timeOffsets");
        return;
    }
    let seconds = |text: &str| text.split(['.', ' ']).next().unwrap().parse::<u64>().unwrap();
    let inside = seconds(&scene.sh(&mut bundle, "cat /proc/uptime"));
    let outside = seconds(&fs::read_to_string("/proc/uptime").unwrap());
    assert!(inside >= 1_000_000 && inside - 1_000_000 <= outside, "{inside} inside, {outside} outside");
}

/// config-linux.md#namespaces: a path that is not of the type MUST be an error.
fn refuses_a_path_of_another_type(scene: &Scene) {
    for (kind, of_another) in [("network", "ipc"), ("ipc", "uts"), ("uts", "net"), ("pid", "net"), ("cgroup", "net")] {
        let mut bundle = scene.bundle();
        bundle.namespace(kind, Some(&format!("/proc/self/ns/{of_another}")));
        scene.refused(&bundle, "/linux/namespaces/5");
    }
}

fn refuses_a_path_that_is_no_namespace(scene: &Scene) {
    scene.refused(scene.bundle().namespace("network", Some("/etc/passwd")), "/linux/namespaces/5");
}

fn refuses_a_missing_path(scene: &Scene) {
    scene.refused(scene.bundle().namespace("network", Some("/proc/self/ns/none")), "/linux/namespaces/5");
}

/// config-linux.md#namespaces: duplicates MUST be an error.
fn refuses_a_duplicate(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/namespaces/-", json!({"type": "uts"}));
    scene.refused(&bundle, "/linux/namespaces/6").says("duplicate");
}

fn refuses_an_unknown_type(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/namespaces/-", json!({"type": "nosuch"}));
    scene.refused(&bundle, "/linux/namespaces/6");
}

fn sets_the_host_name(scene: &Scene) {
    let outside = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let inside = scene.sh(scene.bundle().set("/hostname", "inside.example"), "hostname; cat /proc/sys/kernel/hostname");
    assert_eq!(inside, "inside.example\ninside.example\n");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), outside);
}

/// Else it would be the host's name.
fn refuses_a_host_name_without_a_uts_namespace(scene: &Scene) {
    let outside = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    scene.refused(scene.bundle().namespace("uts", None), "/hostname").says("without a private UTS namespace");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), outside);
}

fn sets_the_domain_name(scene: &Scene) {
    let inside = scene.sh(scene.bundle().set("/domainname", "domain.example"), "cat /proc/sys/kernel/domainname");
    assert_eq!(inside, "domain.example\n");
}
