//! Containers in the host's mount namespace (runtime-spec config-linux.md#namespaces: an absent type is inherited).

use std::fs;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::runtime::Kind;
use integration_tests::scene::Scene;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;

integration_tests::tests! {
    // (runc mounts what config.json asks for on the host, and leaves it there.)
    is_seen_nowhere_on_the_host [Need::Planc],
    shares_no_mount_with_the_host [Need::Planc],
    // (runc's exec is in the host's root directory.)
    exec_is_in_the_containers_root [Need::Planc],
    changes_its_own_mounts [Need::Planc],
    hooks_run,
    refuses_what_would_change_the_host,
}

/// A bundle in the host's mount namespace.
pub(crate) fn bundle(scene: &Scene) -> Bundle {
    let mut bundle = scene.bundle();
    bundle.namespace("mount", None).set("/linux/maskedPaths", json!([])).set("/linux/readonlyPaths", json!([]));
    bundle
}

fn mounts_of_the_host() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

fn is_seen_nowhere_on_the_host(scene: &Scene) {
    let before = mounts_of_the_host();
    let mut bundle = bundle(scene);
    bundle.mount("/data", "tmpfs", "tmpfs", &["size=64k"]);
    let script = "touch /data/x && test -c /dev/null && test -e /proc/self/status && echo there; touch /y 2>&1; \
                  echo $$; exec sleep 1000";
    let container = scene.container(bundle.sh(script));
    container.run_detached();
    let inside = |path: &str| format!("/proc/{}/root{path}", container.pid());
    scene.wait_until("the file is there", || fs::exists(inside("/data/x")).unwrap());
    assert_eq!(process::namespaces(container.pid())["mnt"], process::namespaces("self")["mnt"]);
    assert_eq!(mounts_of_the_host(), before);
    assert!(!bundle.rootfs("/data/x").exists() && !bundle.rootfs("/dev/null").exists());
    container.delete_force();
    assert_eq!(mounts_of_the_host(), before);
    let told = scene.sh(&mut bundle, "touch /y 2>&1 | grep -o Read-only; echo $$; ls /; cat /proc/self/mounts");
    assert!(told.starts_with("Read-only\n1\n"), "{told}");
}

/// What is mounted below a bind of a shared tree would be mounted for the host as well.
fn shares_no_mount_with_the_host(scene: &Scene) {
    let shared = scene.path("shared");
    fs::create_dir_all(shared.join("in")).unwrap();
    let none = None::<&str>;
    mount(Some("tmpfs"), &shared, Some("tmpfs"), MsFlags::empty(), none).unwrap();
    mount(none, &shared, none, MsFlags::MS_SHARED, none).unwrap();
    fs::create_dir(shared.join("in")).unwrap();
    let before = mounts_of_the_host();
    let mut bundle = bundle(scene);
    bundle.mount("/data", "", &shared, &["rbind"]).mount("/data/in", "tmpfs", "tmpfs", &[]);
    scene.sh(&mut bundle, "touch /data/in/x /data/y");
    let (after, made) = (mounts_of_the_host(), fs::exists(shared.join("y")).unwrap());
    umount2(&shared, MntFlags::MNT_DETACH).unwrap();
    assert_eq!(after, before);
    assert!(made, "it is the host's directory");
}

fn exec_is_in_the_containers_root(scene: &Scene) {
    let mut bundle = bundle(scene);
    fs::write(bundle.rootfs("/mark"), "the container's").unwrap();
    fs::create_dir(bundle.rootfs("/dir")).unwrap();
    let container = scene.container(bundle.sleep());
    container.run_detached();
    let done =
        container.exec(&["--cwd", "/dir"], &["sh", "-c", "cat /mark; pwd; cd ..; cd ..; cat mark; test -c dev/null"]);
    done.ok();
    assert_eq!(done.stdout, "the container's/dir\nthe container's");
    let outside = scene.path("outside");
    fs::write(&outside, "").unwrap();
    container.exec(&[], &["test", "-e", outside.to_str().unwrap()]).exits(1);
    container.delete_force();
}

fn hooks_run(scene: &Scene) {
    let mut bundle = bundle(scene);
    let ran = scene.path("ran");
    let hook = |name: &str| {
        let script = format!("readlink /proc/self/ns/mnt > {}-{name}", ran.display());
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }])
    };
    bundle.set("/hooks", json!({ "createRuntime": hook("runtime"), "createContainer": hook("container") }));
    scene.sh(&mut bundle, "true");
    let own = fs::read_link("/proc/self/ns/mnt").unwrap();
    let seen = |name: &str| fs::read_to_string(format!("{}-{name}", ran.display())).unwrap();
    assert_eq!(seen("runtime").trim(), own.to_str().unwrap());
    // (The filesystem is put together elsewhere, and they may take part in that.)
    assert_eq!(seen("container").trim() == own.to_str().unwrap(), scene.runtime.kind != Kind::Planc);
    // (runc leaves its mounts; they are the lane's.)
    let _ = umount2(&bundle.rootfs(""), MntFlags::MNT_DETACH);
}

fn changes_its_own_mounts(scene: &Scene) {
    let before = mounts_of_the_host();
    let mut bundle = bundle(scene);
    bundle.mount("/data", "tmpfs", "tmpfs", &["ro"]).mount("/proc", "", "", &["remount", "nosuid"]);
    let seen = scene.sh(&mut bundle, "touch /data/x 2>&1 | grep -o Read-only; stat -f -c %T /proc");
    assert_eq!(seen, "Read-only\nproc\n");
    assert_eq!(mounts_of_the_host(), before);
}

fn refuses_what_would_change_the_host(scene: &Scene) {
    for pointer in ["/linux/maskedPaths", "/linux/readonlyPaths"] {
        let mut bundle = bundle(scene);
        bundle.set(pointer, json!(["/proc/kcore"]));
        let wants = "unable to restrict sys entries without a private MNT namespace";
        scene.container(bundle.sleep()).try_create(&[]).fails().says(wants);
    }
    if scene.runtime.kind == Kind::Planc {
        let mut shared = bundle(scene);
        shared.set("/linux/rootfsPropagation", "shared");
        scene.refused(shared.sleep(), "/linux/rootfsPropagation");
    }
}
