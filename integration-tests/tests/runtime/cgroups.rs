//! The container's cgroup: whose it is, where it may be, and what of it was there before (runtime-spec config-linux.md
//! #cgroups-path, #cgroup-ownership; SECURITY.md T-50, T-51).

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::oracle::cgroup_root;
use integration_tests::runtime::Kind;
use integration_tests::scene::{Container, Scene};
use serde_json::json;

use crate::{rootless, rootless_cgroups};

integration_tests::tests! {
    is_given_to_the_user_of_the_container [Need::Planc],
    is_given_without_a_user_namespace [Need::Planc],
    is_kept_where_the_container_cannot_write_to_it,
    is_kept_where_it_was_there_before [Need::Planc],
    refuses_one_with_processes [Need::Planc],
    refuses_a_frozen_one,
    stays_where_it_was_there_before [Need::Planc],
    its_filter_goes_with_the_container [Need::Planc, Need::Path("/dev/fuse")],
    missing_parents_come_and_go [Need::Planc],
    parents_in_use_stay,
    odd_paths_reach_nothing [Need::Planc, Need::Cgroupfs, Need::Works("strace -V")],
    odd_paths_of_an_exec_reach_nothing [Need::Planc, Need::Cgroupfs, Need::Works("strace -V")],
    refuses_odd_paths [Need::Planc],
    refuses_paths_of_files_and_of_the_root [Need::Planc],
    refuses_a_read_only_hierarchy,
    shows_nothing_above_to_write_to,
    shows_nothing_above_to_a_user [Need::Planc],
    a_container_without_one_writes_to_none [Need::Planc],
}

/// Where a running container's cgroup is.
pub(crate) fn dir_of(container: &Container<'_>) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    let path = text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    cgroup_root().join(path)
}

/// Mounts the cgroup filesystem with these options.
fn cgroups_mounted<'a>(bundle: &'a mut Bundle, options: &[&str]) -> &'a mut Bundle {
    bundle.unmount("/sys/fs/cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", options)
}

/// The owner of a cgroup, and those of its files that somebody else than root owns.
fn owners(dir: &Path) -> (u32, Vec<(String, u32)>) {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let owned = files.map(|file| (file.file_name().into_string().unwrap(), file.metadata().unwrap().uid()));
    let mut owned: Vec<_> = owned.filter(|(_, uid)| *uid != 0).collect();
    owned.sort();
    (fs::metadata(dir).unwrap().uid(), owned)
}

/// What the kernel says may be given away, as far as this cgroup has it.
fn delegated(dir: &Path) -> Vec<String> {
    let list = fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap();
    let mut names: Vec<_> = list.lines().filter(|name| dir.join(name).exists()).map(str::to_owned).collect();
    names.sort();
    names
}

/// config-linux.md#cgroup-ownership. (runc 1.1 does so with systemd only.)
fn is_given_to_the_user_of_the_container(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).set("/process/user/uid", 7);
    cgroups_mounted(&mut bundle, &["rw", "nosuid", "noexec", "nodev"]);
    let script = "mkdir /sys/fs/cgroup/sub && echo 0 > /sys/fs/cgroup/sub/cgroup.procs && grep ^0: /proc/self/cgroup; \
                  (echo > /sys/fs/cgroup/cgroup.max.depth) 2>/dev/null || echo denied; sleep 1000";
    let container = scene.container(bundle.sh(script));
    let done = container.run_detached();
    scene.wait_until("it has printed", || done.printed_since().ends_with("denied\n"));
    assert_eq!(done.printed_since(), "0::/sub\ndenied\n");
    let sub = dir_of(&container);
    let dir = sub.parent().unwrap();
    let (uid, files) = owners(dir);
    assert_eq!(uid, 100_007);
    let expected = delegated(dir).into_iter().chain(["sub".to_owned()]);
    let expected: Vec<_> = expected.map(|name| (name, 100_007)).collect();
    assert_eq!(files, expected);
    assert_eq!(owners(dir.parent().unwrap()).0, 0, "what is above it is nobody else's");
    container.delete_force();
    assert!(!dir.exists());
}

