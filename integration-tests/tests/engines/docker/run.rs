//! `docker run`: a container's streams, status, environment and name.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    prints,
    status,
    streams_apart,
    much_output,
    standard_input,
    a_program_that_is_not_there,
    a_program_that_is_not_executable,
    a_folder_as_program,
    detached,
    removed_at_its_end,
    init,
    work_dir,
    environment,
    environment_file,
    entrypoint,
    hostname,
    add_host,
    dns,
    label,
    name_is_taken,
    cidfile,
    killed_is_137,
    terminated_is_143,
    stop_signal,
    signals_are_forwarded,
    unknown_flag_is_125,
    created_then_started,
    runtime_is_named,
    another_runtime,
}

fn prints(docker: &Session) {
    docker.prints("docker run --rm busybox echo hello", "hello");
}

fn status(docker: &Session) {
    docker.fails("docker run --rm busybox sh -c 'echo x >&2; exit 7'", 7, "x");
}

fn streams_apart(docker: &Session) {
    let printed = docker.sh("docker run --rm busybox sh -c 'echo out; echo err >&2'");
    assert_eq!((printed.ok().out(), printed.err()), ("out\n".to_owned(), "err\n".to_owned()));
}

fn much_output(docker: &Session) {
    docker.prints("docker run --rm busybox head -c 10000000 /dev/zero | wc -c", "10000000");
}

fn standard_input(docker: &Session) {
    let printed = docker.typed("docker run --rm -i busybox cat", "what was typed\n");
    assert_eq!(printed.ok().out(), "what was typed\n");
}

fn a_program_that_is_not_there(docker: &Session) {
    docker.fails("docker run --rm busybox there-is-none", 127, "executable file not found in $PATH");
    docker.fails("docker run --rm busybox /there/is/none", 127, "no such file or directory");
}

fn a_program_that_is_not_executable(docker: &Session) {
    docker.fails("docker run --rm busybox /etc/passwd", 126, "permission denied");
}

fn a_folder_as_program(docker: &Session) {
    docker.fails("docker run --rm busybox /etc", 126, "");
}

fn detached(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000");
    docker.prints("docker ps --format '{{.Names}} {{.Command}}'", "one \"sleep 1000\"");
    docker.ok("docker rm -f one");
    docker.prints("docker ps -aq", "");
}

fn removed_at_its_end(docker: &Session) {
    docker.ok("docker run -d --rm --name one busybox sleep 3");
    let cgroup = docker.ok("cgroup one");
    docker.wait("! docker inspect one");
    docker.prints(&format!("test ! -e {cgroup} && docker ps -aq"), "");
}

fn init(docker: &Session) {
    docker.prints("docker run --rm --init busybox cat /proc/1/comm", "docker-init");
    // Who lost its parent is reaped by it.
    let orphans = "(sleep 0.1 &); (sleep 0.1 &); sleep 0.6; cat /proc/[0-9]*/stat | grep -c \" Z \" || true";
    docker.prints(&format!("docker run --rm --init busybox sh -c '{orphans}'"), "0");
}

fn work_dir(docker: &Session) {
    docker.prints("docker run --rm -w /home/user busybox pwd", "/home/user");
    docker.prints("docker run --rm -w /not/there/yet busybox pwd", "/not/there/yet");
}

fn environment(docker: &Session) {
    docker.prints(
        "EXPORTED='from here' docker run --rm -e A=1 -e B='two words' -e EXPORTED busybox sh -c 'echo $A $B $EXPORTED'",
        "1 two words from here",
    );
    docker.prints("docker run --rm busybox sh -c 'echo $PATH $HOME'", "/bin /root");
}

fn environment_file(docker: &Session) {
    docker.ok("printf '# comment\\nA=1\\nB=b c\\n' > variables");
    docker.prints("docker run --rm --env-file variables busybox sh -c 'echo $A-$B'", "1-b c");
}

fn entrypoint(docker: &Session) {
    docker.prints("docker run --rm --entrypoint echo busybox a b", "a b");
}

