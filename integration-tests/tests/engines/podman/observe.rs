//! What Podman tells of containers.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    processes,
    statistics,
    logs,
    logs_followed,
    the_process,
    the_runtime,
    events,
    changes,
    healthy,
    unhealthy,
    listed_by_label,
}

fn processes(podman: &Session) {
    podman.ok("podman run -d --name one -u user busybox sh -c 'sleep 1000 & sleep 2000'");
    podman.wait("podman top one args | grep 'sleep 2000'");
    podman.prints("podman top one user pid | sed -n 1,2p | tr -s ' '", "USER PID\nuser 1");
    podman.prints("podman top one args | grep -c sleep", "2");
}

fn statistics(podman: &Session) {
    podman.ok("podman run -d --name one busybox sh -c 'while :; do :; done'");
    podman.prints("podman stats --no-stream --format '{{.Name}}'", "one");
    // Nanoseconds, as a duration that is not nothing.
    podman.wait("podman stats --no-stream --format '{{.CPUNano}}' one | grep -E '^[1-9][0-9]{6}'");
}

fn logs(podman: &Session) {
    podman.ok("podman run --name one busybox sh -c 'echo out; echo err >&2; sleep 0.5; echo last'");
    podman.prints("podman logs one 2> /dev/null", "out\nlast");
    podman.prints("podman logs one 2>&1 > /dev/null", "err");
    podman.prints("podman logs --tail 1 one", "last");
    podman.ok("podman logs -t one | grep -E '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]+ last'");
}

fn logs_followed(podman: &Session) {
    podman.ok("podman run -d --name one busybox sh -c 'echo first; sleep 1; echo last'");
    podman.prints("podman logs -f one", "first\nlast");
}

fn the_process(podman: &Session) {
    podman.ok("podman run -d --name one busybox sleep 1000");
    podman.prints("tr '\\0' ' ' < /proc/$(podman inspect -f '{{.State.Pid}}' one)/cmdline", "sleep 1000 ");
    podman.prints("cat /proc/$(podman inspect -f '{{.State.ConmonPid}}' one)/comm", "conmon");
    podman.prints(
        "podman inspect -f '{{.State.Running}} {{.State.OOMKilled}} {{.State.OciVersion}}' one | cut -d. -f1",
        "true false 1",
    );
    // Where the container's cgroup is said to be, it is.
    podman.prints(
        "cat /sys/fs/cgroup$(podman inspect -f '{{.State.CgroupPath}}' one)/cgroup.procs",
        &podman.ok("podman inspect -f '{{.State.Pid}}' one"),
    );
}

fn the_runtime(podman: &Session) {
    podman.ok("podman run -d --name one busybox sleep 1000");
    podman.prints("podman inspect -f '{{.OCIRuntime}}' one", "judged");
    podman.prints("podman info -f '{{.Host.OCIRuntime.Path}}'", &podman.runtime.path.to_string_lossy());
    podman.ok("podman info -f '{{.Host.OCIRuntime.Version}}' | grep -E '^[a-z0-9.-]+ version [0-9]'");
}

fn events(podman: &Session) {
    podman.ok("podman run --rm --name one busybox true");
    podman.wait("podman events --stream=false --filter container=one --format '{{.Status}}' | grep remove");
    let events = podman.ok("podman events --stream=false --filter container=one --format '{{.Status}}' | tail -n 6");
    for event in ["create", "init", "start", "died", "remove"] {
        assert!(events.lines().any(|line| line == event), "{event} is not among {events:?}");
    }
}

fn changes(podman: &Session) {
    podman.ok("podman run --name one busybox sh -c 'echo x > /etc/new; rm /etc/group'");
    podman.prints("podman diff one | grep -v -E ' /(run|etc)$' | sort", "A /etc/new\nD /etc/group");
}

fn healthy(podman: &Session) {
    podman.ok("podman run -d --name one --health-cmd 'test -e /fine' --health-interval disable busybox sh -c 'touch /fine; sleep 1000'");
    podman.wait("podman healthcheck run one");
    podman.prints("podman inspect -f '{{.State.Health.Status}}' one", "healthy");
}

fn unhealthy(podman: &Session) {
    podman.ok(
        "podman run -d --name one --health-cmd false --health-retries 1 --health-interval disable busybox sleep 1000",
    );
    podman.fails("podman healthcheck run one", 1, "unhealthy");
    podman.prints("podman inspect -f '{{.State.Health.Status}}' one", "unhealthy");
}

fn listed_by_label(podman: &Session) {
    podman
        .ok("podman run -d --name one --label role=db busybox sleep 1000; podman run -d --name two busybox sleep 1000");
    podman.prints("podman ps --filter label=role=db --format '{{.Names}}'", "one");
    podman.prints("podman ps --format json | grep -c '\"Id\"'", "2");
}
