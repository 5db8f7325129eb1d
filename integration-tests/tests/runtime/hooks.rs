//! Hooks (runtime-spec config.md#posix-platform-hooks): when each is run, where, and with what.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::runtime::Kind;
use integration_tests::scene::Scene;
use serde_json::{Value, json};

use crate::rootless;

integration_tests::tests! {
    are_run_in_order_over_a_life,
    are_run_in_order_by_run,
    read_the_state,
    read_the_pid_that_they_see,
    of_later_are_those_of_create,
    have_the_configured_environment,
    have_no_other_environment [Need::Planc],
    have_the_configured_arguments,
    are_refused_with_their_place [Need::Planc],
    work_outside_of_the_root_filesystem [Need::Planc],
    inherit_nothing [Need::Planc],
    see_their_namespaces,
    of_an_unprivileged_caller_see_the_containers,
    of_create_container_may_mount,
    of_create_container_may_mount_in_a_user_namespace,
    of_start_container_are_confined,
    of_poststart_follow_the_program [Need::Spec(1, 3)],
}

pub(crate) const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// The kinds that the runtime is judged by. runc 1.1 runs poststart hooks in `create`, before the user's program; config.md,
/// of runtime-spec 1.0 too: they are called "after the user-specified process is executed but before the start operation
/// returns".
fn kinds(scene: &Scene) -> Vec<&'static str> {
    let all_right = scene.runtime.kind != Kind::Runc || scene.runtime.spec >= (1, 3);
    KINDS.into_iter().filter(|kind| *kind != "poststart" || all_right).collect()
}

/// A hook that is a script: the host's shell is where the container's is.
pub(crate) fn script(text: &str) -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", text]})
}

/// A directory that hooks write to: on the host, and as /out in the container.
pub(crate) struct Out(PathBuf);

impl Out {
    /// Makes it, and mounts it into the bundle's container.
    pub(crate) fn of(scene: &Scene, bundle: &mut Bundle) -> Self {
        let dir = scene.path(&format!("out-{}", scene.id()));
        fs::create_dir(&dir).unwrap();
        // Also for root of a user namespace.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(dir.join("log"), "").unwrap();
        fs::set_permissions(dir.join("log"), fs::Permissions::from_mode(0o666)).unwrap();
        bundle.mount("/out", "bind", &dir, &["rbind", "rw"]);
        Self(dir)
    }

    /// What hooks of a kind call it.
    pub(crate) fn seen_by(&self, kind: &str) -> &str {
        if kind == "startContainer" { "/out" } else { self.0.to_str().unwrap() }
    }

