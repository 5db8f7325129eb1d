//! Containers on a host with many mounts: planc makes them from a mount namespace that has few, and nobody can tell from
//! inside. Every command here is executed in a mount namespace of its own with 150 mounts more, or without these.

use std::fs;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::lane::Lane;
use integration_tests::mountinfo::{self, Mount};
use integration_tests::scene::Scene;
use serde_json::json;

integration_tests::tests! {
    the_plan_says_so [Need::Planc, LISTMOUNT],
    the_default_container_is_the_same,
    every_propagation_of_the_root_is_the_same [LISTMOUNT],
    every_propagation_of_a_bind_is_the_same [LISTMOUNT],
    a_user_namespace_is_the_same [LISTMOUNT],
    mapped_ids_are_the_same [Need::Planc, LISTMOUNT],
    locks_hold_in_a_user_namespace [Need::Planc, LISTMOUNT],
    nothing_of_the_host_is_within_reach [Need::Planc, LISTMOUNT],
    a_hook_finds_the_root_filesystem,
    a_source_that_is_not_there [Need::Planc],
    it_is_made_once [Need::Planc, LISTMOUNT],
    who_has_no_time_for_it_does_without [Need::Planc, LISTMOUNT],
}

/// listmount(2): what tells planc that there are many.
const LISTMOUNT: Need = Need::Lane(Lane::Native);

/// A private copy of the mounts, `/run` empty in it, and so many mounts more; the source of binds shares with whoever asks.
fn among(scene: &Scene, more: u32) -> Scene {
    // Not util-linux's, which leaves /run/mount behind.
    let begin = "mount() { busybox mount \"$@\"; }; mount -t tmpfs none /run; mkdir /run/m /run/source; mount -t tmpfs -o mode=755 source /run/source; \
                 mount --make-shared /run/source; mkdir /run/source/below; mount -t tmpfs below /run/source/below; \
                 mount --make-shared /; ";
    let many = format!("for n in $(seq {more}); do mount --bind /run/m /run/m; done; exec \"$@\"");
    scene.by(&["unshare", "--mount", "--propagation", "private", "sh", "-ec", &format!("{begin}{many}"), "sh"])
}

/// The mounts of a container, as far as they do not tell which one it is.
fn seen(scene: &Scene, bundle: &mut Bundle) -> Vec<Mount> {
    bundle.args(&["/bin/cat", "/proc/self/mountinfo"]);
    let done = scene.container(bundle).run();
    done.ok();
    assert_eq!(done.stderr, "");
    let mut mounts = mountinfo::parse(&done.stdout);
    for mount in &mut mounts {
        mount.device.clear();
        for tag in &mut mount.propagation {
            tag.truncate(tag.find(':').unwrap_or(tag.len()));
        }
    }
    // They are listed as they were made.
    mounts.sort_by_cached_key(|mount| format!("{mount:?}"));
    mounts
}

/// Whether the plan leaves the host's mounts.
fn leaves(scene: &Scene, bundle: &Bundle) -> bool {
    bundle.write();
    let done = scene.rt(&["explain", "--bundle", bundle.arg()]);
    done.ok();
    done.stdout.contains("leave the host's mounts")
}

/// A container is the same with many mounts on the host and with few. Whether the plan left them, where there were many.
#[track_caller]
fn assert_same(scene: &Scene, bundle: &mut Bundle, what: &str) -> bool {
    let (many, few) = (among(scene, 150), among(scene, 0));
    let (here, there) = (seen(&many, bundle), seen(&few, bundle));
    assert_eq!(here, there, "{what}");
    Lane::current() == Lane::Native && scene.runtime.kind == integration_tests::runtime::Kind::Planc && {
        assert!(!leaves(&few, bundle), "{what}");
        leaves(&many, bundle)
    }
}

#[track_caller]
fn assert_left(scene: &Scene, left: bool, expected: bool, what: &str) {
    if Lane::current() == Lane::Native && scene.runtime.kind == integration_tests::runtime::Kind::Planc {
        assert_eq!(left, expected, "{what}");
    }
}

