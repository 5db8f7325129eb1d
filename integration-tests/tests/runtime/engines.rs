//! The calls of engines as they make them, and what they read: one test per consumer (FEATURES.md, table 3.b).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::runtime::{Done, Kind, Runtime};
use integration_tests::scene::{Container, Scene};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use serde_json::{Value, json};

integration_tests::tests! {
    go_runc_leads_a_life,
    // It is only in the vocabulary of go-runc, and runc refuses it.
    go_runc_detaches_a_create[Need::Planc],
    // runc 1.1.5 has no member mountExtensions.
    go_runc_and_cri_read_features[Need::Spec(1, 1)],
    go_runc_reads_an_event,
    go_runc_reads_a_version,
    moby_reads_a_version,
    moby_s_wrapper_adds_arguments,
    containerd_s_shim_waits_for_the_pid_file,
    conmon_is_the_parent_of_what_it_asked_for,
    conmon_reads_the_standard_error,
    buildkit_s_run_is_the_container,
    podman_updates_from_a_file,
    podman_finds_its_errors_under_a_name_it_knows[Need::Planc],
    cri_o_asks_for_a_state,
}

/// A command as go-runc gives it: its global flags come first.
fn go_runc<'a>(log: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    [&["--log", log, "--log-format", "json", "--rootless=false"], words].concat()
}

/// Success, without a word on the standard error: go-runc reads both streams as one.
#[track_caller]
fn silently(done: Done) -> Done {
    assert_eq!(done.ok().stderr, "", "{done}");
    done
}

/// What `exec --process` reads.
fn process_json(scene: &Scene, args: &[&str]) -> String {
    let path = scene.path("process.json");
    let env = ["PATH=/bin"];
    let process = json!({"user": {"uid": 0, "gid": 0}, "args": args, "env": env, "cwd": "/", "terminal": false});
    fs::write(&path, process.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// containerd/go-runc runc.go: Create, State, Start, Exec, Ps, Top, List, Pause, Resume, Update, Kill, Delete.
fn go_runc_leads_a_life(scene: &Scene) {
    let mut bundle = scene.bundle();
    let container = scene.container(bundle.sleep());
    let (log, pid_file) = (scene.path("log.json"), scene.path("init.pid"));
    let (log, pid_file) = (log.to_str().unwrap(), pid_file.to_str().unwrap());
    let id = container.id.as_str();
    let call = |words: &[&str]| silently(scene.rt(&go_runc(log, words)));
    call(&["create", "--bundle", bundle.arg(), "--pid-file", pid_file, "--no-new-keyring", id]);
    let pid = fs::read_to_string(pid_file).unwrap();
    assert_eq!(call(&["state", id]).json()["pid"].to_string(), pid, "strconv.Atoi takes no line feed");
    call(&["start", id]);
    let process = process_json(scene, &["sleep", "1000"]);
    let exec_pid = scene.path("exec.pid");
    call(&["exec", "--process", &process, "--detach", "--pid-file", exec_pid.to_str().unwrap(), id]);
    let mut pids = [pid, fs::read_to_string(exec_pid).unwrap()].map(|pid| pid.parse::<u64>().unwrap());
    let mut seen: Vec<u64> = serde_json::from_value(call(&["ps", "--format", "json", id]).json()).unwrap();
    pids.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, pids);
    let top = call(&["ps", "--format", "table", id, "-eo", "pid,args"]).stdout;
    // Its header is split by blanks, and a field is called PID.
    assert_eq!((top.lines().next().unwrap().split_whitespace().next(), top.lines().count()), (Some("PID"), 3), "{top}");
    assert_eq!(call(&["list", "--format=json"]).json()[0]["id"], id);
    call(&["pause", id]);
    assert_eq!(call(&["state", id]).json()["status"], "paused");
    call(&["resume", id]);
    let update = scene.call(&go_runc(log, &["update", "--resources=-", id]));
    fs::write(scene.path("resources"), "{}").unwrap();
    silently(update.stdin(fs::File::open(scene.path("resources")).unwrap()).done());
    call(&["kill", "--all", id, "9"]);
    container.wait_end(pids[0] as u32);
    call(&["kill", "--all", id, "9"]);
    call(&["delete", id]);
    call(&["delete", "--force", id]);
    assert_eq!(fs::read_to_string(log).unwrap(), "", "of what succeeds the log has no line");
    // os.OpenFile(…, 0o644): an engine of another user can read it.
    assert_eq!(fs::metadata(log).unwrap().permissions().mode() & 0o777, 0o644 & !umask());
}

/// The mask of new files (proc_pid_status(5)): what asks umask(2) sets it.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    u32::from_str_radix(&process::status_line(&status, "Umask").unwrap(), 8).unwrap()
}

