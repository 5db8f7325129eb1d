//! Descriptors that pass through a runtime: those that are asked for and no others (runtime-spec
//! runtime-linux.md#file-descriptors; SECURITY.md T-02), and those that a runtime hands out.

use std::fs::{self, File};
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use integration_tests::harness::Need;
use integration_tests::lane::Lane;
use integration_tests::process;
use integration_tests::runtime::Call;
use integration_tests::scene::{Container, Scene};
use nix::cmsg_space;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect, listen,
    recvmsg, socket,
};
use nix::unistd::close;

integration_tests::tests! {
    none_but_the_standard_ones,
    preserved_ones_are_passed_on,
    preserved_ones_can_be_used,
    preserved_ones_survive_until_start,
    refuses_a_preserved_one_that_is_not_open,
    refuses_a_preserved_one_that_is_its_own [Need::Planc],
    listened_ones_are_passed_on_and_told,
    listened_and_preserved_ones,
    listened_ones_of_another_process_stay,
    refuses_a_listened_one_that_is_not_open [Need::Planc],
    a_created_init_holds_no_file [Need::Planc],
    exec_passes_preserved_ones_on,
    exec_refuses_a_preserved_one_that_is_not_open,
    pidfd_socket_gets_inits_pidfd [Need::Planc],
    pidfd_socket_by_a_relative_and_a_long_path [Need::Planc],
    pidfd_socket_of_a_shared_pid_namespace [Need::Planc],
    pidfd_socket_of_an_exec [Need::Planc],
    pidfd_socket_nobody_listens_at [Need::Planc],
    pidfd_socket_that_is_busy [Need::Planc],
}

/// A shell that has these files as its descriptors 3, 4, …, and from 60 on fifty more, directories among them, before it
/// becomes the runtime. LISTEN_PID can be its `$$`.
fn with_files(scene: &Scene, files: &[PathBuf], more: &str) -> Vec<String> {
    let opened = (3..).zip(files).map(|(fd, file)| format!("exec {fd}<>{}; ", file.display())).collect::<String>();
    let directory = scene.path("");
    let leaked = format!(
        "for fd in $(seq 60 2 108); do eval \"exec $fd<{}; exec $((fd + 1))</dev/zero\"; done; ",
        directory.display()
    );
    vec!["bash".to_owned(), "-c".to_owned(), format!("{opened}{leaked}{more} exec \"$@\""), "bash".to_owned()]
}

/// So many files in the scene's directory.
fn files(scene: &Scene, count: usize) -> Vec<PathBuf> {
    let paths: Vec<PathBuf> = (0..count).map(|index| scene.path(&format!("passed-{index}"))).collect();
    paths.iter().for_each(|path| fs::write(path, "").unwrap());
    paths
}

fn call(scene: &Scene, container: &Container<'_>, bundle: &str, wrapper: &[String], args: &[&str]) -> Call {
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let (command, options) = args.split_first().unwrap();
    scene.call_by(&wrapper, &[&[*command, "--bundle", bundle], options, &[container.id.as_str()]].concat())
}

/// Runs the runtime in such a shell; what the running container's init holds from 3 on.
#[track_caller]
fn held(scene: &Scene, files: &[PathBuf], more: &str, options: &[&str]) -> Vec<(u32, PathBuf)> {
    let mut bundle = scene.bundle();
    let container = scene.container(bundle.sleep());
    let args = [&["run", "--detach"], options].concat();
    call(scene, &container, bundle.arg(), &with_files(scene, files, more), &args).done().ok();
    let held = process::descriptors(container.pid());
    container.delete_force();
    assert!([0, 1, 2].iter().all(|fd| held.contains_key(fd)), "{held:?}");
    held.into_iter().filter(|(fd, _)| *fd > 2).collect()
}

fn numbered(files: &[PathBuf]) -> Vec<(u32, PathBuf)> {
    (3..).zip(files.iter().cloned()).collect()
}

fn none_but_the_standard_ones(scene: &Scene) {
    let files = files(scene, 3);
    assert_eq!(held(scene, &files, "", &[]), []);
    assert_eq!(held(scene, &files, "", &["--preserve-fds", "0"]), []);
}

fn preserved_ones_are_passed_on(scene: &Scene) {
    let files = files(scene, 3);
    assert_eq!(held(scene, &files, "", &["--preserve-fds", "2"]), numbered(&files[..2]));
    assert_eq!(held(scene, &files, "", &["--preserve-fds=3"]), numbered(&files));
}

