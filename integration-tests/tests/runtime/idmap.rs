//! Idmapped mounts (runtime-spec config.md#posix-platform-mounts): whose files have other owners than they have.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::hostmount::HostMount;
use integration_tests::scene::Scene;
use nix::mount::MsFlags;
use serde_json::{Value, json};

use super::rootless;

/// ext4 can since 5.12; statfs(2) gives it the magic number of its elders.
const EXT4: Need = Need::Works("test \"$(stat -f -c %T \"${TMPDIR:-/tmp}\")\" = ext2/ext3");
/// tmpfs can since 6.3.
pub(crate) const MAPS_TMPFS: Need = Need::Works(
    "test \"$(uname -r | cut -d. -f1)\" -gt 6 || { test \"$(uname -r | cut -d. -f1)\" -eq 6 && test \"$(uname -r | cut -d. -f2)\" -ge 3; }",
);

integration_tests::tests! {
    own_mappings_without_a_user_namespace [Need::Spec(1, 2), MAPS_TMPFS],
    mappings_alone_mean_idmap [Need::Spec(1, 2), MAPS_TMPFS],
    own_mappings_in_a_user_namespace [Need::Spec(1, 2), MAPS_TMPFS],
    the_containers_mappings [Need::Spec(1, 2), MAPS_TMPFS],
    the_mappings_of_a_joined_user_namespace [Need::Spec(1, 2), MAPS_TMPFS],
    ridmap_maps_what_is_mounted_below [Need::Spec(1, 2), MAPS_TMPFS],
    idmap_maps_the_top_alone [Need::Spec(1, 2), MAPS_TMPFS],
    stays_locked_in_a_user_namespace [Need::Spec(1, 2), MAPS_TMPFS],
    of_what_an_earlier_mount_made [Need::Spec(1, 2), MAPS_TMPFS],
    of_a_filesystem_on_a_disk [Need::Spec(1, 2), EXT4],
    refuses_a_filesystem_that_cannot [Need::Planc],
    refuses_a_rootless_caller [Need::Planc],
    leaves_no_process [Need::Planc, MAPS_TMPFS],
}

/// A tmpfs with a file of 0:0 and one of 1000:1000; below it, at `sub`, another one.
pub(crate) fn source(scene: &Scene) -> (HostMount, HostMount) {
    let outer = HostMount::tmpfs(scene.path("source"), MsFlags::empty());
    fill(outer.path().to_owned());
    let inner = HostMount::tmpfs(outer.path().join("sub"), MsFlags::empty());
    fill(inner.path().to_owned());
    (outer, inner)
}

fn fill(at: PathBuf) {
    for id in [0, 1000] {
        let file = at.join(format!("of-{id}"));
        fs::write(&file, "").unwrap();
        chown(&file, Some(id), Some(id)).unwrap();
    }
}

fn map(inside: u32, outside: u32, size: u32) -> Value {
    json!([{"containerID": inside, "hostID": outside, "size": size}])
}

const OWNERS: &str = "stat -c '%u:%g' /m/of-0 /m/of-1000";

fn own_mappings_without_a_user_namespace(scene: &Scene) {
    let (outer, _inner) = source(scene);
    let mut bundle = scene.bundle();
    bundle.mount("/m", "bind", outer.path(), &["bind", "idmap"]);
    bundle.set("/mounts/7/uidMappings", map(0, 5000, 2000)).set("/mounts/7/gidMappings", map(0, 7000, 2000));
    bundle.capabilities(&["CAP_CHOWN", "CAP_DAC_OVERRIDE"]);
    let script =
        format!("{OWNERS}; touch /m/new 2>&1 | grep -o 'too large' ; chown 5003:7004 /m/of-0; stat -c %u:%g /m/of-0");
    assert_eq!(scene.sh(&mut bundle, &script), "5000:7000\n6000:8000\ntoo large\n5003:7004\n");
    // On the filesystem itself the ids are the mapped ones, taken back.
    let meta = fs::metadata(outer.path().join("of-0")).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (3, 4));
}

fn mappings_alone_mean_idmap(scene: &Scene) {
    let (outer, _inner) = source(scene);
    let mut bundle = scene.bundle();
    bundle.mount("/m", "bind", outer.path(), &["rbind"]);
    bundle.set("/mounts/7/uidMappings", map(0, 5000, 2000)).set("/mounts/7/gidMappings", map(0, 7000, 2000));
    assert_eq!(scene.sh(&mut bundle, OWNERS), "5000:7000\n6000:8000\n");
}

fn own_mappings_in_a_user_namespace(scene: &Scene) {
    let (outer, _inner) = source(scene);
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).mount("/m", "bind", outer.path(), &["bind", "idmap"]);
    bundle.set("/mounts/7/uidMappings", map(0, 100_005, 2000)).set("/mounts/7/gidMappings", map(0, 100_007, 2000));
    assert_eq!(scene.sh(&mut bundle, OWNERS), "5:7\n1005:1007\n");
}

/// Files of the host's root are the container's root's, and what it makes is the host's root's.
fn the_containers_mappings(scene: &Scene) {
    let (outer, _inner) = source(scene);
    for option in ["idmap", "ridmap"] {
        let mut bundle = scene.bundle();
        bundle.user_namespace(100_000).mount("/m", "bind", outer.path(), &["bind", option]);
        assert_eq!(scene.sh(&mut bundle, &format!("{OWNERS}; touch /m/{option}")), "0:0\n1000:1000\n");
        let meta = fs::metadata(outer.path().join(option)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (0, 0), "{option}");
    }
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).mount("/m", "bind", outer.path(), &["bind"]);
    assert_eq!(scene.sh(&mut bundle, OWNERS), "65534:65534\n65534:65534\n", "nothing is mapped unasked");
}

