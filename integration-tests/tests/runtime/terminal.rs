//! The container's terminal (runtime-spec config.md#process: terminal, consoleSize): where it comes from, what it is to
//! the process, and who gets its master. How `run` passes bytes to it is in `attached.rs`.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::runtime::{Done, Kind};
use integration_tests::scene::{Container, Scene};
use integration_tests::terminal::{ConsoleSocket, Master, Pty};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use runtime_core::{CreateOptions, Deletion, Id, Runtime, Stdio};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde_json::json;

integration_tests::tests! {
    is_of_the_containers_own_devpts,
    is_all_that_a_process_has,
    is_the_controlling_one,
    hangs_up_when_its_master_is_closed,
    has_the_size_that_is_asked_for,
    leaves_new_lines_to_whoever_receives_it,
    belongs_to_the_user,
    belongs_to_the_user_of_a_user_namespace,
    is_there_in_a_joined_pid_namespace,
    console_in_a_read_only_dev,
    console_of_a_dev_that_is_the_hosts [Need::Planc],
    refuses_a_terminal_without_another_end,
    refuses_a_socket_without_a_terminal,
    refuses_a_size_that_no_terminal_has [Need::Planc],
    refuses_without_a_devpts,
    hostile_ptmx_and_pts,
    hostile_console,
    devpts_with_little_room,
    streams_keep_their_owners,
    callers_terminal_is_no_controlling_one,
    peer_is_gone_or_no_socket,
    peer_never_accepts,
    peer_has_no_room [Need::Planc],
    socket_path_may_be_long_or_relative [Need::Planc],
    library_hands_the_master_out [Need::Planc],
    of_an_exec_is_of_the_containers_devpts,
    of_an_exec_needs_another_end,
    of_an_exec_where_the_image_is_hostile,
}

/// A bundle with a terminal, and a shell script for its program.
fn bundle(scene: &Scene, script: &str) -> Bundle {
    let mut bundle = scene.bundle();
    bundle.sh(script).set("/process/terminal", true);
    bundle
}

/// A container that was created with a console socket.
struct Created<'s> {
    container: Container<'s>,
    name: String,
    master: Master,
}

impl Drop for Created<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.container.delete_force();
        }
    }
}

fn try_create<'s>(scene: &'s Scene, bundle: &Bundle) -> Result<Created<'s>, Done> {
    let socket = ConsoleSocket::listen(scene.path("console.sock"));
    let container = scene.container(bundle);
    let done = container.try_create(&["--console-socket", socket.arg()]);
    let sent = (done.code() == 0).then(|| socket.receive());
    fs::remove_file(socket.path()).unwrap();
    match sent {
        Some((name, master)) => Ok(Created { container, name, master }),
        None => Err(done),
    }
}

#[track_caller]
fn create<'s>(scene: &'s Scene, bundle: &Bundle) -> Created<'s> {
    try_create(scene, bundle).unwrap_or_else(|done| panic!("{done}"))
}

/// What the script prints on its terminal, to its end.
#[track_caller]
fn printed(scene: &Scene, bundle: &Bundle) -> String {
    let mut created = create(scene, bundle);
    created.container.start();
    created.master.to_the_end().replace("\r\n", "\n")
}

fn is_of_the_containers_own_devpts(scene: &Scene) {
    let mut created = create(scene, &bundle(scene, "tty; stat -c '%F %t:%T' /dev/pts/0; ls /dev/pts"));
    assert!(created.name.starts_with("/dev/pt"), "{}", created.name);
    let (master, pid) = (created.master.file().metadata().unwrap(), created.container.pid());
    let own = fs::metadata(format!("/proc/{pid}/root/dev/pts/ptmx")).unwrap();
    assert!(master.file_type().is_char_device() && master.rdev() == makedev(5, 2));
    assert_eq!((master.dev(), master.ino()), (own.dev(), own.ino()), "it is of another devpts");
    assert_ne!(master.dev(), fs::metadata("/dev/pts").unwrap().dev());
    created.container.start();
    let printed = created.master.to_the_end();
    assert_eq!(printed, "/dev/pts/0\r\ncharacter special file 88:0\r\n0     ptmx\r\n");
}