fn hostname(docker: &Session) {
    docker.prints("docker run --rm --hostname box --domainname example.org busybox hostname -f", "box.example.org");
    docker.prints("docker run --rm --hostname box busybox cat /proc/sys/kernel/hostname /etc/hostname", "box\nbox");
    docker.prints("hostname", "lane");
}

fn add_host(docker: &Session) {
    docker
        .prints("docker run --rm --add-host db:10.1.2.3 busybox awk '$2 == \"db\" {print $1}' /etc/hosts", "10.1.2.3");
}

fn dns(docker: &Session) {
    let resolver = "docker run --rm --dns 10.9.8.7 --dns-search example.org busybox cat /etc/resolv.conf";
    docker.says(resolver, "nameserver 10.9.8.7");
    docker.says(resolver, "search example.org");
}

fn label(docker: &Session) {
    docker.ok(
        "docker run -d --name one --label tier=web busybox sleep 1000; docker run -d --name two busybox sleep 1000",
    );
    docker.prints("docker ps --filter label=tier=web --format '{{.Names}}'", "one");
}

fn name_is_taken(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000");
    docker.fails("docker run --name one busybox true", 125, "already in use");
    docker.prints("docker inspect -f '{{.State.Running}}' one", "true");
}

fn cidfile(docker: &Session) {
    docker.ok("docker run -d --name one --cidfile cid busybox sleep 1000");
    docker.ok("test \"$(cat cid)\" = \"$(docker inspect -f '{{.Id}}' one)\"; rm cid");
}

fn killed_is_137(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000; docker kill one");
    docker
        .prints("docker wait one; docker inspect -f '{{.State.ExitCode}} {{.State.OOMKilled}}' one", "137\n137 false");
}

fn terminated_is_143(docker: &Session) {
    docker.ok("docker run -d --init --name one busybox sleep 1000; docker kill -s TERM one");
    docker.prints("docker wait one", "143");
}

fn stop_signal(docker: &Session) {
    let program = "trap \"echo got it; exit 4\" USR1; echo ready; while :; do sleep 0.1; done";
    docker.ok(&format!("docker run -d --name one --stop-signal USR1 busybox sh -c '{program}'"));
    docker.wait("docker logs one | grep ready");
    docker.prints("docker stop one; docker wait one; docker logs one", "one\n4\nready\ngot it");
}

fn signals_are_forwarded(docker: &Session) {
    let program = "trap \"echo got it; exit 5\" TERM; echo ready; while :; do sleep 0.1; done";
    let script = format!(
        "docker run --name one busybox sh -c '{program}' > said & client=$!
         until grep -q ready said; do sleep 0.1; done
         kill -TERM $client; wait $client || echo $? && cat said"
    );
    docker.prints(&script, "5\nready\ngot it");
}

fn unknown_flag_is_125(docker: &Session) {
    docker.fails("docker run --no-such-flag busybox true", 125, "unknown flag");
    docker.fails("docker run --rm --runtime no-such-runtime busybox true", 125, "no-such-runtime");
}

fn created_then_started(docker: &Session) {
    docker.ok("docker create --name one busybox sh -c 'echo $((6 * 7)) | tee /kept'");
    docker.prints("docker inspect -f '{{.State.Status}}' one", "created");
    docker.prints("docker start -a one", "42");
    docker.prints("docker start -a one; docker cp one:/kept - | tar -xO", "42\n42");
}

fn runtime_is_named(docker: &Session) {
    docker.prints("docker info -f '{{.DefaultRuntime}}'", "judged");
    docker.says("docker info -f '{{json .Runtimes}}'", "\"judged\"");
    docker.ok("docker run -d --name one busybox sleep 1000");
    docker.prints("docker inspect -f '{{.HostConfig.Runtime}}' one", "judged");
}

fn another_runtime(docker: &Session) {
    docker.prints("docker run --rm --runtime debian busybox echo hello", "hello");
    docker.prints("docker run --rm --runtime judged busybox echo hello", "hello");
}
