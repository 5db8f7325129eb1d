//! `checkpoint` and `restore`: the conversation with criu, played by a peer; and with a criu that works here, the real thing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use integration_tests::bundle::Bundle;
use integration_tests::criu::{Message, Peer, WORKS as CRIU, answer, kind};
use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::runtime::Running;
use integration_tests::scene::{Container, Scene};
use serde_json::json;

use crate::restore::restore;

/// A compiler for the peer.
pub(crate) const CC: Need = Need::Works("cc --version");

/// A criu that is too old for this kernel.
const OLD_CRIU: Need = Need::Works("criu --version && ! criu check");

integration_tests::tests! {
    dumps_and_deletes [Need::Planc, CC],
    passes_flags_on [Need::Planc, CC],
    pre_dumps_and_goes_on [Need::Planc, CC],
    says_when_lazy_pages_are_served [Need::Planc, CC],
    a_dump_that_fails_says_why [Need::Planc, CC],
    a_criu_that_dies_leaves_a_container_that_runs [Need::Planc, CC],
    a_criu_that_keeps_silent_is_not_waited_for [Need::Planc, CC],
    a_killed_checkpoint_leaves_nothing [Need::Planc, CC],
    misread_mount_points_are_refused [Need::Planc, CC],
    wrong_calls_are_refused [Need::Planc],
    without_criu_it_says_so [Need::Planc],
    an_old_criu_says_why [Need::Planc, OLD_CRIU],
    // Older ones of runc do not know how to leave cgroups alone.
    a_restored_container_goes_on_counting [CRIU, Need::Spec(1, 2)],
}

/// A container that sleeps, with mounts of the host's: one behind a link of its image.
struct Subject<'s> {
    container: Container<'s>,
    rootfs: PathBuf,
}

pub(crate) fn bundle(scene: &Scene) -> Bundle {
    let mut bundle = scene.bundle();
    for name in ["shared", "real"] {
        fs::create_dir_all(bundle.dir().join(name)).unwrap();
    }
    fs::create_dir(bundle.rootfs("/real")).unwrap();
    symlink("/real", bundle.rootfs("/conf")).unwrap();
    fs::write(bundle.dir().join("hosts"), "").unwrap();
    let (hosts, shared) = (bundle.dir().join("hosts"), bundle.dir().join("shared"));
    bundle.sleep().mount("/etc/hosts", "bind", hosts, &["bind", "ro"]).mount("/conf", "bind", shared, &["rbind", "rw"]);
    bundle.set("/linux/maskedPaths", json!(["/proc/version", "/proc/irq"])).set("/root/readonly", false);
    bundle
}

fn running(scene: &Scene) -> Subject<'_> {
    let bundle = bundle(scene);
    let container = scene.container(&bundle);
    container.run_detached();
    Subject { container, rootfs: bundle.rootfs("/") }
}

impl Subject<'_> {
    fn checkpoint(&self, scene: &Scene, flags: &[&str]) -> Running {
        let (images, work) = (scene.path("images"), scene.path("work"));
        let paths = ["--image-path", images.to_str().unwrap(), "--work-path", work.to_str().unwrap()];
        scene.call(&[&["checkpoint"], &paths[..], flags, &[&self.container.id]].concat()).spawn()
    }
}

/// Where one of the runtime's descriptors leads.
fn descriptor(running: &Running, number: Option<u64>) -> PathBuf {
    fs::read_link(format!("/proc/{}/fd/{}", running.pid(), number.unwrap())).unwrap()
}

/// What criu does at the end of a dump.
pub(crate) fn kill(pid: u32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
}