    /// A path of it on the host.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What was written to a file of it; empty where nothing was.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

/// Gives the bundle one hook of each kind; `text` makes its script from its kind and what it calls the directory.
fn each(scene: &Scene, bundle: &mut Bundle, out: &Out, text: impl Fn(&str, &str) -> String) {
    let list = |kind: &&str| ((*kind).to_owned(), json!([script(&text(kind, out.seen_by(kind)))]));
    bundle.set("/hooks", kinds(scene).iter().map(list).collect::<serde_json::Map<_, _>>());
}

/// Two hooks of each kind, which log themselves.
pub(crate) fn log_each(scene: &Scene, bundle: &mut Bundle, out: &Out) {
    let list = |kind: &&str| {
        let log = |n: u32| script(&format!("echo {kind} {n} >> {}/log", out.seen_by(kind)));
        ((*kind).to_owned(), json!([log(0), log(1)]))
    };
    bundle.set("/hooks", kinds(scene).iter().map(list).collect::<serde_json::Map<_, _>>());
}

/// What two hooks of each of these kinds have logged.
pub(crate) fn logged(kinds: &[&str]) -> String {
    kinds.iter().map(|kind| format!("{kind} 0\n{kind} 1\n")).collect()
}

fn are_run_in_order_over_a_life(scene: &Scene) {
    for has_user in [false, true] {
        let mut bundle = scene.bundle();
        let out = Out::of(scene, &mut bundle);
        if has_user {
            bundle.user_namespace(100_000);
        }
        log_each(scene, &mut bundle, &out);
        let container = scene.container(bundle.sh("cp /out/log /out/seen; exec sleep 1000"));
        container.create();
        assert_eq!(out.read("log"), logged(&KINDS[..3]));
        container.start();
        let all = kinds(scene);
        let (_, alive) = all.split_last().unwrap();
        assert_eq!(out.read("log"), logged(alive));
        scene.wait_until("the program has looked", || !out.read("seen").is_empty());
        assert!(out.read("seen").starts_with(&logged(&KINDS[..4])), "{}", out.read("seen"));
        container.stop();
        assert_eq!(out.read("log"), logged(alive), "the end of a container is not its deletion");
        container.delete();
        assert_eq!(out.read("log"), logged(&kinds(scene)));
    }
}

fn are_run_in_order_by_run(scene: &Scene) {
    let mut bundle = scene.bundle();
    let out = Out::of(scene, &mut bundle);
    log_each(scene, &mut bundle, &out);
    scene.container(bundle.sh("exit 7")).run().exits(7);
    assert_eq!(out.read("log"), logged(&kinds(scene)));
}

/// The state that a hook of a kind has read.
#[track_caller]
fn state_of(out: &Out, kind: &str) -> Value {
    let text = out.read(kind);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{kind} read no JSON ({error}): {text:?}"))
}

/// runtime.md#state
fn read_the_state(scene: &Scene) {
    let mut bundle = scene.bundle();
    let out = Out::of(scene, &mut bundle);
    let annotations = json!({"org.example.a": "1", "org.example.\"": "\n\u{e9}"});
    bundle.set("/annotations", annotations.clone()).sleep();
    each(scene, &mut bundle, &out, |kind, dir| format!("cat > {dir}/{kind}"));
    let container = scene.container(&bundle);
    container.create();
    let pid = container.pid();
    container.start();
    container.stop();
    container.delete();
    let wanted =
        [("creating", pid), ("creating", pid), ("creating", 1), ("created", 1), ("running", pid), ("stopped", 0)];
    for (kind, (status, pid)) in KINDS.into_iter().zip(wanted).filter(|(kind, _)| kinds(scene).contains(kind)) {
        let state = state_of(&out, kind);
        assert_eq!(state["id"], container.id.as_str(), "{kind}");
        assert_eq!(state["bundle"], bundle.arg(), "{kind}");
        assert_eq!(state["annotations"], annotations, "{kind}");
        assert_eq!(state["status"], status, "{kind}");
        assert_eq!(state["pid"].as_u64().unwrap_or(0), u64::from(pid), "{kind}");
        assert!(state["ociVersion"].as_str().unwrap().starts_with("1."), "{kind}: {state}");
    }
}

/// In the pid namespace of the host even the container's hooks see the pid that the host sees.
fn read_the_pid_that_they_see(scene: &Scene) {
    let mut bundle = scene.bundle();
    let out = Out::of(scene, &mut bundle);
    bundle.namespace("pid", None).sleep();
    each(scene, &mut bundle, &out, |kind, dir| format!("cat > {dir}/{kind}"));
    let container = scene.container(&bundle);
    container.create();
    let pid = container.pid();
    container.start();
    container.delete_force();
    for kind in kinds(scene).into_iter().filter(|kind| *kind != "poststop") {
        assert_eq!(state_of(&out, kind)["pid"], pid, "{kind}");
    }
}

/// runtime.md#lifecycle, step 2: what config.json says later is none of the container's.
fn of_later_are_those_of_create(scene: &Scene) {
    let mut bundle = scene.bundle();
    let out = Out::of(scene, &mut bundle);
    log_each(scene, &mut bundle, &out);
    let container = scene.container(&bundle);
    container.create();
    bundle.set("/hooks", json!({"poststart": [script("exit 1")], "poststop": [script("exit 1")]})).write();
    container.start();
    fs::remove_file(bundle.dir().join("config.json")).unwrap();
    container.delete_force();
    assert_eq!(out.read("log"), logged(&kinds(scene)));
}

/// A hook that copies a file of its own /proc, without a shell in between.
fn copies(file: &str, to: &str) -> Value {
    json!({"path": "/bin/dd", "args": ["dd", format!("if=/proc/self/{file}"), format!("of={to}")]})
}

/// What a file of /proc holds that has NULs between its strings.
fn strings(text: &str) -> Vec<&str> {
    text.split_terminator('\0').collect()
}

/// T-40
fn have_the_configured_environment(scene: &Scene) {
    let mut bundle = scene.bundle();
    let out = Out::of(scene, &mut bundle);
    bundle.set("/process/env/-", "LD_PRELOAD=/evil.so");
    let mut hooks = serde_json::Map::new();
    for kind in KINDS {
        let mut hook = copies("environ", &format!("{}/{kind}", out.seen_by(kind)));
        hook["env"] = json!(["B=2", "A=x y=z", "EMPTY="]);
        hooks.insert(kind.to_owned(), json!([hook]));
    }
    // Where config.json has none, these have the container's.
    let own = copies("environ", "/out/own");
    hooks["startContainer"].as_array_mut().unwrap().push(own);
    let container = scene.container(bundle.set("/hooks", hooks));
    container.create_call(&[]).env("SECRET", "1").done().ok();
    container.start();
    container.delete_force();
    for kind in KINDS {
        assert_eq!(strings(&out.read(kind)), ["B=2", "A=x y=z", "EMPTY="], "{kind}");
    }
    let own = out.read("own");
    let own = strings(&own);
    assert!(
        own.contains(&"TERM=xterm") && own.contains(&"HOME=/root") && own.contains(&"LD_PRELOAD=/evil.so"),
        "{own:?}"
    );
    assert!(!own.contains(&"SECRET=1"), "{own:?}");
}

/// T-40: the list, and nothing else. (config.md has no word on a hook without `env`: runc gives it its own environment.)
fn have_no_other_environment(scene: &Scene) {
    let mut bundle = scene.bundle();
    let out = Out::of(scene, &mut bundle);
    let mut hooks = serde_json::Map::new();
    for kind in KINDS {
        let to = |name: &str| copies("environ", &format!("{}/{kind}-{name}", out.seen_by(kind)));
        let mut empty = to("empty");
        empty["env"] = json!([]);
        let mut doubled = to("doubled");
        doubled["env"] = json!(["B=2", "A", "B=3"]);
        hooks.insert(kind.to_owned(), json!([to("absent"), empty, doubled]));
    }
    let container = scene.container(bundle.set("/hooks", hooks));
    container.create_call(&[]).env("SECRET", "1").env("LD_LIBRARY_PATH", "/secret").done().ok();
    scene.call(&["start", &container.id]).env("SECRET", "1").done().ok();
    scene.call(&["delete", "--force", &container.id]).env("SECRET", "1").done().ok();
    for kind in KINDS {
        assert!(fs::exists(out.path(&format!("{kind}-absent"))).unwrap(), "{kind} was not run");
        assert_eq!(out.read(&format!("{kind}-empty")), "", "{kind}");
        assert_eq!(strings(&out.read(&format!("{kind}-doubled"))), ["B=2", "A", "B=3"], "{kind}");
        if kind != "startContainer" {
            assert_eq!(out.read(&format!("{kind}-absent")), "", "{kind}");
        }
    }
}

fn have_the_configured_arguments(scene: &Scene) {
    let mut bundle = scene.bundle();
    let out = Out::of(scene, &mut bundle);
    let program = scene.path("hook");
    fs::write(
        &program,
        format!("#!/bin/sh\nread pid rest < /proc/self/stat\ncp /proc/$pid/cmdline {}/$#\n", out.seen_by("")),
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.to_str().unwrap();
    // dd does not mind what it is called.
    let mut named = copies("cmdline", &format!("{}/named", out.seen_by("")));
    named["args"][0] = "any name".into();
    let hooks = json!([{"path": program}, {"path": program, "args": ["zero", "", "two words"]}, named]);
    let container = scene.container(bundle.set("/hooks", json!({"createRuntime": hooks, "createContainer": hooks})));
    container.create();
    container.delete();
    assert_eq!(strings(&out.read("0")), ["/bin/sh", program]);
    assert_eq!(strings(&out.read("2")), ["/bin/sh", program, "", "two words"]);
    assert_eq!(strings(&out.read("named"))[0], "any name");
}

/// T-41
fn are_refused_with_their_place(scene: &Scene) {
    let mut bundle = scene.bundle();
    for (hook, name) in [
        (json!({"path": "bin/true"}), "path"),
        (json!({"path": ""}), "path"),
        (json!({"path": "/bin/true", "timeout": 0}), "timeout"),
        (json!({"path": "/bin/true", "timeout": -5}), "timeout"),
        (json!({"path": "/bin/true", "env": ["A=\u{0}"]}), "env/0"),
    ] {
        for kind in KINDS {
            bundle.set("/hooks", json!({kind: [{"path": "/bin/true"}, hook]}));
            scene.refused(&bundle, &format!("/hooks/{kind}/1/{name}"));
        }
    }
}

/// T-41: no file of an image is the one that a hook meant. (CVE-2025-23266: runc's are in the root filesystem.)
fn work_outside_of_the_root_filesystem(scene: &Scene) {
    let mut bundle = scene.bundle();
    let out = Out::of(scene, &mut bundle);
    bundle.set("/process/cwd", "/tmp");
    each(scene, &mut bundle, &out, |kind, dir| format!("pwd > {dir}/{kind}"));
    let container = scene.container(&bundle);
    container.create();
    container.start();
    container.delete_force();
    let in_bundle = format!("{}\n", bundle.dir().display());
    for kind in KINDS {
        // The host's are where the engine put config.json, as runc's are in create.
        let wanted = if matches!(kind, "createContainer" | "startContainer") { "/\n" } else { &in_bundle };
        assert_eq!(out.read(kind), wanted, "{kind}");
    }
}

/// Neither descriptors nor signals of the caller's, nor init's umask.
fn inherit_nothing(scene: &Scene) {
    let mut bundle = scene.bundle();
    let out = Out::of(scene, &mut bundle);
    let mut hooks = serde_json::Map::new();
    for kind in KINDS {
        let dir = out.seen_by(kind);
        // The pid that this /proc has for the shell: its own may be of another pid namespace.
        let shell = script(&format!(
            "read pid name state parent group rest < /proc/self/stat; \
             {{ umask; test $pid = $group && echo leads its group; ls /proc/$pid/fd; }} > {dir}/{kind}"
        ));
        // A shell may ignore signals of itself.
        hooks.insert(kind.to_owned(), json!([shell, copies("status", &format!("{dir}/{kind}-status"))]));
    }
    bundle.set("/hooks", hooks);
    let container = scene.container(bundle.sleep());
    let caller = ["sh", "-c", "trap '' USR1 PIPE INT; umask 022; exec 7</etc/passwd; exec \"$@\"", "sh"];
    for command in ["create", "start", "delete"] {
        let args = match command {
            "create" => vec![command, "--bundle", bundle.arg(), &container.id],
            "delete" => vec![command, "--force", &container.id],
            _ => vec![command, &container.id],
        };
        scene.call_by(&caller, &args).done().ok();
    }
    for kind in KINDS {
        let said = out.read(kind);
        // The shell has a copy of what it redirected, until it redirects it back.
        let lines: Vec<&str> = said.lines().filter(|line| *line != "10").collect();
        assert_eq!(lines, ["0022", "leads its group", "0", "1", "2"], "{kind}");
        let status = out.read(&format!("{kind}-status"));
        for key in ["SigPnd", "SigBlk", "SigIgn"] {
            assert_eq!(process::status_line(&status, key).unwrap(), "0000000000000000", "{kind}: {key}");
        }
    }
}

fn see_their_namespaces(scene: &Scene) {
    let mut bundle = scene.bundle();
    let out = Out::of(scene, &mut bundle);
    let names = "cgroup ipc mnt net pid uts";
    each(scene, &mut bundle, &out, |kind, dir| {
        format!("for n in {names}; do echo $n $(readlink /proc/self/ns/$n); done > {dir}/{kind}")
    });
    let container = scene.container(bundle.sleep());
    container.create();
    let pid = container.pid();
    let shown = |pid: &str| {
        let all = process::namespaces(pid);
        names.split(' ').map(|name| format!("{name} {}\n", all[name].display())).collect::<String>()
    };
    let (inside, outside) = (shown(&pid.to_string()), shown("self"));
    assert_ne!(inside, outside);
    container.start();
    container.delete_force();
    for kind in kinds(scene) {
        let is_inside = ["createContainer", "startContainer"].contains(&kind);
        assert_eq!(out.read(kind), if is_inside { &inside } else { &outside }.as_str(), "{kind}");
    }
}

/// As a network helper does, which is given the pid alone.
fn of_an_unprivileged_caller_see_the_containers(scene: &Scene) {
    let user = rootless::by_user(scene);
    let mut bundle = rootless::bundle(scene);
    let out = Out::of(scene, &mut bundle);
    let text = format!(
        "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); \
         readlink /proc/$pid/ns/net > {0}/seen && readlink /proc/self/ns/net > {0}/own",
        out.seen_by("")
    );
    for kind in ["createRuntime", "poststart"] {
        let container = user.container(bundle.set("/hooks", json!({kind: [script(&text)]})).sleep());
        container.run_detached();
        let inside = &process::namespaces(container.pid())["net"];
        assert_eq!(out.read("seen"), format!("{}\n", inside.display()), "{kind}");
        assert_ne!(out.read("seen"), out.read("own"), "{kind}");
        container.delete_force();
    }
}

/// config.md#createcontainer-hooks: in the container's namespaces, before the root is changed.
fn mount_by_hook(scene: &Scene, bundle: &mut Bundle) {
    let rootfs = bundle.rootfs("");
    let rootfs = rootfs.to_str().unwrap().trim_end_matches('/').to_owned();
    let text = format!(
        "set -e; test -e {rootfs}/proc/self/status; busybox mount -t tmpfs hook {rootfs}/tmp; echo by the hook > {rootfs}/tmp/file"
    );
    bundle.set("/hooks", json!({"createContainer": [script(&text)]}));
    assert_eq!(scene.sh(bundle, "cat /tmp/file"), "by the hook\n");
    assert!(!fs::exists(format!("{rootfs}/tmp/file")).unwrap(), "the host sees it");
}

fn of_create_container_may_mount(scene: &Scene) {
    mount_by_hook(scene, &mut scene.bundle());
}

fn of_create_container_may_mount_in_a_user_namespace(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000);
    mount_by_hook(scene, &mut bundle);
}

/// They are processes of the container as its program is, and their path is the container's.
fn of_start_container_are_confined(scene: &Scene) {
    let mut bundle = scene.bundle();
    let out = Out::of(scene, &mut bundle);
    fs::copy("/bin/busybox", bundle.rootfs("only-here")).unwrap();
    let what = "id -u; id -g; hostname; grep -E '^(Cap|NoNewPrivs)' /proc/self/status; ulimit -n; umask; cat /proc/self/cgroup";
    let hook = json!({"path": "/only-here", "args": ["sh", "-c", format!("({what}) > /out/hook")]});
    bundle.set("/hooks", json!({"startContainer": [hook]}));
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1001, "umask": 0o027}));
    scene.sh(&mut bundle, &format!("({what}) > /out/program"));
    assert_eq!(out.read("hook"), out.read("program"));
    assert!(out.read("hook").starts_with("1000\n1001\ncontainer\n"), "{}", out.read("hook"));
}

fn of_poststart_follow_the_program(scene: &Scene) {
    let mut bundle = scene.bundle();
    let out = Out::of(scene, &mut bundle);
    let text = format!(
        "sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/' | {{ read pid; readlink /proc/$pid/exe > {}/exe; }}",
        out.seen_by("")
    );
    bundle.set("/hooks", json!({"poststart": [script(&text)]})).sleep();
    let container = scene.container(&bundle);
    container.create();
    container.start();
    assert!(out.read("exe").trim_end().ends_with("/bin/busybox"), "{}", out.read("exe"));
    container.delete_force();
    container.run_detached();
    assert_eq!(out.read("exe").lines().count(), 1);
    container.delete_force();
}
