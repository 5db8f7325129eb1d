//! Cgroups of a user without privilege: with and without one of its own (cgroup-v2.rst, "Delegation").

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::oracle::cgroup_root;
use integration_tests::runtime::Kind;
use integration_tests::scene::Scene;
use serde_json::{Value, json};

use crate::rootless::{AS_USER, USER, bundle, by_user};

integration_tests::tests! {
    goes_without_a_cgroup,
    needs_a_cgroup_for_what_it_asks,
    warns_where_its_processes_cannot_be_found [Need::Planc],
    is_rootless_or_not,
    has_a_cgroup_beside_a_delegated_one,
    has_a_cgroup_below_a_delegated_one [Need::Planc],
    goes_without_a_cgroup_that_it_could_not_enter [Need::Planc],
    goes_without_a_cgroup_where_they_are_disabled [Need::Planc],
}

/// The cgroup of a process, from the hierarchy's root.
fn cgroup_of(pid: impl std::fmt::Display) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    text.lines().find_map(|line| line.strip_prefix("0::")).unwrap().to_owned()
}

fn goes_without_a_cgroup(scene: &Scene) {
    let user = by_user(scene);
    let container = user.container(bundle(scene).sleep());
    container.run_detached();
    assert_eq!(cgroup_of(container.pid()), cgroup_of("self"));
    container.delete_force();
}

/// As Podman asks for it; root too. What only a cgroup can do is refused. (runc has no such flag.)
fn goes_without_a_cgroup_where_they_are_disabled(scene: &Scene) {
    let mut bundle = scene.bundle();
    let container = scene.container(bundle.sleep());
    let create = |bundle: &Bundle| {
        scene.rt(&["--cgroup-manager", "disabled", "create", "--bundle", bundle.arg(), &container.id])
    };
    create(&bundle).ok();
    container.start();
    assert_eq!(cgroup_of(container.pid()), cgroup_of("self"));
    container.delete_force();
    bundle.set("/linux/resources/pids", json!({"limit": 10})).write();
    create(&bundle).fails().says("cgroups are disabled").says("/linux/resources/pids");
}

const NEEDS: &str = "rootless needs no limits + no cgrouppath when no permission is granted for cgroups";

fn needs_a_cgroup_for_what_it_asks(scene: &Scene) {
    let cases: [(&str, Value); 3] = [
        ("/linux/cgroupsPath", json!("/planc-rootless")),
        ("/linux/resources/pids", json!({"limit": 10})),
        ("/linux/resources/memory", json!({"limit": 33_554_432})),
    ];
    for (pointer, value) in cases {
        let user = by_user(scene);
        let mut bundle = bundle(scene);
        bundle.set(pointer, value);
        let done = user.container(&bundle).run();
        done.fails();
        if scene.runtime.kind == Kind::Planc {
            done.says("unable to apply cgroup configuration").says(NEEDS).says("permission denied").says(pointer);
        }
    }
}

/// Neither a cgroup nor the end of a pid namespace's init would end them. (runc 1.1 does not say so.)
fn warns_where_its_processes_cannot_be_found(scene: &Scene) {
    let user = by_user(scene);
    let container = user.container(bundle(scene).namespace("pid", None).sleep());
    container.try_create(&[]).ok().says("warning").says("Such configuration is strongly discouraged");
    container.delete_force();
    let container = user.container(bundle(scene).sleep());
    assert_eq!(container.try_create(&[]).ok().stderr, "");
    container.delete_force();
}

/// `--rootless` says whether a cgroup that may not be made is an error. (A wrong word is one, which runc takes for auto.)
fn is_rootless_or_not(scene: &Scene) {
    let user = by_user(scene);
    let bundle = bundle(scene);
    for (flag, goes) in [("--rootless=true", true), ("--rootless=auto", true), ("--rootless=false", false)] {
        let container = user.container(&bundle);
        let done = user.call(&[flag, "run", "--bundle", bundle.arg(), &container.id]).done();
        if goes {
            done.ok()
        } else {
            done.fails().says("cgroup")
        };
    }
    if scene.runtime.kind == Kind::Planc {
        user.rt(&["--rootless=perhaps", "list"]).fails();
    }
}