fn dumps_and_deletes(scene: &Scene) {
    let peer = Peer::new(scene);
    let scene = &peer.on(scene);
    let subject = running(scene);
    let pid = subject.container.pid();
    let cgroup = process::cgroup(pid);
    let running = subject.checkpoint(scene, &[]);
    peer.tell_version(4, 0);
    let swrk = peer.accept();
    let asked = swrk.options(kind::DUMP);
    assert_eq!(descriptor(&running, asked.number(1)), scene.path("images"));
    assert_eq!(descriptor(&running, asked.number(17)), scene.path("work"));
    assert_eq!(asked.number(2), Some(pid.into()));
    assert_eq!(asked.text(10).unwrap(), "dump.log");
    assert_eq!(Path::new(&asked.text(13).unwrap()).canonicalize().unwrap(), subject.rootfs.canonicalize().unwrap());
    assert_eq!((asked.number(12), asked.number(34), asked.number(38)), (Some(1), Some(3), Some(0x4000_0000)));
    assert!(asked.text(44).unwrap().ends_with(&subject.container.id), "its cgroup is what is frozen");
    assert_eq!(asked.text(51).unwrap(), "/etc/criu/runc.conf");
    for off in [3, 4, 5, 7, 8, 16, 18, 46, 48] {
        assert_eq!(asked.number(off), Some(0), "option {off}");
    }
    let external = asked.texts(37);
    // Where the link of the image leads, and what config.json calls it. A directory is masked by a mount of the container's.
    for wanted in ["mnt[/etc/hosts]:/etc/hosts", "mnt[/real]:/conf", "mnt[/proc/version]:/dev/null"] {
        assert!(external.iter().any(|one| one == wanted), "no {wanted}: {external:?}");
    }
    assert!(external.iter().all(|one| !one.contains("/proc/irq")), "{external:?}");
    let images = scene.path("images");
    assert_eq!(fs::metadata(&images).unwrap().permissions().mode() & 0o777, 0o700);
    let descriptors: Vec<String> = serde_json::from_slice(&fs::read(images.join("descriptors.json")).unwrap()).unwrap();
    assert_eq!(descriptors[0], "/dev/null");
    assert_eq!(descriptors.iter().filter(|one| external.contains(one)).count(), 3, "{descriptors:?}, {external:?}");
    assert!(swrk.notify("network-lock", 0) && swrk.notify("post-dump", 0));
    kill(pid);
    swrk.say(&answer(kind::DUMP, true));
    let done = running.wait();
    done.ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", ""));
    subject.container.assert_gone();
    assert!(!cgroup.exists());
}

fn passes_flags_on(scene: &Scene) {
    let peer = Peer::new(scene);
    let scene = &peer.on(scene);
    let mut bundle = bundle(scene);
    bundle.set("/annotations", json!({"org.criu.config": "/etc/my.conf"}));
    let container = scene.container(&bundle);
    container.run_detached();
    fs::create_dir_all(scene.path("parent")).unwrap();
    let subject = Subject { container, rootfs: bundle.rootfs("/") };
    let flags = [
        "--leave-running",
        "--tcp-established",
        "--tcp-skip-in-flight",
        "--link-remap",
        "--ext-unix-sk",
        "--shell-job",
        "--file-locks",
        "--auto-dedup",
        "--parent-path",
        "../parent",
        "--manage-cgroups-mode",
        "ignore",
        "--empty-ns",
        "network",
        "--page-server",
        "[::1]:27277",
    ];
    let running = subject.checkpoint(scene, &flags);
    peer.tell_version(3, 11);
    let swrk = peer.accept();
    let asked = swrk.options(kind::DUMP);
    for on in [3, 4, 5, 7, 8, 15, 16, 18, 46] {
        assert_eq!(asked.number(on), Some(1), "option {on}");
    }
    assert_eq!((asked.number(34), asked.text(14).unwrap().as_str()), (Some(0), "../parent"));
    let server = asked.messages(11).remove(0);
    assert_eq!((server.text(1).unwrap().as_str(), server.number(2)), ("::1", Some(27277)));
    assert_eq!(asked.text(51).unwrap(), "/etc/my.conf");
    assert_eq!(asked.text(44), None, "a criu that does not know the freezer of cgroup v2 is not told of it");
    swrk.say(&answer(kind::DUMP, true));
    running.wait().ok();
    assert_eq!(subject.container.status(), "running");
    subject.container.delete_force();
}