fn preserved_ones_can_be_used(scene: &Scene) {
    let files = files(scene, 2);
    let mut bundle = scene.bundle();
    let container = scene.container(bundle.sh("echo three >&3; echo four >&4"));
    let args = ["run", "--preserve-fds", "2"];
    call(scene, &container, bundle.arg(), &with_files(scene, &files, ""), &args).done().ok();
    assert_eq!(fs::read_to_string(&files[0]).unwrap(), "three\n");
    assert_eq!(fs::read_to_string(&files[1]).unwrap(), "four\n");
}

fn preserved_ones_survive_until_start(scene: &Scene) {
    let files = files(scene, 1);
    let mut bundle = scene.bundle();
    let container = scene.container(bundle.sh("echo started >&3"));
    let args = ["create", "--preserve-fds", "1"];
    call(scene, &container, bundle.arg(), &with_files(scene, &files, ""), &args).done().ok();
    let pid = container.pid();
    container.start();
    container.wait_end(pid);
    assert_eq!(fs::read_to_string(&files[0]).unwrap(), "started\n");
    container.delete();
}

#[track_caller]
fn refused(scene: &Scene, files: &[PathBuf], more: &str, options: &[&str], says: &str) {
    let bundle = scene.bundle();
    let container = scene.container(&bundle);
    let args = [&["run", "--detach"], options].concat();
    call(scene, &container, bundle.arg(), &with_files(scene, files, more), &args).done().fails().says(says);
    container.assert_gone();
}

fn refuses_a_preserved_one_that_is_not_open(scene: &Scene) {
    refused(scene, &files(scene, 2), "", &["--preserve-fds", "50"], "preserved-fd");
}

/// CVE-2024-21626 began with a descriptor of the runtime's own that a container got: the number alone does not make it the
/// caller's. (runc 1.1.5 passes its own on, /sys/fs/cgroup among them.)
fn refuses_a_preserved_one_that_is_its_own(scene: &Scene) {
    let log = scene.path("log");
    let bundle = scene.bundle();
    let container = scene.container(&bundle);
    let args = ["--log", log.to_str().unwrap(), "run", "-d", "-b", bundle.arg(), "--preserve-fds", "1", &container.id];
    // Nothing but the standard ones is open: the log gets the number 3.
    let closing = [
        "bash",
        "-c",
        "for fd in /proc/self/fd/*; do fd=${fd##*/}; [ $fd -lt 3 ] || eval \"exec $fd>&-\"; done; exec \"$@\"",
        "bash",
    ];
    let done = scene.call_by(&closing, &args).done();
    done.fails().says("preserved-fd 0 (of 1)").says("3 is not open");
    container.assert_gone();
}

const LISTEN: &str = "export LISTEN_PID=$$ LISTEN_FDNAMES=a:b LISTEN_FDS=2;";

