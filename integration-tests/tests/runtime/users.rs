//! User namespaces (runtime-spec config-linux.md#user-namespace-mappings), and what their root cannot undo.

use std::fs;
use std::os::unix::fs::MetadataExt;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::hostmount::HostMount;
use integration_tests::mountinfo::{self, Mount};
use integration_tests::process;
use integration_tests::scene::Scene;
use nix::mount::{MsFlags, mount};
use serde_json::json;

integration_tests::tests! {
    maps_are_as_configured,
    root_inside_is_a_mapped_id_outside,
    root_inside_owns_the_rootfs,
    a_user_inside_is_mapped,
    filesystems_can_be_mounted,
    devices_are_there,
    other_namespaces_belong_to_it,
    refuses_no_maps,
    refuses_maps_without_a_user_namespace [Need::Planc],
    refuses_an_unmapped_user,
    cannot_clear_the_flags_of_the_host,
    cannot_clear_the_flags_of_config_json [Need::Planc],
    cannot_uncover_a_submount,
    a_bind_keeps_the_flags_of_its_source [Need::Planc],
    a_remount_keeps_the_flags_of_its_mount [Need::Planc],
    a_read_only_root_keeps_the_flags_of_its_mount,
}

/// The first host id of the maps.
const FIRST: u32 = 200_000;

fn bundle(scene: &Scene) -> Bundle {
    let mut bundle = scene.bundle();
    bundle.user_namespace(FIRST);
    bundle
}

fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

fn maps_are_as_configured(scene: &Scene) {
    let mut bundle = bundle(scene);
    let uids =
        json!([{"containerID": 0, "hostID": FIRST, "size": 1000}, {"containerID": 1000, "hostID": 300_000, "size": 1}]);
    bundle.set("/linux/uidMappings", uids);
    let maps = scene.sh(&mut bundle, "cat /proc/self/uid_map; echo; cat /proc/self/gid_map");
    let (uids, gids) = maps.split_once("\n\n").unwrap();
    assert_eq!(words(uids), [["0", "200000", "1000"], ["1000", "300000", "1"]]);
    assert_eq!(words(gids), [["0", "200000", "65536"]]);
}

fn root_inside_is_a_mapped_id_outside(scene: &Scene) {
    let container = scene.container(bundle(scene).sleep());
    container.run_detached();
    let pid = container.pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for key in ["Uid", "Gid"] {
        assert_eq!(process::status_line(&status, key).unwrap(), ["200000"; 4].join("\t"));
    }
    assert_ne!(process::namespaces(pid)["user"], process::namespaces("self")["user"]);
    container.delete_force();
}

