//! `start` in the dialects of every containerd, `-v`, `-info`, and the socket that tasks are served at.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use containerd_shim_protos::bootstrap_api::{BootstrapParams, Extension};
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::types::introspection::RuntimeInfo;
use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::scene::Scene;
use integration_tests::shim::client::{Client, V2, V3};
use integration_tests::shim::process::run;
use integration_tests::shim::{Dialect, Engine, NAMESPACE, Started, any, id, options};
use serde_json::{Value, json};

integration_tests::tests! {
    version_by_each_name [Need::Planc],
    version_by_v,
    info_of_nothing [Need::Planc],
    info_of_options [Need::Planc],
    info_asks_for_no_bundle [Need::Planc],
    start_for_1_6,
    start_for_1_7,
    start_for_2_0,
    start_for_2_3 [Need::Planc],
    start_for_2_3_in_its_socket_directory [Need::Planc],
    start_takes_recorded_bytes [Need::Planc],
    start_takes_other_params_for_options [Need::Planc],
    start_is_not_waited_for_by_who_reads_its_stdin,
    flags_as_go_has_them,
    debug_is_silent_too,
    unknown_flags_are_refused [Need::Planc],
    the_address_is_in_the_bundle,
    the_socket_is_private,
    other_users_are_refused,
    a_stale_socket_is_replaced,
    a_group_shares_one_shim,
    a_sandbox_shares_one_shim,
    other_namespaces_have_other_shims,
    start_without_a_bundle_is_refused,
    start_with_a_broken_bundle_is_refused [Need::Planc],
    the_shim_is_no_child_and_leads_its_group,
    the_shim_shares_its_mount_namespace,
    a_full_log_blocks_nobody [Need::Planc],
}

/// Ends a shim that has no container.
#[track_caller]
fn end(engine: &Engine<'_>, started: &Started, id: &str) {
    let client = Client::connect(&started.address, V2).unwrap();
    let shim = client.connection_of(id).unwrap().shim_pid;
    assert!(process::runs(shim));
    let _ = client.shutdown(id);
    engine.scene.wait_until("the shim has ended", || !process::runs(shim));
}

/// A bundle with its config.json, and an id.
fn bundle(engine: &Engine<'_>) -> (Bundle, String) {
    let bundle = engine.bundle();
    bundle.write();
    let id = id(&bundle);
    (bundle, id)
}

