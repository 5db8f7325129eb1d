//! Restart policies, and containers that outlive the daemon (`--live-restore`).

use integration_tests::engines::docker::again;
use integration_tests::engines::session::Session;
use nix::sys::signal::Signal;

integration_tests::scenarios! {
    on_failure,
    on_failure_is_not_on_success,
    always,
    not_after_a_stop,
    always_after_the_daemon,
    daemon_is_killed,
    daemon_ends,
    exec_and_stop_after_the_daemon,
    ended_without_the_daemon,
}

fn on_failure(docker: &Session) {
    docker.ok("docker run -d --name one --restart on-failure:2 busybox sh -c 'echo run; exit 3'");
    docker.wait("docker inspect -f '{{.State.Status}} {{.RestartCount}}' one | grep 'exited 2'");
    docker.prints("docker logs one; docker inspect -f '{{.State.ExitCode}}' one", "run\nrun\nrun\n3");
}

fn on_failure_is_not_on_success(docker: &Session) {
    docker.ok("docker run -d --name one --restart on-failure:2 busybox true; docker wait one; sleep 0.5");
    docker.prints("docker inspect -f '{{.State.Status}} {{.RestartCount}}' one", "exited 0");
}

fn always(docker: &Session) {
    docker.ok("docker run -d --name one --restart always busybox sleep 1000");
    let first = docker.ok("pid one");
    docker.ok(&format!("kill -9 {first}"));
    docker.wait("docker inspect -f '{{.RestartCount}} {{.State.Running}}' one | grep '1 true'");
    docker.ok(&format!("test $(pid one) != {first}; docker exec one true"));
}

fn not_after_a_stop(docker: &Session) {
    docker.ok("docker run -d --name one --restart always busybox sleep 1000; docker stop -t 0 one; sleep 0.7");
    docker.prints("docker inspect -f '{{.State.Status}} {{.RestartCount}}' one", "exited 0");
}

fn always_after_the_daemon(docker: &Session) {
    docker.ok("docker run -d --name one --restart always busybox sleep 1000; docker run -d --name two --restart unless-stopped busybox sleep 1000");
    let both = docker.ok("pid one; docker stop -t 0 two");
    again(docker, Signal::SIGTERM, || {
        docker.ok(&format!("kill -9 {}", both.lines().next().unwrap()));
    });
    docker.wait("docker inspect -f '{{.State.Running}}' one | grep true");
    docker.prints("docker inspect -f '{{.State.Status}}' two", "exited");
}

/// A container that is as it was, though its engine came to its end.
fn survives(docker: &Session, signal: Signal) {
    docker.ok("docker run -d --name one busybox sh -c 'while :; do echo tick; sleep 0.1; done'");
    let before = docker.ok("docker inspect -f '{{.State.Pid}} {{.State.StartedAt}}' one");
    again(docker, signal, || {
        docker.ok(&format!("test -e /proc/{}", before.split(' ').next().unwrap()));
    });
    docker.prints("docker inspect -f '{{.State.Pid}} {{.State.StartedAt}}' one", &before);
    docker.ok("a=$(docker logs one | wc -l); sleep 0.5; b=$(docker logs one | wc -l); test $a -lt $b");
}

fn daemon_is_killed(docker: &Session) {
    survives(docker, Signal::SIGKILL);
}

fn daemon_ends(docker: &Session) {
    survives(docker, Signal::SIGTERM);
}

fn exec_and_stop_after_the_daemon(docker: &Session) {
    docker.ok("docker run -d --name one busybox sh -c 'trap \"exit 8\" TERM; while :; do sleep 0.1; done'");
    again(docker, Signal::SIGKILL, || ());
    docker.prints(
        "docker exec one echo hello; docker stop one; docker inspect -f '{{.State.ExitCode}}' one",
        "hello\none\n8",
    );
}

fn ended_without_the_daemon(docker: &Session) {
    docker.ok("docker run -d --name one busybox sh -c 'until test -e /end; do sleep 0.1; done; exit 6'");
    let root = docker.ok("echo /proc/$(pid one)/root");
    again(docker, Signal::SIGKILL, || {
        docker.ok(&format!("touch {root}/end; sleep 0.7; test ! -e {root}"));
    });
    // A containerd of the second generation forgets what ended while it was away; Docker then takes 255.
    docker.wait("docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' one | grep -xE 'exited (6|255)'");
}