fn is_given_without_a_user_namespace(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/process/user/uid", 1000);
    let container = scene.container(cgroups_mounted(&mut bundle, &["rw"]).sleep());
    container.create();
    let dir = dir_of(&container);
    let (uid, files) = owners(&dir);
    assert_eq!((uid, files.len()), (1000, delegated(&dir).len()));
    assert!(files.iter().all(|(_, uid)| *uid == 1000), "{files:?}");
    container.delete_force();
}

fn is_kept_where_the_container_cannot_write_to_it(scene: &Scene) {
    let mut read_only = scene.bundle();
    cgroups_mounted(&mut read_only, &["ro"]);
    let mut at_last = scene.bundle();
    cgroups_mounted(&mut at_last, &["rw", "ro"]);
    let mut of_the_host = scene.bundle();
    cgroups_mounted(of_the_host.namespace("cgroup", None), &["rw"]);
    let mut elsewhere = scene.bundle();
    elsewhere.unmount("/sys/fs/cgroup").mount("/tmp", "cgroup", "cgroup", &["rw"]);
    let mut covered = scene.bundle();
    cgroups_mounted(&mut covered, &["rw"]).mount("/sys/fs/cgroup", "tmpfs", "cgroup", &["rw"]);
    for bundle in [&mut read_only, &mut at_last, &mut of_the_host, &mut elsewhere, &mut covered] {
        let container = scene.container(bundle.set("/process/user/uid", 1000).sleep());
        container.create();
        assert_eq!(owners(&dir_of(&container)), (0, vec![]), "{}", bundle.config["mounts"]);
        container.delete_force();
    }
}

/// A cgroup of this test's, below which or in which a container is.
pub(crate) struct Existing(pub(crate) PathBuf);

