//! Somebody who renames while a container is made (SECURITY.md T-12, T-15, T-16, T-17): a second container with the same
//! volume can do so. Whatever the outcome, nothing is made or mounted anywhere but in the container.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use integration_tests::bundle::Bundle;
use integration_tests::harness::{Need, say};
use integration_tests::lane::Lane;
use integration_tests::mountinfo;
use integration_tests::scene::Scene;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::json;

integration_tests::tests! {
    cannot_turn_procfs_writes_elsewhere [Need::Planc],
    cannot_move_a_mount_out,
    cannot_have_directories_made_outside [Need::Planc],
    cannot_forge_the_null_device [Need::Planc],
}

/// How often a container is made while somebody renames.
fn rounds() -> u32 {
    if Lane::current() == Lane::Native { 40 } else { 6 }
}

/// Swaps two names all the time, until it is dropped.
struct Racer {
    ends: Arc<AtomicBool>,
    swaps: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Racer {
    fn new(one: PathBuf, other: PathBuf) -> Self {
        let (ends, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (until, count) = (ends.clone(), swaps.clone());
        let thread = spawn(move || {
            while !until.load(Ordering::Relaxed) {
                renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE).unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                // Both outcomes are to be met by a step that looks twice.
                sleep(Duration::from_micros(u64::from(count.load(Ordering::Relaxed) % 7) * 20));
            }
        });
        Self { ends, swaps, thread: Some(thread) }
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() && self.swaps.load(Ordering::Relaxed) > 0, "nothing was raced");
    }
}

/// Runs the bundle's container again and again; `check` looks at what each that succeeded printed.
fn race(scene: &Scene, bundle: &mut Bundle, script: &str, check: impl Fn(&str)) {
    let mut successes = 0;
    for _ in 0..rounds() {
        let done = scene.container(bundle.sh(script)).run();
        if done.status.success() {
            successes += 1;
            check(&done.stdout);
        } else {
            done.fails();
        }
    }
    say(format_args!("    {successes} of {} containers were made", rounds()));
}

/// A volume with a directory `a`, and a link `x` that leads to `target`.
fn volume(scene: &Scene, target: &str) -> (PathBuf, Racer) {
    let volume = scene.path("volume");
    fs::create_dir_all(volume.join("a")).unwrap();
    symlink(target, volume.join("x")).unwrap();
    let racer = Racer::new(volume.join("a"), volume.join("x"));
    (volume, racer)
}

/// A directory of the host, and how a link that means to leave the container leads there.
fn outside(scene: &Scene) -> (PathBuf, String) {
    let outside = scene.path("outside");
    fs::create_dir_all(outside.join("b")).unwrap();
    let target = format!("../../../../../../../..{}", outside.display());
    (outside, target)
}

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// T-12: what a mount lands on is no procfs, and a sysctl is written in the container's own namespace.
fn cannot_turn_procfs_writes_elsewhere(scene: &Scene) {
    const MSGMAX: &str = "/proc/sys/kernel/msgmax";
    let before = fs::read_to_string(MSGMAX).unwrap();
    let (volume, racer) = volume(scene, "/proc");
    fs::create_dir(volume.join("a").join("sys"))
        .or_else(|_| fs::create_dir(volume.join("x").join("sys")))
        .unwrap_or(());
    let mut bundle = scene.bundle();
    bundle.set("/linux/sysctl", json!({"kernel.msgmax": "4242"}));
    bundle.mount("/v", "bind", &volume, &["rbind"]).mount("/v/a/sys", "tmpfs", "marker", &[]);
    race(scene, &mut bundle, "cat /proc/sys/kernel/msgmax /proc/self/mountinfo", |seen| {
        let (value, mounts) = seen.split_once('\n').unwrap();
        assert_eq!(value, "4242");
        let mounts = mountinfo::parse(mounts);
        let marker = mounts.iter().find(|mount| mount.source == "marker").unwrap();
        assert!(marker.point.starts_with("/v"), "{marker:?}");
    });
    drop(racer);
    assert_eq!(fs::read_to_string(MSGMAX).unwrap(), before);
}

/// T-15, the shape of CVE-2021-30465.
fn cannot_move_a_mount_out(scene: &Scene) {
    let (outside, target) = outside(scene);
    let (volume, racer) = volume(scene, &target);
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut bundle = scene.bundle();
    bundle.mount("/v", "bind", &volume, &["rbind"]).mount("/v/a/b", "tmpfs", "marker", &[]);
    race(scene, &mut bundle, "cat /proc/self/mountinfo", |mounts| {
        let mounts = mountinfo::parse(mounts);
        assert_eq!(mounts.iter().filter(|mount| mount.source == "marker").count(), 1, "{mounts:#?}");
    });
    drop(racer);
    assert_eq!(entries(&outside), ["b"], "something was made outside");
    assert!(entries(&outside.join("b")).is_empty(), "something was made outside");
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before, "the host's mounts");
}

/// T-16 (CVE-2024-45310, which runc 1.1.5 has): the missing parents of a mount point.
fn cannot_have_directories_made_outside(scene: &Scene) {
    let (outside, target) = outside(scene);
    let (volume, racer) = volume(scene, &target);
    let file = scene.path("file");
    fs::write(&file, "").unwrap();
    let mut bundle = scene.bundle();
    bundle.mount("/v", "bind", &volume, &["rbind"]);
    bundle.mount("/v/a/new/deep/dir", "tmpfs", "tmpfs", &[]).mount("/v/a/other/file", "bind", &file, &["bind"]);
    race(scene, &mut bundle, "true", |_| {});
    drop(racer);
    assert_eq!(entries(&outside), ["b"], "something was made outside");
}

/// T-17 (CVE-2025-31133): the mask is the null device that the host has, whatever the container's is at the moment.
fn cannot_forge_the_null_device(scene: &Scene) {
    let dev = scene.path("dev");
    fs::create_dir(&dev).unwrap();
    fs::write(dev.join("null"), "forged").unwrap();
    symlink("/etc/canary", dev.join("x")).unwrap();
    let racer = Racer::new(dev.join("null"), dev.join("x"));
    let mut bundle = scene.bundle();
    fs::write(bundle.rootfs("/etc/canary"), "canary").unwrap();
    fs::write(bundle.rootfs("/etc/secret"), "secret").unwrap();
    fs::create_dir(bundle.rootfs("/etc/dir")).unwrap();
    bundle.set("/linux/maskedPaths", json!(["/etc/secret", "/etc/dir"])).set("/mounts", json!([]));
    bundle.mount("/proc", "proc", "proc", &[]).mount("/dev", "bind", &dev, &["rbind"]);
    race(scene, &mut bundle, "stat -c %F.%t:%T /etc/secret; touch /etc/dir/x 2>&1 | grep -o Read-only", |seen| {
        assert_eq!(seen, "character special file.1:3\nRead-only\n");
    });
    drop(racer);
    assert_eq!(fs::read_to_string(bundle.rootfs("/etc/canary")).unwrap(), "canary");
}