/// A cgroup that the user owns, with one below it for the user's own processes.
pub(crate) struct Delegated(PathBuf);

impl Delegated {
    /// Gives the user all that it needs to make cgroups in it.
    pub(crate) fn whole(scene: &Scene) -> Self {
        Self::new(scene, &[DIRECTORY, OWN].concat())
    }

    /// Gives the user its own cgroup but for what a container's would have to be entered by.
    pub(crate) fn unusable(scene: &Scene) -> Self {
        Self::new(scene, &["own", "own/cgroup.subtree_control"])
    }

    /// Gives the user `own` only, or what it is in as well.
    fn new(scene: &Scene, whose: &[&str]) -> Self {
        let top = cgroup_root().join(format!("planc-rootless-{}", scene.id()));
        fs::create_dir_all(top.join("own")).unwrap();
        for file in whose {
            chown(top.join(file), Some(USER), Some(USER)).unwrap();
        }
        Self(top)
    }

    /// The scene with the user's processes in `own`.
    pub(crate) fn scene(&self, scene: &Scene) -> Scene {
        let enter = format!("echo $$ > {}/own/cgroup.procs && exec \"$@\"", self.0.display());
        by_user(scene).by(&[&["sh", "-c", enter.as_str(), "sh"], &AS_USER[..]].concat())
    }

    /// Its path from the hierarchy's root, with something below it.
    fn name(&self, below: &str) -> String {
        let path = self.0.strip_prefix(cgroup_root()).unwrap().join(below);
        format!("/{}", path.display())
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        // What a failed test left in them is the oracle's to remove.
        let _ = fs::remove_dir(self.0.join("own"));
        let _ = fs::remove_dir(&self.0);
    }
}

const DIRECTORY: [&str; 3] = ["", "cgroup.procs", "cgroup.subtree_control"];
const OWN: [&str; 3] = ["own", "own/cgroup.procs", "own/cgroup.subtree_control"];

fn has_a_cgroup_beside_a_delegated_one(scene: &Scene) {
    let delegated = Delegated::whole(scene);
    let user = delegated.scene(scene);
    let container = user.container(bundle(scene).sh("sleep 1000 & sleep 1000"));
    container.run_detached();
    let pid = container.pid();
    assert_eq!(cgroup_of(pid), delegated.name(&container.id));
    user.rt(&["kill", "--all", &container.id, "KILL"]).ok();
    container.wait_end(pid);
    container.delete();
    assert!(!delegated.0.join(&container.id).exists());

    let mut bundle = bundle(scene);
    for (path, below) in [("relative/one", "relative/one"), (&delegated.name("absolute"), "absolute")] {
        let container = user.container(bundle.set("/linux/cgroupsPath", path).sleep());
        container.run_detached();
        assert_eq!(cgroup_of(container.pid()), delegated.name(below));
        container.delete_force();
    }
    let _ = fs::remove_dir(delegated.0.join("relative"));
}

/// A service whose only cgroup is its own (systemd.resource-control(5), Delegate=).
fn has_a_cgroup_below_a_delegated_one(scene: &Scene) {
    let delegated = Delegated::new(scene, &OWN);
    let user = delegated.scene(scene);
    let container = user.container(bundle(scene).sleep());
    container.run_detached();
    assert_eq!(cgroup_of(container.pid()), delegated.name(&format!("own/{}", container.id)));
    container.delete_force();
    let outside = user.container(bundle(scene).set("/linux/cgroupsPath", delegated.name("other")));
    outside.run().fails().says(NEEDS);
}

/// It could be made, but only who may write cgroup.procs of what it is in could be born there, or moved there.
fn goes_without_a_cgroup_that_it_could_not_enter(scene: &Scene) {
    let delegated = Delegated::new(scene, &[""]);
    let user = delegated.scene(scene);
    let container = user.container(bundle(scene).sleep());
    container.run_detached();
    assert_eq!(cgroup_of(container.pid()), delegated.name("own"));
    container.delete_force();
}