fn is_all_that_a_process_has(scene: &Scene) {
    let script = "for fd in 0 1 2; do test -t $fd && readlink /proc/self/fd/$fd; done; echo error >&2; \
                  echo console > /dev/console; echo own > /dev/tty; stat -c %F-%t:%T-%i /dev/console /dev/pts/0 | uniq; \
                  cat /proc/1/stat | cut -d ' ' -f 6-8";
    let seen = printed(scene, &bundle(scene, script));
    // Session 1, terminal 136:0, foreground process group 1: proc_pid_stat(5).
    let expected = "/dev/pts/0\n/dev/pts/0\n/dev/pts/0\nerror\nconsole\nown\n\
                    character special file-88:0-3\n1 34816 1\n";
    assert_eq!(seen, expected);
    let created = create(scene, &bundle(scene, "true"));
    let kept = process::descriptors(created.container.pid());
    assert!([0, 1, 2].iter().all(|fd| kept[fd] == Path::new("/dev/pts/0")), "{kept:?}");
    let of_planc = scene.runtime.kind != Kind::Planc || !kept.values().any(|path| path.ends_with("ptmx"));
    assert!(of_planc, "init keeps the master: {kept:?}");
}

fn is_the_controlling_one(scene: &Scene) {
    let script = "trap 'echo interrupted; exit 7' INT; echo ready; while :; do sleep 0.05; done";
    let mut created = create(scene, &bundle(scene, script));
    created.container.start();
    created.master.expect("ready");
    created.master.type_in("\x03");
    created.master.expect("interrupted");
    created.master.to_the_end();
    scene.wait_until("it has ended", || created.container.status() == "stopped");
    // What is typed is read.
    let mut created = create(scene, &bundle(scene, "read line; echo \"got $line\"; stty -echo; cat"));
    created.container.start();
    created.master.type_in("hello\n");
    created.master.expect("got hello");
    created.master.type_in("\x04");
    created.master.to_the_end();
}

fn hangs_up_when_its_master_is_closed(scene: &Scene) {
    let script = "trap 'exit 3' HUP; echo ready; while :; do sleep 0.05; done";
    let mut created = create(scene, &bundle(scene, script));
    created.container.start();
    created.master.expect("ready");
    let pid = created.container.pid();
    created.master = Pty::new().master;
    created.container.wait_end(pid);
}

fn has_the_size_that_is_asked_for(scene: &Scene) {
    for (height, width, size) in [(30, 100, (30, 100)), (0, 100, (0, 0)), (30, 0, (0, 0)), (0, 0, (0, 0))] {
        let mut bundle = bundle(scene, "stty size");
        bundle.set("/process/consoleSize", json!({ "height": height, "width": width }));
        let mut created = create(scene, &bundle);
        assert_eq!(created.master.window(), size);
        if size.0 != 0 {
            created.container.start();
            created.master.expect("30 100");
        }
    }
    // Without a terminal it asks for nothing.
    let mut plain = scene.bundle();
    plain.set("/process/consoleSize", json!({ "height": 30, "width": 100 }));
    scene.container(&plain).run().ok();
}

/// conmon sets ONLCR, `docker run -t` counts on it: a detached runtime leaves it as the kernel made it.
fn leaves_new_lines_to_whoever_receives_it(scene: &Scene) {
    let mut created = create(scene, &bundle(scene, "printf 'a\\nb\\n'"));
    assert!(created.master.modes().contains("ONLCR"), "{}", created.master.modes());
    created.container.start();
    assert_eq!(created.master.to_the_end(), "a\r\nb\r\n");
}

fn belongs_to_the_user(scene: &Scene) {
    let mut bundle = bundle(scene, "stat -c '%u:%g %a' /dev/pts/0 /dev/console; echo works > /dev/console; id -u");
    bundle.set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    assert_eq!(printed(scene, &bundle), "1000:5 620\n1000:5 620\nworks\n1000\n");
}

fn belongs_to_the_user_of_a_user_namespace(scene: &Scene) {
    for user in [0, 1000] {
        let script = "tty; stat -c %u:%g:%a /dev/pts/0 /dev/console; echo works > /dev/console; echo own > /dev/tty";
        let mut bundle = bundle(scene, script);
        bundle.user_namespace(100_000).set("/process/user", json!({ "uid": user, "gid": user }));
        let expected = format!("/dev/pts/0\n{user}:5:620\n{user}:5:620\nworks\nown\n");
        assert_eq!(printed(scene, &bundle), expected);
    }
}

