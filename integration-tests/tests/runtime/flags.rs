//! What flags mean, as those who wrote scripts for runc rely on it (FEATURES.md, table 3.a). How they are spelt is tested
//! without containers (runtime-cli/tests/flags.rs).

use std::fs;
use std::time::Duration;

use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::scene::{Container, Scene};
use serde_json::json;

integration_tests::tests! {
    of_run_stand_before_and_behind_the_id,
    of_exec_end_at_the_id,
    of_exec_are_nothing_beside_a_file,
    are_not_split_at_commas,
    the_last_one_counts,
    // Version 1 of runc's parser (urfave/cli) refuses what is spelt in two ways at once, version 3 does not.
    the_last_one_counts_however_it_is_spelt[Need::Planc],
    an_empty_one_is_none,
    // runc 1.1 passes a word without `=` on, which no program takes for a variable; since 1.3 it is refused there too.
    a_variable_has_a_value[Need::Spec(1, 2)],
    // unix.SignalNum knows no real-time signals, so runc takes them by number only. crun and docker know their names.
    of_kill_name_real_time_signals[Need::Planc],
    of_update_that_only_v1_has_warn,
    // runc reads the file and passes over the flags. Who gives both wants both.
    of_update_go_before_its_file[Need::Planc, Need::Works("grep -qw pids /sys/fs/cgroup/cgroup.controllers")],
    detach_and_keep_can_be_false,
    of_exec_let_it_wait_for_a_paused_container,
}

fn of_run_stand_before_and_behind_the_id(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.sleep().write();
    let id = scene.id();
    scene.rt(&["run", &id, "-detach", "--bundle", bundle.arg(), "-no-subreaper"]).ok();
    assert_eq!(scene.rt(&["state", &id]).json()["status"], "running");
    scene.rt(&["delete", &id, "-force=true"]).ok();
}

/// A container that sleeps, with a shell.
fn running(scene: &Scene) -> Container<'_> {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    container
}

fn of_exec_end_at_the_id(scene: &Scene) {
    let container = running(scene);
    for flags in [&["--cwd", "/"][..], &["--cwd", "/", "--"]] {
        let done = container.exec(flags, &["echo", "-d", "--nosuch"]);
        assert_eq!(done.ok().stdout, "-d --nosuch\n");
    }
    container.exec(&[], &["-d"]).exits(255).says("-d").says("executable file not found in $PATH");
    container.delete_force();
}

fn of_exec_are_nothing_beside_a_file(scene: &Scene) {
    let container = running(scene);
    let path = scene.path("process.json");
    let args = ["/bin/sh", "-c", "echo $PWD $A $(id -u)"];
    let process = json!({"user": {"uid": 7, "gid": 0}, "args": args, "env": ["A=file", "PATH=/bin"], "cwd": "/tmp"});
    fs::write(&path, process.to_string()).unwrap();
    let options = ["--cwd", "/", "-e", "A=flag", "-u", "9", "-t", "--process", path.to_str().unwrap()];
    // Not even a command behind the id, and no terminal.
    let done = container.exec(&options, &["nosuch"]);
    assert_eq!(done.ok().stdout, "/tmp file 7\n");
    container.delete_force();
}

fn are_not_split_at_commas(scene: &Scene) {
    let container = running(scene);
    let done = container.exec(&["-e", "A=1,B=2", "-e=C=a=b, c"], &["sh", "-c", "echo \"$A|$B|$C\""]);
    assert_eq!(done.ok().stdout, "1,B=2||a=b, c\n");
    container.delete_force();
}

fn the_last_one_counts(scene: &Scene) {
    let container = running(scene);
    let done = container.exec(&["--cwd", "/tmp", "-u", "5", "-u=0", "-cwd=/bin"], &["sh", "-c", "echo $PWD $(id -u)"]);
    assert_eq!(done.ok().stdout, "/bin 0\n");
    // Groups are added, each by a flag of its own.
    let done = container.exec(&["-g", "77", "-g=78"], &["id", "-G"]);
    let groups: Vec<_> = done.ok().stdout.split_whitespace().collect();
    assert!(groups.contains(&"77") && groups.contains(&"78"), "{done}");
    container.delete_force();
}