/// Starts in a dialect, and serves a life of a container at the address.
fn lives(scene: &Scene, dialect: impl FnOnce(&Engine<'_>, &str) -> Dialect) -> Started {
    let engine = Engine::new(scene);
    let (bundle, id) = bundle(&engine);
    let dialect = dialect(&engine, &id);
    let started = engine.start(bundle.dir(), &id, &dialect);
    let service = if started.version == 3 { V3 } else { V2 };
    let client = Client::connect(&started.address, service).unwrap();
    let request = containerd_shim_protos::api::CreateTaskRequest {
        id: id.clone(),
        bundle: bundle.arg().to_owned(),
        ..Default::default()
    };
    let pid = client.create(&request).unwrap();
    assert_eq!(client.start(&id, "").unwrap(), pid);
    client.kill(&id, "", 9, false).unwrap();
    assert_eq!(client.wait(&id, "").unwrap().exit_status, 137);
    client.delete(&id, "").unwrap();
    engine.events.expect(scene.soon(), &id, "delete 137");
    assert_eq!(engine.events.words(&id).first().map(String::as_str), Some("create"));
    end(&engine, &started, &id);
    started
}

fn version_by_each_name(scene: &Scene) {
    let engine = Engine::new(scene);
    for flag in ["-v", "-version", "--version"] {
        let printed = run(engine.bare(Path::new("/"), &[flag]), &[]);
        assert!(printed.ok().out().contains("containerd-shim-planc-v2"), "{:?}", printed.out());
        assert_eq!(printed.err(), "");
    }
}

fn version_by_v(scene: &Scene) {
    let engine = Engine::new(scene);
    let printed = run(engine.bare(Path::new("/"), &["-v"]), &[]);
    let out = printed.ok().out();
    for line in ["Version:", "Revision:"] {
        assert!(out.contains(line), "{out:?}");
    }
}

fn info(scene: &Scene, stdin: &[u8]) -> RuntimeInfo {
    let engine = Engine::new(scene);
    let printed = run(engine.bare(Path::new("/"), &["-info"]), stdin);
    printed.ok();
    assert_eq!(printed.err(), "");
    RuntimeInfo::parse_from_bytes(&printed.stdout).unwrap()
}

/// The `features` of a RuntimeInfo are the JSON of runtime-spec features.md; containerd knows them by this type.
#[track_caller]
fn assert_info(info: &RuntimeInfo) {
    assert!(!info.name.is_empty());
    assert!(!info.version.version.is_empty());
    let features = &info.features;
    assert!(features.type_url.ends_with("opencontainers/runtime-spec/1/features/Features"), "{}", features.type_url);
    let features: Value = serde_json::from_slice(&features.value).unwrap();
    assert!(features["ociVersionMax"].is_string(), "{features}");
    assert!(features["linux"]["namespaces"].as_array().unwrap().contains(&json!("mount")), "{features}");
}

fn info_of_nothing(scene: &Scene) {
    assert_info(&info(scene, &[]));
}

fn info_of_options(scene: &Scene) {
    let options = options(|options| options.systemd_cgroup = true);
    let info = info(scene, &options.write_to_bytes().unwrap());
    assert_info(&info);
    assert_eq!(info.options.type_url, options.type_url);
    assert_eq!(info.options.value, options.value);
}

/// containerd asks before there is a container: without `-namespace` and `-id`, from its own directory.
fn info_asks_for_no_bundle(scene: &Scene) {
    let mut command = Command::new(&scene.runtime.path);
    command.arg("-info").current_dir("/proc").env_clear();
    let printed = run(command, &[]);
    printed.ok();
    assert_info(&RuntimeInfo::parse_from_bytes(&printed.stdout).unwrap());
}

fn start_for_1_6(scene: &Scene) {
    let started = lives(scene, |_, _| Dialect::V1_6);
    assert!(started.address.starts_with("unix:///"));
}

fn start_for_1_7(scene: &Scene) {
    lives(scene, |_, _| Dialect::V1_7(Vec::new()));
    lives(scene, |_, _| Dialect::V1_7(options(|_| {}).write_to_bytes().unwrap()));
}

fn start_for_2_0(scene: &Scene) {
    lives(scene, |_, _| Dialect::V2_0(options(|_| {}).write_to_bytes().unwrap()));
    lives(scene, |_, _| Dialect::V2_0(options(|options| options.io_uid = 7).write_to_bytes().unwrap()));
}

fn params(engine: &Engine<'_>, id: &str) -> BootstrapParams {
    let mut params = BootstrapParams::new();
    id.clone_into(&mut params.instance_id);
    NAMESPACE.clone_into(&mut params.namespace);
    "2.3.0".clone_into(&mut params.containerd_version);
    engine.events.path().to_str().unwrap().clone_into(&mut params.containerd_ttrpc_address);
    engine.scene.path("c.sock").to_str().unwrap().clone_into(&mut params.containerd_grpc_address);
    let extension = Extension { value: MessageField::some(options(|_| {})), ..Default::default() };
    params.extensions.push(extension);
    params
}

fn start_for_2_3(scene: &Scene) {
    let started = lives(scene, |engine, id| Dialect::V2_3(Box::new(params(engine, id))));
    assert!(started.by_message, "{started:?}");
}

fn start_for_2_3_in_its_socket_directory(scene: &Scene) {
    // A socket's path has 108 bytes, of which the name takes 64.
    let directory = PathBuf::from(format!("/run/{}", scene.id()));
    fs::create_dir(&directory).unwrap();
    let started = lives(scene, |engine, id| {
        let mut params = params(engine, id);
        params.socket_dir = Some(directory.to_str().unwrap().to_owned());
        Dialect::V2_3(Box::new(params))
    });
    assert!(started.address.starts_with(&format!("unix://{}/", directory.display())), "{started:?}");
    fs::remove_dir(&directory).expect("the socket is left behind");
}

/// The bytes that each containerd writes, not made by any library: field numbers as in its .proto files.
fn start_takes_recorded_bytes(scene: &Scene) {
    let url = b"containerd.runc.v1.Options";
    let with_options = |options: &[u8]| {
        let mut bytes = vec![0x0a, url.len() as u8];
        bytes.extend(url);
        if !options.is_empty() {
            bytes.extend([0x12, options.len() as u8]);
            bytes.extend(options);
        }
        bytes
    };
    // systemd_cgroup (9) false is not written; no_new_keyring (2) is true.
    for options in [&b""[..], &[0x10, 0x01]] {
        lives(scene, |_, _| Dialect::V1_7(with_options(options)));
        lives(scene, |_, _| Dialect::V2_0(with_options(options)));
    }
    let engine = Engine::new(scene);
    let (bundle, id) = bundle(&engine);
    let mut bytes = Vec::new();
    let ttrpc = engine.events.path().to_str().unwrap();
    for (field, text) in [(1, id.as_str()), (2, NAMESPACE), (4, "v2.3.1"), (5, ttrpc), (7, "/usr/bin/containerd")] {
        bytes.extend([field << 3 | 2, text.len() as u8]);
        bytes.extend(text.as_bytes());
    }
    // log_level (3) of -4, as a varint of ten bytes.
    bytes.extend([0x18, 0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    // An extension (8) of a kind that nobody knows.
    bytes.extend([0x42, 0x0e, 0x0a, 0x0c, 0x0a, 0x0a]);
    bytes.extend(b"example/An");
    engine.open_log(bundle.dir());
    let printed = run(engine.command(bundle.dir(), &id, &[], "start"), &bytes);
    printed.ok();
    let address = bundle.dir().join("address");
    let address = fs::read_to_string(address).unwrap();
    // version (1), address (2), protocol (3).
    let version = printed.stdout.get(..2).unwrap();
    assert!(matches!(version, [0x08, 2 | 3]), "{:?}", printed.stdout);
    let mut expected = version.to_vec();
    expected.extend([0x12, address.len() as u8]);
    expected.extend(address.as_bytes());
    expected.extend([0x1a, 5]);
    expected.extend(b"ttrpc");
    assert_eq!(printed.stdout, expected);
    end(&engine, &Started { address, version: 2, by_message: true }, &id);
}

/// An Any decodes as a `BootstrapParams`, and the other way round: what decides is whether it names this instance.
fn start_takes_other_params_for_options(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, id) = bundle(&engine);
    let printed =
        engine.try_start(bundle.dir(), &id, &Dialect::V2_0(any("example/Unknown", vec![1]).write_to_bytes().unwrap()));
    if printed.status.success() {
        let started = Dialect::V2_0(Vec::new()).understand(&printed.stdout).unwrap();
        assert!(!started.by_message);
        end(&engine, &started, &id);
    } else {
        printed.refuses();
        assert!(printed.err().contains("example/Unknown"), "{:?}", printed.err());
    }
}

/// A shim that waits for the end of a stdin that never ends would hang containerd 1.6, which gives it its own.
fn start_is_not_waited_for_by_who_reads_its_stdin(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, id) = bundle(&engine);
    engine.open_log(bundle.dir());
    let mut command = engine.command(bundle.dir(), &id, &[], "start");
    // exec.Cmd without a Stdin has /dev/null.
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    end(&engine, &Dialect::V1_6.understand(&output.stdout).unwrap(), &id);
}

fn flags_as_go_has_them(scene: &Scene) {
    let engine = Engine::new(scene);
    let address = engine.scene.path("c.sock");
    let address = address.to_str().unwrap();
    let (bundle, id) = bundle(&engine);
    let forms = [
        vec![format!("-namespace={NAMESPACE}"), format!("-id={id}"), format!("-address={address}")],
        vec![format!("--namespace={NAMESPACE}"), format!("--id={id}"), "--address".to_owned(), address.to_owned()],
        ["-namespace", NAMESPACE, "-id", &id, "-address", address, "-debug=false"].map(str::to_owned).to_vec(),
    ];
    for mut words in forms {
        words.push("start".to_owned());
        engine.open_log(bundle.dir());
        let printed = run(engine.bare(bundle.dir(), &words), &[]);
        printed.ok();
        end(&engine, &Dialect::V1_6.understand(&printed.stdout).unwrap(), &id);
        let _ = fs::remove_file(bundle.dir().join("address"));
    }
}

fn debug_is_silent_too(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, id) = bundle(&engine);
    engine.open_log(bundle.dir());
    let printed = run(engine.command(bundle.dir(), &id, &["-debug"], "start"), &[]);
    printed.ok();
    assert_eq!(printed.err(), "");
    end(&engine, &Dialect::V1_6.understand(&printed.stdout).unwrap(), &id);
}

