//! The standard streams of a process without a terminal: they are the caller's, whatever they are (SECURITY.md,
//! T-20). The process has the very same ones, and nothing of them changes on the host; a pipe alone, which has no name, may
//! become the process's user's.

use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::runtime::{Call, Done};
use integration_tests::scene::{Container, Scene};
use integration_tests::terminal::Pty;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use rustix::fs::MemfdFlags;
use serde_json::json;

integration_tests::tests! {
    keep_their_identity_and_owner [Need::Planc],
    keep_their_identity_and_owner_in_a_user_namespace [Need::Planc],
    anonymous_pipes_are_the_users,
    anonymous_pipes_stay_the_callers_in_a_user_namespace,
    dev_null_of_a_hostile_image [Need::Planc],
}

/// The process's user.
const USER: u32 = 1000;

/// What a caller may hand over.
struct Given {
    /// It is both input and output; what a command says is captured.
    stream: OwnedFd,
    /// What has to be open meanwhile.
    _held: Vec<OwnedFd>,
}

/// Makes it, in a folder of the test's.
type Make = fn(&Path) -> Given;

fn alone(stream: impl Into<OwnedFd>) -> Given {
    Given { stream: stream.into(), _held: Vec::new() }
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).append(true).open(path).unwrap()
}

const KINDS: [(&str, Make); 7] = [
    ("a fifo", |folder| {
        let path = folder.join("fifo");
        nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
        alone(open(&path))
    }),
    ("a socket", |_| {
        let (stream, other) = UnixStream::pair().unwrap();
        Given { stream: stream.into(), _held: vec![other.into()] }
    }),
    ("a file", |folder| {
        let path = folder.join("file");
        fs::write(&path, "").unwrap();
        alone(open(&path))
    }),
    ("a file without a name", |_| alone(rustix::fs::memfd_create(c"stream", MemfdFlags::CLOEXEC).unwrap())),
    ("/dev/null", |_| alone(open(Path::new("/dev/null")))),
    ("another device", |_| alone(open(Path::new("/dev/zero")))),
    ("the caller's terminal", |_| {
        let pty = Pty::new();
        Given { stream: pty.slave_file(), _held: vec![pty.master.file().try_clone().unwrap().into()] }
    }),
];

/// Everything that says which file it is, whose it is, and who may use it.
fn identity(stream: impl AsFd) -> (u64, u64, u32, u32, u32) {
    let status = rustix::fs::fstat(stream).unwrap();
    (status.st_dev, status.st_ino, status.st_uid, status.st_gid, status.st_mode)
}

/// Tells, in a file, which streams the process has.
const TELL: &str = "both=$(stat -Lc '%d %i' /proc/$$/fd/0 /proc/$$/fd/1); echo \"$both\" > /tmp/streams";

/// A running container, and the bundle of it for containers that tell.
fn among(scene: &Scene, user_namespace: bool) -> (Container<'_>, Bundle) {
    let mut bundle = scene.bundle();
    if user_namespace {
        bundle.user_namespace(100_000);
    }
    let running = scene.container(bundle.set("/root/readonly", false).sleep());
    running.run_detached();
    bundle.sh(TELL).set("/process/user", json!({ "uid": USER, "gid": USER }));
    (running, bundle)
}

fn with(call: Call, stream: &OwnedFd) -> Done {
    let copy = || stream.try_clone().unwrap();
    call.stdin(copy()).stdout(copy()).done()
}

/// Has each command that starts a process do so with these streams; what the processes told, by command.
#[track_caller]
fn told(scene: &Scene, running: &Container<'_>, bundle: &Bundle, stream: &OwnedFd, what: &str) -> [String; 3] {
    let user = format!("{USER}:{USER}");
    ["run", "create", "exec"].map(|command| {
        let container = scene.container(bundle);
        let call = match command {
            "run" => container.run_call(&[]),
            "create" => container.create_call(&[]),
            _ => running.exec_call(&["--user", &user], &["sh", "-c", TELL]),
        };
        let done = with(call, stream);
        assert_eq!(done.code(), 0, "{command} with {what}: {done}");
        if command == "create" {
            let pid = container.pid();
            container.start();
            container.wait_end(pid);
            container.delete();
        }
        let file = bundle.rootfs("/tmp/streams");
        let told = fs::read_to_string(&file).unwrap_or_else(|why| panic!("{command} with {what}: {why}"));
        fs::remove_file(file).unwrap();
        told
    })
}

/// A place for each kind's file.
fn kinds(scene: &Scene, name: &str) -> impl Iterator<Item = (&'static str, Given)> {
    let folder = scene.path(name);
    fs::create_dir(&folder).unwrap();
    KINDS.into_iter().map(move |(what, make)| (what, make(&folder)))
}