fn go_runc_detaches_a_create(scene: &Scene) {
    let container = scene.container(&scene.bundle());
    silently(container.try_create(&["--detach", "--preserve-fds", "0"]));
    container.delete();
}

/// containerd: internal/cri/server (mountExtensions.idmap, `rro`); CRI-O: pkg/config initializeRuntimeFeatures.
fn go_runc_and_cri_read_features(scene: &Scene) {
    let features = silently(scene.rt(&["features"])).json();
    for member in ["ociVersionMin", "ociVersionMax"] {
        assert!(features[member].as_str().is_some_and(|version| version.starts_with("1.")), "{member}");
    }
    assert!(features["mountOptions"].as_array().unwrap().contains(&json!("rro")));
    assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], true);
    assert_eq!(features["linux"]["cgroup"]["v2"], true);
    assert!(features["annotations"].is_object());
}

/// go-runc events.go: `events --stats ID`, `events --interval=%ds ID`.
fn go_runc_reads_an_event(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let event = silently(scene.rt(&["events", "--stats", &container.id])).json();
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(container.id)));
    for member in ["cpu", "memory", "pids", "blkio", "hugetlb"] {
        assert!(event["data"][member].is_object(), "{member}: {event}");
    }
    // Which of its members are numbers: go-runc's types.
    for number in ["/data/cpu/usage/total", "/data/memory/usage/limit", "/data/pids/current"] {
        assert!(event.pointer(number).is_none_or(Value::is_u64), "{number}: {event}");
    }
    scene.rt(&["events", "--interval=0s", &container.id]).fails().says("greater than 0");
    container.delete_force();
}

/// go-runc parseVersion: the lines that begin so; without the first one it has a version of no name.
fn go_runc_reads_a_version(scene: &Scene) {
    let scene = called(scene, "runc");
    let lines = silently(scene.rt(&["--version"])).stdout;
    for prefix in ["runc version ", "commit: ", "spec: 1."] {
        let has = lines.lines().any(|line| line.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()));
        // Debian's runc names no commit.
        assert!(has || prefix == "commit: " && lines.contains("+ds"), "{prefix}: {lines}");
    }
    assert!(lines.starts_with("runc version "), "{lines}");
}

/// moby daemon/info_unix.go parseRuntimeVersion: the name before `version`, what comes after it, and `commit: `.
fn moby_reads_a_version(scene: &Scene) {
    let text = silently(scene.rt(&["--version"])).stdout;
    let (name, version) = text.lines().find_map(|line| line.split_once("version")).unwrap();
    assert!(["runc", "crun", "planc"].contains(&name.trim()), "{text}");
    assert!(version.trim().starts_with(|first: char| first.is_ascii_digit()), "{text}");
}

/// moby daemon/runtime_unix.go: arguments of a runtime are given by a script of that name.
fn moby_s_wrapper_adds_arguments(scene: &Scene) {
    let wrapper = scene.path("wrapper");
    let script = format!("#!/bin/sh\nexec {} --debug=false --rootless=false \"$@\"\n", scene.runtime.path.display());
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let wrapped = scene.with(Runtime { path: wrapper, ..scene.runtime.clone() });
    let container = wrapped.container(&wrapped.bundle());
    silently(container.run());
}

