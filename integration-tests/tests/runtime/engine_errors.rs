//! What engines make of an error: one test per consumer, with its own patterns (FEATURES.md, table 3.b).

use std::fs;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::scene::Scene;
use serde_json::{Value, json};

use crate::hooks::script;

integration_tests::tests! {
    moby_and_podman_know_a_program_that_cannot_be_run,
    moby_hints_at_a_directory_on_a_file,
    // runc 1.1.5 and 1.5 say "no such file or directory" of all of them, so that `docker run` with a mount whose source is
    // missing exits with 127, *command not found*. Nothing asks for that, and 125 or 128 is what a user can tell it by.
    moby_and_podman_take_no_set_up_for_a_missing_program[Need::Planc],
    containerd_s_shim_maps_a_kill,
    containerd_s_shim_passes_over_what_is_deleted,
    containerd_s_shim_reads_the_last_line_of_the_log,
    cri_o_looks_for_small_letters_on_the_standard_error,
    every_failure_has_its_code,
    every_success_is_silent,
}

/// The exit code that moby gives a container that could not be started (daemon/errors.go translateContainerdStartErr),
/// and whether it adds a hint about mounts.
fn moby(message: &str) -> (u8, bool) {
    let message = message.to_lowercase();
    let says = |what: &str| message.contains(what);
    let missing = ["executable file not found", "no such file or directory", "system cannot find the file specified"];
    let mut code = 128;
    if missing.into_iter().any(says) || says("failed to run runc create/exec call") {
        code = 127;
    }
    if says("permission denied") || says("is a directory") {
        code = 126;
    }
    if says("not a directory") { (127, true) } else { (code, false) }
}

/// The exit code that podman gives it (libpod/oci_util.go getOCIRuntimeError).
fn podman(message: &str) -> u8 {
    let says = |what: &&str| message.to_lowercase().contains(*what);
    if ["permission denied", "operation not permitted"].iter().any(says) {
        126
    } else if ["executable file not found in", "no such file or directory", "open executable"].iter().any(says) {
        127
    } else {
        125
    }
}

fn moby_and_podman_know_a_program_that_cannot_be_run(scene: &Scene) {
    let running = scene.container(scene.bundle().sleep());
    running.run_detached();
    for (program, code) in [("/nosuch", 127), ("nosuch", 127), ("/etc/passwd", 126), ("/etc", 126)] {
        let mut bundle = scene.bundle();
        let container = scene.container(bundle.args(&[program]));
        for done in [container.try_create(&[]), container.run(), running.exec(&[], &[program])] {
            assert_eq!(moby(&done.fails().stderr).0, code, "{program}: {done}");
            // Its words for a directory podman does not know.
            let is_known = program != "/etc" || podman(&done.stderr) == code || podman(&done.stderr) == 125;
            assert!(podman(&done.stderr) == code || is_known && program == "/etc", "{program}: {done}");
        }
    }
    running.delete_force();
}

fn moby_hints_at_a_directory_on_a_file(scene: &Scene) {
    let mut bundle = scene.bundle();
    let source = scene.path("directory");
    fs::create_dir(&source).unwrap();
    bundle.mount("/etc/passwd", "bind", &source, &["bind"]);
    let done = scene.container(&bundle).run();
    assert_eq!(moby(&done.fails().stderr), (127, true), "{done}");
}

