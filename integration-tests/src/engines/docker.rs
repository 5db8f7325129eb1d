//! The Docker Engine: dockerd with everything it keeps in a folder of its own, and a client that understands it.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use super::session::Session;
use crate::runtime::Runtime;

/// Where it serves.
const SOCKET: &str = "/run/docker.sock";

/// Every container, and what only containers have use for.
const CLEANING: &str = "docker ps -aq | xargs -r docker rm -fv; docker network prune -f; \
    docker volume ls -q | xargs -r docker volume rm";

/// What runtimes keep of a container, and its cgroup.
const RESTS: &str = "find /run/docker/runtime-runc -mindepth 2 -maxdepth 2; \
    find /sys/fs/cgroup/docker -mindepth 1 -maxdepth 1 -type d";

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
    let mut session = Session::new(runtime, Path::new("/run/d"), CLEANING, RESTS);
    session.set("DOCKER_HOST", format!("unix://{SOCKET}"));
    session.set("DOCKER_BUILDKIT", "0");
    fs::write(session.path("words"), WORDS).unwrap();
    session.set("BASH_ENV", session.path("words").to_str().unwrap());
    // The client in PATH may be of another age than the daemon.
    session.program("docker", "/usr/bin/docker");
    // BuildKit, as dockerd has it built in, takes this one whatever the default is.
    session.script("runc", "#!/bin/sh\necho \"$@\" >> /run/d/runc-calls\nexec \"$RUNTIME\" \"$@\"\n");
    serve(&session, flags);
    let busybox = Session::images().join("busybox.tar");
    session.ok(&format!("docker import -c 'CMD [\"sh\"]' -c 'ENV PATH=/bin' {} busybox", busybox.display()));
    session
}

/// Starts the daemon.
#[track_caller]
fn serve(session: &Session, flags: &[&str]) {
    let data = std::env::var("LANE_DATA").unwrap();
    let added = format!("judged={}", session.runtime.path.display());
    let words = [
        &["dockerd", "--data-root", &data, "--exec-root", "/run/docker", "--pidfile", "/run/docker.pid"][..],
        // The native lane may not lower what it has.
        &["--oom-score-adjust", "0", "--experimental"],
        &["--add-runtime", "debian=/usr/sbin/runc", "--add-runtime", &added, "--default-runtime", "judged"],
        flags,
    ];
    session.daemon("dockerd", &words.concat(), "docker version");
}

/// Ends the daemon with a signal, does something while there is none, and starts it again.
#[track_caller]
pub fn again(session: &Session, signal: Signal, meanwhile: impl FnOnce()) {
    session.stop("dockerd", signal);
    meanwhile();
    serve(session, LIVE_RESTORE);
}