/// A pid file that is read as soon as it is there must be whole: it comes by one rename, with nothing written later.
/// Its path is the caller's, wherever the bundle is.
fn containerd_s_shim_waits_for_the_pid_file(scene: &Scene) {
    let dir = scene.path("pids");
    fs::create_dir(&dir).unwrap();
    let watch = Inotify::init(InitFlags::IN_CLOEXEC).unwrap();
    watch.add_watch(&dir, AddWatchFlags::IN_ALL_EVENTS).unwrap();
    let container = scene.container(scene.bundle().sleep());
    container.create_call(&["--pid-file", "pid"]).dir(&dir).done().ok();
    let events = watch.read_events().unwrap();
    let of_the_file: Vec<_> = events.iter().filter(|event| event.name.as_deref() == Some("pid".as_ref())).collect();
    let masks: Vec<_> = of_the_file.iter().map(|event| event.mask).collect();
    assert_eq!(masks, [AddWatchFlags::IN_MOVED_TO], "{events:?}");
    assert_eq!(fs::read_to_string(dir.join("pid")).unwrap(), container.pid().to_string());
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "the temporary one is gone");
    container.start();
    container.exec_call(&["--detach", "--pid-file", "exec"], &["sleep", "1000"]).dir(&dir).done().ok();
    let events = watch.read_events().unwrap();
    let of_exec = events.iter().filter(|event| event.name.as_deref() == Some("exec".as_ref()));
    assert!(of_exec.map(|event| event.mask).eq([AddWatchFlags::IN_MOVED_TO]), "{events:?}");
    container.delete_force();
}

/// conmon src/runtime_args.c: create and exec. What they start comes to conmon, the subreaper, once they have returned.
fn conmon_is_the_parent_of_what_it_asked_for(scene: &Scene) {
    set_child_subreaper(true).unwrap();
    let container = scene.container(scene.bundle().sleep());
    let (init, exec) = (scene.path("pidfile"), scene.path("exec-pidfile"));
    silently(container.try_create(&["--pid-file", init.to_str().unwrap(), "--no-pivot=false"]));
    container.start();
    let process = process_json(scene, &["sleep", "1000"]);
    let options = ["exec", "--pid-file", exec.to_str().unwrap(), "--process", &process, "--detach", &container.id];
    silently(scene.rt(&options));
    let pids = [init, exec].map(|file| fs::read_to_string(file).unwrap().parse::<u32>().unwrap());
    for pid in pids {
        assert_eq!(process::stat(pid).unwrap().parent, std::process::id(), "somebody stands between");
    }
    scene.rt(&["kill", "--all", &container.id, "KILL"]).ok();
    // The last of a pid namespace ends once the others are reaped (pid_namespaces(7)).
    for pid in pids.into_iter().rev() {
        waitpid(Pid::from_raw(pid as i32), None).unwrap();
    }
    set_child_subreaper(false).unwrap();
    container.delete();
}

/// conmon src/conmon.c: the standard error of a create that failed is the error, and there is no pid file.
fn conmon_reads_the_standard_error(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.args(&["/nosuch"]).write();
    let (pid_file, log) = (scene.path("pidfile"), scene.path("log"));
    let words = ["create", "--bundle", bundle.arg(), "--pid-file", pid_file.to_str().unwrap(), &scene.id()];
    let done = scene.rt(&words);
    done.exits(1).fails().says("/nosuch");
    // runc 1.1 also warns that it cannot count kills in a cgroup that it has removed.
    let warns = |line: &&str| scene.runtime.kind == Kind::Runc && line.contains("level=warning");
    assert_eq!(done.stderr.lines().filter(|line| !warns(line)).count(), 1, "{done}");
    assert!(done.stderr.len() < 8192, "conmon's buffer: {done}");
    assert!(!pid_file.exists());
    // The same where a log is named: there and here.
    let logged = scene.rt(&[&["--log", log.to_str().unwrap(), "--log-format", "json"], &words[..]].concat());
    assert!(logged.fails().says("/nosuch").stderr.lines().count() == 1, "{logged}");
    assert!(!logged.stderr.starts_with('{'), "the text is for people: {logged}");
}

/// buildkit executor/runcexecutor: an attached run with --keep, which passes signals on, is killed by another command, and
/// leaves the container to be deleted.
fn buildkit_s_run_is_the_container(scene: &Scene) {
    let log = scene.path("runc-log.json");
    let log = log.to_str().unwrap();
    let run = |container: &Container<'_>, bundle: &str| {
        let words = ["--log", log, "--log-format", "json", "run", "--bundle", bundle, "--keep", &container.id];
        let mut running = scene.call(&words).spawn();
        scene.wait_until("it is ready", || running.printed() == "ready\n" || !running.runs());
        running
    };
    let mut bundle = scene.bundle();
    bundle.sh("trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done");
    let container = scene.container(&bundle);
    let running = run(&container, bundle.arg());
    kill(Pid::from_raw(running.pid() as i32), Signal::SIGWINCH).unwrap();
    kill(Pid::from_raw(running.pid() as i32), Signal::SIGTERM).unwrap();
    running.wait().exits(7);
    assert_eq!(container.status(), "stopped", "--keep");
    container.delete();
    let container = scene.container(&bundle);
    let running = run(&container, bundle.arg());
    container.kill("9");
    running.wait().exits(137);
    container.delete();
    assert_eq!(fs::read_to_string(log).unwrap(), "");
}

