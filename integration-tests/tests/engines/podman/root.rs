//! What only root does with Podman, or does otherwise: user namespaces, whose ids it has to choose.

use integration_tests::engines::session::Session;

use super::SYS_RESOURCE;

integration_tests::scenarios! {
    ids_of_its_own,
    ids_that_podman_chooses,
    user_namespace_of_a_container,
    user_namespace_by_path,
    user_namespace_and_exec,
    user_namespace_with_everything,
    idmapped_volume,
    a_volume_chowned_for_a_user_namespace,
    cgroup_parent,
    device_rule,
    harder_to_kill [SYS_RESOURCE],
    mounted_from_outside,
    propagation,
    unit_for_systemd,
}

const IDS: &str = "--uidmap 0:100000:5000 --gidmap 0:200000:6000";

fn ids_of_its_own(podman: &Session) {
    let printed = podman.ok(&format!("podman run --rm {IDS} busybox cat /proc/self/uid_map /proc/self/gid_map"));
    let words: Vec<&str> = printed.split_whitespace().collect();
    assert_eq!(words, ["0", "100000", "5000", "0", "200000", "6000"]);
    podman.ok(&format!("podman run -d --name one {IDS} -u user busybox sleep 1000"));
    podman.prints("stat -c '%u %g' /proc/$(podman inspect -f '{{.State.Pid}}' one)", "101000 201000");
    podman.prints("podman exec one stat -c '%u %g' /etc/passwd", "0 0");
}

fn ids_that_podman_chooses(podman: &Session) {
    podman.ok("podman run -d --name one --userns=auto busybox sleep 1000; podman run -d --name two --userns=auto:size=2000 busybox sleep 1000");
    let own = |name: &str| podman.ok(&format!("podman exec {name} cat /proc/self/uid_map"));
    let (one, two) = (own("one"), own("two"));
    let word = |map: &str, at: usize| map.split_whitespace().nth(at).unwrap().parse::<u32>().unwrap();
    assert!(word(&one, 1) >= 600_000 && word(&two, 1) >= word(&one, 1) + word(&one, 2), "{one} and {two}");
    assert_eq!(word(&two, 2), 2000);
}

fn user_namespace_of_a_container(podman: &Session) {
    podman.ok(&format!("podman run -d --name one {IDS} busybox sleep 1000"));
    podman.prints(
        "podman run --rm --userns container:one busybox readlink /proc/self/ns/user",
        &podman.ok("podman exec one readlink /proc/1/ns/user"),
    );
}

fn user_namespace_by_path(podman: &Session) {
    podman.ok(&format!("podman run -d --name one {IDS} busybox sleep 1000"));
    podman.prints(
        "podman run --rm --userns ns:/proc/$(podman inspect -f '{{.State.Pid}}' one)/ns/user busybox readlink /proc/self/ns/user",
        &podman.ok("podman exec one readlink /proc/1/ns/user"),
    );
}

fn user_namespace_and_exec(podman: &Session) {
    podman.ok(&format!("podman run -d --name one {IDS} busybox sleep 1000"));
    podman.prints(
        "podman exec -u user one sh -c 'id -u; grep CapEff /proc/self/status'",
        "1000\nCapEff:\t0000000000000000",
    );
    podman.prints("podman exec --privileged one sh -c 'mount -t tmpfs x /tmp && echo mounted'", "mounted");
}

fn user_namespace_with_everything(podman: &Session) {
    podman.ok("mkdir all; chmod 777 all");
    let options =
        "--init --read-only --tmpfs /data -v ./all:/all --device /dev/full --sysctl net.ipv4.ip_default_ttl=99";
    podman.prints(
        &format!("podman run --rm {IDS} {options} busybox sh -c 'touch /all/x /data/x; head -c 1 /dev/full | wc -c; cat /proc/sys/net/ipv4/ip_default_ttl'"),
        "1\n99",
    );
    podman.prints("stat -c '%u %g' all/x", "100000 200000");
}

fn idmapped_volume(podman: &Session) {
    podman.ok("mkdir $GRAPH/idmapped && touch $GRAPH/idmapped/of-root");
    let script = "sh -c 'stat -c %u /data/of-root; touch /data/new; chown user /data/new'";
    podman.prints(&format!("podman run --rm {IDS} -v $GRAPH/idmapped:/data:idmap busybox {script}"), "0");
    podman.prints("stat -c %u $GRAPH/idmapped/new", "1000");
    podman.prints(&format!("podman run --rm {IDS} -v $GRAPH/idmapped:/data busybox stat -c %u /data/of-root"), "65534");
}

fn a_volume_chowned_for_a_user_namespace(podman: &Session) {
    podman.ok("mkdir chowned && touch chowned/x");
    podman.prints(&format!("podman run --rm {IDS} -u user -v ./chowned:/data:U busybox stat -c %U /data/x"), "user");
    podman.prints("stat -c '%u %g' chowned/x", "101000 201000");
}

fn cgroup_parent(podman: &Session) {
    podman.ok("podman run -d --name one --cgroup-parent /libpod_own busybox sleep 1000");
    podman.ok("podman inspect -f '{{.State.CgroupPath}}' one | grep ^/libpod_own/libpod-");
    podman.ok("grep -x $(podman inspect -f '{{.State.Pid}}' one) /sys/fs/cgroup/libpod_own/libpod-*/cgroup.procs");
}

fn device_rule(podman: &Session) {
    let script = "sh -c 'mknod /x c 1 11; echo > /x'";
    podman.fails(&format!("podman run --rm --cap-add mknod busybox {script}"), 1, "Operation not permitted");
    podman.ok(&format!("podman run --rm --cap-add mknod --device-cgroup-rule 'c 1:11 rwm' busybox {script}"));
}

fn harder_to_kill(podman: &Session) {
    podman.prints("podman run --rm --oom-score-adj=-77 busybox cat /proc/self/oom_score_adj", "-77");
}

fn mounted_from_outside(podman: &Session) {
    podman.ok("podman create --name one busybox cat /file");
    podman.ok("echo x > $(podman mount one)/file && podman umount one");
    podman.prints("podman start -a one", "x");
}

fn propagation(podman: &Session) {
    podman.ok("mkdir shared && mount -t tmpfs x shared && mount --make-shared shared && mkdir shared/in");
    podman.ok("podman run -d --name one -v $HOME/shared:/data:rslave busybox sleep 1000");
    podman.ok("mount -t tmpfs x shared/in && touch shared/in/seen");
    podman.prints("podman exec one ls /data/in", "seen");
    podman.ok("podman rm -f -t 0 one; umount -R shared");
}

fn unit_for_systemd(podman: &Session) {
    podman.ok("podman create --name one busybox sleep 1000");
    let unit = podman.ok("podman generate systemd --new --name one");
    assert!(unit.contains("ExecStart=/usr/bin/podman run") && unit.contains("--cgroups=no-conmon"), "{unit}");
}
