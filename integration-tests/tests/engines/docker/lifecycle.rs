//! The life of a container: start, stop, kill, restart, pause, wait, rename, remove.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    stop,
    stop_after_its_time,
    kill_with_a_signal,
    kill_what_does_not_run,
    restart,
    start_again,
    pause,
    remove_a_paused_one,
    stop_a_paused_one,
    remove_a_running_one,
    wait_for_many,
    rename,
    prune,
    start_that_fails,
    start_that_failed_again,
    ends_by_itself,
    children_end_with_it,
    many_at_once,
}

/// Says what signal it got, and ends.
const OBEYS: &str = "trap \"echo told; exit 3\" TERM; echo ready; while :; do sleep 0.1; done";

fn stop(docker: &Session) {
    docker.ok(&format!("docker run -d --name one busybox sh -c '{OBEYS}'"));
    docker.wait("docker logs one | grep ready");
    docker.prints("docker stop one; docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' one", "one\nexited 3");
    docker.prints("docker logs one | tail -1", "told");
}

fn stop_after_its_time(docker: &Session) {
    // A pid 1 without a handler is not ended by the signal (pid_namespaces(7)).
    docker.ok("docker run -d --name one busybox sleep 1000");
    docker.prints("docker stop -t 1 one; docker inspect -f '{{.State.ExitCode}}' one", "one\n137");
}

fn kill_with_a_signal(docker: &Session) {
    docker
        .ok("docker run -d --name one busybox sh -c 'trap \"echo hup\" HUP; echo ready; while :; do sleep 0.1; done'");
    docker.wait("docker logs one | grep ready");
    docker.ok("docker kill -s HUP one");
    docker.wait("docker logs one | grep hup");
    docker.prints("docker inspect -f '{{.State.Running}}' one", "true");
    docker.fails("docker kill -s NOSIG one", 1, "nvalid signal");
}

fn kill_what_does_not_run(docker: &Session) {
    docker.ok("docker run --name one busybox true");
    docker.fails("docker kill one", 1, "is not running");
}

fn restart(docker: &Session) {
    docker.ok("docker run -d --init --name one busybox sh -c 'echo begin; exec sleep 1000'");
    let before = docker.ok("pid one");
    docker.ok("docker restart one");
    docker.ok(&format!("test $(pid one) != {before}; test ! -e /proc/{before}"));
    docker.prints("docker logs one; docker exec one echo hello", "begin\nbegin\nhello");
}

fn start_again(docker: &Session) {
    docker.ok("docker run --name one busybox sh -c 'echo line >> /file'");
    docker.ok("docker start -a one; docker start -a one");
    docker.prints("docker cp one:/file - | tar -xO | wc -l", "3");
}

fn pause(docker: &Session) {
    docker.ok("docker run -d --name one busybox sh -c 'while :; do echo tick; sleep 0.1; done'");
    docker.wait("docker logs one | grep tick");
    docker.prints(
        "docker pause one; docker inspect -f '{{.State.Status}}' one; grep frozen $(cgroup one)/cgroup.events",
        "one\npaused\nfrozen 1",
    );
    docker.ok("a=$(docker logs one | wc -l); sleep 0.5; b=$(docker logs one | wc -l); test $a = $b");
    docker.prints("docker unpause one; grep frozen $(cgroup one)/cgroup.events", "one\nfrozen 0");
    docker.ok("a=$(docker logs one | wc -l); sleep 0.5; b=$(docker logs one | wc -l); test $a -lt $b");
}

fn remove_a_paused_one(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000; docker pause one");
    let pid = docker.ok("pid one");
    docker.ok(&format!("docker rm -f one; test ! -e /proc/{pid}"));
}

fn stop_a_paused_one(docker: &Session) {
    docker.ok("docker run -d --init --name one busybox sleep 1000; docker pause one");
    docker.prints(
        "docker stop -t 1 one > /dev/null; docker inspect -f '{{.State.Status}} {{.State.Paused}}' one",
        "exited false",
    );
}

fn remove_a_running_one(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000");
    docker.fails("docker rm one", 1, "running");
    docker.prints("docker inspect -f '{{.State.Running}}' one", "true");
}

fn wait_for_many(docker: &Session) {
    docker.ok(
        "docker run -d --name one busybox sh -c 'sleep 0.3; exit 3'; docker run -d --name two busybox sh -c 'exit 4'",
    );
    docker.prints("docker wait one two", "3\n4");
}

fn rename(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000; docker rename one other");
    docker.prints("docker ps --format '{{.Names}}'; docker exec other echo hello", "other\nhello");
}

fn prune(docker: &Session) {
    docker.ok("docker run --name one busybox true; docker run -d --name two busybox sleep 1000");
    docker.says("docker container prune -f", "Deleted Containers");
    docker.prints("docker ps -a --format '{{.Names}}'", "two");
}

fn start_that_fails(docker: &Session) {
    docker.fails("docker run --name one busybox there-is-none", 127, "there-is-none");
    docker.says("docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}' one", "created 127 ");
    docker.says("docker inspect -f '{{.State.Error}}' one", "there-is-none");
    // Neither a process nor a cgroup is left of it.
    docker.ok("test ! -e /sys/fs/cgroup/docker/$(docker inspect -f '{{.Id}}' one)");
}

fn start_that_failed_again(docker: &Session) {
    docker.ok("mkdir late; docker create --name one -v $PWD/late:/late busybox /late/program");
    docker.fails("docker start one", 1, "/late/program");
    docker.ok("printf '#!/bin/sh\\necho came\\n' > late/program; chmod +x late/program");
    docker.prints("docker start -a one", "came");
}

fn ends_by_itself(docker: &Session) {
    docker.ok("docker run -d --name one busybox sh -c 'exit 42'; docker wait one");
    docker.prints("docker ps -a --filter exited=42 --format '{{.Names}}'", "one");
    docker.prints("docker inspect -f '{{.State.Pid}}' one", "0");
}

fn children_end_with_it(docker: &Session) {
    docker.ok("docker run -d --name one busybox sh -c 'sleep 1234 & sleep 1234 & sleep 0.5'; docker wait one");
    docker.prints("ps -eo args | grep -c '^sleep 1234' || true", "0");
}

fn many_at_once(docker: &Session) {
    docker.prints(
        "for i in $(seq 8); do docker run --rm busybox echo $i & done | sort | tr '\\n' ' '; wait",
        "1 2 3 4 5 6 7 8 ",
    );
}
