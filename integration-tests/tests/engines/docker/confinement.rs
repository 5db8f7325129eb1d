//! What a container may do: capabilities, seccomp, devices, sysctls, limits of a process.

use integration_tests::engines::session::Session;
use integration_tests::harness::Need;

/// Docker ignores the profile's name where the kernel has no AppArmor.
const NO_APPARMOR: Need = Need::Works("! test -d /sys/kernel/security/apparmor");
const FUSE: Need = Need::Path("/dev/fuse");

integration_tests::scenarios! {
    default_capabilities,
    cap_drop,
    cap_drop_all,
    cap_add,
    a_user_has_none,
    no_new_privileges,
    default_seccomp,
    seccomp_unconfined,
    seccomp_file,
    seccomp_file_is_wrong,
    apparmor_is_ignored [NO_APPARMOR],
    privileged,
    privileged_devices [FUSE],
    device [FUSE],
    device_read_only [FUSE],
    device_is_not_there,
    device_unknown [FUSE],
    device_cgroup_rule [FUSE],
    ulimit,
    sysctl,
    sysctl_refused,
    oom_score_adj,
}

const CAPABILITIES: &str = "grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status | cut -f 2 | tr '\\n' ' '";

fn default_capabilities(docker: &Session) {
    let default = "00000000a80425fb";
    docker.prints(
        &format!("docker run --rm busybox sh -c \"{CAPABILITIES}\""),
        &format!("{default} {default} {default} "),
    );
}

fn cap_drop(docker: &Session) {
    docker.fails("docker run --rm --cap-drop CHOWN busybox chown user /tmp", 1, "Operation not permitted");
    docker.ok("docker run --rm busybox chown user /tmp");
}

fn cap_drop_all(docker: &Session) {
    let none = "0000000000000000";
    docker.prints(
        &format!("docker run --rm --cap-drop ALL busybox sh -c \"{CAPABILITIES}\""),
        &format!("{none} {none} {none} "),
    );
}

fn cap_add(docker: &Session) {
    docker.fails("docker run --rm busybox ip link set lo mtu 1400", 2, "Operation not permitted");
    docker.prints(
        "docker run --rm --cap-add NET_ADMIN busybox sh -c 'ip link set lo mtu 1400; cat /sys/class/net/lo/mtu'",
        "1400",
    );
    docker.prints("docker run --rm --cap-drop ALL --cap-add NET_RAW --cap-add KILL busybox grep CapEff /proc/self/status | cut -f 2", "0000000000002020");
}

fn a_user_has_none(docker: &Session) {
    docker.says("docker run --rm --user 1000 busybox grep Cap /proc/self/status", "CapEff:\t0000000000000000");
    docker.fails("docker run --rm --user 1000 busybox chown 1000 /tmp", 1, "Operation not permitted");
}

fn no_new_privileges(docker: &Session) {
    docker.prints("docker run --rm busybox grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t0");
    docker.prints(
        "docker run --rm --security-opt no-new-privileges busybox grep NoNewPrivs /proc/self/status",
        "NoNewPrivs:\t1",
    );
}

fn default_seccomp(docker: &Session) {
    docker.prints("docker run --rm busybox grep Seccomp: /proc/self/status", "Seccomp:\t2");
    docker.fails("docker run --rm busybox unshare -U true", 1, "Operation not permitted");
}

fn seccomp_unconfined(docker: &Session) {
    docker.prints(
        "docker run --rm --security-opt seccomp=unconfined busybox grep Seccomp: /proc/self/status",
        "Seccomp:\t0",
    );
    docker.prints("docker run --rm --security-opt seccomp=unconfined busybox unshare -U echo in", "in");
}

fn seccomp_file(docker: &Session) {
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}"#;
    docker.ok(&format!("cat > no-mkdir.json <<'END'\n{profile}\nEND"));
    docker.fails(
        "docker run --rm --security-opt seccomp=no-mkdir.json busybox mkdir /tmp/a",
        1,
        "Operation not permitted",
    );
    docker.prints("docker run --rm --security-opt seccomp=no-mkdir.json busybox sh -c 'touch /tmp/a; ls /tmp'", "a");
}