/// The program's variables about descriptors, sorted.
#[track_caller]
fn told(scene: &Scene, files: &[PathBuf], more: &str, options: &[&str]) -> Vec<String> {
    let mut bundle = scene.bundle();
    bundle.set("/process/env/-", "LISTEN_FDS_NOT=1");
    let container = scene.container(bundle.args(&["env"]));
    let args = [&["run"], options].concat();
    let done = call(scene, &container, bundle.arg(), &with_files(scene, files, more), &args).done();
    let mut lines: Vec<String> =
        done.ok().stdout.lines().filter(|line| line.starts_with("LISTEN_")).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// sd_listen_fds(3): the program of a pid namespace of its own is process 1.
fn listened_ones_are_passed_on_and_told(scene: &Scene) {
    let files = files(scene, 3);
    assert_eq!(held(scene, &files, LISTEN, &[]), numbered(&files[..2]));
    assert_eq!(told(scene, &files, LISTEN, &[]), ["LISTEN_FDS=2", "LISTEN_FDS_NOT=1", "LISTEN_PID=1"]);
}

fn listened_and_preserved_ones(scene: &Scene) {
    let files = files(scene, 4);
    assert_eq!(held(scene, &files, LISTEN, &["--preserve-fds", "1"]), numbered(&files[..3]));
    let told = told(scene, &files, LISTEN, &["--preserve-fds", "1"]);
    assert_eq!(told, ["LISTEN_FDS=2", "LISTEN_FDS_NOT=1", "LISTEN_PID=1"], "only the listened ones are told");
}

fn listened_ones_of_another_process_stay(scene: &Scene) {
    let files = files(scene, 2);
    for more in ["export LISTEN_FDS=2 LISTEN_PID=1;", "export LISTEN_FDS=2;", "export LISTEN_FDS=x LISTEN_PID=$$;"] {
        assert_eq!(held(scene, &files, more, &[]), [], "{more}");
        assert_eq!(told(scene, &files, more, &[]), ["LISTEN_FDS_NOT=1"], "{more}");
    }
}

/// runc 1.1.5 hangs.
fn refuses_a_listened_one_that_is_not_open(scene: &Scene) {
    let more = "export LISTEN_FDS=30 LISTEN_PID=$$;";
    refused(scene, &files(scene, 2), more, &[], "LISTEN_FDS=30");
}

/// T-02: what a created init holds beside what it passes on is sockets and memory, nothing that has a path: no directory,
/// no mount, no procfs. (What other runtimes hold at that point is their own affair.)
fn a_created_init_holds_no_file(scene: &Scene) {
    for preserved in [0, 2] {
        let files = files(scene, 2);
        let mut bundle = scene.bundle();
        let container = scene.container(bundle.sleep());
        let number = preserved.to_string();
        let args = ["create", "--preserve-fds", &number];
        call(scene, &container, bundle.arg(), &with_files(scene, &files, ""), &args).done().ok();
        let pid = container.pid();
        let of_init: Vec<_> = process::descriptors(pid).into_iter().filter(|(fd, _)| *fd > 2).collect();
        let (passed, own) = of_init.split_at(preserved);
        assert_eq!(passed, numbered(&files[..preserved]));
        assert!(!own.is_empty());
        for (fd, target) in own {
            let target = target.to_str().unwrap();
            assert!(target.starts_with("socket:[") || target.starts_with("/memfd:planc"), "{fd}: {target}");
        }
        container.start();
        let of_program: Vec<_> = process::descriptors(pid).into_iter().filter(|(fd, _)| *fd > 2).collect();
        assert_eq!(of_program, passed);
        container.delete_force();
    }
}

/// What `exec` passes on is what its own caller names: nothing of the container's, and nothing of LISTEN_FDS.
fn exec_passes_preserved_ones_on(scene: &Scene) {
    let files = files(scene, 3);
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    for (options, count) in [(&[][..], 0), (&["--preserve-fds", "2"], 2)] {
        let wrapper = with_files(scene, &files, LISTEN);
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        let pid_file = scene.path("pid");
        let args =
            [&["exec", "-d", "--pid-file", pid_file.to_str().unwrap()], options, &[&container.id, "sleep", "1000"]];
        scene.call_by(&wrapper, &args.concat()).done().ok();
        let pid: u32 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
        // runc's exec returns before its process has become the program.
        let held = || process::descriptors(pid).into_iter().filter(|(fd, _)| *fd > 2).collect::<Vec<_>>();
        scene.wait_until("the process has what it was given", || held() == numbered(&files[..count]));
        let env = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
        assert!(!env.contains("LISTEN_"), "{env:?}");
    }
    container.delete_force();
}

fn exec_refuses_a_preserved_one_that_is_not_open(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    scene.rt(&["exec", "--preserve-fds", "200", &container.id, "true"]).exits(255).says("preserved-fd");
    container.delete_force();
}

/// Accepts one connection, and receives one message: its text, and the process that the pidfd with it refers to.
fn receive(listener: UnixListener) -> (String, u32) {
    let (sent, received) = mpsc::channel();
    thread::spawn(move || {
        let (peer, _) = listener.accept().unwrap();
        let mut bytes = [0; 4096];
        let mut space = cmsg_space!([RawFd; 4]);
        let mut into = [IoSliceMut::new(&mut bytes)];
        let message = recvmsg::<()>(peer.as_raw_fd(), &mut into, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC).unwrap();
        let of = |control| match control {
            ControlMessageOwned::ScmRights(fds) => fds,
            other => panic!("{other:?}"),
        };
        let fds: Vec<RawFd> = message.cmsgs().unwrap().flat_map(of).collect();
        let count = message.bytes;
        assert_eq!(fds.len(), 1);
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fds[0])).unwrap();
        close(fds[0]).unwrap();
        let pid = process::status_line(&info, "Pid").unwrap().parse().unwrap();
        sent.send((String::from_utf8_lossy(&bytes[..count]).into_owned(), pid)).unwrap();
    });
    received.recv_timeout(Duration::from_secs(20) * Lane::current().patience()).unwrap()
}

