//! The root filesystem: root.readonly, pivot_root, masked and read-only paths, and the /proc that an image may not forge.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use integration_tests::harness::Need;
use integration_tests::mountinfo;
use integration_tests::scene::Scene;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::mkfifo;
use serde_json::json;

/// User namespaces, also for who has no privilege.
const USERNS: Need = Need::Works("setpriv --reuid=1 --clear-groups unshare -U true");

integration_tests::tests! {
    is_read_only_when_asked,
    is_writable_when_asked,
    is_the_root_and_nothing_is_above_it,
    no_bare_procfs_is_left_without_pivot_root[USERNS, Need::Planc],
    works_without_pivot_root,
    an_absolute_root_path_is_fine,
    masked_files_are_empty,
    masked_directories_are_empty_and_read_only,
    masked_directories_are_one_tmpfs [Need::Planc],
    masks_skip_what_is_not_there,
    masks_do_not_follow_a_forged_dev_null [Need::Planc],
    a_mask_is_the_null_device_whatever_is_called_so [Need::Planc],
    read_only_paths_are_read_only,
    read_only_paths_keep_the_options_of_their_mount,
    refuses_a_symlinked_proc,
    refuses_a_symlinked_sys,
    refuses_mounts_inside_proc,
    refuses_a_tmpfs_inside_proc [Need::Planc],
    takes_what_lxcfs_mounts_inside_proc,
    refuses_a_directory_of_the_host_as_proc,
}

fn is_read_only_when_asked(scene: &Scene) {
    let mut bundle = scene.bundle();
    let seen = scene.sh(&mut bundle, "touch /x 2>&1 | grep -o Read-only; touch /dev/x && cat /proc/self/mountinfo");
    let (refusal, mounts) = seen.split_once('\n').unwrap();
    assert_eq!(refusal, "Read-only");
    assert!(mountinfo::at(&mountinfo::parse(mounts), "/").unwrap().has("ro"));
    assert!(!bundle.rootfs("/x").exists());
}

fn is_writable_when_asked(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/root/readonly", false);
    scene.sh(&mut bundle, "echo inside > /x");
    assert_eq!(fs::read_to_string(bundle.rootfs("/x")).unwrap(), "inside\n");
    bundle.set("/root", json!({"path": "rootfs"}));
    scene.sh(&mut bundle, "rm /x");
}

fn is_the_root_and_nothing_is_above_it(scene: &Scene) {
    fs::write(scene.path("canary"), "").unwrap();
    let seen = scene.sh(
        &mut scene.bundle(),
        "cd /..; pwd; test . -ef / && echo same; readlink /proc/self/root; cat /proc/1/mountinfo",
    );
    let (head, mounts) = seen.split_at("/\nsame\n/\n".len());
    assert_eq!(head, "/\nsame\n/\n");
    let mounts = mountinfo::parse(mounts);
    assert_eq!(mounts.iter().filter(|mount| mount.point == std::path::Path::new("/")).count(), 1, "{mounts:#?}");
}

fn works_without_pivot_root(scene: &Scene) {
    let mut bundle = scene.bundle();
    fs::write(bundle.rootfs("/marker"), "inside").unwrap();
    let container = scene.container(bundle.sh("cat /marker; cd /..; pwd; ls /proc/1/ns/mnt"));
    let done = container.run_call(&["--no-pivot"]).done();
    done.ok();
    assert_eq!(done.stdout, "inside/\n/proc/1/ns/mnt\n");
}

/// A process with a user namespace of its own may mount the procfs that is not masked, where there is one in its mount
/// namespace, in sight or not (mount_namespaces(7)). The host has several here, one of them covered: that one runc 1.1.5
/// leaves.
fn no_bare_procfs_is_left_without_pivot_root(scene: &Scene) {
    for in_a_user_namespace in [false, true] {
        let mut bundle = scene.bundle();
        let sets = json!(["CAP_SETFCAP"]);
        bundle.set("/process/capabilities", json!({"bounding": sets, "permitted": sets, "effective": sets}));
        bundle.set("/linux/maskedPaths", json!(["/proc/timer_list"]));
        if in_a_user_namespace {
            bundle.user_namespace(100_000);
        }
        // In the mount namespace of the call alone.
        let host = "for dir in a b; do mkdir -p $0/$dir; busybox mount -t proc proc $0/$dir; done; \
                    busybox mount -t tmpfs tmpfs $0/b; exec \"$@\"";
        let dir = scene.path("host");
        let container = scene.container(bundle.sh("unshare -mrpf mount -t proc none /proc && echo mounted"));
        for option in ["--no-pivot", "--keep=false"] {
            let words = ["run", "--bundle", bundle.arg(), option, &container.id];
            let done = scene.call_by(&["unshare", "-m", "sh", "-c", host, dir.to_str().unwrap()], &words).done();
            assert!(!done.stdout.contains("mounted"), "{option}: {done}");
            done.fails().says("mount: permission denied");
        }
    }
}