fn root_inside_owns_the_rootfs(scene: &Scene) {
    let mut bundle = bundle(scene);
    bundle.set("/root/readonly", false).capabilities(&["CAP_CHOWN"]);
    let seen = scene.sh(&mut bundle, "id -u; id -g; stat -c %u:%g /bin/sh; : > /root/made && chown 7:8 /root/made");
    assert_eq!(seen, "0\n0\n0:0\n");
    let made = fs::metadata(bundle.rootfs("/root/made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (FIRST + 7, FIRST + 8));
}

fn a_user_inside_is_mapped(scene: &Scene) {
    let mut bundle = bundle(scene);
    bundle
        .set("/process/user", json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 7]}))
        .set("/root/readonly", false);
    let seen = scene.sh(&mut bundle, "id -u; id -g; id -G; : > /tmp/made");
    assert_eq!(seen, "1000\n1001\n1001 5 7\n");
    let made = fs::metadata(bundle.rootfs("/tmp/made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (FIRST + 1000, FIRST + 1001));
}

fn filesystems_can_be_mounted(scene: &Scene) {
    let mut bundle = bundle(scene);
    bundle.mount("/tmp", "tmpfs", "tmpfs", &["nosuid", "mode=1777", "size=1m"]);
    let mounts = mountinfo::parse(&scene.sh(&mut bundle, "cat /proc/self/mountinfo"));
    for (point, fstype) in
        [("/proc", "proc"), ("/sys", "sysfs"), ("/dev", "tmpfs"), ("/dev/pts", "devpts"), ("/tmp", "tmpfs")]
    {
        assert_eq!(mountinfo::at(&mounts, point).unwrap().fstype, fstype, "{point}");
    }
}

fn devices_are_there(scene: &Scene) {
    let seen =
        scene.sh(&mut bundle(scene), "stat -c %t:%T /dev/null /dev/zero /dev/urandom; echo x > /dev/null && echo ok");
    assert_eq!(seen, "1:3\n1:5\n1:9\nok\n");
}

/// Only then may root inside do in them what root does.
fn other_namespaces_belong_to_it(scene: &Scene) {
    let mut bundle = bundle(scene);
    bundle.capabilities(&["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]).set("/root/readonly", false);
    let seen = scene.sh(
        &mut bundle,
        "hostname other && hostname; ip link set lo up && echo up; mount -t tmpfs none /tmp && echo mounted",
    );
    assert_eq!(seen, "other\nup\nmounted\n");
}

fn refuses_no_maps(scene: &Scene) {
    let mut bundle = scene.bundle();
    scene.refused(bundle.namespace("user", Some("")), "/linux");
}

/// runc refuses them from 1.2 on; 1.1.5 ignores them.
fn refuses_maps_without_a_user_namespace(scene: &Scene) {
    let mut bundle = bundle(scene);
    scene.refused(bundle.namespace("user", None), "/linux/uidMappings");
}

fn refuses_an_unmapped_user(scene: &Scene) {
    let mut bundle = bundle(scene);
    scene.refused(bundle.set("/process/user/uid", 100_000), "/process/user/uid");
}

/// What root of the user namespace tries at /data: each line it prints is a flag it could clear.
const CLEAR: &str = "for f in rw,nosuid,nodev,noexec ro,suid,nodev,noexec ro,nosuid,dev,noexec ro,nosuid,nodev,exec; do \
    mount -o remount,bind,$f /data 2>/dev/null && echo cleared $f; done; touch /data/written 2>/dev/null && echo written; true";

fn cannot_clear_the_flags_of_the_host(scene: &Scene) {
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let data = HostMount::tmpfs(scene.path("data"), flags);
    let mut bundle = bundle(scene);
    bundle.capabilities(&["CAP_SYS_ADMIN"]).mount(
        "/data",
        "bind",
        data.path(),
        &["bind", "ro", "nosuid", "nodev", "noexec"],
    );
    assert_eq!(scene.sh(&mut bundle, CLEAR), "");
}

/// The flags are not the host's: config.json alone asks for them (SECURITY.md R-02, DESIGN.md §6).
fn cannot_clear_the_flags_of_config_json(scene: &Scene) {
    let data = HostMount::tmpfs(scene.path("data"), MsFlags::empty());
    let mut bundle = bundle(scene);
    bundle.capabilities(&["CAP_SYS_ADMIN"]).mount(
        "/data",
        "bind",
        data.path(),
        &["bind", "ro", "nosuid", "nodev", "noexec"],
    );
    assert_eq!(scene.sh(&mut bundle, CLEAR), "");
}

const LOCKED: MsFlags =
    MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC).union(MsFlags::MS_NOATIME);

/// The words of [`LOCKED`].
const WORDS: [&str; 4] = ["nosuid", "nodev", "noexec", "noatime"];

#[track_caller]
fn assert_locked(mounts: &[Mount], point: &str, also: &[&str]) {
    let mount = mountinfo::at(mounts, point).unwrap();
    WORDS.iter().chain(also).for_each(|word| assert!(mount.has(word), "{point}: no {word} in {mount:?}"));
}

/// Flags that config.json does not name are the host's, and stay: the kernel refuses to take them away (EPERM,
/// mount_namespaces(7)), and so runc 1.1.5 fails, which tries. (Later ones keep them.)
fn a_bind_keeps_the_flags_of_its_source(scene: &Scene) {
    let writable = HostMount::tmpfs(scene.path("writable"), LOCKED);
    let read_only = HostMount::tmpfs(scene.path("read-only"), LOCKED | MsFlags::MS_RDONLY);
    let mut bundle = bundle(scene);
    bundle.mount("/a", "bind", writable.path(), &["bind"]).mount("/b", "bind", writable.path(), &["rbind", "ro"]);
    bundle.mount("/c", "bind", read_only.path(), &["bind"]).mount("/d", "bind", read_only.path(), &["bind", "nosuid"]);
    let mounts = mountinfo::parse(&scene.sh(&mut bundle, "cat /proc/self/mountinfo"));
    assert_locked(&mounts, "/a", &["rw"]);
    ["/b", "/c", "/d"].iter().for_each(|point| assert_locked(&mounts, point, &["ro"]));
}

/// (runc 1.1.5 looks for the source of a remount in a user namespace, which has none.)
fn a_remount_keeps_the_flags_of_its_mount(scene: &Scene) {
    let source = HostMount::tmpfs(scene.path("source"), LOCKED);
    let mut bundle = bundle(scene);
    bundle.mount("/a", "bind", source.path(), &["bind"]).mount("/a", "none", "none", &["bind", "remount", "ro"]);
    bundle.set("/linux/readonlyPaths", json!(["/b"])).mount("/b", "bind", source.path(), &["bind"]);
    let mounts = mountinfo::parse(&scene.sh(&mut bundle, "cat /proc/self/mountinfo"));
    ["/a", "/b"].iter().for_each(|point| assert_locked(&mounts, point, &["ro"]));
}

fn a_read_only_root_keeps_the_flags_of_its_mount(scene: &Scene) {
    let mut bundle = bundle(scene);
    let rootfs = HostMount::bind(&bundle.rootfs(""), bundle.rootfs(""));
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(None::<&str>, rootfs.path(), None::<&str>, flags, None::<&str>).unwrap();
    bundle.set("/root/readonly", true);
    let mounts = mountinfo::parse(&scene.sh(&mut bundle, "cat /proc/self/mountinfo"));
    let root = mountinfo::at(&mounts, "/").unwrap();
    ["ro", "nosuid", "nodev"].iter().for_each(|word| assert!(root.has(word), "{root:?}"));
}

fn cannot_uncover_a_submount(scene: &Scene) {
    let outer = HostMount::tmpfs(scene.path("data"), MsFlags::empty());
    fs::create_dir(outer.path().join("sub")).unwrap();
    fs::write(outer.path().join("sub/secret"), "").unwrap();
    let inner = HostMount::tmpfs(outer.path().join("sub"), MsFlags::empty());
    let mut bundle = bundle(scene);
    bundle.capabilities(&["CAP_SYS_ADMIN"]).mount("/data", "bind", outer.path(), &["rbind"]);
    let seen = scene.sh(&mut bundle, "umount /data/sub 2>/dev/null && echo uncovered; umount -l /data/sub 2>/dev/null && echo uncovered; ls /data/sub");
    assert_eq!(seen, "");
    // A bind without its submounts would uncover it too.
    let script = "mkdir /dev/x && mount --bind /data /dev/x 2>/dev/null && ls /dev/x/sub; true";
    assert_eq!(scene.sh(&mut bundle, script), "");
    drop(inner);
}
