//! `restore`, with a peer in criu's place: what it is told, what is believed of what it says, and what a failure leaves.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use integration_tests::bundle::Bundle;
use integration_tests::criu::{Message, Peer, Swrk, answer, kind};
use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::runtime::Running;
use integration_tests::scene::{Container, Scene};
use serde_json::json;

use crate::checkpoint::{CC, bundle, kill};

integration_tests::tests! {
    restores_a_container_that_is_one [Need::Planc, CC],
    restores_and_stays [Need::Planc, CC],
    a_restore_that_fails_leaves_nothing [Need::Planc, CC],
    a_restored_mount_is_as_config_json_says [Need::Planc, CC],
    a_killed_restore_leaves_nothing [Need::Planc, CC],
    hostile_descriptors_are_refused [Need::Planc, CC],
}

/// Images that no criu has made, for a peer that does not read them.
fn images(scene: &Scene, descriptors: &str) -> PathBuf {
    let images = scene.path("images");
    fs::create_dir_all(&images).unwrap();
    fs::write(images.join("descriptors.json"), descriptors).unwrap();
    images
}

pub(crate) fn restore(scene: &Scene, container: &Container<'_>, bundle: &Bundle, flags: &[&str]) -> Running {
    let (images, work) = (scene.path("images"), scene.path("work"));
    let paths =
        ["--image-path", images.to_str().unwrap(), "--work-path", work.to_str().unwrap(), "--bundle", bundle.arg()];
    // As go-runc calls it, with one dash.
    scene.call(&[&["restore"], &paths[..], flags, &["-no-subreaper", &container.id]].concat()).spawn()
}

/// The peer's part of a restore up to where the processes are there; the notification about them is answered or not.
fn restored(swrk: &Swrk, pid: u32) -> bool {
    swrk.notify("setup-namespaces", pid) && swrk.notify("network-unlock", 0) && swrk.notify("post-restore", pid)
}

fn done(pid: u32) -> Message {
    answer(kind::RESTORE, true).with_bytes(4, Message::default().with(1, pid.into()).write())
}

fn restores_a_container_that_is_one(scene: &Scene) {
    let peer = Peer::new(scene);
    let scene = &peer.on(scene);
    images(scene, r#"["pipe:[4711]", "/dev/null", "file[1f:2]", "file[3:4]", "pipe:[5]", "mnt[/]:/"]"#);
    let mut bundle = bundle(scene);
    let hooks = scene.path("hooks");
    let hook = |name: &str| json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("(echo {name}; cat; echo) >> {}", hooks.display())]}]);
    bundle.set(
        "/hooks",
        json!({"createRuntime": hook("createRuntime"), "poststop": hook("poststop"), "poststart": hook("poststart")}),
    );
    // A mount point that is not there yet.
    let source = bundle.dir().join("shared");
    bundle.mount("/conf/made/here", "bind", source, &["bind"]);
    let container = scene.container(&bundle);
    let pid_file = scene.path("pid");
    let flags = ["-d", "--pid-file", pid_file.to_str().unwrap(), "--tcp-established", "--lsm-profile", "apparmor:x"];
    let running = restore(scene, &container, &bundle, &flags);
    peer.tell_version(4, 0);
    let swrk = peer.accept();
    let asked = swrk.options(kind::RESTORE);
    let root = PathBuf::from(asked.text(13).unwrap());
    assert!(root.join("bin/busybox").exists(), "the root filesystem is at {}", root.display());
    assert!(mounts_here().contains(root.to_str().unwrap()), "which is a mount point");
    assert_eq!((asked.number(26), asked.number(5), asked.number(6)), (Some(1), Some(1), Some(1)));
    assert_eq!((asked.text(10).unwrap().as_str(), asked.text(53).unwrap().as_str()), ("restore.log", "apparmor:x"));
    let external = asked.texts(37);
    let shared = bundle.dir().join("shared");
    for (key, source) in
        [("/conf", shared.as_path()), ("/conf/made/here", &shared), ("/dev/null", Path::new("/dev/null"))]
    {
        let wanted = format!("mnt[{key}]:{}", source.display());
        assert!(external.contains(&wanted), "no {wanted}: {external:?}");
    }
    assert!(shared.join("made/here").is_dir(), "as create would have made it");
    let inherited: Vec<_> =
        asked.messages(27).iter().map(|one| (one.text(1).unwrap(), one.number(2).unwrap())).collect();
    let wanted = [("pipe:[4711]", 0), ("file[1f:2]", 2), ("file[3:4]", 4)].map(|(key, fd)| (key.to_owned(), fd));
    assert_eq!(inherited, wanted);
    let roots = asked.messages(25);
    assert!(roots[0].text(2).unwrap().ends_with(&container.id), "{roots:?}");
    let pid = swrk.sibling();
    assert!(restored(&swrk, pid));
    swrk.say(&done(pid));
    drop(swrk);
    let ended = running.wait();
    ended.ok();
    assert_eq!(ended.stderr, "");

    let state = container.state();
    assert_eq!((state["status"].as_str().unwrap(), container.pid()), ("running", pid));
    assert_eq!(fs::read_to_string(pid_file).unwrap(), pid.to_string());
    assert!(process::cgroup(pid).ends_with(&container.id));
    assert!(!root.exists() && !mounts_here().contains(root.to_str().unwrap()));
    let told = fs::read_to_string(&hooks).unwrap();
    assert!(told.starts_with("createRuntime\n") && told.contains(&format!("\"pid\":{pid}")), "{told}");
    scene.rt(&["pause", &container.id]).ok();
    scene.rt(&["resume", &container.id]).ok();
    container.stop();
    assert_eq!(container.status(), "stopped");
    container.delete();
    let told = fs::read_to_string(&hooks).unwrap();
    assert!(told.contains("poststop\n") && !told.contains("poststart\n"), "{told}");
}