fn pre_dumps_and_goes_on(scene: &Scene) {
    let peer = Peer::new(scene);
    let scene = &peer.on(scene);
    let subject = running(scene);
    let features = |has: u64| answer(kind::FEATURE_CHECK, true).with_bytes(8, Message::default().with(1, has).write());
    for has in [0, 1] {
        let running = subject.checkpoint(scene, &["--pre-dump"]);
        peer.tell_version(4, 0);
        let swrk = peer.accept();
        let asked = swrk.request();
        assert_eq!(asked.number(1), Some(kind::FEATURE_CHECK));
        assert_eq!(asked.messages(5), [Message::default().with(1, 1)]);
        swrk.say(&features(has));
        if has == 0 {
            running.wait().fails().says("criu is missing features: [memory tracking]");
            continue;
        }
        let swrk = peer.accept();
        let asked = swrk.options(kind::PRE_DUMP);
        assert!(asked.texts(37).is_empty(), "no mount is saved");
        swrk.say(&answer(kind::PRE_DUMP, true));
        // criu would wait for a next one.
        let end = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            swrk.exit(1);
        });
        running.wait().ok();
        end.join().unwrap();
    }
    assert!(!scene.path("images/descriptors.json").exists());
    assert_eq!(subject.container.status(), "running");
    subject.container.delete_force();
}

fn says_when_lazy_pages_are_served(scene: &Scene) {
    let peer = Peer::new(scene);
    let scene = &peer.on(scene);
    let subject = running(scene);
    let file = scene.path("status");
    let by = scene.by(&["sh", "-c", &format!("exec 9>{}; exec \"$@\"", file.display()), "sh"]);
    let running = subject.checkpoint(&by, &["--lazy-pages", "--status-fd", "9", "--page-server", "0.0.0.0:27277"]);
    peer.tell_version(4, 0);
    let swrk = peer.accept();
    assert_eq!(swrk.request().messages(5), [Message::default().with(2, 1)]);
    swrk.say(&answer(kind::FEATURE_CHECK, true).with_bytes(8, Message::default().with(2, 1).write()));
    let swrk = peer.accept();
    assert_eq!(swrk.options(kind::DUMP).number(48), Some(1));
    assert_eq!(fs::read(&file).unwrap(), b"");
    assert!(swrk.notify("status-ready", 0));
    assert_eq!(fs::read(&file).unwrap(), [0]);
    kill(subject.container.pid());
    swrk.say(&answer(kind::DUMP, true));
    running.wait().ok();
    subject.container.assert_gone();
}

fn a_dump_that_fails_says_why(scene: &Scene) {
    let peer = Peer::new(scene);
    let scene = &peer.on(scene);
    let subject = running(scene);
    let running = subject.checkpoint(scene, &[]);
    peer.tell_version(4, 0);
    let swrk = peer.accept();
    swrk.options(kind::DUMP);
    let log = scene.path("work/dump.log");
    let text = "(00.000001) Error (criu/util.c:642): exited, status=1\n(00.01) Warn  (criu/a.c:1): no\n\
                (00.02) Error (criu/vdso.c:381): vdso: Unexpected \u{1b}[1m bounds\n(00.03) Error (criu/b.c:2): FAILED\n";
    fs::write(&log, text).unwrap();
    swrk.say(&answer(kind::DUMP, false).with(7, 22).with_bytes(9, "another word\n"));
    let done = running.wait();
    done.fails().says("criu failed: type DUMP errno 22");
    done.says("(00.02) Error (criu/vdso.c:381): vdso: Unexpected").says(log.to_str().unwrap());
    assert!(!done.stderr.contains('\u{1b}') && !done.stderr.contains("FAILED"), "{done}");
    assert_eq!(done.stderr.lines().count(), 1, "{done}");
    assert_eq!(subject.container.status(), "running");
    subject.container.delete_force();
}

/// criu freezes the container's cgroup, and is killed before it thaws it.
fn a_criu_that_dies_leaves_a_container_that_runs(scene: &Scene) {
    let peer = Peer::new(scene);
    let scene = &peer.on(scene);
    let subject = running(scene);
    let running = subject.checkpoint(scene, &[]);
    peer.tell_version(4, 0);
    let swrk = peer.accept();
    let asked = swrk.options(kind::DUMP);
    fs::write(Path::new(&asked.text(44).unwrap()).join("cgroup.freeze"), "1").unwrap();
    scene.wait_until("it is frozen", || subject.container.status() == "paused");
    assert!(swrk.notify("network-lock", 0));
    swrk.exit(9);
    running.wait().fails().says("criu failed: it ended without an answer: exit status 9");
    assert_eq!(subject.container.status(), "running");
    subject.container.exec(&[], &["true"]).ok();
    subject.container.delete_force();
}

