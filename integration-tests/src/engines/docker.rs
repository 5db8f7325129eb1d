//! The Docker Engine: dockerd with everything it keeps in a folder of its own, and a client that understands it.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::json;

use super::session::Session;
use super::{cri, podman};
use crate::runtime::Runtime;

/// Where it serves.
const SOCKET: &str = "/run/docker.sock";

/// Every container, and what only containers have use for.
const CLEANING: &str = "docker ps -aq | xargs -r docker rm -fv; docker network prune -f; \
    docker volume ls -q | xargs -r docker volume rm";

/// What runtimes and shims keep of a container, and its cgroup: that of BuildKit's containers stays.
const RESTS: &str = "find /run/docker/runtime-runc -mindepth 2 -maxdepth 2; \
    find /run/containerd/planc/moby /run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby -mindepth 1 -maxdepth 1; \
    find /sys/fs/cgroup/docker -mindepth 1 -maxdepth 1 -type d ! -name buildkit";

/// Where the runtime `told` of a daemon with shims is told to keep its states.
pub const TOLD: &str = "/run/told";

/// Words of every script.
const WORDS: &str = r#"
# The process of a container, as the host numbers it.
pid() { docker inspect -f '{{.State.Pid}}' "$1"; }
# The folder of its cgroup.
cgroup() { echo "/sys/fs/cgroup$(sed -n s/^0:://p "/proc/$(pid "$1")/cgroup")"; }
# The address of a container in a network.
address() { docker inspect -f "{{(index .NetworkSettings.Networks \"${2:-bridge}\").IPAddress}}" "$1"; }
"#;

/// Containers outlive the daemon.
const LIVE_RESTORE: &[&str] = &["--live-restore"];

/// Starts dockerd, whose containers the runtime runs, with the image `busybox`.
#[track_caller]
pub fn start(runtime: &Runtime) -> Session {
    start_with(runtime, LIVE_RESTORE)
}

/// The same, with these flags of dockerd.
#[track_caller]
pub fn start_with(runtime: &Runtime, flags: &[&str]) -> Session {
    let session = new(runtime);
    let added = format!("judged={}", runtime.path.display());
    let own = ["--add-runtime", "debian=/usr/sbin/runc", "--add-runtime", &added, "--default-runtime", "judged"];
    // The native lane may not lower what it has.
    serve_with(&session, &[&["--oom-score-adjust", "0"], &own[..], flags].concat());
    session
}

/// The same, with containers whose ids are those of [`podman::USER`]'s subordinate ones.
#[track_caller]
pub fn start_remapped(runtime: &Runtime) -> Session {
    podman::with_ids("person:500000:65536");
    start_with(runtime, &[LIVE_RESTORE, &["--userns-remap", "person"]].concat())
}

/// Starts the newer daemon that `DOCKERD` names, with the containerd that `CONTAINERD` does, and the runc of `NEWER_RUNC`.
/// Containers are those of the shim that `SHIM` names; without it, of runc's shim, with the runtime under test as its
/// `BinaryName`.
#[track_caller]
pub fn start_by_shim(runtime: &Runtime) -> Session {
    let mut session = new(runtime);
    let containerd = cri::given("CONTAINERD");
    session.program("dockerd", cri::given("DOCKERD"));
    for program in ["containerd", "ctr", "containerd-shim-runc-v2"] {
        session.program(program, containerd.with_file_name(program));
    }
    let (name, judged, told) = match std::env::var_os("SHIM").map(PathBuf::from) {
        Some(shim) => {
            fs::write(session.path("options.toml"), format!("Root = '{TOLD}'\n")).unwrap();
            (shim_in(&session, &shim), json!({}), json!({"ConfigPath": session.path("options.toml")}))
        }
        None => {
            let with_root = |root| json!({"BinaryName": runtime.path, "Root": root});
            ("io.containerd.runc.v2".to_owned(), with_root("/run/docker/runtime-runc"), with_root(TOLD))
        }
    };
    session.set("RUNTIME_TYPE", &name);
    let config = json!({
        "runtimes": {
            "judged": {"runtimeType": name, "options": judged},
            "told": {"runtimeType": name, "options": told},
            "debian": {"path": cri::given("NEWER_RUNC")},
        },
        "default-runtime": "judged",
        // Debian's proxy is of another age.
        "userland-proxy": false,
    });
    fs::write(session.path("daemon.json"), config.to_string()).unwrap();
    serve_with(&session, &[LIVE_RESTORE, &["--config-file", "/run/d/daemon.json"]].concat());
    session
}

/// Puts a shim where containerd looks for it; what it is called there.
fn shim_in(session: &Session, shim: &Path) -> String {
    let name = shim.file_name().unwrap().to_str().unwrap();
    session.program(name, shim);
    crate::containerd::runtime_type(name)
}

/// A session with Docker's client, and without a daemon.
fn new(runtime: &Runtime) -> Session {
    let mut session = Session::new(runtime, Path::new("/run/d"), CLEANING, RESTS);
    session.set("DOCKER_HOST", format!("unix://{SOCKET}"));
    session.set("DOCKER_BUILDKIT", "0");
    fs::write(session.path("words"), WORDS).unwrap();
    session.set("BASH_ENV", session.path("words").to_str().unwrap());
    // The client in PATH may be of another age than the daemon.
    session.program("docker", "/usr/bin/docker");
    // BuildKit, as dockerd has it built in, takes this one whatever the default is.
    session.script("runc", "#!/bin/sh\necho \"$@\" >> /run/d/runc-calls\nexec \"$RUNTIME\" \"$@\"\n");
    session.with_iptables();
    session
}

/// Starts the daemon with these flags, and makes the image.
#[track_caller]
fn serve_with(session: &Session, flags: &[&str]) {
    let data = std::env::var("LANE_DATA").unwrap();
    let own = ["--data-root", &data, "--exec-root", "/run/docker", "--pidfile", "/run/docker.pid", "--experimental"];
    session.script("engine", &format!("#!/bin/sh\nexec dockerd {} {}\n", own.join(" "), flags.join(" ")));
    serve(session);
    let busybox = Session::images().join("busybox.tar");
    session.ok(&format!("docker import -c 'CMD [\"sh\"]' -c 'ENV PATH=/bin' {} busybox", busybox.display()));
}

/// Starts the daemon as [`serve_with`] did.
#[track_caller]
fn serve(session: &Session) {
    session.daemon("dockerd", &["engine"], "docker version");
}

/// Ends the daemon with a signal, does something while there is none, and starts it again.
#[track_caller]
pub fn again(session: &Session, signal: Signal, meanwhile: impl FnOnce()) {
    session.stop("dockerd", signal);
    meanwhile();
    serve(session);
}