/// Go's flag package says a page about each, and exits with 2.
fn unknown_flags_are_refused(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, id) = bundle(&engine);
    let printed = run(engine.command(bundle.dir(), &id, &["-moon"], "start"), &[]);
    assert!(!printed.status.success());
    assert!(printed.err().contains("moon"), "{:?}", printed.err());
}

/// What containerd reads after its own restart.
fn the_address_is_in_the_bundle(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, id) = bundle(&engine);
    let started = engine.start(bundle.dir(), &id, &Dialect::V1_6);
    assert_eq!(fs::read_to_string(bundle.dir().join("address")).unwrap(), started.address);
    end(&engine, &started, &id);
}

fn path_of(started: &Started) -> PathBuf {
    PathBuf::from(started.address.strip_prefix("unix://").unwrap())
}

fn the_socket_is_private(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, id) = bundle(&engine);
    let started = engine.start(bundle.dir(), &id, &Dialect::V1_6);
    let path = path_of(&started);
    let meta = fs::symlink_metadata(&path).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o600, 0));
    assert!(path.as_os_str().len() <= 106, "{}", path.display());
    let directory = fs::metadata(path.parent().unwrap()).unwrap();
    assert_eq!((directory.mode() & 0o022, directory.uid()), (0, 0), "others can write to {}", path.display());
    end(&engine, &started, &id);
    assert!(!path.exists(), "the socket is left behind");
}