fn a_criu_that_keeps_silent_is_not_waited_for(scene: &Scene) {
    let peer = Peer::new(scene);
    let scene = &peer.on(scene);
    let subject = running(scene);
    let begin = Instant::now();
    let running = subject.checkpoint(scene, &[]);
    let swrk = peer.accept();
    swrk.request();
    running.wait().fails().says("criu failed: it did nothing for 10 s");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert_eq!(subject.container.status(), "running");
    subject.container.delete_force();
}

fn a_killed_checkpoint_leaves_nothing(scene: &Scene) {
    let peer = Peer::new(scene);
    let scene = &peer.on(scene);
    for notified in ["", "network-lock", "post-dump"] {
        let before = scene.snapshot();
        let subject = running(scene);
        let mut running = subject.checkpoint(scene, &[]);
        peer.tell_version(4, 0);
        let swrk = peer.accept();
        swrk.options(kind::DUMP);
        if !notified.is_empty() {
            swrk.begin_to_notify(notified, 0);
        }
        running.kill();
        assert_eq!(subject.container.status(), "running");
        // criu hears of it by its socket, and ends.
        drop(swrk);
        subject.container.delete_force();
        let left = scene.differences_from(&before);
        assert!(left.is_empty(), "killed at {notified:?}: {}", left.join("\n"));
    }
}

/// T-60: CVE-2026-119101, CVE-2026-115520. A link of the image leads to a name that criu reads as another key.
fn misread_mount_points_are_refused(scene: &Scene) {
    let peer = Peer::new(scene);
    let scene = &peer.on(scene);
    for name in ["a]:b", "a\nb", "a,b"] {
        let mut bundle = scene.bundle();
        fs::create_dir(bundle.rootfs(name)).unwrap();
        symlink(format!("/{name}"), bundle.rootfs("/link")).unwrap();
        let source = bundle.dir().to_owned();
        let container = scene.container(bundle.sleep().mount("/link", "bind", source, &["bind", "ro"]));
        container.run_detached();
        let subject = Subject { container, rootfs: bundle.rootfs("/") };
        let running = subject.checkpoint(scene, &[]);
        peer.tell_version(4, 0);
        let done = running.wait();
        done.fails().says("criu misreads the path of the mount point").says("/mounts/");
        assert_eq!(subject.container.status(), "running");
        subject.container.delete_force();
    }
    // A destination of config.json's is only ever a key, and a key is harmless.
    let mut bundle = scene.bundle();
    let source = bundle.dir().to_owned();
    fs::create_dir(bundle.rootfs("/plain")).unwrap();
    symlink("/plain", bundle.rootfs("/x]:y")).unwrap();
    let container = scene.container(bundle.sleep().mount("/x]:y", "bind", source, &["bind"]));
    container.run_detached();
    let subject = Subject { container, rootfs: bundle.rootfs("/") };
    let running = subject.checkpoint(scene, &[]);
    peer.tell_version(4, 0);
    let swrk = peer.accept();
    let external = swrk.options(kind::DUMP).texts(37);
    assert!(external.iter().any(|one| one == "mnt[/plain]:/x%5d%3ay"), "{external:?}");
    kill(subject.container.pid());
    swrk.say(&answer(kind::DUMP, true));
    running.wait().ok();
}

fn wrong_calls_are_refused(scene: &Scene) {
    let bundle = bundle(scene);
    let container = scene.container(&bundle);
    let checkpoint = |flags: &[&str]| {
        let images = scene.path("images");
        scene.rt(&[&["checkpoint", "--image-path", images.to_str().unwrap()], flags, &[&container.id]].concat())
    };
    checkpoint(&[]).fails().says("does not exist");
    container.create();
    checkpoint(&[]).fails().says("cannot be checkpointed in created state");
    checkpoint(&["--parent-path", "/absolute"]).fails().says("--parent-path");
    checkpoint(&["--parent-path", "missing"]).fails().says("--parent-path");
    checkpoint(&["--page-server", "nowhere"]).fails().says("--page-server ADDRESS:PORT");
    checkpoint(&["--empty-ns", "user"]).fails().says("is not supported");
    checkpoint(&["--manage-cgroups-mode", "none"]).fails().says("invalid manage-cgroups-mode value");
    checkpoint(&["--status-fd", "77"]).fails().says("invalid --status-fd argument 77");
    assert!(!scene.path("images").exists(), "what is refused makes nothing");
    assert_eq!(container.status(), "created");
    container.delete_force();
}