impl Existing {
    pub(crate) fn new(scene: &Scene) -> Self {
        let path = cgroup_root().join(format!("planc-existing-{}", scene.id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The cgroupsPath of it, or of one below it.
    pub(crate) fn path(&self, below: &str) -> String {
        let name = self.0.strip_prefix(cgroup_root()).unwrap().display();
        if below.is_empty() { format!("/{name}") } else { format!("/{name}/{below}") }
    }

    pub(crate) fn remove(self) {
        fs::remove_dir(&self.0).unwrap();
    }
}

/// Who made it says whose it is. (runc removes the cgroup itself, against runtime.md#delete.)
fn is_kept_where_it_was_there_before(scene: &Scene) {
    let existing = Existing::new(scene);
    let mut bundle = scene.bundle();
    bundle.set("/linux/cgroupsPath", existing.path("")).set("/process/user/uid", 1000);
    let container = scene.container(cgroups_mounted(&mut bundle, &["rw"]).sleep());
    container.create();
    assert_eq!(owners(&existing.0), (0, vec![]));
    container.delete_force();
    existing.remove();
}

/// runc 1.1 only warns of it; since 1.2 it is an error there too.
fn refuses_one_with_processes(scene: &Scene) {
    let existing = Existing::new(scene);
    for place in ["", "below"] {
        fs::create_dir_all(existing.0.join(place)).unwrap();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        fs::write(existing.0.join(place).join("cgroup.procs"), child.id().to_string()).unwrap();
        let done = scene.refused(scene.bundle().set("/linux/cgroupsPath", existing.path("")), "/linux/cgroupsPath");
        done.says("container's cgroup is not empty: 1 process(es) found");
        assert!(child.try_wait().unwrap().is_none(), "it is none of the container's");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    fs::remove_dir(existing.0.join("below")).unwrap();
    existing.remove();
}

fn refuses_a_frozen_one(scene: &Scene) {
    let existing = Existing::new(scene);
    fs::write(existing.0.join("cgroup.freeze"), "1").unwrap();
    let done = scene.refused(scene.bundle().set("/linux/cgroupsPath", existing.path("")), "/linux/cgroupsPath");
    done.says("container's cgroup unexpectedly frozen");
    existing.remove();
}

/// runtime.md#delete: what the container's create did not make is not deleted. (runc removes it, and all that is below.)
fn stays_where_it_was_there_before(scene: &Scene) {
    let existing = Existing::new(scene);
    fs::create_dir(existing.0.join("other")).unwrap();
    let mut bundle = scene.bundle();
    bundle.set("/linux/cgroupsPath", existing.path(""));
    let failing = scene.container(bundle.args(&["/nosuch"]));
    failing.try_create(&[]).fails();
    assert!(existing.0.join("other").exists());
    for _ in 0..2 {
        let container = scene.container(bundle.sleep());
        container.run_detached();
        assert_eq!(dir_of(&container), existing.0);
        container.delete_force();
        assert_eq!(fs::read_to_string(existing.0.join("cgroup.procs")).unwrap(), "");
    }
    fs::remove_dir(existing.0.join("other")).unwrap();
    existing.remove();
}

/// Filters of cgroups hold together: were the first container's left behind, the second one could not do more. (runc
/// leaves it.)
fn its_filter_goes_with_the_container(scene: &Scene) {
    let existing = Existing::new(scene);
    let mut bundle = scene.bundle();
    crate::devices::fuse(&bundle);
    bundle.set("/linux/cgroupsPath", existing.path(""));
    let script = "(: < /fuse) 2>/dev/null && echo opened || echo denied";
    assert_eq!(scene.sh(&mut bundle, script), "denied\n");
    scene.container(bundle.args(&["/nosuch"])).try_create(&[]).fails();
    bundle.set("/linux/resources/devices/-", json!({"allow": true, "type": "c", "major": 10, "minor": 229}));
    assert_eq!(scene.sh(&mut bundle, script), "opened\n");
    bundle.set("/linux/resources/devices", json!([{"allow": true}]));
    assert_eq!(scene.sh(&mut bundle, script), "opened\n");
    existing.remove();
}

/// runtime.md#delete: what create made is deleted. (runc leaves the parents it made.)
fn missing_parents_come_and_go(scene: &Scene) {
    let existing = Existing::new(scene);
    let (mut bundle, mut failing) = (scene.bundle(), scene.bundle());
    for bundle in [&mut bundle, &mut failing] {
        bundle.set("/linux/cgroupsPath", existing.path("a/b/c"));
    }
    let hooks = json!({"createRuntime": [{"path": "/bin/false"}]});
    scene.container(failing.set("/hooks", hooks)).try_create(&[]).fails();
    assert!(!existing.0.join("a").exists(), "a create that failed leaves nothing");

    let container = scene.container(bundle.sleep());
    container.run_detached();
    assert_eq!(dir_of(&container), existing.0.join("a/b/c"));
    // Another's, in a parent that is not its own.
    let other = scene.container(bundle.set("/linux/cgroupsPath", existing.path("a/other")));
    other.create();
    container.delete_force();
    assert!(!existing.0.join("a/b").exists());
    other.delete_force();
    assert!(existing.0.join("a").exists(), "who did not make it does not remove it");
    fs::remove_dir(existing.0.join("a")).unwrap();
    existing.remove();
}

fn parents_in_use_stay(scene: &Scene) {
    let existing = Existing::new(scene);
    let container = scene.container(scene.bundle().set("/linux/cgroupsPath", existing.path("parent/own")).sleep());
    container.create();
    fs::create_dir(existing.0.join("parent/other")).unwrap();
    container.delete_force();
    assert!(existing.0.join("parent/other").exists());
    fs::remove_dir(existing.0.join("parent/other")).unwrap();
    fs::remove_dir(existing.0.join("parent")).unwrap();
    existing.remove();
}

/// What is no path of a cgroup.
const ODD: [&str; 12] =
    ["..", "/..", "../x", "/../x", "/a/../../x", "a/..", ".", "/a/./b", "/a\nb", "a\nb", "/x\n", "/a\0b"];

/// SECURITY.md T-51. (runc makes another path of them, one inside the hierarchy.)
fn refuses_odd_paths(scene: &Scene) {
    let (name, deep) = ("x".repeat(256), format!("/{}", "x/".repeat(2100)));
    for path in ODD.into_iter().chain([name.as_str(), deep.as_str()]) {
        let done = scene.refused(scene.bundle().set("/linux/cgroupsPath", path), "/linux/cgroupsPath");
        assert!(done.stderr.trim_end().lines().count() <= 3 && done.stderr.len() < 500, "{done}");
    }
}

/// Runs a command that fails, and looks at what it and its children did below the root of the hierarchy: nothing is made,
/// and what is opened is what the root itself has to say, for reading, or lies in `own`.
#[track_caller]
fn assert_reaches_nothing(scene: &Scene, words: &[&str], own: Option<&Path>) {
    let log = scene.path("calls");
    let traced =
        "trace=open,openat,openat2,open_by_handle_at,creat,mkdir,mkdirat,rename,renameat,renameat2,rmdir,unlinkat";
    let strace = ["strace", "-qq", "-f", "-y", "-o", log.to_str().unwrap(), "-e", traced];
    scene.call_by(&strace, words).done().fails();
    let (calls, root) = (fs::read_to_string(&log).unwrap(), cgroup_root());
    assert!(calls.contains("/config.json") || calls.contains("/state.json"), "nothing was traced: {calls}");
    for call in calls.lines() {
        let name = call.split_whitespace().nth(1).unwrap_or_default();
        let makes = ["mkdir", "rename", "rmdir", "unlink"].iter().any(|word| name.starts_with(word));
        assert!(!(makes && call.ends_with(" = 0") && call.contains(root.to_str().unwrap())), "{call}");
        // The path of the descriptor that was returned, by -y.
        let opened = call.rsplit_once("</").filter(|(before, _)| before.contains(" = "));
        let Some(path) = opened.map(|(_, path)| Path::new("/").join(path.trim_end_matches('>'))) else { continue };
        let Ok(below) = path.strip_prefix(&root) else { continue };
        if own.is_some_and(|own| path.starts_with(own)) {
            continue;
        }
        let is_roots =
            below.components().count() <= 1 && below.iter().all(|name| name.as_bytes().starts_with(b"cgroup."));
        let is_read = ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().all(|flag| !call.contains(flag));
        assert!(is_roots && is_read, "{call}");
    }
}

/// SECURITY.md T-51.
fn odd_paths_reach_nothing(scene: &Scene) {
    for path in ODD {
        let mut bundle = scene.bundle();
        bundle.set("/linux/cgroupsPath", path).write();
        assert_reaches_nothing(scene, &["create", "--bundle", bundle.arg(), &scene.id()], None);
    }
    let mut bundle = scene.bundle();
    bundle.set("/linux/resources/unified", json!({ "../cgroup.procs": "1" })).write();
    assert_reaches_nothing(scene, &["create", "--bundle", bundle.arg(), &scene.id()], None);
}

/// SECURITY.md T-51. The cgroup above is not the root, which may be opened.
fn odd_paths_of_an_exec_reach_nothing(scene: &Scene) {
    let path = format!("/{}/own", scene.id());
    let container = scene.container(scene.bundle().set("/linux/cgroupsPath", path).sleep());
    container.run_detached();
    let own = dir_of(&container);
    for path in ["..", "../x", "a/../../..", "/../..", "x\ny", "cgroup.procs"] {
        assert_reaches_nothing(scene, &["exec", "--cgroup", path, &container.id, "true"], Some(&own));
    }
    container.delete_force();
}

fn refuses_paths_of_files_and_of_the_root(scene: &Scene) {
    for path in ["/cgroup.procs", "/cgroup.procs/x", "/"] {
        scene.refused(scene.bundle().set("/linux/cgroupsPath", path), "/linux/cgroupsPath");
    }
}

fn refuses_a_read_only_hierarchy(scene: &Scene) {
    let (mut bundle, id) = (scene.bundle(), scene.id());
    bundle.sleep().write();
    let remount = "busybox mount -o remount,ro,bind /sys/fs/cgroup && exec \"$@\"";
    let create = ["create", "--bundle", bundle.arg(), &id];
    let done = scene.call_by(&["unshare", "-m", "sh", "-c", remount, "sh"], &create).done();
    done.fails();
    if scene.runtime.kind == Kind::Planc {
        done.says("is /sys/fs/cgroup read-only?");
    }
    scene.rt(&["state", &id]).fails().says("does not exist");
}

/// What the container sees of its cgroup: where it is, and what lies below the root of the hierarchy that it sees; then
/// each file below these directories that it can open for writing.
fn seen(scene: &Scene, bundle: &mut Bundle, read_only: &[&str]) -> String {
    let list = "cat /proc/self/cgroup | grep ^0:; ls -d /sys/fs/cgroup/*/ 2>/dev/null; \
                for dir; do find $dir -type f | while read f; do (: >> $f) 2>/dev/null && echo opened $f; done; \
                mkdir $dir/made 2>/dev/null && echo made; done; true";
    scene.container(bundle.args(&[&["sh", "-c", list, "sh"], read_only].concat())).run().ok().stdout.clone()
}

/// SECURITY.md T-50, for root. Who as root of the host asks for the host's cgroups, and that they be writable, gets them.
fn shows_nothing_above_to_write_to(scene: &Scene) {
    let other = scene.container(scene.bundle().sleep());
    other.run_detached();
    let joined = format!("/proc/{}/ns/cgroup", other.pid());
    for (namespace, option) in [(Some(""), "ro"), (Some(""), "rw"), (None, "ro"), (Some(joined.as_str()), "ro")] {
        let mut bundle = scene.bundle();
        cgroups_mounted(&mut bundle, &[option]).namespace("cgroup", namespace);
        let mut read_only = if option == "ro" { vec!["/sys/fs/cgroup"] } else { vec![] };
        if scene.runtime.kind == Kind::Planc {
            bundle.mount("/tmp", "none", "/sys", &["rbind", "rro"]);
            read_only.push("/tmp/fs/cgroup");
        }
        let seen = seen(scene, &mut bundle, &read_only);
        assert!(!seen.contains("opened") && !seen.contains("made"), "{namespace:?} {option}: {seen}");
        assert_eq!(seen == "0::/\n", namespace == Some(""), "the view begins with the container's own: {seen}");
    }
    other.delete_force();
}

/// SECURITY.md T-50, for a user; CVE-2023-25809. The user owns the cgroup above the container's.
fn shows_nothing_above_to_a_user(scene: &Scene) {
    let delegated = rootless_cgroups::Delegated::whole(scene);
    let user = delegated.scene(scene);
    let other = user.container(rootless::bundle(scene).sleep());
    other.run_detached();
    for (namespace, option) in [(Some(""), "ro"), (Some(""), "rw"), (None, "ro"), (None, "rw")] {
        let mut bundle = rootless::bundle(scene);
        cgroups_mounted(&mut bundle, &[option]).namespace("cgroup", namespace);
        let is_own = namespace == Some("") && option == "rw";
        let seen = seen(&user, &mut bundle, if is_own { &[] } else { &["/sys/fs/cgroup"] });
        assert!(!seen.contains("opened") && !seen.contains("made"), "{namespace:?} {option}: {seen}");
        assert_eq!(seen == "0::/\n", namespace == Some(""), "the view begins with the container's own: {seen}");
    }
    other.delete_force();
}

/// Its cgroup namespace begins at the caller's cgroup then, of which the caller may own as much as it likes.
fn a_container_without_one_writes_to_none(scene: &Scene) {
    let delegated = rootless_cgroups::Delegated::unusable(scene);
    let user = delegated.scene(scene);
    let mut bundle = rootless::bundle(scene);
    let seen = seen(&user, cgroups_mounted(&mut bundle, &["rw"]), &["/sys/fs/cgroup"]);
    assert_eq!(seen, "0::/\n");
}
