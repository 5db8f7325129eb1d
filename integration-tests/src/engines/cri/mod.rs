//! containerd's CRI: containerd with CNI's plugins and a registry of the lane's, and `crictl`, which speaks to it.
//!
//! `CONTAINERD` names the program, with runc's shim beside it, `CRI_TOOLS` the folder of crictl and critest, and `REGISTRY`
//! the storage of a registry with every image that is asked for. `SHIM` is the shim that is judged; without it, that of
//! runc is, with the runtime under test as its `BinaryName`.

pub mod critest;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::session::Session;
use crate::oracle;
use crate::runtime::Runtime;

/// The image that scenarios use.
pub const BUSYBOX: &str = "images.lane/e2e-test-images/busybox:1.29-2";

/// An image that critest wants too, by its name and tag.
pub fn image(name: &str) -> String {
    format!("images.lane/e2e-test-images/{name}")
}

/// Where the registry serves.
const REGISTRY: &str = "127.0.0.1:5000";

/// Every pod, with its containers.
const CLEANING: &str = "crictl rmp --all --force";

/// What is left of containers that are gone: cgroups, states, bundles, and namespaces of the network.
// No container's name begins with a dot; crun keeps a folder of its own that does.
const RESTS: &str = "find /sys/fs/cgroup/k8s.io -mindepth 1 -maxdepth 1 -type d; \
    find /run/containerd/planc/k8s.io /run/containerd/runc/k8s.io /run/containerd/io.containerd.runtime.v2.task/k8s.io \
    -mindepth 1 -maxdepth 1 ! -name '.*'; find /run/netns -name 'cni-*'";

/// Starts containerd, whose containers the shim under test runs.
#[track_caller]
pub fn start(runtime: &Runtime) -> Session {
    let mut session = Session::new(runtime, Path::new("/run/cri"), CLEANING, RESTS);
    let tools = given("CRI_TOOLS");
    for tool in ["crictl", "critest"] {
        session.program(tool, tools.join(tool));
    }
    session.set("CRI_CONFIG_FILE", session.path("crictl.yaml").to_str().unwrap());
    serve(&mut session);
    session.wait("crictl info | grep NetworkReady");
    session
}

/// Starts the registry and containerd. The handler of a pod that names none is the one that is judged, and so is `planc`.
#[track_caller]
pub(super) fn serve(session: &mut Session) {
    let program = given("CONTAINERD");
    session.program("containerd", &program);
    session.program("ctr", program.with_file_name("ctr"));
    let tmp = session.path("tmp");
    fs::create_dir(&tmp).unwrap();
    session.set("TMPDIR", tmp.to_str().unwrap());
    // What CNI and kubelets keep there is to go with the lane.
    session.ok("for folder in /var/lib /var/log; do mount -t tmpfs tmpfs $folder; done");
    session.with_iptables();
    write(session, &program);
    session.daemon("registry", &["docker-registry", "serve", "registry.yml"], ": > /dev/tcp/127.0.0.1/5000");
    containerd(session);
}

/// Starts containerd, for the first time or again.
#[track_caller]
pub(super) fn containerd(session: &Session) {
    session.daemon("containerd", &["containerd", "--config", "containerd.toml"], "ctr version");
}

pub(super) fn given(variable: &str) -> PathBuf {
    PathBuf::from(std::env::var_os(variable).unwrap_or_else(|| panic!("{variable}: cargo xtask engines sets it")))
}