fn without_criu_it_says_so(scene: &Scene) {
    let hide = "for d in $(echo $PATH | tr : ' ') /usr/bin /bin /usr/sbin /sbin /usr/local/bin /usr/local/sbin; do \
                [ ! -f $d/criu ] || busybox mount -o bind /dev/null $d/criu; done; exec \"$@\"";
    let hidden = scene.by(&["unshare", "-m", "sh", "-c", hide, "sh"]);
    let subject = running(scene);
    subject.checkpoint(&hidden, &[]).wait().fails().says("criu is not found");
    assert_eq!(subject.container.status(), "running");
    subject.container.delete_force();
    let bundle = bundle(scene);
    let container = scene.container(&bundle);
    restore(&hidden, &container, &bundle, &["-d"]).wait().fails().says("criu is not found");
    container.assert_gone();
}

/// criu's own line, from where it is: its log, or what it prints before it has one.
fn an_old_criu_says_why(scene: &Scene) {
    let subject = running(scene);
    let done = subject.checkpoint(scene, &[]).wait();
    done.fails().says("criu failed: ").says("Error (criu/");
    assert_eq!(done.stderr.lines().count(), 1, "{done}");
    assert_eq!(subject.container.status(), "running");
    subject.container.delete_force();
    let json = scene.rt(&["doctor", "--json"]).json();
    let line = json["lines"].as_array().unwrap().iter().find(|line| line["name"] == "criu").unwrap();
    assert_eq!(line["state"], "lack");
    assert!(line["found"].as_str().unwrap().contains("Error (criu/"), "{line}");
}

/// The third "It shows" of the issue: where criu works, a restored container goes on counting; twice, and under another id.
fn a_restored_container_goes_on_counting(scene: &Scene) {
    let mut bundle = bundle(scene);
    bundle.sh("i=0; while :; do i=$((i+1)); echo $i > /tmp/new; mv /tmp/new /tmp/count; sleep 0.05; done");
    let count =
        || fs::read_to_string(bundle.rootfs("/tmp/count")).ok().and_then(|text| text.trim().parse::<u32>().ok());
    // A file of the host's as its output runc could not save.
    let quiet = scene.by(&["sh", "-c", "exec \"$@\" > /dev/null 2>&1", "sh"]);
    let mut container = scene.container(&bundle);
    quiet.call(&["run", "--detach", "--bundle", bundle.arg(), &container.id]).done().ok();
    scene.wait_until("it counts", || count() > Some(3));
    for round in 0..2 {
        let images = scene.path(&format!("images-{round}"));
        let paths = [
            "--image-path",
            images.to_str().unwrap(),
            "--work-path",
            images.to_str().unwrap(),
            "--manage-cgroups-mode",
            "ignore",
        ];
        scene.call(&[&["checkpoint"], &paths[..], &[&container.id]].concat()).done().ok();
        container.assert_gone();
        let saved = count().unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(count(), Some(saved), "it is saved, and gone");
        container = scene.container(&bundle);
        let call = [&["restore", "-d", "--bundle", bundle.arg()], &paths[..], &[&container.id]].concat();
        quiet.call(&call).done().ok();
        assert_eq!(container.status(), "running");
        scene.wait_until("it goes on counting", || count() > Some(saved + 3));
        let now = count().unwrap();
        assert!(now < saved + 2000 && now > saved, "from {saved} on, not from the beginning: {now}");
        let mounts = container.exec(&[], &["cat", "/proc/self/mountinfo"]).stdout;
        let hosts = mounts.lines().find(|line| line.contains(" /etc/hosts ")).expect("no /etc/hosts");
        assert!(hosts.contains(" ro"), "{hosts}");
    }
    container.stop();
    container.delete();
}
