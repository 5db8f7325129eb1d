//! Containers of an image, whose root filesystem containerd's snapshotters give to the shim as mounts.

use std::fs;
use std::path::Path;

use integration_tests::containerd::{Containerd, image, shims};
use integration_tests::harness::Need;
use integration_tests::lane::Lane;
use integration_tests::process;
use integration_tests::scene::Scene;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const NATIVE: Need = Need::Lane(Lane::Native);

integration_tests::containerd_tests! {
    by_overlayfs [NATIVE],
    by_copies [NATIVE],
}

fn by_overlayfs(scene: &Scene, program: &Path) {
    of(scene, program, "overlayfs", "overlay");
}

fn by_copies(scene: &Scene, program: &Path) {
    of(scene, program, "native", "");
}

/// containerd's folder is on the lane's tmpfs, which overlayfs takes for its upper one.
fn of(scene: &Scene, program: &Path, snapshotter: &str, fstype: &str) {
    let containerd = Containerd::start(scene, program);
    let archive = image::save(&containerd.bundle, &scene.path("image"));
    let mut import = vec!["image", "import", "--snapshotter", snapshotter];
    // Otherwise the newer one unpacks for its own snapshotter.
    import.extend(containerd.is_2().then_some("--local"));
    import.push(archive.to_str().unwrap());
    containerd.ctr(&import);
    let flags = ["run", "--runtime", containerd.runtime_type(), "--cpu-shares", "0", "--snapshotter", snapshotter];
    let once = scene.id();
    let printed = containerd.try_ctr(&[&flags, &["--rm", image::NAME, &once][..]].concat());
    assert_eq!(printed.ok().out(), "of the image hello\nto all\n");
    // Another one has its own copy, and it is mounted in the host's mount namespace for as long as it lives.
    let id = scene.id();
    containerd.ctr(&[&flags, &["--detach", image::NAME, &id, "sleep", "1000"][..]].concat());
    assert!(!containerd.exec(&id, &[], &["test", "-e", "/written"]).status.success());
    let types = containerd.exec(&id, &[], &["sh", "-c", "grep ' / ' /proc/mounts"]).out();
    assert!(types.contains(fstype), "{types}");
    assert!(!containerd.mounts().is_empty());
    assert_eq!(containerd.stop(&id), 137);
    assert_eq!(containerd.mounts(), [] as [&Path; 0]);
    // Also where the shim cannot do it any more.
    let id = scene.id();
    containerd.ctr(&[&flags, &["--detach", image::NAME, &id, "sleep", "1000"][..]].concat());
    let pid = containerd.task(&id).unwrap().pid;
    kill(Pid::from_raw(shims()[0] as i32), Signal::SIGKILL).unwrap();
    scene.wait_until("containerd has cleaned up", || containerd.task(&id).is_none());
    scene.wait_until("its bundle is removed", || !containerd.bundle_of(&id).exists());
    assert!(!process::runs(pid));
    assert_eq!(containerd.mounts(), [] as [&Path; 0]);
    containerd.ctr(&["container", "delete", &id]);
    let left = fs::read_dir(containerd.path("root")).unwrap().count();
    assert!(left > 0, "it is not where containerd keeps its files");
    containerd.end();
}
