//! The program as containerd calls it: bytes in, bytes out, and what it leaves behind.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const SHIM: &str = env!("CARGO_BIN_EXE_containerd-shim-planc-v2");

/// A bundle, and a directory of sockets; its servers end with it.
struct Bundle(PathBuf);

impl Bundle {
    fn new(name: &str, config: &str) -> Self {
        // Short: an address has room for 107 bytes.
        let path = std::env::temp_dir().join(format!("ps-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("config.json"), config).unwrap();
        Self(path)
    }

    fn sockets(&self) -> PathBuf {
        self.0.join("s")
    }

    fn address(&self) -> String {
        fs::read_to_string(self.0.join("address")).unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.address().strip_prefix("unix://").unwrap().into()
    }

    /// The processes that work in the bundle: their pids.
    fn servers(&self) -> Vec<i32> {
        let entries = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap());
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == self.0)).collect()
    }

    fn kill(&self) {
        for pid in self.servers() {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while UnixStream::connect(self.socket()).is_ok() {
            assert!(Instant::now() < deadline, "a server that was killed is alive");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        for pid in self.servers() {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A field of a message that has a length.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

/// BootstrapParams, by hand.
fn params(id: &str, sockets: &Path, options: Option<(&str, &[u8])>) -> Vec<u8> {
    let extension =
        options.map(|(url, value)| field(8, &field(1, &[field(1, url.as_bytes()), field(2, value)].concat())));
    let parts = [field(1, id.as_bytes()), field(2, b"n"), field(9, sockets.to_str().unwrap().as_bytes())];
    [parts.concat(), extension.unwrap_or_default()].concat()
}

fn call(directory: &Path, arguments: &[&str], input: &[u8]) -> Output {
    // T-55: whatever the caller's umask.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "umask 0; exec \"$0\" \"$@\"", SHIM]);
    command.args(arguments).current_dir(directory).env("TTRPC_ADDRESS", "/nowhere").env("GOMAXPROCS", "2");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that does not read it has ended.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn start(bundle: &Bundle, id: &str, input: &[u8]) -> Output {
    call(&bundle.0, &["-namespace", "n", "-address", "/a", "-publish-binary", "/c", "-id", id, "start"], input)
}

/// The bytes of the answer; nothing was said beside it.
fn answer(output: Output) -> Vec<u8> {
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    output.stdout
}

/// The one line of a refusal.
fn refusal(output: Output, code: i32) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(code), &b""[..]), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

#[test]
fn start_makes_a_private_socket_and_a_server_of_its_own() {
    let bundle = Bundle::new("start", "{}");
    let begun = answer(start(&bundle, "a", &params("a", &bundle.sockets(), None)));
    let wanted = [vec![0x08, 3], field(2, bundle.address().as_bytes()), field(3, b"ttrpc")].concat();
    assert_eq!(begun, wanted);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&bundle.sockets()), mode(&bundle.socket())), (0o700, 0o600));
    assert_eq!(mode(&bundle.0.join("address")), 0o600);
    UnixStream::connect(bundle.socket()).unwrap();
    let servers = bundle.servers();
    let [server] = servers[..] else { panic!("{servers:?}") };
    let proc = |name: &str| PathBuf::from(format!("/proc/{server}/{name}"));
    let stat = fs::read_to_string(proc("stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!(fields[2], server.to_string(), "its process group is its own");
    let score = |path: &Path| fs::read_to_string(path).unwrap().trim().parse::<i32>().unwrap();
    let own = score(Path::new("/proc/self/oom_score_adj"));
    assert_eq!(score(&proc("oom_score_adj")), (own + 1).min(1000));
    // It takes its socket over when it is ready.
    let deadline = Instant::now() + Duration::from_secs(10);
    while fs::read_link(proc("fd/0")).unwrap() != Path::new("/dev/null") {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!((1..3).all(|fd| fs::read_link(proc(&format!("fd/{fd}"))).unwrap() == Path::new("/dev/null")));
    assert_eq!(fs::read_to_string(proc("comm")).unwrap(), "containerd-shim\n");
    let environment = fs::read(proc("environ")).unwrap();
    let has = |word: &[u8]| environment.split(|byte| *byte == 0).any(|other| other == word);
    assert!(has(b"TTRPC_ADDRESS=/nowhere") && has(b"NAMESPACE=n"));
}

#[test]
fn a_group_has_one_server() {
    let config = r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"pod"}}"#;
    let (sandbox, container) = (Bundle::new("pod", config), Bundle::new("member", config));
    let first = answer(start(&sandbox, "pod", &params("pod", &sandbox.sockets(), None)));
    let second = answer(start(&container, "a", &params("a", &sandbox.sockets(), None)));
    assert_eq!((&first, sandbox.address()), (&second, container.address()));
    assert_eq!((sandbox.servers().len(), container.servers().len()), (1, 0));
    // Its server has died.
    sandbox.kill();
    let third = answer(start(&container, "a", &params("a", &sandbox.sockets(), None)));
    assert_eq!((third, container.servers().len()), (first, 1));
    UnixStream::connect(container.socket()).unwrap();
}

#[test]
fn many_starts_at_once_make_one_server() {
    let config = r#"{"annotations":{"io.containerd.runc.v2.group":"g"}}"#;
    let bundle = Bundle::new("race", config);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let ids = (0..8).map(|number| format!("c{number}"));
        let one = |id: String| answer(start(&bundle, &id, &params(&id, &bundle.sockets(), None)));
        let threads: Vec<_> = ids.map(|id| scope.spawn(move || one(id))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(bundle.servers().len(), 1);
}

#[test]
fn what_fails_says_so_in_a_line_and_leaves_nothing() {
    let bundle = Bundle::new("fails", "{}");
    let toml = "Nonsense = true";
    let unknown = params("a", &bundle.sockets(), Some(("runtimeoptions.v1.Options", &field(3, toml.as_bytes()))));
    assert!(refusal(start(&bundle, "a", &unknown), 1).contains("unknown option \"Nonsense\""));
    let cgroup =
        params("a", &bundle.sockets(), Some(("containerd.runc.v1.Options", &field(3, b"/planc/there/is/none"))));
    assert!(refusal(start(&bundle, "a", &cgroup), 1).contains("/planc/there/is/none"));
    assert_eq!(fs::read_dir(bundle.sockets()).unwrap().count(), 0);
    fs::write(bundle.0.join("config.json"), "{").unwrap();
    assert!(refusal(start(&bundle, "a", &params("a", &bundle.sockets(), None)), 1).contains("config.json"));
    assert!(!bundle.0.join("address").exists());
    assert_eq!(bundle.servers(), []);
    for (arguments, code, why) in [
        (&["-nonsense"][..], 2, "flag provided but not defined: -nonsense"),
        (&["-id"], 2, "flag needs an argument: -id"),
        (&["-id", "a", "start"], 1, "namespace cannot be empty"),
        (&["-namespace", "../n", "-id", "a", "start"], 1, "invalid namespace"),
        (&["-namespace", "n", "-id", "../a", "delete"], 1, "invalid container ID"),
        (&["-namespace", "n", "-id", "a", "stop"], 1, "unknown action \"stop\""),
        (&["-namespace", "n", "-id", "a"], 1, "no socket that listens"),
    ] {
        let said = refusal(call(&bundle.0, arguments, b""), code);
        assert!(said.contains(why), "{said}");
    }
}

/// Nobody ends its input, as a person at a terminal would not.
#[test]
fn an_input_without_an_end_does_not_hang() {
    let bundle = Bundle::new("open", "{}");
    let mut command = Command::new(SHIM);
    command.args(["-namespace", "n", "-address", "/a", "-id", "a", "start"]).current_dir(&bundle.0);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&params("a", &bundle.sockets(), None)).unwrap();
    let begun = Instant::now();
    assert!(child.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(20));
    UnixStream::connect(bundle.socket()).unwrap();
    drop(input);
}

#[test]
fn info_and_version_need_neither_names_nor_a_bundle() {
    let info = answer(call(Path::new("/"), &["-info"], b""));
    let holds = |words: &[u8]| info.windows(words.len()).any(|window| window == words);
    assert!(holds(b"types.containerd.io/opencontainers/runtime-spec/1/features/Features"));
    assert!(holds(b"\"ociVersionMin\"") && info.starts_with(&field(1, b"io.containerd.planc.v2")));
    let odd = field(1, b"x.y/z");
    assert!(refusal(call(Path::new("/"), &["-info"], &odd), 1).contains("x.y/z"));
    for flag in ["-v", "--version"] {
        let version = String::from_utf8(answer(call(Path::new("/"), &[flag], b""))).unwrap();
        assert!(version.contains(concat!("Version:  ", env!("CARGO_PKG_VERSION"))), "{version}");
    }
}

#[test]
fn delete_of_what_is_not_there_and_a_stale_socket() {
    let bundle = Bundle::new("delete", "{}");
    answer(start(&bundle, "a", &params("a", &bundle.sockets(), None)));
    let socket = bundle.socket();
    fs::write(bundle.0.join("options.json"), format!("{{\"root\":{:?}}}", bundle.0.join("r"))).unwrap();
    // Anywhere: the bundle is named.
    let arguments = ["-namespace", "n", "-address", "/a", "-id", "a", "-bundle", bundle.0.to_str().unwrap(), "delete"];
    let deleted = answer(call(Path::new("/"), &arguments, b""));
    assert_eq!(deleted[..3], [0x10, 137, 1], "no pid, and an exit status of 137");
    assert!(socket.exists(), "its shim is alive");
    bundle.kill();
    answer(call(Path::new("/"), &arguments, b""));
    assert!(!socket.exists());
    answer(call(Path::new("/"), &arguments, b""));
}

/// -socket, for one who starts a server by hand.
#[test]
fn a_server_by_hand() {
    let bundle = Bundle::new("hand", "{}");
    let path = bundle.sockets().join("x");
    let mut command = Command::new(SHIM);
    command.args(["-namespace", "n", "-id", "a", "-socket"]).arg(&path).current_dir(&bundle.0);
    let mut server = command.stdin(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while UnixStream::connect(&path).is_err() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let taken = call(&bundle.0, &["-namespace", "n", "-id", "b", "-socket", path.to_str().unwrap()], b"");
    assert!(refusal(taken, 1).contains("another shim serves there"));
    server.kill().unwrap();
    server.wait().unwrap();
    let _ = UnixListener::bind(&path).unwrap_err();
}
