//! `podman run --pid`, `--ipc`, `--uts`, `--network` and `--cgroupns`, of the host's or of another container's.

use integration_tests::engines::session::Session;
use integration_tests::harness::Need;

integration_tests::scenarios! {
    own,
    pid_of_the_host,
    pid_of_a_container,
    ipc_of_the_host [MQUEUE],
    ipc_of_a_container,
    uts_of_the_host,
    uts_of_a_container,
    network_of_the_host,
    network_of_a_container,
    no_network,
    cgroup_of_the_host,
    cgroup_of_its_own,
}

/// What Podman gives a user whose container has the host's IPC namespace.
const MQUEUE: Need = Need::Path("/dev/mqueue");

/// Asserts that a container with this option is in the same namespace as the script `other` prints, or is not.
#[track_caller]
fn same(podman: &Session, option: &str, kind: &str, other: &str, is_same: bool) {
    let ours = podman.ok(&format!("podman run --rm {option} busybox readlink /proc/self/ns/{kind}"));
    let other = podman.ok(other);
    assert!(ours.starts_with(&format!("{kind}:[")), "{ours}");
    assert_eq!(ours == other, is_same, "{option}: {ours} and {other}");
}

/// The same as in a container that runs.
#[track_caller]
fn same_as_containers(podman: &Session, kind: &str) {
    podman.ok("podman run -d --name one busybox sleep 1000");
    let other = format!("podman exec one readlink /proc/1/ns/{kind}");
    let option = if kind == "net" { "--network" } else { &format!("--{kind}") };
    same(podman, &format!("{option} container:one"), kind, &other, true);
    same(podman, "", kind, &other, false);
}

fn own(podman: &Session) {
    for kind in ["pid", "ipc", "uts", "net", "mnt"] {
        same(podman, "", kind, &format!("readlink /proc/self/ns/{kind}"), false);
    }
}

fn pid_of_the_host(podman: &Session) {
    same(podman, "--pid host", "pid", "readlink /proc/self/ns/pid", true);
}

fn pid_of_a_container(podman: &Session) {
    same_as_containers(podman, "pid");
    podman.prints(
        "podman run --rm --pid container:one busybox sh -c 'tr \"\\0\" \" \" < /proc/1/cmdline'",
        "sleep 1000 ",
    );
}

fn ipc_of_the_host(podman: &Session) {
    same(podman, "--ipc host", "ipc", "readlink /proc/self/ns/ipc", true);
}

fn ipc_of_a_container(podman: &Session) {
    podman.ok("podman run -d --name one --ipc shareable busybox sh -c 'echo x > /dev/shm/x; sleep 1000'");
    podman.wait("podman run --rm --ipc container:one busybox cat /dev/shm/x");
    same(podman, "--ipc container:one", "ipc", "podman exec one readlink /proc/1/ns/ipc", true);
}

fn uts_of_the_host(podman: &Session) {
    same(podman, "--uts host", "uts", "readlink /proc/self/ns/uts", true);
    podman.prints("podman run --rm --uts host busybox hostname", &podman.ok("hostname"));
}

fn uts_of_a_container(podman: &Session) {
    same_as_containers(podman, "uts");
}

fn network_of_the_host(podman: &Session) {
    same(podman, "--network host", "net", "readlink /proc/self/ns/net", true);
}

fn network_of_a_container(podman: &Session) {
    same_as_containers(podman, "net");
}

fn no_network(podman: &Session) {
    podman.prints("podman run --rm --network none busybox ls /sys/class/net", "lo");
    podman.says("podman run --rm --network none busybox ip -o addr show dev lo up", "127.0.0.1/8");
}

fn cgroup_of_the_host(podman: &Session) {
    same(podman, "--cgroupns host", "cgroup", "readlink /proc/self/ns/cgroup", true);
    podman.ok("test \"$(podman run --rm --cgroupns host busybox grep ^0: /proc/self/cgroup)\" != 0::/");
}

fn cgroup_of_its_own(podman: &Session) {
    podman.prints("podman run --rm --cgroupns private busybox grep ^0: /proc/self/cgroup", "0::/");
}