/// There the process that leads the session is born after its root was changed.
fn is_there_in_a_joined_pid_namespace(scene: &Scene) {
    let sandbox = scene.container(scene.bundle().sleep());
    sandbox.run_detached();
    let mut bundle = bundle(scene, "tty; echo own > /dev/tty; echo works > /dev/console");
    bundle.namespace("pid", Some(&format!("/proc/{}/ns/pid", sandbox.pid())));
    assert_eq!(printed(scene, &bundle), "/dev/pts/0\nown\nworks\n");
    sandbox.delete_force();
}

fn console_in_a_read_only_dev(scene: &Scene) {
    let mut bundle = bundle(scene, "echo works > /dev/console; touch /dev/x 2> /dev/null || echo read-only");
    bundle.unmount("/dev").unmount("/dev/pts").unmount("/dev/shm").unmount("/dev/mqueue");
    bundle.mount("/dev", "tmpfs", "tmpfs", &["nosuid", "mode=755", "ro"]);
    bundle.mount("/dev/pts", "devpts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]);
    assert_eq!(printed(scene, &bundle), "works\nread-only\n");
}

/// runc makes the host's file empty before it covers it.
fn console_of_a_dev_that_is_the_hosts(scene: &Scene) {
    let dev = scene.path("dev");
    fs::create_dir_all(dev.join("pts")).unwrap();
    fs::write(dev.join("console"), "the host's").unwrap();
    for name in ["null", "tty", "ptmx"] {
        let number = fs::metadata(Path::new("/dev").join(name)).unwrap().rdev();
        mknod(&dev.join(name), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), number).unwrap();
    }
    let mut bundle = bundle(scene, "echo works > /dev/console; tty");
    bundle.unmount("/dev").unmount("/dev/pts").unmount("/dev/shm").unmount("/dev/mqueue");
    bundle.mount("/dev", "bind", &dev, &["rbind", "rprivate"]);
    bundle.mount("/dev/pts", "devpts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]);
    assert_eq!(printed(scene, &bundle), "works\n/dev/pts/0\n");
    assert_eq!(fs::read_to_string(dev.join("console")).unwrap(), "the host's");
    fs::remove_dir_all(dev).unwrap();
}

fn refuses_a_terminal_without_another_end(scene: &Scene) {
    let container = scene.container(&bundle(scene, "true"));
    for done in [container.try_create(&[]), container.run_call(&["--detach"]).done()] {
        done.fails().says("cannot allocate tty if ").says(" will detach without setting console socket");
        container.assert_gone();
    }
}

fn refuses_a_socket_without_a_terminal(scene: &Scene) {
    let socket = ConsoleSocket::listen(scene.path("console.sock"));
    let with_socket = ["--console-socket", socket.arg()];
    let (plain, terminal) = (scene.container(&scene.bundle()), scene.container(&bundle(scene, "true")));
    for done in [
        plain.try_create(&with_socket),
        plain.run_call(&with_socket).done(),
        plain.run_call(&[&with_socket[..], &["--detach"]].concat()).done(),
        terminal.run_call(&with_socket).done(),
    ] {
        done.fails().says("cannot use console socket if ").says(" will not detach or allocate tty");
    }
    plain.assert_gone();
    terminal.assert_gone();
    fs::remove_file(socket.path()).unwrap();
}

fn refuses_a_size_that_no_terminal_has(scene: &Scene) {
    let mut bundle = bundle(scene, "true");
    bundle.set("/process/consoleSize", json!({ "height": 65_536, "width": 1 }));
    try_create(scene, &bundle).err().unwrap().fails().says("/process/consoleSize/height");
}

fn refuses_without_a_devpts(scene: &Scene) {
    let mut bundle = bundle(scene, "true");
    bundle.unmount("/dev/pts");
    let done = try_create(scene, &bundle).err().unwrap();
    done.fails();
    if scene.runtime.kind == Kind::Planc {
        done.says("/process/terminal").says("devpts");
    }
}

/// T-18: either the container is refused, or its terminal is one of its own devpts.
fn safe_or_refused(scene: &Scene, bundle: &Bundle, what: &str) {
    match try_create(scene, bundle) {
        Err(done) => drop(done.fails()),
        Ok(mut created) => {
            let master = created.master.file().metadata().unwrap();
            let own = fs::metadata(format!("/proc/{}/fd/0", created.container.pid())).unwrap();
            assert_eq!((master.dev(), master.rdev()), (own.dev(), makedev(5, 2)), "{what}: another master");
            assert_ne!(own.dev(), fs::metadata("/dev/pts").unwrap().dev(), "{what}: the host's devpts");
            created.container.start();
            let seen = created.master.to_the_end();
            assert!(seen.ends_with("/0\r\nconsole 88:0\r\n"), "{what}: {seen:?}");
        }
    }
}

/// Puts something hostile at a path.
type Spoil = fn(&Path, &Path);

const HOSTILE: [(&str, Spoil); 5] = [
    ("a link to the host", |path, canary| symlink(canary, path).unwrap()),
    ("a link to a magic link", |path, _| symlink("/proc/self/root", path).unwrap()),
    ("a fifo", |path, _| nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o666)).unwrap()),
    ("a file", |path, _| fs::write(path, "").unwrap()),
    ("another device", |path, _| mknod(path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3)).unwrap()),
];

