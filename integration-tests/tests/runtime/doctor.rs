//! `planc doctor`: that it says of this lane what is so, to root, to a user, and in a container.

use std::fs;
use std::path::Path;

use integration_tests::harness::Need;
use integration_tests::oracle::cgroup_root;
use integration_tests::runtime::Done;
use integration_tests::scene::Scene;
use serde_json::Value;

use crate::rootless::{Registered, by_user};

integration_tests::tests! {
    reads_aloud [Need::Planc],
    says_which_controllers_there_are [Need::Planc],
    says_which_namespaces_there_are [Need::Planc],
    says_what_a_user_has [Need::Planc, Need::Path("/usr/bin/newuidmap")],
    fails_where_nothing_can_run [Need::Planc],
    examines_a_container [Need::Planc],
}

/// What it says as JSON. Whatever it finds, its error stream is empty.
fn examined(done: &Done) -> Value {
    assert_eq!(done.stderr, "", "{done}");
    let json = done.json();
    assert_eq!(done.code(), if json["runs"] == true { 0 } else { 1 }, "{done}");
    json
}

/// The line of a thing.
#[track_caller]
fn line<'a>(json: &'a Value, name: &str) -> &'a Value {
    let mut lines = json["lines"].as_array().unwrap().iter();
    lines.find(|line| line["name"] == name).unwrap_or_else(|| panic!("no line {name:?} in {json:#}"))
}

fn reads_aloud(scene: &Scene) {
    let done = scene.rt(&["doctor"]);
    done.ok();
    assert_eq!(done.stderr, "");
    let json = examined(&scene.rt(&["doctor", "--json"]));
    assert!(done.stdout.starts_with("uid 0 can run containers here\n"), "{done}");
    for line in json["lines"].as_array().unwrap() {
        for key in ["name", "found", "costs", "remedy"] {
            let text = line[key].as_str().unwrap();
            assert!(done.stdout.contains(text), "no {text:?}: {done}");
        }
        assert_eq!(line["state"] == "ok", line["costs"] == "" && line["remedy"] == "", "{line}");
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(line(&json, "version")["found"], format!("Linux {}", release.trim()));
}

fn says_which_controllers_there_are(scene: &Scene) {
    let json = examined(&scene.rt(&["doctor", "--json"]));
    let there = fs::read_to_string(cgroup_root().join("cgroup.controllers")).unwrap();
    for name in ["cpu", "cpuset", "io", "memory", "pids"] {
        let is_there = there.split_whitespace().any(|controller| controller == name);
        let line = line(&json, &format!("controller {name}"));
        assert_eq!(line["state"], if is_there { "ok" } else { "lack" }, "{line}");
    }
    let hybrid = fs::read_to_string("/proc/self/cgroup").unwrap().lines().count() > 1;
    assert_eq!(line(&json, "layout")["state"], if hybrid { "lack" } else { "ok" });
}

fn says_which_namespaces_there_are(scene: &Scene) {
    let json = examined(&scene.rt(&["doctor", "--json"]));
    let time = Path::new("/proc/self/ns/time").exists();
    assert_eq!(line(&json, "time namespaces")["state"], if time { "ok" } else { "lack" });
    assert_eq!(line(&json, "new ones")["state"], "ok", "the tests of user namespaces need them");
}

fn says_what_a_user_has(scene: &Scene) {
    let user = by_user(scene);
    let json = examined(&user.rt(&["doctor", "--json"]));
    assert_eq!(json["verdict"], "uid 4321 can run containers here, each in a user namespace");
    for (name, state) in
        [("subordinate uids", "lack"), ("subordinate gids", "lack"), ("newuidmap", "ok"), ("delegation", "lack")]
    {
        assert_eq!(line(&json, name)["state"], state, "{}", line(&json, name));
    }
    let _registered = Registered::new(scene);
    let json = examined(&user.rt(&["doctor", "--json"]));
    assert_eq!(line(&json, "subordinate uids")["found"], "65536 in /etc/subuid");
    assert_eq!(line(&json, "subordinate gids")["found"], "65536 in /etc/subgid");
}

/// In a user namespace that allows no other one, without capabilities. Its parameter is its own.
fn fails_where_nothing_can_run(scene: &Scene) {
    let enter = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let wrapper = ["unshare", "-Ur", "sh", "-c", enter, "sh", "setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let done = scene.by(&wrapper).rt(&["doctor", "--json"]);
    let json = examined(&done);
    assert_eq!((done.code(), &json["runs"]), (1, &Value::Bool(false)), "{done}");
    let line = line(&json, "new ones");
    assert_eq!(line["state"], "fatal");
    assert!(line["remedy"].as_str().unwrap().contains("user.max_user_namespaces"), "{line}");
}

/// A container whose /proc is masked, and whose root has few capabilities.
fn examines_a_container(scene: &Scene) {
    let mut bundle = scene.bundle();
    let program = scene.runtime.path.parent().unwrap();
    bundle.mount("/program", "bind", program, &["bind", "ro"]);
    for path in ["/usr", "/lib", "/lib64"].into_iter().filter(|path| Path::new(path).exists()) {
        bundle.mount(path, "bind", path, &["rbind", "ro"]);
    }
    let planc = format!("/program/{}", scene.runtime.path.file_name().unwrap().display());
    let container = scene.container(bundle.args(&[&planc, "doctor", "--json"]));
    let json = examined(&container.run());
    assert_eq!(json["runs"], false);
    let proc = line(&json, "proc");
    assert!(proc["state"] == "fatal" && proc["found"].as_str().unwrap().contains("/proc/"), "{proc}");
}