fn seccomp_file_is_wrong(docker: &Session) {
    docker.ok("echo '{\"defaultAction\": 7' > wrong.json");
    docker.fails("docker run --rm --security-opt seccomp=wrong.json busybox true", 125, "seccomp");
    docker.ok("echo '{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"mkdir\"], \"action\": \"NO_ACT\"}]}' > wrong.json");
    docker.fails("docker run --rm --security-opt seccomp=wrong.json busybox true", 125, "NO_ACT");
}

fn apparmor_is_ignored(docker: &Session) {
    docker.prints("docker run --rm --security-opt apparmor=no-such-profile busybox echo hello", "hello");
    docker.prints("docker run --rm --security-opt apparmor=unconfined busybox echo hello", "hello");
}

fn privileged(docker: &Session) {
    let script = "grep Seccomp: /proc/self/status; mkdir /tmp/m; mount -t tmpfs m /tmp/m && echo mounted; \
                  wc -l < /proc/timer_list | grep -qx 0 || echo unmasked; test -w /proc/sys/vm/swappiness && echo writable";
    docker.prints(
        &format!("docker run --rm --privileged busybox sh -c '{script}'"),
        "Seccomp:\t0\nmounted\nunmasked\nwritable",
    );
}

fn privileged_devices(docker: &Session) {
    docker.prints("docker run --rm --privileged busybox sh -c ': < /dev/fuse && echo opened'", "opened");
}

fn device(docker: &Session) {
    docker.prints(
        "docker run --rm --device /dev/fuse busybox sh -c 'test -c /dev/fuse && : <> /dev/fuse && echo opened'",
        "opened",
    );
}

fn device_read_only(docker: &Session) {
    docker.prints("docker run --rm --device /dev/fuse:/dev/mine:r busybox sh -c ': < /dev/mine && echo read'", "read");
    docker.fails(
        "docker run --rm --device /dev/fuse:/dev/mine:r busybox sh -c ': > /dev/mine'",
        1,
        "Operation not permitted",
    );
}

fn device_is_not_there(docker: &Session) {
    docker.says("! docker run --rm --device /dev/none busybox true 2>&1", "/dev/none");
}

fn device_unknown(docker: &Session) {
    // A node of its own does not help: the cgroup says no.
    docker.fails("docker run --rm busybox sh -c 'mknod /tmp/d c 10 229 && : < /tmp/d'", 1, "Operation not permitted");
}

fn device_cgroup_rule(docker: &Session) {
    docker.prints("docker run --rm --device-cgroup-rule 'c 10:* rwm' busybox sh -c 'mknod /tmp/d c 10 229 && : <> /tmp/d && echo opened'", "opened");
}

fn ulimit(docker: &Session) {
    docker.prints(
        "docker run --rm --ulimit nofile=64:128 --ulimit core=0 busybox sh -c 'ulimit -n; ulimit -Hn; ulimit -c'",
        "64\n128\n0",
    );
}

fn sysctl(docker: &Session) {
    docker.prints("docker run --rm --sysctl net.core.somaxconn=512 --sysctl kernel.msgmax=9000 busybox cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax", "512\n9000");
    docker.ok("test $(cat /proc/sys/kernel/msgmax) != 9000");
}

fn sysctl_refused(docker: &Session) {
    docker.fails("docker run --rm --sysctl kernel.panic=1 busybox true", 125, "kernel.panic");
    docker.fails("docker run --rm --sysctl net.core.somaxconn=many busybox true", 125, "somaxconn");
}

fn oom_score_adj(docker: &Session) {
    docker.prints("docker run --rm --oom-score-adj 700 busybox cat /proc/self/oom_score_adj", "700");
}