/// A bundle whose /dev is a directory of the image.
fn image_dev(scene: &Scene) -> Bundle {
    let mut bundle = bundle(scene, "tty; stat -c 'console %t:%T' /dev/console");
    bundle.set("/root/readonly", false);
    bundle.unmount("/dev").unmount("/dev/shm").unmount("/dev/mqueue");
    bundle
}

fn canary(scene: &Scene) -> std::path::PathBuf {
    let canary = scene.path("canary");
    fs::write(&canary, "canary").unwrap();
    fs::set_permissions(&canary, fs::Permissions::from_mode(0o600)).unwrap();
    canary
}

#[track_caller]
fn assert_unharmed(canary: &Path, what: &str) {
    let status = fs::metadata(canary).unwrap();
    assert_eq!(fs::read_to_string(canary).unwrap(), "canary", "{what}");
    assert_eq!((status.mode() & 0o7777, status.uid(), status.gid(), status.nlink()), (0o600, 0, 0, 1), "{what}");
}

fn hostile_ptmx_and_pts(scene: &Scene) {
    let canary = canary(scene);
    for (what, spoil) in HOSTILE {
        let bundle = image_dev(scene);
        spoil(&bundle.rootfs("/dev/ptmx"), &canary);
        safe_or_refused(scene, &bundle, &format!("/dev/ptmx is {what}"));
        let bundle = image_dev(scene);
        spoil(&bundle.rootfs("/dev/pts"), &canary);
        safe_or_refused(scene, &bundle, &format!("/dev/pts is {what}"));
        // What is bound there is no devpts, whatever it looks like.
        let mut bundle = image_dev(scene);
        let pts = scene.path("pts");
        fs::create_dir(&pts).unwrap();
        spoil(&pts.join("ptmx"), &canary);
        spoil(&pts.join("0"), &canary);
        bundle.unmount("/dev/pts").mount("/dev/pts", "bind", &pts, &["rbind"]);
        safe_or_refused(scene, &bundle, &format!("/dev/pts/ptmx is {what}"));
        assert_unharmed(&canary, what);
        fs::remove_dir_all(pts).unwrap();
    }
}

fn hostile_console(scene: &Scene) {
    let canary = canary(scene);
    for (what, spoil) in HOSTILE {
        let bundle = image_dev(scene);
        spoil(&bundle.rootfs("/dev/console"), &canary);
        safe_or_refused(scene, &bundle, &format!("/dev/console is {what}"));
        assert_unharmed(&canary, what);
    }
    // A link that leads nowhere makes no file there.
    let bundle = image_dev(scene);
    let nowhere = scene.path("made-on-the-host");
    symlink(&nowhere, bundle.rootfs("/dev/console")).unwrap();
    safe_or_refused(scene, &bundle, "/dev/console leads nowhere");
    assert!(!nowhere.exists());
}

/// What `max=0` means is the kernel's to say.
fn devpts_with_little_room(scene: &Scene) {
    for max in ["max=0", "max=1"] {
        let mut bundle = bundle(scene, "tty; stat -c 'console %t:%T' /dev/console");
        bundle.unmount("/dev/pts").mount("/dev/pts", "devpts", "devpts", &["newinstance", "ptmxmode=0666", max]);
        safe_or_refused(scene, &bundle, max);
    }
}

