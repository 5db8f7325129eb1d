//! `podman run`: who a program is, and what it may do.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    user,
    user_by_number,
    read_only,
    capabilities_dropped,
    capabilities_added,
    no_new_privileges,
    seccomp_profile,
    seccomp_unconfined,
    masked,
    unmasked,
    privileged,
    device,
    a_device_that_was_not_given,
    sysctl,
}

fn user(podman: &Session) {
    podman.prints("podman run --rm -u user busybox id", "uid=1000(user) gid=1000(user) groups=50(staff),1000(user)");
    podman.prints(
        "podman run --rm -u user busybox sh -c 'echo $HOME; grep CapEff /proc/self/status'",
        "/home/user\nCapEff:\t0000000000000000",
    );
}

fn user_by_number(podman: &Session) {
    podman.prints("podman run --rm -u 1234:50 --group-add 77 busybox sh -c 'id -u; id -g; id -G'", "1234\n50\n50 77");
}

fn read_only(podman: &Session) {
    podman.fails("podman run --rm --read-only busybox touch /x", 1, "Read-only file system");
    podman.prints("podman run --rm --read-only busybox sh -c 'touch /tmp/x /run/x && echo made'", "made");
}

fn capabilities_dropped(podman: &Session) {
    podman.prints(
        "podman run --rm --cap-drop all --cap-add chown,kill busybox grep -E 'Cap(Eff|Bnd)' /proc/self/status",
        "CapEff:\t0000000000000021\nCapBnd:\t0000000000000021",
    );
    podman.fails("podman run --rm --cap-drop chown busybox chown 1:1 /etc/passwd", 1, "Operation not permitted");
}

fn capabilities_added(podman: &Session) {
    podman.fails("podman run --rm busybox mount -t tmpfs x /tmp", 1, "");
    podman
        .prints("podman run --rm --cap-add sys_admin busybox sh -c 'mount -t tmpfs x /tmp && echo mounted'", "mounted");
}

fn no_new_privileges(podman: &Session) {
    podman.prints(
        "podman run --rm --security-opt no-new-privileges busybox grep NoNewPrivs /proc/self/status",
        "NoNewPrivs:\t1",
    );
    podman.prints("podman run --rm busybox grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t0");
}

fn seccomp_profile(podman: &Session) {
    let rule = r#"{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}"#;
    podman.ok(&format!("echo '{{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{rule}]}}' > seccomp.json"));
    podman.fails("podman run --rm --security-opt seccomp=seccomp.json busybox mkdir /x", 1, "No space left on device");
    podman.prints("podman run --rm busybox sh -c 'mkdir /x && grep Seccomp: /proc/self/status'", "Seccomp:\t2");
}

fn seccomp_unconfined(podman: &Session) {
    podman.prints(
        "podman run --rm --security-opt seccomp=unconfined busybox grep Seccomp: /proc/self/status",
        "Seccomp:\t0",
    );
}

fn masked(podman: &Session) {
    let mask = "podman run --rm --security-opt mask=/etc/passwd:/home busybox";
    podman.prints(&format!("{mask} sh -c 'cat /etc/passwd /proc/kcore | wc -c; ls /home'"), "0");
    podman.fails(&format!("{mask} touch /home/x"), 1, "Read-only file system");
}

fn unmasked(podman: &Session) {
    let script = "grep -c -E \" /proc/[a-z/]+ \" /proc/mounts || true";
    podman.prints(&format!("podman run --rm --security-opt unmask=ALL busybox sh -c '{script}'"), "0");
    podman.ok(&format!("podman run --rm busybox sh -c 'test $({script}) -gt 5'"));
}

fn privileged(podman: &Session) {
    // Whatever it has beside, it may mount, and no system call is filtered.
    podman.prints(
        "podman run --rm --privileged busybox sh -c 'mount -t tmpfs x /tmp && grep Seccomp: /proc/self/status'",
        "Seccomp:\t0",
    );
    let bounding = |option: &str| podman.ok(&format!("podman run --rm {option} busybox grep CapBnd /proc/self/status"));
    assert_ne!(bounding("--privileged"), bounding(""));
}

fn device(podman: &Session) {
    podman
        .prints("podman run --rm --device /dev/zero:/dev/nothing busybox sh -c 'head -c 3 /dev/nothing | wc -c'", "3");
    podman.fails("podman run --rm busybox ls /dev/nothing", 1, "No such file");
}

fn a_device_that_was_not_given(podman: &Session) {
    // Of 7:0 nobody has given it anything; a user without privilege may not even make it.
    podman.fails("podman run --rm busybox sh -c 'mknod /x b 7 0 && cat /x'", 1, "Operation not permitted");
}

fn sysctl(podman: &Session) {
    podman.prints(
        "podman run --rm --sysctl net.ipv4.ip_default_ttl=99 busybox cat /proc/sys/net/ipv4/ip_default_ttl",
        "99",
    );
    podman.prints("podman run --rm --sysctl kernel.msgmax=1234 busybox cat /proc/sys/kernel/msgmax", "1234");
}