/// Creates a container with the socket at `path`, which is found there by `option`.
#[track_caller]
fn sends_its_pidfd(scene: &Scene, path: &Path, option: &str, dir: &Path, command: &str) {
    // A listener cannot be bound to a path longer than its address: it is moved there.
    let short = scene.path("listener");
    let listener = UnixListener::bind(&short).unwrap();
    fs::rename(&short, path).unwrap();
    let container = scene.container(scene.bundle().sleep());
    let options: &[&str] =
        if command == "run" { &["-d", "--pidfd-socket", option] } else { &["--pidfd-socket", option] };
    let call = if command == "run" { container.run_call(options) } else { container.create_call(options) };
    call.dir(dir).done().ok();
    let (text, pid) = receive(listener);
    assert_eq!(text, "standard", "what receivers know from runc 1.2");
    assert_eq!(pid, container.pid());
    fs::remove_file(path).unwrap();
    container.delete_force();
}

fn pidfd_socket_gets_inits_pidfd(scene: &Scene) {
    let path = scene.path("socket");
    for command in ["create", "run"] {
        sends_its_pidfd(scene, &path, path.to_str().unwrap(), &scene.path(""), command);
    }
}

fn pidfd_socket_by_a_relative_and_a_long_path(scene: &Scene) {
    sends_its_pidfd(scene, &scene.path("socket"), "socket", &scene.path(""), "create");
    let long = scene.path(&format!("{}/{}", "d".repeat(200), "e".repeat(200)));
    fs::create_dir_all(&long).unwrap();
    let path = long.join("s".repeat(200));
    sends_its_pidfd(scene, &path, path.to_str().unwrap(), &scene.path(""), "create");
}

/// There init is born twice.
fn pidfd_socket_of_a_shared_pid_namespace(scene: &Scene) {
    let sandbox = scene.container(scene.bundle().sleep());
    sandbox.run_detached();
    let mut bundle = scene.bundle();
    bundle.sleep().namespace("pid", Some(&format!("/proc/{}/ns/pid", sandbox.pid())));
    let container = scene.container(&bundle);
    let path = scene.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    container.create_call(&["--pidfd-socket", path.to_str().unwrap()]).done().ok();
    assert_eq!(receive(listener).1, container.pid());
    container.delete_force();
    sandbox.delete_force();
}

fn pidfd_socket_of_an_exec(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let (path, pid_file) = (scene.path("socket"), scene.path("pid"));
    let listener = UnixListener::bind(&path).unwrap();
    let options = ["--pidfd-socket", path.to_str().unwrap(), "--pid-file", pid_file.to_str().unwrap()];
    scene.rt(&[&["exec", "-d"], &options[..], &[&container.id, "sleep", "1000"]].concat()).ok();
    let (text, pid) = receive(listener);
    assert_eq!((text.as_str(), pid.to_string()), ("setns", fs::read_to_string(&pid_file).unwrap()));
    scene.rt(&[&["exec"], &options[..], &[&container.id, "true"]].concat()).exits(255).says("step ");
    container.delete_force();
}

fn pidfd_socket_nobody_listens_at(scene: &Scene) {
    let path = scene.path("socket");
    drop(UnixListener::bind(&path).unwrap());
    let file = scene.path("file");
    File::create(&file).unwrap();
    for path in [&path, &file, &scene.path("nosuch")] {
        let container = scene.container(&scene.bundle());
        let done = container.try_create(&["--pidfd-socket", path.to_str().unwrap()]);
        done.fails().says(path.to_str().unwrap()).says("step ");
        assert!(
            !done.stderr.to_lowercase().contains("no such file"),
            "engines take that for a missing program: {done}"
        );
        container.assert_gone();
    }
}

/// SECURITY.md I6: every wait ends.
fn pidfd_socket_that_is_busy(scene: &Scene) {
    let path = scene.path("socket");
    let listener = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let address = UnixAddr::new(&path).unwrap();
    bind(listener.as_raw_fd(), &address).unwrap();
    listen(&listener, Backlog::new(1).unwrap()).unwrap();
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let mut waiting = Vec::new();
    loop {
        let client = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
        if connect(client.as_raw_fd(), &address).is_err() {
            break;
        }
        waiting.push(client);
    }
    // How long at most is the limit that every command of these tests has, under which no machine is too slow to stay.
    let container = scene.container(&scene.bundle());
    container.try_create(&["--pidfd-socket", path.to_str().unwrap()]).fails().says("it took too long");
    container.assert_gone();
}
