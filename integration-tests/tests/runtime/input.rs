//! Bad input: refused in words, and nothing is left behind.

use std::fs::{self, File};

use integration_tests::harness::Need;
use integration_tests::runtime::Done;
use integration_tests::scene::Scene;
use serde_json::{Value, json};

integration_tests::tests! {
    refuses_an_empty_id,
    refuses_an_id_that_leads_elsewhere,
    refuses_an_id_of_2000_bytes,
    refuses_a_missing_id,
    refuses_an_unknown_command,
    refuses_an_unknown_flag,
    takes_relative_paths,
    refuses_an_unknown_format,
    delete_force_of_nothing_is_silent,
    refuses_a_bundle_without_config,
    refuses_a_missing_bundle,
    refuses_a_missing_rootfs,
    refuses_a_rootfs_that_is_a_file,
    refuses_no_root,
    refuses_an_unknown_major_version,
    refuses_nul_in_a_string,
    refuses_json_10000_levels_deep,
    refuses_what_is_no_json,
    refuses_null [Need::Planc],
    refuses_wrong_types,
    points_at_wrong_types [Need::Planc],
    takes_unknown_properties,
    takes_what_other_platforms_have,
    spec_does_not_overwrite,
    spec_can_be_run,
    survives_a_closed_stdout,
    survives_a_full_stdout [Need::Planc],
    a_closed_stdout_is_no_file_of_the_host,
    refuses_a_host_without_cgroup_v2,
    one_of_two_creates_wins,
    logs_the_error_as_json,
    says_its_version,
}

/// `create` with this id is refused, and nothing has changed.
fn refused_id(scene: &Scene, id: &str) -> Done {
    let bundle = scene.bundle();
    bundle.write();
    let done = scene.rt(&["create", "--bundle", bundle.arg(), id]);
    done.fails();
    done
}

fn refuses_an_empty_id(scene: &Scene) {
    refused_id(scene, "");
}

fn refuses_an_id_that_leads_elsewhere(scene: &Scene) {
    for id in ["../x", "..", ".", "a/b", "/x", "a b", "a\nb", "ä"] {
        refused_id(scene, id).says("id");
    }
    for command in ["state", "start", "kill", "delete"] {
        scene.rt(&[command, "../../etc"]).fails();
    }
}

fn refuses_an_id_of_2000_bytes(scene: &Scene) {
    refused_id(scene, &"x".repeat(2000));
}

fn refuses_a_missing_id(scene: &Scene) {
    for command in ["create", "run", "start", "state", "kill", "delete", "ps", "pause", "resume"] {
        let done = scene.rt(&[command]);
        assert_ne!(done.code(), 0, "{done}");
        done.says(command).says("requires");
    }
    scene.rt(&["state", "one", "two"]).fails();
}

/// `--bundle` and `--pid-file` from the working directory, which may be gone when they are used.
fn takes_relative_paths(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.sleep().write();
    let name = bundle.dir().file_name().unwrap().to_str().unwrap();
    for command in [&["create"][..], &["run", "-d"]] {
        let id = scene.id();
        let args = [command, &["--bundle", name, "--pid-file", "pids/pid", &id]].concat();
        fs::create_dir_all(scene.path("pids")).unwrap();
        scene.call(&args).dir(&scene.path("")).done().ok();
        let state = scene.rt(&["state", &id]).json();
        assert_eq!(state["bundle"], Value::from(bundle.arg()));
        assert_eq!(fs::read_to_string(scene.path("pids/pid")).unwrap(), state["pid"].to_string());
        scene.rt(&["delete", "--force", &id]).ok();
        fs::remove_dir_all(scene.path("pids")).unwrap();
    }
}

fn refuses_an_unknown_format(scene: &Scene) {
    for format in ["yaml", "JSON", ""] {
        scene.rt(&["list", "--format", format]).fails().says("invalid format option");
    }
}

fn delete_force_of_nothing_is_silent(scene: &Scene) {
    let done = scene.rt(&["delete", "--force", "nosuch"]);
    assert_eq!((done.ok().stdout.as_str(), done.stderr.as_str()), ("", ""));
    scene.rt(&["delete", "nosuch"]).fails().says("does not exist");
}

fn refuses_an_unknown_command(scene: &Scene) {
    let done = scene.rt(&["nosuch"]);
    assert_ne!(done.code(), 0, "{done}");
    assert!(format!("{}{}", done.stdout, done.stderr).contains("nosuch"), "{done}");
}

fn refuses_an_unknown_flag(scene: &Scene) {
    for words in [&["--nosuch", "list"][..], &["list", "--nosuch"], &["create", "--nosuch", "x"]] {
        let done = scene.rt(words);
        assert_ne!(done.code(), 0, "{done}");
        assert!(format!("{}{}", done.stdout, done.stderr).contains("nosuch"), "{done}");
    }
}