/// Writes what containerd, the registry and crictl read.
fn write(session: &Session, containerd: &Path) {
    let of_runc = containerd.with_file_name("containerd-shim-runc-v2");
    let (shim, binary) = match std::env::var_os("SHIM").map(PathBuf::from) {
        Some(shim) => (shim, None),
        None => (of_runc.clone(), Some(session.runtime.path.as_path())),
    };
    let name = shim.file_name().unwrap().to_str().unwrap().to_owned();
    if has_cpu() {
        session.program(&name, &shim);
    } else {
        let wrapper = session.path("bin").join(&name);
        fs::write(&wrapper, include_str!("shim.sh").replace("@SHIM@", shim.to_str().unwrap())).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let home = session.home.to_str().unwrap();
    let data = std::env::var("LANE_DATA").unwrap();
    let judged = format!("runtime_type = '{}'", crate::containerd::runtime_type(&name));
    let beside = format!("runtime_type = 'io.containerd.runc.v2'\nruntime_path = '{}'", of_runc.display());
    let handlers = [("judged", &judged, binary), ("planc", &judged, binary), ("runc", &beside, None)].map(handler);
    let config = include_str!("containerd.toml").replace("@HOME@", home).replace("@DATA@", &data);
    fs::write(session.path("containerd.toml"), config + &handlers.concat()).unwrap();
    for folder in ["certs.d/_default", "net.d", "opt"] {
        fs::create_dir_all(session.path(folder)).unwrap();
    }
    // Every registry is the lane's.
    let hosts = format!("[host.'http://{REGISTRY}']\ncapabilities = ['pull', 'resolve']\n");
    fs::write(session.path("certs.d/_default/hosts.toml"), hosts).unwrap();
    fs::write(session.path("net.d/lane.conflist"), include_str!("net.conflist").replace("@HOME@", home)).unwrap();
    let storage = given("REGISTRY");
    let registry = format!(
        "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  \
         maintenance: {{readonly: {{enabled: true}}}}\nhttp: {{addr: '{REGISTRY}'}}\n",
        storage.display()
    );
    fs::write(session.path("registry.yml"), registry).unwrap();
    let socket = "unix:///run/containerd/containerd.sock";
    let crictl = format!("runtime-endpoint: {socket}\nimage-endpoint: {socket}\ntimeout: 30\n");
    fs::write(session.path("crictl.yaml"), crictl).unwrap();
}

/// The tables of a handler: its name, who it is, and the program that its shim executes, where it does.
fn handler((name, keys, binary): (&str, &String, Option<&Path>)) -> String {
    let table = format!("plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{name}");
    let options = binary.map(|binary| format!("[{table}.options]\nBinaryName = '{}'\n", binary.display()));
    format!("\n[{table}]\n{keys}\n{}", options.unwrap_or_default())
}

/// Whether the lane's cgroups have the controller that CRI asks for.
fn has_cpu() -> bool {
    let controllers = fs::read_to_string(oracle::cgroup_root().join("cgroup.controllers")).unwrap_or_default();
    controllers.split_whitespace().any(|name| name == "cpu")
}

/// Runs a pod with what `more` says beside its name; its id.
#[track_caller]
pub fn pod(session: &Session, name: &str, more: Value) -> String {
    let logs = session.path("tmp").join(name);
    let own = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "attempt": 1},
        "hostname": name,
        "log_directory": logs,
        "linux": {},
    });
    let file = session.path(&format!("{name}.pod.json"));
    fs::write(&file, with(own, more).to_string()).unwrap();
    session.ok(&format!("crictl runp {}", file.display()))
}

/// Starts a container in a pod, of busybox unless `more` says otherwise; its id.
#[track_caller]
pub fn container(session: &Session, pod: &str, name: &str, more: Value) -> String {
    let own = json!({
        "metadata": {"name": name},
        "image": {"image": BUSYBOX},
        "log_path": format!("{name}.log"),
        "linux": {},
    });
    let file = session.path(&format!("{name}.json"));
    fs::write(&file, with(own, more).to_string()).unwrap();
    let config = format!("$(ls -t {}/*.pod.json | sed -n 1p)", session.home.display());
    let id = session.ok(&format!("crictl create --with-pull {pod} {} {config}", file.display()));
    session.ok(&format!("crictl start {id}"));
    id
}

fn with(mut own: Value, more: Value) -> Value {
    if let (Some(own), Value::Object(more)) = (own.as_object_mut(), more) {
        own.extend(more);
    }
    own
}