/// podman libpod/oci_conmon_common.go: update --resources=FILE; memory strings are crun's and runc's own.
fn podman_updates_from_a_file(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.create();
    let file = scene.path("resources.json");
    fs::write(&file, json!({"unified": {}, "devices": []}).to_string()).unwrap();
    silently(scene.rt(&["update", &format!("--resources={}", file.display()), &container.id]));
    container.delete();
}

/// The same scene, on which the runtime is called by another name.
fn called(scene: &Scene, name: &str) -> Scene {
    let link = scene.path(name);
    if !link.exists() {
        symlink(&scene.runtime.path, &link).unwrap();
    }
    scene.with(Runtime { path: link, ..scene.runtime.clone() })
}

/// podman and conmon take an error from a JSON log where the runtime's name is one of those they know: `runc`, `crun`.
/// podman reads the file as one object (json.Unmarshal), so warnings of a failure would hide it.
fn podman_finds_its_errors_under_a_name_it_knows(scene: &Scene) {
    for name in ["runc", "crun"] {
        let scene = called(scene, name);
        let mut bundle = scene.bundle();
        bundle.args(&["/nosuch"]).set("/process/capabilities/bounding/-", "CAP_NOSUCH").write();
        let log = scene.path(&format!("{name}.log"));
        let words = ["--log-format=json", "--log", log.to_str().unwrap(), "create", "--bundle", bundle.arg()];
        let done = scene.rt(&[&words[..], &[&scene.id()]].concat());
        done.exits(1).fails();
        let whole: Value = serde_json::from_str(&fs::read_to_string(&log).unwrap()).unwrap();
        let message = whole["msg"].as_str().unwrap();
        assert!(message.starts_with(&format!("{name} create failed: ")), "{message}");
        assert!(message.contains("no such file or directory"), "{message}");
        assert_eq!(done.stderr, format!("{message}\n"), "conmon's text is podman's");
        // It does all that it does under its own name.
        let container = scene.container(scene.bundle().sleep());
        silently(container.run_detached());
        let exec = container.exec(&[], &["/nosuch"]);
        exec.exits(255).says("exec failed: ");
        container.delete_force();
        bundle.set("/process/args", json!(["true"]));
        let warned = scene.container(&bundle).run();
        warned.ok().says("CAP_NOSUCH");
    }
}

/// CRI-O internal/oci/runtime_oci.go UpdateContainerStatus: every member, with its type.
fn cri_o_asks_for_a_state(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.sleep().set("/annotations", json!({"io.kubernetes.cri-o.Name": "n"}));
    let container = scene.container(&bundle);
    container.create();
    let state = container.state();
    let mut members: Vec<_> = state.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    let all = ["annotations", "bundle", "created", "id", "ociVersion", "owner", "pid", "rootfs", "status"];
    assert_eq!(members, all);
    for member in all {
        let is_right = match member {
            "pid" => state[member].is_u64(),
            "annotations" => state[member] == json!({"io.kubernetes.cri-o.Name": "n"}),
            _ => state[member].is_string(),
        };
        assert!(is_right, "{member}: {state}");
    }
    // time.RFC3339Nano, in UTC.
    let created = state["created"].as_str().unwrap();
    assert!(created.as_bytes()[10] == b'T' && created.ends_with('Z'), "{created}");
    assert_eq!(state["rootfs"], json!(Path::new(bundle.arg()).join("rootfs")));
    let listed = scene.rt(&["list", "-f", "json"]).json()[0].clone();
    for member in ["annotations", "bundle", "created", "id", "ociVersion", "pid", "rootfs", "status"] {
        assert_eq!(listed[member], state[member], "{member}");
    }
    assert_eq!(listed["owner"], "root");
    container.delete();
}
