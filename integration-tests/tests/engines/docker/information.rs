//! What an engine tells of its containers.

use integration_tests::engines::session::Session;
use integration_tests::harness::Need;

/// Debian's daemon asks a runtime for its version. One that has shims does not ask them.
const ASKS: Need = Need::Works("test -z \"$DOCKERD\"");

integration_tests::scenarios! {
    top,
    top_with_columns,
    stats,
    logs,
    logs_tail,
    logs_timestamps,
    logs_follow,
    inspect_process,
    inspect_times,
    ps_filters,
    events,
    events_of_exec,
    attach,
    attach_with_input,
    cgroups,
    runtime_version [ASKS],
}

fn top(docker: &Session) {
    docker.ok("docker run -d --name one busybox sh -c 'sleep 1111 & sleep 2222'");
    docker.wait("docker top one | grep 'sleep 1111'");
    docker.prints("docker top one | tail -n +2 | wc -l; docker top one | grep -c 'sleep 2222'", "2\n1");
}

fn top_with_columns(docker: &Session) {
    docker.ok("docker run -d --name one --user 1000 busybox sleep 1000");
    docker.prints("docker top one -o pid,uid,comm | tail -1 | tr -s ' '", &docker.ok("echo $(pid one) 1000 sleep"));
}

fn stats(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000");
    docker.prints("docker stats --no-stream --format '{{.Name}}' one", "one");
    // What it has received is what the interface has.
    docker.says("docker stats --no-stream --format '{{.NetIO}}' one", "B / ");
}

fn logs(docker: &Session) {
    docker.ok("docker run --name one busybox sh -c 'echo out; echo err >&2'");
    let printed = docker.sh("docker logs one");
    assert_eq!((printed.ok().out(), printed.err()), ("out\n".to_owned(), "err\n".to_owned()));
}

fn logs_tail(docker: &Session) {
    docker.prints("docker run --name one busybox seq 100 > /dev/null; docker logs --tail 2 one", "99\n100");
}

fn logs_timestamps(docker: &Session) {
    docker.prints("docker run --name one busybox echo hello > /dev/null; docker logs -t one | sed -E 's/^[0-9-]{10}T[0-9:.]+Z //'", "hello");
}

fn logs_follow(docker: &Session) {
    docker.ok("docker run -d --name one busybox sh -c 'for i in 1 2 3 4 5; do echo $i; sleep 0.2; done'");
    docker.prints("docker logs -f one | tr '\\n' ' '", "1 2 3 4 5 ");
}

fn inspect_process(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000");
    docker.prints("tr '\\0' ' ' < /proc/$(pid one)/cmdline", "sleep 1000 ");
    docker.prints(
        "docker inspect -f '{{.State.Running}} {{.State.OOMKilled}} {{.State.Dead}} {{.State.Error}}' one",
        "true false false ",
    );
}

fn inspect_times(docker: &Session) {
    docker.ok("docker run --name one busybox sleep 1");
    docker.ok("a=$(date -d $(docker inspect -f '{{.State.StartedAt}}' one) +%s%3N)
         b=$(date -d $(docker inspect -f '{{.State.FinishedAt}}' one) +%s%3N)
         test $((b - a)) -ge 900 && test $((b - a)) -lt 60000");
}

fn ps_filters(docker: &Session) {
    docker.ok(
        "docker run -d --name one busybox sleep 1000; docker run -d --name two busybox sleep 1000; docker pause two",
    );
    docker.ok("docker create --name three busybox true; docker run --name four busybox true");
    docker.prints(
        "for s in running paused created exited; do docker ps -a --filter status=$s --format '{{.Names}}'; done",
        "one\ntwo\nthree\nfour",
    );
}

/// What the engine told since a moment, one word an event.
const EVENTS: &str = "docker events --since $since --until $(date +%s.%N) --filter type=container --format '{{.Action}}' | cut -d : -f 1 | tr '\\n' ' '";

fn events(docker: &Session) {
    docker.prints(
        &format!("since=$(date +%s.%N); docker run -d --name one busybox sleep 0.3 > /dev/null; docker wait one > /dev/null; docker rm one > /dev/null; {EVENTS}"),
        "create start die destroy ",
    );
    docker.prints(
        &format!(
            "docker run -d --name one busybox sleep 1000 > /dev/null; since=$(date +%s.%N)
             docker pause one > /dev/null; docker unpause one > /dev/null; docker kill one > /dev/null; docker wait one > /dev/null; {EVENTS}"
        ),
        "pause unpause kill die ",
    );
}

fn events_of_exec(docker: &Session) {
    docker.prints(
        &format!("docker run -d --name one busybox sleep 1000 > /dev/null; since=$(date +%s.%N); docker exec one true; sleep 0.5; {EVENTS}"),
        "exec_create exec_start exec_die ",
    );
}

fn attach(docker: &Session) {
    docker.ok("docker run -d --name one busybox sh -c 'until test -e /go; do sleep 0.1; done; echo said; exit 5'");
    let script = "docker attach --no-stdin one > attached & sleep 0.5; docker exec one touch /go; wait $! || echo $?; cat attached";
    docker.prints(script, "5\nsaid");
}

fn attach_with_input(docker: &Session) {
    docker.ok("docker run -d -i --name one busybox sh -c 'read line; echo read $line; sleep 0.5; exit 3'");
    docker.prints("(echo what was typed; sleep 1) | docker attach one || echo $?", "read what was typed\n3");
}

fn cgroups(docker: &Session) {
    docker.prints("docker info -f '{{.CgroupDriver}} {{.CgroupVersion}}'", "cgroupfs 2");
}

fn runtime_version(docker: &Session) {
    docker.says("docker version -f '{{json .Server.Components}}'", "\"Name\":\"judged\"");
}