fn the_plan_says_so(scene: &Scene) {
    let (many, few) = (among(scene, 150), among(scene, 0));
    let mut bundle = scene.bundle();
    assert!(leaves(&many, &bundle) && !leaves(&few, &bundle));
    bundle.set("/hooks", json!({ "createRuntime": [{ "path": "/bin/true" }] }));
    assert!(!leaves(&many, &bundle));
    let done = many.rt(&["explain", "--bundle", bundle.arg()]);
    done.says("every mount of the host is copied: hooks before the change of the root may look at them");
    // Who only looks makes nothing.
    let script = "ls /run/planc-mounts 2> /dev/null || echo none";
    let done = many.call_by(
        &["sh", "-ec", &format!("\"$@\" > /dev/null; {script}"), "sh"],
        &["explain", "--bundle", bundle.arg()],
    );
    assert_eq!(done.done().stdout, "none\n");
}

fn the_default_container_is_the_same(scene: &Scene) {
    let mut bundle = scene.bundle();
    let left = assert_same(scene, &mut bundle, "the default");
    assert_left(scene, left, true, "the default");
}

fn every_propagation_of_the_root_is_the_same(scene: &Scene) {
    for kind in ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"] {
        let mut bundle = scene.bundle();
        bundle.set("/linux/rootfsPropagation", kind).mount("/tmp", "bind", "/run/source", &["rbind"]);
        let left = assert_same(scene, &mut bundle, kind);
        assert_left(scene, left, !kind.ends_with("shared"), kind);
    }
}

fn every_propagation_of_a_bind_is_the_same(scene: &Scene) {
    let kinds = ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"];
    for options in kinds.map(Some).into_iter().chain([None]) {
        for bind in ["bind", "rbind"] {
            let mut bundle = scene.bundle();
            let options: Vec<&str> = [bind].into_iter().chain(options).collect();
            bundle.mount("/tmp", "bind", "/run/source", &options);
            let left = assert_same(scene, &mut bundle, &format!("{options:?}"));
            let receives = options.iter().any(|option| option.ends_with("slave") || option.ends_with("shared"));
            assert_left(scene, left, !receives, &format!("{options:?}"));
        }
    }
}

fn a_user_namespace_is_the_same(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).mount("/tmp", "bind", "/run/source", &["rbind", "ro", "nosuid"]);
    let left = assert_same(scene, &mut bundle, "a user namespace");
    assert_left(scene, left, true, "a user namespace");
}

fn mapped_ids_are_the_same(scene: &Scene) {
    for has_user in [false, true] {
        let mut bundle = scene.bundle();
        if has_user {
            bundle.user_namespace(100_000);
        }
        bundle.mount("/tmp", "bind", "/run/source", &["rbind", "ridmap"]);
        let at = format!("/mounts/{}", bundle.config["mounts"].as_array().unwrap().len() - 1);
        let maps = json!([{ "containerID": 0, "hostID": 1234, "size": 65536 }]);
        bundle.set(&format!("{at}/uidMappings"), maps.clone()).set(&format!("{at}/gidMappings"), maps);
        assert!(assert_same(scene, &mut bundle, "mapped ids"));
        let many = among(scene, 150);
        let seen = many.sh(&mut bundle, "stat -c %u /tmp /tmp/below");
        assert_eq!(seen, if has_user { "65534\n65534\n" } else { "1234\n1234\n" });
    }
}

/// Root of a user namespace can neither take a flag off, nor uncover what is mounted on what it was given.
fn locks_hold_in_a_user_namespace(scene: &Scene) {
    let script = "for way in remount,bind,rw remount,bind,suid; do mount -o $way /tmp 2> /dev/null && echo $way; done; \
                  umount /tmp/below 2> /dev/null && echo uncovered; umount /tmp && umount /tmp; echo done";
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).capabilities(&["CAP_SYS_ADMIN"]);
    bundle.mount("/tmp", "bind", "/run/source", &["rbind", "ro", "nosuid"]);
    assert_eq!(among(scene, 150).sh(&mut bundle, script), among(scene, 0).sh(&mut bundle, script));
    assert!(among(scene, 150).sh(&mut bundle, "mount -o remount,bind,rw /tmp || echo refused").contains("refused"));
    assert!(among(scene, 150).sh(&mut bundle, "umount /tmp/below || echo refused").contains("refused"));
}

