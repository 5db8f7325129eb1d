//! A runtime that is a shim (`runtimes.NAME.runtimeType`).

use integration_tests::engines::docker::{TOLD, again};
use integration_tests::engines::session::Session;
use nix::sys::signal::Signal;

integration_tests::scenarios! {
    by_its_type,
    is_the_parent,
    options,
    killed,
    killed_without_the_daemon,
    nothing_is_left,
}

/// The shim of a container, which is the parent of its process.
const SHIM: &str = "ps -o ppid= -p $(pid one) | tr -d ' '";

fn by_its_type(docker: &Session) {
    docker.prints("docker run --rm --runtime $RUNTIME_TYPE busybox echo hello", "hello");
    docker.fails("docker run --rm --runtime io.containerd.none.v2 busybox true", 125, "containerd-shim-none-v2");
    docker.fails("docker run --rm --runtime /bin/true busybox true", 125, "unknown or invalid runtime name");
}

fn is_the_parent(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000");
    docker.says(&format!("tr '\\0' ' ' < /proc/$({SHIM})/cmdline"), "-namespace moby");
    let shim = docker.ok(SHIM);
    docker.ok("docker rm -f one");
    docker.wait(&format!("test ! -e /proc/{shim}"));
}

fn options(docker: &Session) {
    docker.ok("docker run -d --name one --runtime told busybox sleep 1000");
    docker.prints(&format!("ls {TOLD}/moby"), &docker.ok("docker inspect -f '{{.Id}}' one"));
    docker.prints(&format!("docker rm -f one; ls {TOLD}/moby"), "one");
}

fn killed(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000");
    let pid = docker.ok("pid one");
    docker.ok(&format!("kill -9 $({SHIM})"));
    docker.wait("docker inspect -f '{{.State.Status}}' one | grep exited");
    docker.ok(&format!("test ! -e /proc/{pid}"));
    docker.prints("docker start one; docker exec one echo again", "one\nagain");
}

fn killed_without_the_daemon(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000");
    let shim = docker.ok(SHIM);
    again(docker, Signal::SIGTERM, || {
        docker.ok(&format!("kill -9 {shim}"));
    });
    docker.wait("docker inspect -f '{{.State.Status}}' one | grep exited");
    docker.prints("docker start one; docker exec one echo again", "one\nagain");
}

fn nothing_is_left(docker: &Session) {
    docker.ok("docker run --name one busybox true; docker run --rm busybox sh -c 'exit 3' || test $? = 3");
    docker.wait("test -z \"$(ps -eo args | grep -E '^[^ ]*containerd-shim' || true)\"");
    docker.prints("ls /run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby", "");
}