/// T-20: only the terminal changes its owner, and no stream that the caller has (those are in `streams.rs`).
fn streams_keep_their_owners(scene: &Scene) {
    let mut bundle = bundle(scene, "stat -Lc '%F %u' /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2");
    bundle.set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    let socket = ConsoleSocket::listen(scene.path("console.sock"));
    let container = scene.container(&bundle);
    let canary = canary(scene);
    let file = || fs::OpenOptions::new().read(true).append(true).open(&canary).unwrap();
    let call = container.create_call(&["--console-socket", socket.arg()]);
    call.stdin(file()).stdout(file()).done().ok();
    assert_unharmed(&canary, "a stream of the caller");
    let (_, mut master) = socket.receive();
    container.start();
    assert_eq!(master.to_the_end(), "character special file 1000\r\n".repeat(3));
    container.delete_force();
    fs::remove_file(socket.path()).unwrap();
}

/// T-21: a process without a terminal cannot get at the one that its runtime was called from.
fn callers_terminal_is_no_controlling_one(scene: &Scene) {
    let script = "cut -d ' ' -f 6,7 /proc/self/stat; (: < /dev/tty) 2> /dev/null || echo none; \
                  setsid -c true 2> /dev/null; (setsid -c sh -c ': < /dev/tty') 2> /dev/null || echo stolen by nobody";
    let mut bundle = scene.bundle();
    bundle.sh(script).write();
    let mut pty = Pty::new();
    let id = scene.id();
    let running = scene.call_by(&["setsid", "-c"], &["run", "--bundle", bundle.arg(), &id]).terminal(&pty).spawn();
    pty.master.expect("stolen by nobody");
    running.wait().ok();
    assert!(pty.master.seen().starts_with("1 0\r\nnone\r\n"), "{}", pty.master.seen());
}

/// The container is refused, and nothing of it is left.
#[track_caller]
fn refused_with(scene: &Scene, socket: &Path) -> Done {
    let container = scene.container(&bundle(scene, "true"));
    let done = container.try_create(&["--console-socket", socket.to_str().unwrap()]);
    done.fails();
    container.assert_gone();
    done
}

fn peer_is_gone_or_no_socket(scene: &Scene) {
    let gone = scene.path("gone.sock");
    drop(UnixListener::bind(&gone).unwrap());
    let (file, fifo, directory) = (canary(scene), scene.path("fifo"), scene.path("directory"));
    nix::unistd::mkfifo(&fifo, Mode::from_bits_truncate(0o600)).unwrap();
    fs::create_dir(&directory).unwrap();
    let missing = scene.path("missing.sock");
    for socket in [&gone, &file, &fifo, &directory, &missing] {
        refused_with(scene, socket);
    }
    assert_unharmed(&file, "a file for a socket");
}