fn refuses_a_bundle_without_config(scene: &Scene) {
    let bundle = scene.bundle();
    let done = scene.rt(&["create", "--bundle", bundle.arg(), &scene.id()]);
    done.fails().says("config.json");
    fs::create_dir(bundle.dir().join("config.json")).unwrap();
    scene.rt(&["create", "--bundle", bundle.arg(), &scene.id()]).fails();
}

fn refuses_a_missing_bundle(scene: &Scene) {
    let none = scene.path("none");
    scene.rt(&["create", "--bundle", none.to_str().unwrap(), &scene.id()]).fails().says("none");
}

fn refuses_a_missing_rootfs(scene: &Scene) {
    scene.refused(scene.bundle().set("/root/path", "none"), "/root/path").says("none");
}

fn refuses_a_rootfs_that_is_a_file(scene: &Scene) {
    let mut bundle = scene.bundle();
    fs::write(bundle.dir().join("file"), "").unwrap();
    scene.refused(bundle.set("/root/path", "file"), "/root/path");
}

fn refuses_no_root(scene: &Scene) {
    scene.refused(scene.bundle().remove("/root"), "/root");
}

/// config.md#specification-version
fn refuses_an_unknown_major_version(scene: &Scene) {
    scene.refused(scene.bundle().set("/ociVersion", "2.0.0"), "/ociVersion").says("2.0.0");
}

fn refuses_nul_in_a_string(scene: &Scene) {
    let cases: [(&str, Value); 4] = [
        ("/process/env/1", json!("A=b\0c")),
        ("/process/args/0", json!("/bin/true\0x")),
        ("/process/cwd", json!("/tmp\0x")),
        ("/mounts/1/destination", json!("/dev\0x")),
    ];
    for (pointer, value) in cases {
        scene.refused(scene.bundle().set(pointer, value), pointer);
    }
}

fn refuses_json_10000_levels_deep(scene: &Scene) {
    let bundle = scene.bundle();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let config = serde_json::to_string(&bundle.config).unwrap();
    bundle.write_raw(format!("{{\"deep\":{deep},{}", &config[1..]));
    scene.rt(&["create", "--bundle", bundle.arg(), &scene.id()]).fails();
}

fn refuses_what_is_no_json(scene: &Scene) {
    let bundle = scene.bundle();
    let config = serde_json::to_string(&bundle.config).unwrap();
    for text in ["", "{", "[]", &config[..config.len() / 2]] {
        bundle.write_raw(text);
        scene.rt(&["create", "--bundle", bundle.arg(), &scene.id()]).fails();
    }
}

/// runc 1.1.5 crashes.
fn refuses_null(scene: &Scene) {
    let bundle = scene.bundle();
    bundle.write_raw("null");
    scene.rt(&["create", "--bundle", bundle.arg(), &scene.id()]).fails();
}

const WRONG_TYPES: [(&str, &str); 6] = [
    ("/process/args", "\"/bin/true\""),
    ("/process/user/uid", "-1"),
    ("/process/user/gid", "4294967296"),
    ("/mounts", "{}"),
    ("/root/readonly", "\"yes\""),
    ("/linux/namespaces/0/type", "7"),
];

fn wrong_types(scene: &Scene, judge: impl Fn(&str, &Done)) {
    for (pointer, value) in WRONG_TYPES {
        let mut bundle = scene.bundle();
        bundle.set(pointer, serde_json::from_str::<Value>(value).unwrap()).write();
        judge(pointer, &scene.rt(&["create", "--bundle", bundle.arg(), &scene.id()]));
    }
}

fn refuses_wrong_types(scene: &Scene) {
    wrong_types(scene, |_, done| drop(done.fails().clone()));
}

fn points_at_wrong_types(scene: &Scene) {
    wrong_types(scene, |pointer, done| drop(done.fails().says(pointer).clone()));
}

/// config.md#extensibility
fn takes_unknown_properties(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/unknown", json!({"a": [1]})).set("/process/unknown", 1).set("/linux/unknown", "x");
    bundle.set("/mounts/0/unknown", true).set("/vm", json!({"kernel": {"path": "/x"}}));
    scene.sh(&mut bundle, "true");
}

/// config.md#platform-specific-configuration: what is no property of Linux' is nothing to a runtime of Linux.
fn takes_what_other_platforms_have(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set(
        "/windows",
        json!({"layerFolders": ["C:\\layer"], "servicing": true, "network": {"DNSSearchList": ["x"]}}),
    );
    bundle.set(
        "/solaris",
        json!({"milestone": "svc:/milestone", "cappedCPU": {"ncpus": "8"}, "anet": [{"linkname": "n"}]}),
    );
    bundle.set("/zos", json!({"namespaces": [{"type": "mount"}]}));
    bundle.set("/freebsd", json!({"jail": {"host": "new", "enforceStatfs": 2}, "devices": [{"path": "null"}]}));
    bundle.set("/vm", json!({"kernel": {"path": "/x", "initrd": "/y"}, "hwConfig": {"vcpus": 1, "memory": 1}}));
    bundle.set("/process/user/username", "ContainerAdministrator").set("/process/commandLine", "cmd /c exit 9");
    assert_eq!(scene.sh(&mut bundle, "id -u"), "0\n");
}