/// What is wrong with a bundle, or with the flags of its create.
type Wrong = (&'static str, fn(&mut Bundle) -> &mut Bundle, &'static [&'static str]);

const WRONGS: &[Wrong] = &[
    ("bind", |bundle| bundle.mount("/mnt", "bind", "/nosuch/source", &["bind"]), &[]),
    ("namespace", |bundle| bundle.namespace("network", Some("/nosuch/net")), &[]),
    ("user namespace", |bundle| bundle.namespace("user", Some("/nosuch/user")), &[]),
    ("root filesystem", |bundle| bundle.set("/root/path", "nosuch"), &[]),
    ("hook", |bundle| bundle.set("/hooks", json!({"createRuntime": [{"path": "/nosuch"}]})), &[]),
    ("hook inside", |bundle| bundle.set("/hooks", json!({"createContainer": [{"path": "/nosuch"}]})), &[]),
    ("sysctl", |bundle| bundle.set("/linux/sysctl", json!({"net.nosuch": "1"})), &[]),
    ("network device", |bundle| bundle.set("/linux/netDevices", json!({"nosuch0": {}})), &[]),
    ("pid file", |bundle| bundle, &["--pid-file", "/nosuch/pid"]),
    ("pidfd socket", |bundle| bundle, &["--pidfd-socket", "/nosuch/socket"]),
    ("console socket", |bundle| bundle.set("/process/terminal", true), &["--console-socket", "/nosuch/socket"]),
];

fn moby_and_podman_take_no_set_up_for_a_missing_program(scene: &Scene) {
    let is_none =
        |what: &str, text: &str| assert_eq!((moby(text), podman(text)), ((128, false), 125), "{what}: {text}");
    for (what, spoil, options) in WRONGS {
        let mut bundle = scene.bundle();
        spoil(&mut bundle);
        let container = scene.container(&bundle);
        let done = container.try_create(options);
        is_none(what, &done.exits(1).fails().stderr);
        // moby takes `does not exist` of a kill for a container that is gone; of a create it makes nothing.
        container.assert_gone();
    }
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    for options in [&["--process", "/nosuch"][..], &["--pid-file", "/nosuch/pid"], &["--pidfd-socket", "/nosuch/s"]] {
        is_none("exec", &container.exec(options, &["true"]).exits(255).fails().stderr);
    }
    // Not `--cgroup nosuch`: no engine gives it, and runc's own suite asks for the errno's words.
    is_none("update", &scene.rt(&["update", "-r", "/nosuch", &container.id]).exits(1).fails().stderr);
    container.delete_force();
    is_none("log", &scene.rt(&["--log", "/nosuch/log", "list"]).exits(1).fails().stderr);
    is_none("bundle", &scene.rt(&["create", "-b", "/nosuch", &scene.id()]).exits(1).fails().stderr);
    is_none("spec", &scene.rt(&["spec", "-b", "/nosuch"]).exits(1).fails().stderr);
}

/// containerd cmd/containerd-shim-runc-v2/process/utils.go checkKillError: what a kill that failed means.
fn shim_kill(message: &str) -> &'static str {
    let gone = ["os: process already finished", "container not running"];
    if gone.iter().any(|text| message.contains(text)) || message.to_lowercase().contains("no such process") {
        "process already finished"
    } else if message.contains("does not exist") {
        "no such container"
    } else {
        "unknown error after kill"
    }
}

fn containerd_s_shim_maps_a_kill(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    assert_eq!(shim_kill(&scene.rt(&["kill", &container.id, "9"]).fails().stderr), "no such container");
    container.run_detached();
    assert_eq!(shim_kill(&scene.rt(&["kill", &container.id, "NOSUCH"]).fails().stderr), "unknown error after kill");
    container.stop();
    assert_eq!(shim_kill(&scene.rt(&["kill", &container.id, "9"]).fails().stderr), "process already finished");
    let all = scene.rt(&["kill", "--all", &container.id, "9"]);
    assert_eq!(all.ok().stderr, "", "it cleans up with --all, whatever still runs");
    container.delete();
    assert_eq!(shim_kill(&scene.rt(&["kill", "--all", &container.id, "9"]).fails().stderr), "no such container");
}

/// containerd process/init.go delete: an error is none if it contains `does not exist`.
fn containerd_s_shim_passes_over_what_is_deleted(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    scene.rt(&["delete", &container.id]).exits(1).fails().says("does not exist");
    container.run_detached();
    let refused = scene.rt(&["delete", &container.id]);
    refused.exits(1).fails().says("that is not stopped: running");
    assert!(!refused.stderr.contains("does not exist"), "it would be taken for deleted: {refused}");
    container.delete_force();
    assert_eq!(scene.rt(&["delete", "--force", &container.id]).ok().stderr, "");
}

/// Whether a text is a time as encoding/json takes it: RFC 3339, in seconds or finer.
fn is_a_time(text: &str) -> bool {
    let (date, rest) = text.split_at_checked(19).unwrap_or_default();
    let shape = date
        .bytes()
        .zip(b"2006-01-02T15:04:05")
        .all(|(byte, sample)| if sample.is_ascii_digit() { byte.is_ascii_digit() } else { byte == *sample });
    let zone = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    date.len() == 19 && shape && (zone == "Z" || zone.len() == 6 && zone.starts_with(['+', '-']))
}

/// containerd process/utils.go getLastRuntimeError: a stream of objects, of whose errors the last one counts. A line that
/// is none of them hides it.
fn containerd_s_shim_reads_the_last_line_of_the_log(scene: &Scene) {
    let log = scene.path("log.json");
    let options = ["--debug", "--log", log.to_str().unwrap(), "--log-format", "json"];
    let mut bundle = scene.bundle();
    let container = scene.container(bundle.args(&["/nosuch"]).set("/annotations", json!({"a": "\"\n{"})));
    for round in 1..=2 {
        let done = scene.rt(&[&options[..], &["create", "--bundle", bundle.arg(), &container.id]].concat());
        done.exits(1);
        let text = fs::read_to_string(&log).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        for line in &lines {
            assert!(line["level"].is_string() && line["msg"].is_string(), "{line}");
            assert!(is_a_time(line["time"].as_str().unwrap()), "{line}");
        }
        let errors: Vec<_> = lines.iter().filter(|line| line["level"] == "error").collect();
        assert_eq!((errors.len(), errors.last()), (round, lines.last().as_ref()), "{text}");
        let message = errors[round - 1]["msg"].as_str().unwrap();
        assert!(message.contains("/nosuch") && done.stderr.contains(message), "{done}");
    }
}

/// CRI-O internal/oci/runtime_oci.go runtimeCmd: three texts, none of them in capitals.
fn cri_o_looks_for_small_letters_on_the_standard_error(scene: &Scene) {
    const GONE: [&str; 3] = ["no such process", "container not running", "invalid process"];
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    container.stop();
    let done = scene.rt(&["kill", &container.id, "15"]);
    done.exits(1).fails();
    assert!(GONE.iter().any(|text| done.stderr.contains(text)), "{done}");
    // Where it pauses it has no text: that it failed is all.
    scene.rt(&["pause", &container.id]).exits(1).fails();
    container.delete();
    // A state that fails is a container that is stopped.
    scene.rt(&["state", &container.id]).exits(1).fails().says("does not exist");
}

fn every_failure_has_its_code(scene: &Scene) {
    let id = scene.id();
    for command in ["start", "state", "kill", "delete", "ps", "pause", "resume", "update", "events"] {
        let done = scene.rt(&[command, &id]);
        assert_eq!(done.exits(1).stderr.lines().count(), 1, "{done}");
    }
    // What `docker exec` tells from a program's own code.
    scene.rt(&["exec", &id, "true"]).exits(255).says("exec failed: container does not exist");
    scene.rt(&["exec"]).exits(1);
    scene.rt(&["nosuch"]).exits(3);
    let mut bundle = scene.bundle();
    bundle.sh("exit 42");
    let container = scene.container(&bundle);
    container.run().exits(42);
    let mut bundle = scene.bundle();
    scene.container(bundle.sh("kill -9 $$; sleep 9").namespace("pid", None)).run().exits(137);
    bundle.set("/hooks", json!({"createRuntime": [script("exit 3")]})).write();
    scene.rt(&["run", "--bundle", bundle.arg(), &scene.id()]).exits(1);
}

/// go-runc's State, List, Features and Version, and CRI-O's, read both streams as one.
fn every_success_is_silent(scene: &Scene) {
    let mut bundle = scene.bundle();
    let container = scene.container(bundle.sleep());
    let id = container.id.as_str();
    let silent = |words: &[&str]| {
        let done = scene.rt(words);
        assert_eq!(done.ok().stderr, "", "{done}");
        done.stdout
    };
    assert_eq!(silent(&["create", "-b", bundle.arg(), id]), "");
    let state = silent(&["state", id]);
    let pid = serde_json::from_str::<Value>(&state).unwrap()["pid"].as_u64().unwrap() as u32;
    assert!(process::runs(pid));
    for (words, prints) in [
        (&["start", id][..], false),
        (&["exec", id, "true"], false),
        (&["exec", "-d", id, "true"], false),
        (&["pause", id], false),
        (&["resume", id], false),
        (&["ps", "-f", "json", id], true),
        (&["events", "--stats", id], true),
        (&["list"], true),
        (&["list", "-q"], true),
        (&["list", "-f", "json"], true),
        (&["update", "-r", "/dev/stdin", id], false),
        (&["features"], true),
        (&["--version"], true),
        (&["help"], true),
        (&["kill", id, "0"], false),
        (&["kill", id, "KILL"], false),
    ] {
        if words[0] == "update" {
            let empty = scene.path("empty");
            fs::write(&empty, "{}").unwrap();
            assert_eq!(silent(&["update", "-r", empty.to_str().unwrap(), id]), "");
            continue;
        }
        assert_eq!(silent(words).is_empty(), !prints, "{words:?}");
    }
    container.wait_end(pid);
    for words in [&["kill", "-a", id][..], &["state", id], &["delete", id], &["delete", "-f", id]] {
        silent(words);
    }
    assert_eq!(silent(&["spec", "-b", scene.path("").to_str().unwrap()]), "");
}