#[track_caller]
fn assert_they_keep(scene: &Scene, user_namespace: bool) {
    let (running, bundle) = among(scene, user_namespace);
    for (what, given) in kinds(scene, "given") {
        let before = identity(&given.stream);
        let same = format!("{} {}\n", before.0, before.1).repeat(2);
        assert_eq!(told(scene, &running, &bundle, &given.stream, what), [(); 3].map(|()| same.clone()), "{what}");
        assert_eq!(identity(&given.stream), before, "{what}");
    }
    running.delete_force();
}

/// runc gives any stream to the process's user, also a file of somebody else, and puts pipes of its own and the image's
/// /dev/null in their place.
fn keep_their_identity_and_owner(scene: &Scene) {
    assert_they_keep(scene, false);
}

/// There runc may not give them away, but puts others in their place nevertheless.
fn keep_their_identity_and_owner_in_a_user_namespace(scene: &Scene) {
    assert_they_keep(scene, true);
}

/// What every program counts on that logs to /dev/stdout, as images link their log files to it.
fn anonymous_pipes_are_the_users(scene: &Scene) {
    let script = "echo out > /dev/stdout; echo err > /dev/stderr; stat -Lc '%u %g' /dev/stdout /dev/null";
    let mut bundle = scene.bundle();
    bundle.sh(script).set("/process/user", json!({ "uid": USER, "gid": USER })).write();
    let running = scene.container(scene.bundle().sleep());
    running.run_detached();
    let id = scene.id();
    let run = ["run", "--bundle", bundle.arg(), &id];
    let exec = ["exec", "--user", "1000:1000", &running.id, "sh", "-c", script];
    for arguments in [&run[..], &exec] {
        let done = scene.call_by(&["sh", "-c", "\"$@\" 2>&1 | cat", "sh"], arguments).done();
        assert_eq!(done.ok().stdout, "out\nerr\n1000 0\n0 0\n", "{done}");
    }
    running.delete_force();
}

/// Their owner has no id there.
fn anonymous_pipes_stay_the_callers_in_a_user_namespace(scene: &Scene) {
    let (running, bundle) = among(scene, true);
    let (_reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let before = identity(&writer);
    told(scene, &running, &bundle, &writer, "a pipe");
    assert_eq!(identity(&writer), before);
    running.delete_force();
}

/// Puts something hostile at a path.
type Spoil = fn(&Path, &Path);

const HOSTILE: [(&str, Spoil); 4] = [
    ("a link to the host", |path, canary| symlink(canary, path).unwrap()),
    ("a link to a magic link", |path, _| symlink("/proc/self/root", path).unwrap()),
    ("a file", |path, _| fs::write(path, "").unwrap()),
    ("another device", |path, _| {
        let everyone = Mode::from_bits_truncate(0o666);
        mknod(path, SFlag::S_IFCHR, everyone, makedev(1, 5)).unwrap();
    }),
];

/// CVE-2026-88265: what an image calls /dev/null never gets in the place of a stream, nor into the user's hands. `/dev` is a
/// folder of the image, and a link from there leads to a file of the host that is bound into the container.
fn dev_null_of_a_hostile_image(scene: &Scene) {
    let canary = scene.path("canary");
    fs::write(&canary, "canary").unwrap();
    let stream: OwnedFd = open(Path::new("/dev/null")).into();
    let null = identity(&stream);
    let unharmed = (fs::metadata(&canary).unwrap().mode(), "canary".to_owned());
    for (what, spoil) in HOSTILE {
        let mut bundle = scene.bundle();
        for mounted in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"] {
            bundle.unmount(mounted);
        }
        fs::write(bundle.rootfs("/canary"), "").unwrap();
        bundle.mount("/canary", "bind", &canary, &["bind"]);
        spoil(&bundle.rootfs("/dev/null"), Path::new("/canary"));
        bundle.sh(TELL).set("/root/readonly", false).set("/process/user", json!({ "uid": USER, "gid": USER }));
        let done = with(scene.container(&bundle).run_call(&[]), &stream);
        let told = fs::read_to_string(bundle.rootfs("/tmp/streams")).unwrap_or_default();
        let same = format!("{} {}\n", null.0, null.1).repeat(2);
        assert!(if done.code() == 0 { told == same } else { told.is_empty() }, "{what}: {told:?}, {done}");
        let status = fs::metadata(&canary).unwrap();
        assert_eq!((status.mode(), fs::read_to_string(&canary).unwrap()), unharmed, "{what}");
        assert_eq!((status.uid(), status.gid(), identity(&stream)), (0, 0, null), "{what}");
    }
}
