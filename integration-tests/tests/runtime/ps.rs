//! `ps`: the processes of a container, as numbers and as rows of ps(1).

use std::fs;

use integration_tests::harness::Need;
use integration_tests::oracle::cgroup_root;
use integration_tests::process;
use integration_tests::scene::{Container, Scene};
use serde_json::{Value, json};

/// That of procps 4.0 knows no start times under User Mode Linux.
const PS: Need = Need::Works("ps -ef");

integration_tests::tests! {
    json_is_every_pid_on_one_line,
    json_goes_down_to_child_cgroups,
    table_is_what_ps_prints [PS],
    table_takes_the_options_of_ps,
    of_a_stopped_one_there_is_nothing [PS],
    refuses_a_table_without_pids,
    refuses_what_ps_refuses,
    refuses_without_ps,
    refuses_an_unknown_format,
    refuses_an_unknown_id,
}

/// A container of three processes; they stand in `ps` when this returns.
fn three(scene: &Scene) -> (Container<'_>, Vec<u64>) {
    let container = scene.container(scene.bundle().sh("sleep 1001 & sleep 1002 & wait"));
    container.run_detached();
    scene.wait_until("three processes run", || pids(scene, &container).len() == 3);
    let pids = pids(scene, &container);
    (container, pids)
}

#[track_caller]
fn pids(scene: &Scene, container: &Container<'_>) -> Vec<u64> {
    let done = scene.rt(&["ps", "--format", "json", &container.id]);
    done.ok();
    assert_eq!(done.stderr, "", "go-runc reads both streams as one");
    assert_eq!(done.stdout.matches('\n').count(), 1, "{done}");
    match done.json() {
        // For no process some say null, others [].
        Value::Null => Vec::new(),
        list => list.as_array().unwrap().iter().map(|pid| pid.as_u64().unwrap()).collect(),
    }
}

fn json_is_every_pid_on_one_line(scene: &Scene) {
    let (container, pids) = three(scene);
    assert!(pids.contains(&container.pid().into()), "{pids:?}");
    for pid in &pids {
        assert!(process::runs(*pid as u32), "{pid}");
    }
    container.delete_force();
}

fn json_goes_down_to_child_cgroups(scene: &Scene) {
    let (container, before) = three(scene);
    let own = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    let child = cgroup_root().join(own).join("child");
    fs::create_dir(&child).unwrap();
    let moved = before.iter().find(|pid| **pid != u64::from(container.pid())).unwrap();
    fs::write(child.join("cgroup.procs"), moved.to_string()).unwrap();
    let mut after = pids(scene, &container);
    after.sort_unstable();
    let mut before = before;
    before.sort_unstable();
    assert_eq!(after, before);
    container.delete_force();
}

/// The rows below the heading, each as words.
fn rows(table: &str) -> Vec<Vec<&str>> {
    table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect()
}

fn table_is_what_ps_prints(scene: &Scene) {
    let (container, pids) = three(scene);
    let done = scene.rt(&["ps", &container.id]);
    done.ok();
    let heading: Vec<&str> = done.stdout.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
    let rows = rows(&done.stdout);
    assert_eq!(rows.len(), 3, "{done}");
    assert!(rows.iter().all(|row| pids.contains(&row[1].parse().unwrap())), "{done}");
    assert!(done.stdout.contains("sleep 1001") && done.stdout.contains("sleep 1002"), "{done}");
    container.delete_force();
}

fn table_takes_the_options_of_ps(scene: &Scene) {
    let (container, pids) = three(scene);
    for options in [&["-e", "-o", "comm,pid"][..], &["-eo", "comm,pid"]] {
        let done = scene.rt(&[&["ps", "--format=table", &container.id], options].concat());
        done.ok();
        assert_eq!(done.stdout.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(), ["COMMAND", "PID"]);
        let rows = rows(&done.stdout);
        assert_eq!(rows.len(), 3, "{done}");
        assert!(rows.iter().all(|row| pids.contains(&row[1].parse().unwrap())), "{done}");
    }
    container.delete_force();
}

fn of_a_stopped_one_there_is_nothing(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    container.stop();
    scene.wait_until("its cgroup is empty", || pids(scene, &container).is_empty());
    let done = scene.rt(&["ps", &container.id]);
    assert!(done.ok().stdout.starts_with("UID ") && rows(&done.stdout).is_empty(), "{done}");
    container.delete();
}

fn refuses_a_table_without_pids(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.create();
    scene.rt(&["ps", &container.id, "-eo", "comm"]).fails().says("couldn't find PID field in ps output");
    container.delete();
}

fn refuses_what_ps_refuses(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.create();
    let done = scene.rt(&["ps", &container.id, "--no-such-option"]);
    done.fails().says("exit status").says("option");
    assert_eq!(done.stdout, "");
    container.delete();
}

fn refuses_without_ps(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.create();
    let pid = container.pid();
    let without = |args: &[&str]| scene.call(args).env("PATH", "/nowhere").done();
    without(&["ps", &container.id]).fails().says("ps").says("executable file not found in $PATH");
    assert_eq!(without(&["ps", "-f", "json", &container.id]).json(), json!([pid]), "numbers need no ps");
    container.delete();
}

fn refuses_an_unknown_format(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.create();
    scene.rt(&["ps", "--format", "yaml", &container.id]).fails().says("invalid format option");
    container.delete();
}

fn refuses_an_unknown_id(scene: &Scene) {
    scene.rt(&["ps", "nosuch"]).fails().says("does not exist");
    scene.rt(&["ps"]).fails().says("requires a minimum of 1 argument");
}