fn the_mappings_of_a_joined_user_namespace(scene: &Scene) {
    let (outer, _inner) = source(scene);
    let mut first = scene.bundle();
    let holder = scene.container(first.user_namespace(100_000).sleep());
    holder.run_detached();
    let path = format!("/proc/{}/ns/user", holder.pid());
    for option in ["idmap", "ridmap"] {
        let mut bundle = scene.bundle();
        bundle.user_namespace(100_000).namespace("user", Some(&path)).mount(
            "/m",
            "bind",
            outer.path(),
            &["rbind", option],
        );
        bundle.remove("/linux/uidMappings").remove("/linux/gidMappings");
        let below = if option == "ridmap" { "1000" } else { "65534" };
        let seen = scene.sh(&mut bundle, &format!("{OWNERS}; stat -c %u /m/sub/of-1000"));
        assert_eq!(seen, format!("0:0\n1000:1000\n{below}\n"), "{option}");
    }
    holder.delete_force();
}

fn ridmap_maps_what_is_mounted_below(scene: &Scene) {
    let (outer, _inner) = source(scene);
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).mount("/m", "bind", outer.path(), &["rbind", "ridmap"]);
    assert_eq!(scene.sh(&mut bundle, "stat -c %u /m/of-1000 /m/sub/of-1000"), "1000\n1000\n");
}

fn idmap_maps_the_top_alone(scene: &Scene) {
    let (outer, _inner) = source(scene);
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).mount("/m", "bind", outer.path(), &["rbind", "idmap"]);
    assert_eq!(scene.sh(&mut bundle, "stat -c %u /m/of-1000 /m/sub/of-1000"), "1000\n65534\n");
}

/// What is mapped for the container is a tree of the host's all the same: its flags and covers hold.
fn stays_locked_in_a_user_namespace(scene: &Scene) {
    let (outer, _inner) = source(scene);
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).mount("/m", "bind", outer.path(), &["rbind", "ridmap", "rro", "rnosuid"]);
    bundle.capabilities(&["CAP_SYS_ADMIN"]);
    let script =
        "mount -o remount,bind,rw,suid /m && exit 1; umount /m/sub && exit 2; touch /m/x 2>&1 | grep -o Read-only";
    assert_eq!(scene.sh(&mut bundle, script), "Read-only\n");
}

fn of_a_filesystem_on_a_disk(scene: &Scene) {
    let source = scene.path("source");
    fs::create_dir(&source).unwrap();
    fill(source.clone());
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).mount("/m", "bind", &source, &["bind", "idmap"]);
    assert_eq!(scene.sh(&mut bundle, OWNERS), "0:0\n1000:1000\n");
}

/// procfs is mapped by no kernel. The feature, the kernel, and the place in config.json are named.
fn refuses_a_filesystem_that_cannot(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).mount("/m", "bind", "/proc/tty", &["bind", "idmap"]);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    scene.refused(&bundle, "/mounts/7").says("mount_setattr").says(release.trim()).says("cannot map the ids");
}

fn refuses_a_rootless_caller(scene: &Scene) {
    let mut bundle = rootless::bundle(scene);
    bundle.mount("/m", "bind", "/etc", &["bind", "idmap"]);
    rootless::by_user(scene).refused(&bundle, "/mounts/7/options/1").says("CAP_SYS_ADMIN");
}

/// The process that held the user namespace while its maps were written is gone; its descriptor is not the container's.
fn leaves_no_process(scene: &Scene) {
    let (outer, _inner) = source(scene);
    let mut bundle = scene.bundle();
    bundle.sleep().mount("/m", "bind", outer.path(), &["bind", "idmap"]);
    bundle.set("/mounts/7/uidMappings", map(0, 5000, 2000)).set("/mounts/7/gidMappings", map(0, 7000, 2000));
    let container = scene.container(&bundle);
    container.create();
    let pid = container.pid();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let target = fs::read_link(entry.unwrap().path()).unwrap();
        assert!(!target.to_string_lossy().starts_with("user:["), "{}", target.display());
    }
    container.delete_force();
}

/// The copy of a mount's mount, at /m, of which root's ids are mapped; with a user namespace from `first` on.
pub(crate) fn bundle_of_an_earlier_mount(scene: &Scene, outer: &HostMount, first: Option<u32>) -> Bundle {
    let mut bundle = scene.bundle();
    if let Some(first) = first {
        bundle.user_namespace(first);
    }
    fs::create_dir(bundle.rootfs("/early")).unwrap();
    let early = bundle.rootfs("/early");
    bundle.mount("/early", "bind", outer.path(), &["rbind"]).mount("/m", "bind", &early, &["rbind", "idmap"]);
    let ids = map(0, first.unwrap_or(0), 1);
    bundle.set("/mounts/8/uidMappings", ids.clone()).set("/mounts/8/gidMappings", ids);
    bundle
}

/// Only the host may map the ids once init is in its user namespace.
fn of_what_an_earlier_mount_made(scene: &Scene) {
    for first in [None, Some(100_000)] {
        let (outer, _inner) = source(scene);
        let mut bundle = bundle_of_an_earlier_mount(scene, &outer, first);
        let seen = scene.sh(&mut bundle, &format!("{OWNERS}; ls /m/sub | wc -l"));
        assert_eq!(seen, "0:0\n65534:65534\n2\n", "{first:?}");
    }
}