fn peer_never_accepts(scene: &Scene) {
    let path = scene.path("console.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let container = scene.container(&bundle(scene, "true"));
    container.try_create(&["--console-socket", path.to_str().unwrap()]).ok();
    assert_eq!(container.status(), "created");
    // With the listener goes what was never received, and with it the terminal.
    drop(listener);
    container.delete_force();
    container.assert_gone();
}

/// runc waits for ever.
fn peer_has_no_room(scene: &Scene) {
    let path = scene.path("console.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let address = SocketAddrUnix::new(&path).unwrap();
    let mut waiting = Vec::new();
    // Until the kernel says that nobody more may wait in line.
    loop {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        match connect(&stream, &address) {
            Ok(()) => waiting.push(stream),
            Err(error) => break assert_eq!(error, rustix::io::Errno::AGAIN),
        }
    }
    refused_with(scene, &path).says("took too long");
}

/// runc takes no more than 107 bytes, and a relative one from the bundle, whatever its own working directory is.
fn socket_path_may_be_long_or_relative(scene: &Scene) {
    let long = scene.path(&"d".repeat(150));
    fs::create_dir(&long).unwrap();
    let socket = ConsoleSocket::listen(scene.path("s"));
    fs::rename(socket.path(), long.join("s")).unwrap();
    let container = scene.container(&bundle(scene, "tty"));
    let relative = Path::new(long.file_name().unwrap()).join("s");
    for path in [long.join("s"), relative] {
        let call = container.create_call(&["--console-socket", path.to_str().unwrap()]);
        call.dir(&scene.path("")).done().ok();
        let (_, mut master) = socket.receive();
        container.start();
        master.expect("/dev/pts/0");
        container.delete_force();
    }
}

/// Without a socket whoever embeds the crate has the master.
fn library_hands_the_master_out(scene: &Scene) {
    let bundle = bundle(scene, "stty size; read line; echo \"got $line\"");
    bundle.write();
    let runtime = Runtime::new(scene.root());
    let id = Id::new(&scene.id()).unwrap();
    let loaded = runtime_core::Bundle::load(bundle.dir()).unwrap();
    let window = Some(runtime_core::WindowSize { rows: 40, columns: 120 });
    let options = CreateOptions { window, ..CreateOptions::default() };
    let mut container = runtime.create(&id, &loaded, &options, Stdio::default()).unwrap();
    let mut master = Master::new(container.terminal().expect("a master"));
    assert!(container.terminal().is_none(), "it is handed out once");
    assert_eq!(master.window(), (40, 120));
    assert!(!master.modes().contains("ONLCR"), "{}", master.modes());
    container.start().unwrap();
    master.type_in("hello\n");
    master.expect("got hello\n");
    assert!(runtime.load(&id).unwrap().terminal().is_none(), "a loaded container has none");
    runtime.delete(&id, Deletion::Force).unwrap();
}

/// `exec` with a console socket; what it printed, and the name that was sent.
#[track_caller]
fn exec_with_socket(scene: &Scene, container: &Container<'_>, script: &str) -> Result<String, Done> {
    let socket = ConsoleSocket::listen(scene.path("console.sock"));
    let options = ["--tty", "--detach", "--console-socket", socket.arg()];
    let done = container.exec_call(&options, &["sh", "-c", script]).done();
    fs::remove_file(socket.path()).unwrap();
    if done.code() == 0 { Ok(socket.receive().1.to_the_end()) } else { Err(done) }
}

fn of_an_exec_is_of_the_containers_devpts(scene: &Scene) {
    let mut all = [scene.bundle(), scene.bundle()];
    all[1].user_namespace(100_000);
    for bundle in &mut all {
        let container = scene.container(bundle.sleep());
        container.run_detached();
        let script = "tty; stat -c '%u:%g %t:%T' /dev/pts/0; echo own > /dev/tty; cut -d ' ' -f 7 /proc/self/stat; \
                      ls /dev/pts";
        let printed = exec_with_socket(scene, &container, script).unwrap();
        assert_eq!(printed, "/dev/pts/0\r\n0:5 88:0\r\nown\r\n34816\r\n0     ptmx\r\n");
        container.delete_force();
    }
}

fn of_an_exec_needs_another_end(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let socket = ConsoleSocket::listen(scene.path("console.sock"));
    for (options, text) in [
        (&["--tty", "--detach"][..], "will detach without setting console socket"),
        (&["--detach", "--console-socket", socket.arg()], "will not detach or allocate tty"),
        (&["--tty", "--console-socket", socket.arg()], "will not detach or allocate tty"),
    ] {
        container.exec_call(options, &["true"]).done().fails().says(text);
    }
    fs::remove_file(socket.path()).unwrap();
    container.delete_force();
}

fn of_an_exec_where_the_image_is_hostile(scene: &Scene) {
    let canary = canary(scene);
    for (what, spoil) in HOSTILE {
        for path in ["/dev/pts", "/dev/pts/ptmx"] {
            let mut bundle = image_dev(scene);
            bundle.unmount("/dev/pts").set("/process/terminal", false).sleep();
            fs::create_dir_all(bundle.rootfs(path).parent().unwrap()).unwrap();
            spoil(&bundle.rootfs(path), &canary);
            let container = scene.container(&bundle);
            container.run_detached();
            exec_with_socket(scene, &container, "true").err().unwrap_or_else(|| panic!("{path} is {what}")).fails();
            assert_eq!(container.status(), "running");
            container.delete_force();
        }
        assert_unharmed(&canary, what);
    }
}