fn spec_does_not_overwrite(scene: &Scene) {
    let bundle = scene.bundle();
    bundle.write_raw("mine");
    scene.rt(&["spec", "--bundle", bundle.arg()]).fails().says("config.json");
    assert_eq!(fs::read_to_string(bundle.dir().join("config.json")).unwrap(), "mine");
}

fn spec_can_be_run(scene: &Scene) {
    let mut bundle = scene.bundle();
    scene.rt(&["spec", "--bundle", bundle.arg()]).ok();
    let text = fs::read(bundle.dir().join("config.json")).unwrap();
    bundle.config = serde_json::from_slice(&text).unwrap();
    assert_eq!(bundle.config["process"]["args"], json!(["sh"]));
    bundle.set("/process/terminal", false);
    assert_eq!(scene.sh(&mut bundle, "echo $$"), "1\n");
}

fn survives_a_closed_stdout(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.create();
    for command in [&["list"][..], &["state", &container.id], &["--version"]] {
        let done = scene.call_by(&["sh", "-c", "exec \"$@\" >&-", "sh"], command).done();
        assert!(done.status.code().is_some() && !done.stderr.contains("panicked"), "{done}");
    }
    assert_eq!(container.status(), "created");
    container.delete();
}

/// What could not be said was not done: the exit code is not 0. (runc's is.)
fn survives_a_full_stdout(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.create();
    for command in [&["list", "-f", "json"][..], &["state", &container.id]] {
        let done = scene.call(command).stdout(File::options().write(true).open("/dev/full").unwrap()).done();
        done.fails();
    }
    container.delete();
}

/// What the runtime opens first would become the container's standard output.
fn a_closed_stdout_is_no_file_of_the_host(scene: &Scene) {
    let mut bundle = scene.bundle();
    // Not `readlink … >&2`: busybox may do that in the shell itself.
    let script =
        "i=$(readlink /proc/$$/fd/0); o=$(readlink /proc/$$/fd/1); echo ${i:-closed} >&2; echo ${o:-closed} >&2";
    bundle.sh(script).write();
    let id = scene.id();
    let done = scene.call_by(&["sh", "-c", "exec \"$@\" <&- >&-", "sh"], &["run", "-b", bundle.arg(), &id]).done();
    if done.status.success() {
        let harmless = |line: &str| line == "/dev/null" || line == "closed" || line.starts_with("pipe:");
        assert!(done.stderr.lines().count() == 2 && done.stderr.lines().all(harmless), "{done}");
    } else {
        done.fails();
    }
}

fn refuses_a_host_without_cgroup_v2(scene: &Scene) {
    let bundle = scene.bundle();
    bundle.write();
    let mask = "busybox umount -l /sys/fs/cgroup; busybox mount -t tmpfs none /sys/fs/cgroup && \
                mkdir /sys/fs/cgroup/memory && exec \"$@\"";
    let masked = ["unshare", "--mount", "sh", "-c", mask, "sh"];
    let done = scene.call_by(&masked, &["create", "--bundle", bundle.arg(), &scene.id()]).done();
    done.fails().says("cgroup");
}

fn one_of_two_creates_wins(scene: &Scene) {
    let bundle = scene.bundle();
    let container = scene.container(&bundle);
    let racers: Vec<_> = (0..4).map(|_| container.create_call(&[]).spawn()).collect();
    let ends: Vec<Done> = racers.into_iter().map(integration_tests::runtime::Running::wait).collect();
    let winners = ends.iter().filter(|done| done.status.success()).count();
    assert_eq!(winners, 1, "{ends:#?}");
    assert_eq!(container.status(), "created");
    container.delete();
}

/// Engines take the last line of the log as the reason.
fn logs_the_error_as_json(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.args(&["/nosuch"]).write();
    let log = scene.path("log.json");
    let log_options = ["--log", log.to_str().unwrap(), "--log-format", "json"];
    scene.rt(&[&log_options[..], &["create", "--bundle", bundle.arg(), &scene.id()]].concat()).fails();
    let text = fs::read_to_string(log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let last = lines.last().unwrap();
    assert_eq!(last["level"], "error");
    assert!(last["msg"].as_str().unwrap().contains("no such file or directory"), "{last}");
    assert!(last["time"].as_str().unwrap().contains('T'), "{last}");
}

fn says_its_version(scene: &Scene) {
    let done = scene.rt(&["--version"]);
    done.ok();
    let mut lines = done.stdout.lines();
    assert!(lines.next().unwrap().contains(" version "), "{done}");
    assert!(lines.any(|line| line.starts_with("spec: 1.")), "{done}");
    assert_eq!(done.stderr, "");
}
