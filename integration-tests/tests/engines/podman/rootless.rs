//! What a user without privilege does with Podman.

use integration_tests::engines::podman::{GROUP, USER};
use integration_tests::engines::session::Session;
use integration_tests::harness::Need;

integration_tests::scenarios! {
    nobody_is_root,
    own_ids,
    kept_id,
    kept_id_of_a_choice,
    without_ones_own_id,
    ids_that_podman_chooses,
    kept_groups,
    without_the_groups_of_the_caller,
    a_file_of_the_caller,
    unshared,
    privileged_is_not_root,
    delegated_limit [Need::Works("grep -w pids /sys/fs/cgroup/cgroup.controllers")],
    states_of_the_user,
}

fn nobody_is_root(podman: &Session) {
    podman.ok("podman run -d --name one busybox sleep 1000");
    let pid = podman.ok("podman inspect -f '{{.State.Pid}}' one");
    podman.prints(&format!("stat -c %u /proc/{pid}"), &USER.to_string());
    podman.prints("podman exec one id -u", "0");
}

fn own_ids(podman: &Session) {
    let printed = podman.ok("podman run --rm busybox cat /proc/self/uid_map");
    let words: Vec<&str> = printed.split_whitespace().collect();
    assert_eq!(words, ["0", &USER.to_string(), "1", "1", "500000", "65536"]);
    podman.ok("podman run -d --name one -u user busybox sleep 1000");
    podman.prints("stat -c %u /proc/$(podman inspect -f '{{.State.Pid}}' one)", "500999");
}

fn kept_id(podman: &Session) {
    podman.prints(
        "podman run --rm --userns=keep-id busybox sh -c 'id -u; id -g; id -un'",
        &format!("{USER}\n{USER}\nperson"),
    );
    podman.ok("mkdir keep");
    podman.ok("podman run --rm --userns=keep-id -v ./keep:/data busybox touch /data/x");
    podman.prints("stat -c %u keep/x", &USER.to_string());
}

fn kept_id_of_a_choice(podman: &Session) {
    podman.prints("podman run --rm --userns=keep-id:uid=1000,gid=50 busybox sh -c 'id -u; id -g'", "1000\n50");
}

fn without_ones_own_id(podman: &Session) {
    podman.ok("mkdir nomap");
    podman.ok("podman run --rm --userns=nomap busybox sh -c '! grep -w 4321 /proc/self/uid_map'");
    podman.prints("podman run --rm --userns=nomap -v ./nomap:/data busybox stat -c %u /data", "65534");
}

fn ids_that_podman_chooses(podman: &Session) {
    podman.prints("podman run --rm --userns=auto:size=500 busybox cat /proc/self/uid_map | tr -s ' '", " 0 1 500");
}

fn kept_groups(podman: &Session) {
    podman.ok(&format!("mkdir friends && chgrp {GROUP} friends && chmod 070 friends"));
    podman.ok("podman run --rm --group-add keep-groups -u user -v ./friends:/data busybox touch /data/x");
    podman.fails("podman run --rm -u user -v ./friends:/data busybox touch /data/y", 1, "Permission denied");
    podman.ok("chmod 770 friends");
    podman.ok("podman run -d --name one --group-add keep-groups busybox sleep 1000");
    podman.ok("podman exec one grep ^Groups: /proc/self/status");
}

fn without_the_groups_of_the_caller(podman: &Session) {
    podman.ok("podman run --rm busybox sh -c '! grep ^Groups: /proc/self/status | grep 65534'");
}

fn a_file_of_the_caller(podman: &Session) {
    podman.ok("mkdir mine && echo x > mine/file");
    podman.prints("podman run --rm -v ./mine:/data busybox sh -c 'stat -c %u /data/file; echo y >> /data/file'", "0");
    podman.prints("cat mine/file", "x\ny");
}

fn unshared(podman: &Session) {
    podman.prints("podman unshare id -u", "0");
    podman.ok("mkdir theirs && podman unshare chown 1000:1000 theirs");
    podman.prints(
        "podman run --rm -u user -v ./theirs:/data busybox sh -c 'touch /data/x && stat -c %U /data/x'",
        "user",
    );
    podman.ok("podman unshare rm -r theirs");
}

fn privileged_is_not_root(podman: &Session) {
    podman.fails("podman run --rm --privileged busybox sh -c 'mknod /x b 7 0'", 1, "Operation not permitted");
}

fn delegated_limit(podman: &Session) {
    podman.prints("podman run --rm --pids-limit 9 busybox cat /sys/fs/cgroup/pids.max", "9");
}

fn states_of_the_user(podman: &Session) {
    podman.ok("podman run -d --name one busybox sleep 1000");
    podman.ok("find $XDG_RUNTIME_DIR -maxdepth 3 -name $(podman inspect -f '{{.Id}}' one) | grep .");
}