fn an_absolute_root_path_is_fine(scene: &Scene) {
    let mut bundle = scene.bundle();
    let rootfs = bundle.rootfs("");
    bundle.set("/root/path", rootfs.to_str().unwrap().trim_end_matches('/'));
    scene.sh(&mut bundle, "true");
}

fn masked_files_are_empty(scene: &Scene) {
    let mut bundle = scene.bundle();
    fs::write(bundle.rootfs("/etc/secret"), "secret").unwrap();
    bundle.set("/linux/maskedPaths", json!(["/etc/secret", "/proc/timer_list", "/proc/version"]));
    let seen = scene.sh(&mut bundle, "cat /etc/secret /proc/timer_list; stat -c '%F %t:%T' /etc/secret /proc/version");
    assert_eq!(seen, "character special file 1:3\n".repeat(2));
}

fn masked_directories_are_empty_and_read_only(scene: &Scene) {
    let mut bundle = scene.bundle();
    for dir in ["/etc/a", "/etc/b"] {
        fs::create_dir(bundle.rootfs(dir)).unwrap();
        fs::write(bundle.rootfs(dir).join("secret"), "").unwrap();
    }
    bundle.set("/root/readonly", false).set("/linux/maskedPaths", json!(["/etc/a", "/etc/b", "/sys/kernel"]));
    let seen = scene
        .sh(&mut bundle, "for d in /etc/a /etc/b /sys/kernel; do ls -A $d; touch $d/x 2>&1 | grep -o Read-only; done");
    assert_eq!(seen, "Read-only\n".repeat(3));
}

/// What ten of them would cost to make, and to take down.
fn masked_directories_are_one_tmpfs(scene: &Scene) {
    for in_a_user_namespace in [false, true] {
        let mut bundle = scene.bundle();
        let dirs = ["/etc/a", "/etc/b", "/root"];
        dirs[..2].iter().for_each(|dir| fs::create_dir(bundle.rootfs(dir)).unwrap());
        bundle.set("/linux/maskedPaths", json!(dirs));
        if in_a_user_namespace {
            bundle.user_namespace(100_000);
        }
        let mounts = mountinfo::parse(&scene.sh(&mut bundle, "cat /proc/self/mountinfo"));
        let devices: Vec<_> = dirs.iter().map(|dir| &mountinfo::at(&mounts, dir).unwrap().device).collect();
        assert!(devices.iter().all(|device| *device == devices[0]), "{mounts:#?}");
        for option in ["ro", "nosuid", "nodev", "noexec"] {
            dirs.iter().for_each(|dir| assert!(mountinfo::at(&mounts, dir).unwrap().has(option), "{dir}: {mounts:#?}"));
        }
    }
}

fn masks_skip_what_is_not_there(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/maskedPaths", json!(["/none", "/none/deeper", "/proc/none", "/etc/passwd"]));
    bundle.set("/linux/readonlyPaths", json!(["/none", "/none/deeper"]));
    assert_eq!(scene.sh(&mut bundle, "cat /etc/passwd; ls -d /none 2>/dev/null || true"), "");
}

/// CVE-2025-31133 (SECURITY.md T-17): what hides a file is never what the image calls /dev/null. (runc 1.1.5 has it.)
fn masks_do_not_follow_a_forged_dev_null(scene: &Scene) {
    let dev = scene.path("dev");
    fs::create_dir(&dev).unwrap();
    symlink("/etc/canary", dev.join("null")).unwrap();
    let mut bundle = scene.bundle();
    fs::write(bundle.rootfs("/etc/canary"), "canary").unwrap();
    fs::write(bundle.rootfs("/etc/secret"), "secret").unwrap();
    bundle.set("/linux/maskedPaths", json!(["/etc/secret"])).set("/mounts", json!([]));
    bundle.mount("/proc", "proc", "proc", &[]).mount("/dev", "bind", &dev, &["rbind"]);
    let done = scene.container(bundle.sh("cat /etc/secret")).run();
    if done.status.success() {
        assert_eq!(done.stdout, "", "the mask shows what /dev/null points at");
    } else {
        done.fails();
    }
    assert_eq!(fs::read_to_string(bundle.rootfs("/etc/canary")).unwrap(), "canary");
}