fn mounts_here() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

fn restores_and_stays(scene: &Scene) {
    let peer = Peer::new(scene);
    let scene = &peer.on(scene);
    images(scene, r#"["/dev/null", "/dev/null", "/dev/null"]"#);
    let bundle = bundle(scene);
    let container = scene.container(&bundle);
    let mut running = restore(scene, &container, &bundle, &["--manage-cgroups-mode=ignore"]);
    peer.tell_version(4, 0);
    let swrk = peer.accept();
    assert!(swrk.options(kind::RESTORE).messages(25).is_empty(), "its cgroups are not criu's business");
    let pid = swrk.sibling();
    assert!(restored(&swrk, pid));
    swrk.say(&done(pid));
    drop(swrk);
    scene.wait_until("it runs", || scene.rt(&["state", &container.id]).stdout.contains("running"));
    assert!(running.runs(), "it stays");
    container.kill("TERM");
    running.wait().exits(128 + 15);
    container.assert_gone();
}

fn a_restore_that_fails_leaves_nothing(scene: &Scene) {
    let peer = Peer::new(scene);
    let scene = &peer.on(scene);
    images(scene, "[]");
    let bundle = bundle(scene);
    let container = scene.container(&bundle);
    let before = scene.snapshot();
    let log = scene.path("work/restore.log");
    let begin = |detached: &[&str]| {
        let running = restore(scene, &container, &bundle, detached);
        peer.tell_version(4, 0);
        let swrk = peer.accept();
        swrk.options(kind::RESTORE);
        (running, swrk)
    };
    // It says no; it dies; it names a process that is none of the runtime's children; it names another than before.
    let (running, swrk) = begin(&["-d"]);
    fs::write(&log, "(00.1) Error (criu/mount.c:9): mnt: cannot\n").unwrap();
    let pid = swrk.sibling();
    assert!(swrk.notify("setup-namespaces", pid));
    kill(pid);
    swrk.say(&answer(kind::RESTORE, false).with(7, 17));
    let failed = running.wait();
    failed.fails().says("criu failed: type RESTORE errno 17").says("(00.1) Error (criu/mount.c:9): mnt: cannot");
    failed.says(log.to_str().unwrap());

    let (running, swrk) = begin(&[]);
    let pid = swrk.sibling();
    assert!(restored(&swrk, pid));
    swrk.exit(3);
    running.wait().fails().says("criu failed: it ended without an answer: exit status 3");

    let (running, swrk) = begin(&["-d"]);
    assert!(!restored(&swrk, std::process::id()), "the test's own process was not restored");
    swrk.say(&answer(kind::RESTORE, false));
    running.wait().fails();

    let (running, swrk) = begin(&["-d"]);
    let pid = swrk.sibling();
    assert!(restored(&swrk, pid));
    swrk.say(&done(1));
    running.wait().fails();
    container.assert_gone();
    let left = scene.differences_from(&before);
    assert!(left.is_empty(), "{}", left.join("\n"));
    assert!(bundle.rootfs("/bin/busybox").exists(), "what was mounted is not what is removed");
}

/// T-60: the images say how things are mounted, and config.json decides.
fn a_restored_mount_is_as_config_json_says(scene: &Scene) {
    let peer = Peer::new(scene);
    let scene = &peer.on(scene);
    images(scene, "[]");
    let bundle = bundle(scene);
    let hosts = bundle.dir().join("hosts");
    let target = scene.path("anywhere");
    fs::write(&target, "").unwrap();
    let container = scene.container(&bundle);
    for mode in ["rw", "ro"] {
        let running = restore(scene, &container, &bundle, &["-d"]);
        peer.tell_version(4, 0);
        let swrk = peer.accept();
        swrk.options(kind::RESTORE);
        let pid = swrk.sibling_with(&hosts, &target, mode);
        assert_eq!(restored(&swrk, pid), mode == "ro", "{mode}");
        if mode == "ro" {
            swrk.say(&done(pid));
            running.wait().ok();
            assert_eq!(container.status(), "running");
            container.delete_force();
        } else {
            swrk.say(&answer(kind::RESTORE, false));
            running.wait().fails().says("anywhere").says("is not ro (config.json /mounts/");
            container.assert_gone();
            scene.wait_until("it is killed", || !process::runs(pid));
        }
    }
}

fn a_killed_restore_leaves_nothing(scene: &Scene) {
    let peer = Peer::new(scene);
    let scene = &peer.on(scene);
    images(scene, "[]");
    let bundle = bundle(scene);
    let container = scene.container(&bundle);
    let before = scene.snapshot();
    for at in ["asked", "setup-namespaces", "post-restore", "done"] {
        let mut running = restore(scene, &container, &bundle, &[]);
        peer.tell_version(4, 0);
        let swrk = peer.accept();
        swrk.options(kind::RESTORE);
        match at {
            "asked" => {}
            "done" => {
                let pid = swrk.sibling();
                assert!(restored(&swrk, pid));
                swrk.say(&done(pid));
            }
            at => swrk.begin_to_notify(at, swrk.sibling()),
        }
        running.kill();
        // Whether criu ends by itself or not.
        container.delete_force();
        drop(swrk);
        let left = scene.differences_from(&before);
        assert!(left.is_empty(), "killed at {at}: {}", left.join("\n"));
        assert!(bundle.rootfs("/bin/busybox").exists(), "what was mounted is not what is removed");
        container.assert_gone();
    }
}

/// T-61: what lies beside the images is data.
fn hostile_descriptors_are_refused(scene: &Scene) {
    let peer = Peer::new(scene);
    let scene = &peer.on(scene);
    let images = images(scene, "[]");
    let bundle = bundle(scene);
    let container = scene.container(&bundle);
    let file = images.join("descriptors.json");
    let make: [(&str, &dyn Fn()); 3] = [
        ("symbolic link", &|| symlink("/etc/hostname", &file).unwrap()),
        ("Invalid argument", &|| nix::unistd::mkfifo(&file, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap()),
        ("descriptors.json", &|| fs::write(&file, "{\"a\": [").unwrap()),
    ];
    for (word, make) in make {
        fs::remove_file(&file).unwrap();
        make();
        let running = restore(scene, &container, &bundle, &["-d"]);
        peer.tell_version(4, 0);
        running.wait().fails().says(word);
        container.assert_gone();
    }
}