fn the_last_one_counts_however_it_is_spelt(scene: &Scene) {
    let container = running(scene);
    let done =
        container.exec(&["-u", "5", "--user=0", "-e", "A=1", "--env", "B=2"], &["sh", "-c", "echo $A $B $(id -u)"]);
    assert_eq!(done.ok().stdout, "1 2 0\n");
    container.delete_force();
}

/// Engines pass what they have, also where that is nothing.
fn an_empty_one_is_none(scene: &Scene) {
    let mut bundle = scene.bundle();
    let container = scene.container(bundle.sleep());
    let options = ["--pid-file=", "--console-socket", "", "--log-format=", "--log="];
    let words = [&options[3..], &["create", "--bundle", bundle.arg()], &options[..3], &[&container.id]].concat();
    scene.rt(&words).ok();
    container.start();
    let options = ["--user=", "--cwd", "", "--process=", "--process-label", "", "--apparmor=", "--pid-file="];
    container.exec(&options, &["true"]).ok();
    scene.rt(&["update", "--memory=", "--cpu-quota", "", "--cpuset-cpus=", "-r", "", &container.id]).ok();
    // The default signal.
    scene.rt(&["kill", &container.id, ""]).ok();
    container.delete_force();
}

fn a_variable_has_a_value(scene: &Scene) {
    let container = running(scene);
    container.exec(&["-e", "A"], &["true"]).exits(255).says("invalid environment variable");
    container.exec(&["-e", "A="], &["sh", "-c", "test -z \"$A\" && env | grep -q ^A=$"]).ok();
    container.delete_force();
}

fn of_kill_name_real_time_signals(scene: &Scene) {
    for (signal, code) in [("SIGRTMIN+1", 35), ("rtmin", 34), ("RTMAX-2", 62), ("SIGRTMAX", 64), ("40", 40)] {
        let mut bundle = scene.bundle();
        bundle.namespace("pid", None).sleep();
        let container = scene.container(&bundle);
        let running = container.run_call(&["--keep"]).spawn();
        scene.wait_until("it runs", || scene.rt(&["state", &container.id]).stdout.contains("\"running\""));
        container.kill(signal);
        running.wait().exits(128 + code);
        container.delete();
    }
}

fn of_update_that_only_v1_has_warn(scene: &Scene) {
    let container = running(scene);
    let done = scene.rt(&["update", "--kernel-memory", "1M", "--kernel-memory-tcp=2097152", &container.id]);
    done.ok().says("level=warning");
    assert!(done.stderr.to_lowercase().contains("ignor"), "{done}");
    container.delete_force();
}

fn of_update_go_before_its_file(scene: &Scene) {
    let container = running(scene);
    let path = scene.path("resources.json");
    fs::write(&path, json!({"pids": {"limit": 50}}).to_string()).unwrap();
    scene.rt(&["update", "-r", path.to_str().unwrap(), "--pids-limit", "60", &container.id]).ok();
    let limit = fs::read_to_string(process::cgroup(container.pid()).join("pids.max"));
    assert_eq!(limit.unwrap(), "60\n");
    container.delete_force();
}

fn detach_and_keep_can_be_false(scene: &Scene) {
    let mut bundle = scene.bundle();
    let container = scene.container(bundle.sh("exit 5"));
    container.run_call(&["--detach", "--keep=true", "--keep=false", "--detach=false"]).done().exits(5);
    container.assert_gone();
}

fn of_exec_let_it_wait_for_a_paused_container(scene: &Scene) {
    let container = running(scene);
    scene.rt(&["pause", &container.id]).ok();
    container.exec(&[], &["true"]).exits(255).says("exec failed: cannot exec in a paused container");
    container.exec(&["--ignore-paused=false", "-d"], &["true"]).exits(255).says("cannot exec in a paused container");
    let mut waiting = container.exec_call(&["--ignore-paused"], &["echo", "awake"]).spawn();
    std::thread::sleep(Duration::from_millis(300));
    assert!(waiting.runs() && waiting.printed().is_empty(), "it waits");
    scene.rt(&["resume", &container.id]).ok();
    assert_eq!(waiting.wait().ok().stdout, "awake\n");
    container.delete_force();
}