/// The same (T-17) with whatever else can have the name.
fn a_mask_is_the_null_device_whatever_is_called_so(scene: &Scene) {
    for kind in ["file", "pipe", "socket", "zero", "missing"] {
        let dev = scene.path(kind);
        fs::create_dir(&dev).unwrap();
        let null = dev.join("null");
        let mode = Mode::from_bits_truncate(0o666);
        match kind {
            "file" => fs::write(&null, "forged").unwrap(),
            "pipe" => mkfifo(&null, mode).unwrap(),
            "socket" => drop(UnixListener::bind(&null).unwrap()),
            "zero" => mknod(&null, SFlag::S_IFCHR, mode, makedev(1, 5)).unwrap(),
            _ => {}
        }
        let mut bundle = scene.bundle();
        fs::write(bundle.rootfs("/etc/secret"), "secret").unwrap();
        bundle.set("/linux/maskedPaths", json!(["/etc/secret", "/etc/secret"])).set("/mounts", json!([]));
        bundle.mount("/proc", "proc", "proc", &[]).mount("/dev", "bind", &dev, &["rbind"]);
        let done = scene
            .container(bundle.sh("stat -c %t:%T /etc/secret; grep -c ' /etc/secret ro' /proc/self/mountinfo"))
            .run();
        if done.status.success() {
            assert_eq!(done.stdout, "1:3\n1\n", "{kind}");
        } else {
            done.fails();
        }
    }
}

fn read_only_paths_are_read_only(scene: &Scene) {
    let mut bundle = scene.bundle();
    fs::write(bundle.rootfs("/etc/file"), "").unwrap();
    bundle
        .set("/root/readonly", false)
        .set("/linux/readonlyPaths", json!(["/etc/file", "/root", "/proc/sys", "/none"]));
    let script = "for f in /etc/file /root/x /proc/sys/kernel/hostname; do (: > $f) 2>&1 | grep -o Read-only; done; touch /etc/x";
    assert_eq!(scene.sh(&mut bundle, script), "Read-only\n".repeat(3));
    assert!(bundle.rootfs("/etc/x").exists());
}

fn read_only_paths_keep_the_options_of_their_mount(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.mount("/t", "tmpfs", "tmpfs", &["nosuid", "nodev"]).mount("/t/sub", "tmpfs", "tmpfs", &["noexec"]);
    bundle.set("/linux/readonlyPaths", json!(["/t", "/t/sub"]));
    let mounts = mountinfo::parse(&scene.sh(&mut bundle, "cat /proc/self/mountinfo"));
    for (point, options) in [("/t", ["ro", "nosuid", "nodev"].as_slice()), ("/t/sub", &["ro", "noexec"])] {
        let mount = mountinfo::at(&mounts, point).unwrap();
        options.iter().for_each(|option| assert!(mount.has(option), "{point}: no {option} in {:?}", mount.options));
    }
}

/// CVE-2019-19921, CVE-2023-27561, CVE-2025-54867 (SECURITY.md T-11).
fn refuses_a_symlinked_proc(scene: &Scene) {
    for target in ["/tmp", "tmp", "../../../tmp", "/proc/self"] {
        let bundle = scene.bundle();
        fs::remove_dir(bundle.rootfs("/proc")).unwrap();
        symlink(target, bundle.rootfs("/proc")).unwrap();
        scene.refused(&bundle, "/mounts/0");
    }
}

fn refuses_a_symlinked_sys(scene: &Scene) {
    let bundle = scene.bundle();
    fs::remove_dir(bundle.rootfs("/sys")).unwrap();
    symlink("tmp", bundle.rootfs("/sys")).unwrap();
    scene.refused(&bundle, "/mounts/5");
}

/// CVE-2019-16884 (SECURITY.md T-10).
fn refuses_mounts_inside_proc(scene: &Scene) {
    for destination in ["/proc/self/attr", "/proc/sys", "/proc/driver", "/tmp/../proc/sys"] {
        let done = scene.refused(scene.bundle().mount(destination, "bind", scene.path(""), &["bind"]), "/mounts/7");
        done.says("cannot be mounted because it is inside /proc");
    }
}

/// runc 1.1.5 looks at binds only.
fn refuses_a_tmpfs_inside_proc(scene: &Scene) {
    scene.refused(scene.bundle().mount("/proc/driver", "tmpfs", "tmpfs", &[]), "/mounts/7");
}

fn takes_what_lxcfs_mounts_inside_proc(scene: &Scene) {
    let uptime = scene.path("uptime");
    fs::write(&uptime, "1.00 1.00\n").unwrap();
    let mut bundle = scene.bundle();
    bundle.mount("/proc/uptime", "bind", &uptime, &["bind", "ro"]);
    assert_eq!(scene.sh(&mut bundle, "cat /proc/uptime"), "1.00 1.00\n");
}

fn refuses_a_directory_of_the_host_as_proc(scene: &Scene) {
    let forged = scene.path("forged");
    fs::create_dir_all(forged.join("self/attr")).unwrap();
    let mut bundle = scene.bundle();
    bundle.unmount("/proc").mount("/proc", "bind", &forged, &["bind"]);
    scene.refused(&bundle, "/mounts/6");
}