/// The socket's mode is one lock; this is the other: of a socket that everybody can open, the peer is looked at.
fn other_users_are_refused(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, id) = bundle(&engine);
    let started = engine.start(bundle.dir(), &id, &Dialect::V1_6);
    let path = path_of(&started);
    let client = Client::connect(&started.address, V2).unwrap();
    let asked = ask_as_nobody(scene, &path);
    assert!(asked.contains("refused"), "the mode lets nobody in: {asked}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let directory = path.parent().unwrap();
    let mode = fs::metadata(directory).unwrap().permissions();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    let asked = ask_as_nobody(scene, &path);
    fs::set_permissions(directory, mode).unwrap();
    assert!(asked.contains("closed"), "{asked}");
    assert!(client.connection_of(&id).is_ok(), "who may ask is answered on");
    end(&engine, &started, &id);
}

/// Sends the bytes of a `Connect` as another user; what became of it.
fn ask_as_nobody(scene: &Scene, socket: &Path) -> String {
    let mut request = containerd_shim_protos::ttrpc::Request::new();
    V2.clone_into(&mut request.service);
    "Connect".clone_into(&mut request.method);
    let request = request.write_to_bytes().unwrap();
    let mut frame = (request.len() as u32).to_be_bytes().to_vec();
    frame.extend([0, 0, 0, 1, 1, 0]);
    frame.extend(request);
    let file = scene.path("frame");
    fs::write(&file, frame).unwrap();
    let script = "use IO::Socket::UNIX; $SIG{PIPE} = 'IGNORE'; alarm 10; local $/; my $frame = <STDIN>; \
                  my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or do { print qq(refused: $!); exit }; \
                  print $s $frame; $s->flush; print sysread($s, my $byte, 1) ? 'answered' : 'closed'";
    let mut perl = Command::new("setpriv");
    perl.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "perl", "-e", script]);
    let output = perl.arg(socket).stdin(fs::File::open(&file).unwrap()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A shim that was killed leaves its socket: nobody answers there, and the next one takes the place.
fn a_stale_socket_is_replaced(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, id) = bundle(&engine);
    let started = engine.start(bundle.dir(), &id, &Dialect::V1_6);
    let path = path_of(&started);
    end(&engine, &started, &id);
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let again = engine.start(bundle.dir(), &id, &Dialect::V1_6);
    assert_eq!(again.address, started.address);
    end(&engine, &again, &id);
}

fn pid_at(started: &Started) -> u32 {
    Client::connect(&started.address, V2).unwrap().connection_of("").unwrap().shim_pid
}

