//! Options of the runtime, in each of the forms in which they come.

use std::fs;
use std::path::Path;

use containerd_shim_protos::api::CreateTaskRequest;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use integration_tests::harness::Need;
use integration_tests::oracle::cgroup_root;
use integration_tests::process;
use integration_tests::runtime::Kind;
use integration_tests::scene::Scene;
use integration_tests::shim::client::{Answer, Client, V2};
use integration_tests::shim::task::Task;
use integration_tests::shim::{Dialect, Engine, NAMESPACE, any, id, options};

integration_tests::tests! {
    root,
    root_by_default,
    root_as_toml [Need::Planc],
    root_as_toml_by_its_older_name [Need::Planc],
    no_toml_is_empty [Need::Planc],
    root_as_json [Need::Planc],
    an_unknown_key_of_json_is_refused [Need::Planc],
    an_unknown_type_is_refused,
    an_unknown_key_of_toml_is_refused [Need::Planc],
    toml_of_the_wrong_type_is_refused [Need::Planc],
    no_new_keyring_and_no_pivot_root,
    another_binary,
    shim_cgroup,
    shim_cgroup_that_is_not_there_is_refused,
}

fn create(task: &Task<'_, '_>, options: Any) -> Answer<u32> {
    task.client.create(&CreateTaskRequest { options: Some(options).into(), ..task.request() })
}

/// Whether the state of the container is where the options say; the oracle looks whether it goes.
#[track_caller]
fn is_below(engine: &Engine<'_>, root: &Path, options: Any) {
    let task = engine.task(&engine.bundle());
    create(&task, options).unwrap();
    let state = root.join(NAMESPACE).join(&task.id);
    assert!(state.is_dir(), "no {}", state.display());
    task.start();
    assert_eq!(task.run("e", "exit 0"), 0);
    task.end();
    assert!(!state.exists());
}

fn root(scene: &Scene) {
    let engine = Engine::new(scene);
    let root = scene.path("another-root");
    is_below(&engine, &root, options(|options| options.root = root.to_str().unwrap().to_owned()));
}

fn root_by_default(scene: &Scene) {
    let by_default = integration_tests::shim::root(scene.runtime.kind);
    is_below(&Engine::new(scene), by_default, options(|_| {}));
}

/// `runtimeoptions.v1.Options`: type_url (1), config_path (2), config_body (3).
fn toml(type_url: &str, body: &str) -> Any {
    let mut bytes = Vec::new();
    if !body.is_empty() {
        assert!(body.len() < 128, "a length of one byte");
        bytes.extend([0x1a, body.len() as u8]);
        bytes.extend(body.as_bytes());
    }
    any(type_url, bytes)
}

const TOML: &str = "runtimeoptions.v1.Options";

/// What CRI sends to every runtime but `io.containerd.runc.v2`.
fn root_as_toml(scene: &Scene) {
    let root = scene.path("another-root");
    let body = format!("Root = \"{}\"\nSystemdCgroup = false\n", root.display());
    is_below(&Engine::new(scene), &root, toml(TOML, &body));
}

fn root_as_toml_by_its_older_name(scene: &Scene) {
    let root = scene.path("another-root");
    let body = format!("Root = '{}' # a remark\n\n", root.display());
    is_below(&Engine::new(scene), &root, toml("cri.runtimeoptions.v1.Options", &body));
}

fn no_toml_is_empty(scene: &Scene) {
    is_below(&Engine::new(scene), integration_tests::shim::root(scene.runtime.kind), toml(TOML, ""));
}

/// What a client writes that has no message at hand.
fn json(value: &serde_json::Value) -> Any {
    any("runc.v1.Options", value.to_string().into())
}

fn root_as_json(scene: &Scene) {
    let root = scene.path("another-root");
    is_below(&Engine::new(scene), &root, json(&serde_json::json!({"Root": root.to_str().unwrap()})));
}

fn an_unknown_key_of_json_is_refused(scene: &Scene) {
    is_refused(scene, json(&serde_json::json!({"Root": "/run/r", "MoonPhase": 3})), "MoonPhase");
}

#[track_caller]
fn is_refused(scene: &Scene, options: Any, text: &str) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    let failure = create(&task, options).unwrap_err();
    assert!(failure.message.contains(text), "{failure:?}");
    assert!(task.words().is_empty());
    task.create();
    task.start();
    task.end();
}

fn an_unknown_type_is_refused(scene: &Scene) {
    is_refused(scene, any("example.Unknown", vec![]), "example.Unknown");
}

fn an_unknown_key_of_toml_is_refused(scene: &Scene) {
    is_refused(scene, toml(TOML, "Root = \"/run/r\"\nMoonPhase = 3\n"), "MoonPhase");
}

fn toml_of_the_wrong_type_is_refused(scene: &Scene) {
    is_refused(scene, toml(TOML, "SystemdCgroup = \"yes\"\n"), "SystemdCgroup");
}

fn no_new_keyring_and_no_pivot_root(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    let both = options(|options| (options.no_new_keyring, options.no_pivot_root) = (true, true));
    let created = create(&task, both);
    // A host whose root is a ramfs needs it; where there is none it may be an error.
    if created.is_ok() {
        task.start();
        assert_eq!(task.run("e", "test -x /bin/busybox"), 0);
        task.end();
    } else {
        task.shutdown();
    }
}

/// docker sends it with every container. A shim that runs a binary has to run this one; in ours it has no effect.
fn another_binary(scene: &Scene) {
    let options = options(|options| options.binary_name = "/not/there".to_owned());
    if scene.runtime.kind != Kind::Planc {
        return is_refused(scene, options, "/not/there");
    }
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    create(&task, options).unwrap();
    task.start();
    task.end();
}

fn start_with(scene: &Scene, cgroup: &str, then: impl FnOnce(Result<u32, String>)) {
    let engine = Engine::new(scene);
    let bundle = engine.bundle();
    bundle.write();
    let id = id(&bundle);
    let stdin = options(|options| cgroup.clone_into(&mut options.shim_cgroup)).write_to_bytes().unwrap();
    let dialect = Dialect::V2_0(stdin);
    let printed = engine.try_start(bundle.dir(), &id, &dialect);
    if !printed.status.success() {
        return then(Err(printed.refuses().err()));
    }
    let client = Client::connect(&dialect.understand(&printed.stdout).unwrap().address, V2).unwrap();
    let shim = client.connection_of(&id).unwrap().shim_pid;
    then(Ok(shim));
    let _ = client.shutdown(&id);
    scene.wait_until("the shim has ended", || !process::runs(shim));
}

fn shim_cgroup(scene: &Scene) {
    let name = format!("/{}", scene.id());
    let cgroup = cgroup_root().join(&name[1..]);
    fs::create_dir(&cgroup).unwrap();
    start_with(scene, &name, |started| assert_eq!(process::cgroup(started.unwrap()), cgroup));
    scene.wait_until("its cgroup is empty", || fs::remove_dir(&cgroup).is_ok());
}

fn shim_cgroup_that_is_not_there_is_refused(scene: &Scene) {
    start_with(scene, "/not/there", |started| {
        // Made, or refused by name: both put no shim elsewhere unasked.
        match started {
            Ok(shim) => assert_eq!(process::cgroup(shim), cgroup_root().join("not/there")),
            Err(why) => assert!(why.contains("not/there"), "{why}"),
        }
    });
    let _ = fs::remove_dir(cgroup_root().join("not/there"));
    let _ = fs::remove_dir(cgroup_root().join("not"));
}
