//! `linux.rootfsPropagation` (runtime-spec config-linux.md#rootfs-mount-propagation): what it says of the container's mounts,
//! and which mounts are heard of where (mount_namespaces(7)).

use std::fs;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::hostmount::HostMount;
use integration_tests::mountinfo::{self, Mount};
use integration_tests::scene::Scene;
use nix::mount::MsFlags;
use serde_json::json;

integration_tests::tests! {
    private,
    rprivate,
    slave [Need::Planc],
    rslave,
    shared [SHARED_APART],
    rshared [SHARED_APART],
    unbindable [Need::Planc],
    runbindable [Need::Planc],
    absent,
    in_a_user_namespace [Need::Planc],
    shared_is_heard_by_nested_containers,
    unbindable_cannot_be_bound [Need::Planc],
    refuses_another_word,
}

/// "The rootfs mount belongs to a new peer group": not to the host's, in which runc 1.1.5 leaves it.
const SHARED_APART: Need = Need::Planc;

/// What became of a container's mounts.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// The kinds of propagation of the root, without the numbers of the groups.
    root: Vec<String>,
    /// The same of a tmpfs of config.json.
    below: Vec<String>,
    /// Whether the container sees what the host mounts in the root filesystem.
    hears: bool,
    /// Whether the host sees what the container mounts there.
    is_heard: bool,
}

fn kinds(mount: &Mount) -> Vec<String> {
    mount.propagation.iter().map(|tag| tag.split(':').next().unwrap().to_owned()).collect()
}

fn mounts_of(pid: impl std::fmt::Display) -> Vec<Mount> {
    mountinfo::parse(&fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap())
}

/// A container whose root filesystem is a mount that the host shares; then both mount something in it.
fn seen(scene: &Scene, kind: Option<&str>, edit: impl Fn(&mut Bundle)) -> Seen {
    let mut bundle = scene.bundle();
    if let Some(kind) = kind {
        bundle.set("/linux/rootfsPropagation", kind);
    }
    ["/from-host", "/from-inside", "/below"].iter().for_each(|dir| fs::create_dir(bundle.rootfs(dir)).unwrap());
    edit(&mut bundle);
    bundle.set("/root/readonly", false).capabilities(&["CAP_SYS_ADMIN"]).mount("/below", "tmpfs", "below", &[]);
    let script = "mount -t tmpfs inside /from-inside && : > /done; exec sleep 1000";
    let rootfs = HostMount::bind(&bundle.rootfs(""), bundle.rootfs("")).shared();
    let container = scene.container(bundle.sh(script));
    container.run_detached();
    scene.wait_until("the container has mounted something", || bundle.rootfs("/done").exists());
    let from_host = HostMount::tmpfs(bundle.rootfs("/from-host"), MsFlags::empty());
    let inside = mounts_of(container.pid());
    let seen = Seen {
        root: kinds(mountinfo::at(&inside, "/").unwrap()),
        below: kinds(mountinfo::at(&inside, "/below").unwrap()),
        hears: mountinfo::at(&inside, "/from-host").is_some(),
        is_heard: mountinfo::at(&mounts_of("self"), bundle.rootfs("/from-inside")).is_some(),
    };
    assert!(mountinfo::at(&inside, "/from-inside").is_some(), "{inside:#?}");
    container.delete_force();
    drop((from_host, rootfs));
    seen
}

#[track_caller]
fn is(scene: &Scene, kind: Option<&str>, root: &[&str], below: &[&str], hears: bool) {
    let own = |tags: &[&str]| -> Vec<String> { tags.iter().map(|&tag| tag.to_owned()).collect() };
    let wanted = Seen { root: own(root), below: own(below), hears, is_heard: false };
    assert_eq!(seen(scene, kind, |_| {}), wanted, "{kind:?}");
}

fn private(scene: &Scene) {
    is(scene, Some("private"), &[], &[], false);
}

fn rprivate(scene: &Scene) {
    is(scene, Some("rprivate"), &[], &[], false);
}

/// (runc 1.1.5 makes a slave of / alone, not of what the root filesystem is taken from, which then hears nothing.)
fn slave(scene: &Scene) {
    is(scene, Some("slave"), &["master"], &[], true);
}

fn rslave(scene: &Scene) {
    is(scene, Some("rslave"), &["master"], &[], true);
}

/// It still hears the host, whose group is above its own.
fn shared(scene: &Scene) {
    is(scene, Some("shared"), &["shared", "master"], &[], true);
}

fn rshared(scene: &Scene) {
    is(scene, Some("rshared"), &["shared", "master"], &["shared"], true);
}

/// "Private and cannot be bind-mounted." (runc 1.1.5 leaves the root private, or refuses: it makes it unbindable before it
/// takes the root filesystem from it.)
fn unbindable(scene: &Scene) {
    is(scene, Some("unbindable"), &["unbindable"], &[], false);
}

fn runbindable(scene: &Scene) {
    is(scene, Some("runbindable"), &["unbindable"], &["unbindable"], false);
}

/// What is mounted inside never reaches the host unasked.
fn absent(scene: &Scene) {
    assert!(!seen(scene, None, |_| {}).is_heard);
}

/// What root of the container mounts is heard by nobody, whatever is asked.
fn in_a_user_namespace(scene: &Scene) {
    for (kind, root, hears) in [
        ("private", &[][..], false),
        ("rslave", &["master"], true),
        ("rshared", &["shared", "master"], true),
        ("unbindable", &["unbindable"], false),
    ] {
        let seen = seen(scene, Some(kind), |bundle| {
            bundle.user_namespace(100_000);
        });
        assert_eq!(
            (seen.root, seen.hears, seen.is_heard),
            (root.iter().map(|&tag| tag.to_owned()).collect(), hears, false),
            "{kind}"
        );
    }
}

/// A mount namespace that is made inside hears what is mounted later.
fn shared_is_heard_by_nested_containers(scene: &Scene) {
    for (kind, is_heard) in [("shared", "heard\n"), ("private", ""), ("slave", "")] {
        let mut bundle = scene.bundle();
        bundle.set("/linux/rootfsPropagation", kind).set("/root/readonly", false).capabilities(&["CAP_SYS_ADMIN"]);
        fs::create_dir(bundle.rootfs("/m")).unwrap();
        let script = "unshare -m --propagation unchanged sh -c ': > /ready; until [ -e /go ]; do sleep 0.02; done; grep -q late /proc/self/mountinfo && \
                      echo heard; true' & until [ -e /ready ]; do sleep 0.02; done; mount -t tmpfs late /m; : > /go; wait";
        assert_eq!(scene.sh(&mut bundle, script), is_heard, "{kind}");
    }
}

fn unbindable_cannot_be_bound(scene: &Scene) {
    for (kind, is_bound) in [("unbindable", "refused\n"), ("private", "bound\n")] {
        let mut bundle = scene.bundle();
        bundle.set("/linux/rootfsPropagation", kind).capabilities(&["CAP_SYS_ADMIN"]);
        // Which are made by copies of what they cover.
        bundle.set("/linux/readonlyPaths", json!(["/etc", "/proc/sys"])).set("/linux/maskedPaths", json!(["/root"]));
        let script = "mount --bind / /tmp 2>/dev/null && echo bound || echo refused";
        assert_eq!(scene.sh(&mut bundle, script), is_bound, "{kind}");
    }
}

fn refuses_another_word(scene: &Scene) {
    let mut bundle = scene.bundle();
    scene.refused(bundle.set("/linux/rootfsPropagation", "public"), "/linux/rootfsPropagation");
}
