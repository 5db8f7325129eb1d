//! The Docker Engine: dockerd with everything it keeps in a folder of its own, and Debian's client of the same age.

use std::path::Path;

use super::session::Session;
use crate::runtime::Runtime;

/// Where it serves.
const SOCKET: &str = "/run/docker.sock";

/// Every container, and what only containers have use for.
const CLEANING: &str = "docker ps -aq | xargs -r docker rm -fv; docker network prune -f; docker volume prune -f";

/// What runtimes keep of a container, and its cgroup.
const RESTS: &str = "find /run/docker/runtime-runc -mindepth 2 -maxdepth 2; \
    find /sys/fs/cgroup/docker -mindepth 1 -maxdepth 1 -type d";

/// Starts dockerd, whose containers the runtime runs, with the image `busybox`.
#[track_caller]
pub fn start(runtime: &Runtime) -> Session {
    let mut session = Session::new(runtime, Path::new("/run/d"), CLEANING, RESTS);
    session.set("DOCKER_HOST", format!("unix://{SOCKET}"));
    session.set("DOCKER_BUILDKIT", "0");
    // The client in PATH may be of another age than the daemon.
    session.program("docker", "/usr/bin/docker");
    let data = std::env::var("LANE_DATA").unwrap();
    let added = format!("judged={}", runtime.path.display());
    let words = [
        &["dockerd", "--data-root", &data, "--exec-root", "/run/docker", "--pidfile", "/run/docker.pid"][..],
        // The native lane may not lower what it has.
        &["--oom-score-adjust", "0", "--add-runtime", &added, "--default-runtime", "judged"],
    ];
    session.daemon("dockerd", &words.concat(), "docker version");
    let busybox = Session::images().join("busybox.tar");
    session.ok(&format!("docker import -c 'CMD [\"sh\"]' -c 'ENV PATH=/bin' {} busybox", busybox.display()));
    session
}