/// Neither a descriptor, nor a mount, nor the working directory.
fn nothing_of_the_host_is_within_reach(scene: &Scene) {
    let script = "ls -l /proc/self/fd | wc -l; readlink /proc/self/cwd /proc/self/root; ls /stage /root 2>&1 | wc -l; \
                  readlink /proc/1/fd/* | grep -c mnt:";
    let mut bundle = scene.bundle();
    let many =
        among(scene, 150).sh(bundle.capabilities(&["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]), &format!("{script}; true"));
    assert_eq!(many, among(scene, 0).sh(&mut bundle, &format!("{script}; true")));
    assert!(many.ends_with("\n0\n"), "{many}");
}

/// What GPU toolkits do: enter the mount namespace of init, and change the root filesystem at its path on the host.
fn a_hook_finds_the_root_filesystem(scene: &Scene) {
    let mut bundle = scene.bundle();
    let script = format!(
        "pid=$(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/'); nsenter --mount=/proc/$pid/ns/mnt touch {}",
        bundle.rootfs("/tmp/by-the-hook").display()
    );
    bundle.set("/hooks", json!({ "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", script] }] }));
    assert_eq!(among(scene, 150).sh(&mut bundle, "ls /tmp"), "by-the-hook\n");
}

/// In the words that users of engines know.
fn a_source_that_is_not_there(scene: &Scene) {
    for has_user in [false, true] {
        let mut bundle = scene.bundle();
        if has_user {
            bundle.user_namespace(100_000);
        }
        bundle.mount("/tmp", "bind", "/run/not-there", &["rbind"]);
        let many = among(scene, 150);
        let done = many.container(&bundle).run();
        done.fails().says("error mounting").says("to rootfs at").says("/run/not-there").says("/mounts/");
    }
}

/// Only the first container of a host pays; what is kept is one folder, with one mount namespace of four mounts.
fn it_is_made_once(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.args(&["/bin/true"]).write();
    let run = format!("\"$1\" --root \"$2\" run --bundle {} a; stat -L -c %i /run/planc-mounts/few; ", bundle.arg());
    let look = "exec 9< /bin; nsenter --mount=/run/planc-mounts/few /proc/self/fd/9/busybox cat /proc/self/mounts | cut -d ' ' -f 2,3; \
                stat -c %a /run/planc-mounts; grep -c planc-mounts /proc/self/mountinfo";
    let script = format!("{run}{run}{look}");
    let (path, root) = (scene.runtime.path.to_str().unwrap(), scene.root().to_str().unwrap());
    let done = among(scene, 150).call_by(&["sh", "-ec", &script, "sh", path, root], &[]).done();
    let lines: Vec<&str> = done.ok().stdout.lines().collect();
    assert_eq!(lines[0], lines[1], "{done}");
    assert_eq!(lines[2..], ["/ tmpfs", "/proc proc", "/sys sysfs", "700", "2"], "{done}");
}

/// While another makes it, and where it cannot be made.
fn who_has_no_time_for_it_does_without(scene: &Scene) {
    for hindrance in ["mkdir /run/planc-mounts; flock /run/planc-mounts", "touch /run/planc-mounts; exec"] {
        let script = format!("{hindrance} \"$@\"");
        let bundle = scene.bundle();
        bundle.write();
        let many = among(scene, 150);
        let id = many.id();
        let done = many.call_by(&["sh", "-ec", &script, "sh"], &["run", "--bundle", bundle.arg(), &id]).done();
        assert_eq!(done.ok().stderr, "", "{hindrance}");
        assert!(!fs::exists("/run/planc-mounts").unwrap());
    }
}