fn share(scene: &Scene, annotation: &str) {
    let engine = Engine::new(scene);
    let (mut first, sandbox) = bundle(&engine);
    first.set("/annotations", json!({ annotation: sandbox }));
    first.write();
    let (mut second, id) = bundle(&engine);
    second.set("/annotations", json!({"unrelated": "\u{e9} \\ \"", annotation: sandbox}));
    second.write();
    let (alone, other) = bundle(&engine);
    let one = engine.start(first.dir(), &sandbox, &Dialect::V1_6);
    let two = engine.start(second.dir(), &id, &Dialect::V1_6);
    let three = engine.start(alone.dir(), &other, &Dialect::V1_6);
    assert_eq!(one, two);
    assert_eq!(pid_at(&one), pid_at(&two));
    assert_ne!(one.address, three.address);
    assert_eq!(fs::read_to_string(second.dir().join("address")).unwrap(), one.address);
    end(&engine, &three, &other);
    end(&engine, &one, &sandbox);
}

fn a_group_shares_one_shim(scene: &Scene) {
    share(scene, "io.containerd.runc.v2.group");
}

fn a_sandbox_shares_one_shim(scene: &Scene) {
    share(scene, "io.kubernetes.cri.sandbox-id");
}

fn other_namespaces_have_other_shims(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, id) = bundle(&engine);
    let one = engine.start(bundle.dir(), &id, &Dialect::V1_6);
    // The Go shim removes at its end the socket that the bundle's `address` names.
    let (bundle, _) = self::bundle(&engine);
    engine.open_log(bundle.dir());
    let address = engine.scene.path("c.sock");
    let words = ["-namespace", "planc-tests-2", "-id", &id, "-address", address.to_str().unwrap(), "start"];
    let printed = run(engine.bare(bundle.dir(), &words), &[]);
    let two = Dialect::V1_6.understand(&printed.ok().stdout).unwrap();
    assert_ne!(one.address, two.address);
    end(&engine, &one, &id);
    end(&engine, &two, &id);
}

/// Nothing is left of it: the oracle looks.
fn start_without_a_bundle_is_refused(scene: &Scene) {
    let engine = Engine::new(scene);
    let empty = scene.path("empty");
    fs::create_dir(&empty).unwrap();
    let printed = engine.try_start(&empty, &scene.id(), &Dialect::V1_6);
    printed.refuses();
    assert!(printed.err().contains("config.json"), "{:?}", printed.err());
    assert!(!empty.join("address").exists());
}

/// The Go shim says its error twice.
fn start_with_a_broken_bundle_is_refused(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, id) = bundle(&engine);
    for text in ["", "{", "7", "{\"annotations\": 7}"] {
        bundle.write_raw(text);
        let printed = engine.try_start(bundle.dir(), &id, &Dialect::V1_6);
        assert!(!printed.status.success(), "it takes {text:?}");
        printed.refuses();
        assert!(printed.err().contains("config.json"), "{:?}", printed.err());
    }
}

/// Signals for containerd's group, and the end of its session, are none of the shim's.
fn the_shim_is_no_child_and_leads_its_group(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    let stat = process::stat(task.shim).unwrap();
    assert_ne!(stat.parent, std::process::id());
    let group = nix::unistd::getpgid(Some(nix::unistd::Pid::from_raw(task.shim as i32))).unwrap();
    assert_eq!(group.as_raw() as u32, task.shim);
    task.shutdown();
}

/// What it mounts, containerd must see, and the other way round.
fn the_shim_shares_its_mount_namespace(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    let (ours, its) = (process::namespaces("self"), process::namespaces(task.shim));
    assert_eq!(ours, its);
    task.shutdown();
}

/// containerd may be gone, and nobody read its log.
fn a_full_log_blocks_nobody(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, id) = bundle(&engine);
    engine.open_log(bundle.dir());
    // A pipe takes 64 KiB.
    let mut log = fs::OpenOptions::new().write(true).read(true).open(bundle.dir().join("log")).unwrap();
    log.write_all(&[b'\n'; 65_536]).unwrap();
    let printed = run(engine.command(bundle.dir(), &id, &["-debug"], "start"), &[]);
    let started = Dialect::V1_6.understand(&printed.ok().stdout).unwrap();
    let client = Client::connect(&started.address, V2).unwrap();
    for _ in 0..100 {
        client.state("nobody", "").unwrap_err();
    }
    let mut socket = UnixStream::connect(path_of(&started)).unwrap();
    socket.write_all(&[0xff; 10]).unwrap();
    // An answer, an end, or nothing: the others go on.
    socket.set_read_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
    let _ = socket.read(&mut [0; 1]);
    client.connection_of(&id).unwrap();
    end(&engine, &started, &id);
    drop(log);
}
