//! `docker exec`: a further program in a container that runs.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    prints,
    status,
    standard_input,
    detached,
    as_user,
    as_user_of_the_container,
    work_dir,
    environment,
    not_there,
    not_executable_is_126,
    in_a_folder_that_is_not_there,
    privileged,
    confined_as_the_container,
    in_the_same_namespaces,
    in_the_same_cgroup,
    into_a_paused_one,
    into_a_stopped_one,
    many_at_once,
    many_in_a_row,
    ends_with_the_container,
    outlived_by_its_child,
    much_output,
    killed_is_137,
}

fn one(docker: &Session, flags: &str) {
    docker.ok(&format!("docker run -d --name one {flags} busybox sleep 1000"));
}

fn prints(docker: &Session) {
    one(docker, "");
    let printed = docker.sh("docker exec one sh -c 'echo out; echo err >&2'");
    assert_eq!((printed.ok().out(), printed.err()), ("out\n".to_owned(), "err\n".to_owned()));
}

fn status(docker: &Session) {
    one(docker, "");
    docker.fails("docker exec one sh -c 'exit 7'", 7, "");
}

fn standard_input(docker: &Session) {
    one(docker, "");
    let printed = docker.typed("docker exec -i one sh -c 'cat; echo end'", "what was typed\n");
    assert_eq!(printed.ok().out(), "what was typed\nend\n");
}

fn detached(docker: &Session) {
    one(docker, "");
    docker.ok("docker exec -d one sh -c 'echo done > /tmp/f'");
    docker.wait("docker exec one grep done /tmp/f");
}

fn as_user(docker: &Session) {
    one(docker, "");
    docker.prints("docker exec -u user one id -un; docker exec -u 7:8 one sh -c 'id -u; id -g'", "user\n7\n8");
    // The client has 126 for it from a daemon of its age, and 1 from a newer one.
    let printed = docker.sh("docker exec -u no-such-user one true");
    let said = (printed.out() + &printed.err()).contains("no-such-user");
    assert!(said && matches!(printed.status.code(), Some(1 | 126)), "{printed:?}");
}

fn as_user_of_the_container(docker: &Session) {
    one(docker, "--user user --group-add 777");
    docker.says("docker exec one id -G", "777");
    docker.prints("docker exec one id -u; docker exec -u 0 one id -u", "1000\n0");
}

fn work_dir(docker: &Session) {
    one(docker, "-w /home/user");
    docker.prints("docker exec one pwd; docker exec -w /tmp one pwd", "/home/user\n/tmp");
}

fn environment(docker: &Session) {
    one(docker, "-e A=1");
    docker.prints("docker exec -e B='two words' one sh -c 'echo $A $B $PATH'", "1 two words /bin");
}

fn not_there(docker: &Session) {
    one(docker, "");
    // Docker 20.10 takes 126 for every program that cannot be executed.
    let printed = docker.sh("docker exec one there-is-none");
    let said = (printed.out() + &printed.err()).contains("executable file not found in $PATH");
    assert!(said && matches!(printed.status.code(), Some(126 | 127)), "{printed:?}");
}

fn not_executable_is_126(docker: &Session) {
    one(docker, "");
    docker.fails("docker exec one /etc/passwd", 126, "permission denied");
}

fn in_a_folder_that_is_not_there(docker: &Session) {
    one(docker, "");
    let printed = docker.sh("docker exec -w /not/there one true");
    // Docker reads the runtime's words: 127 is for what is not there, a newer one's 128 for what is neither that nor forbidden.
    assert!(
        matches!(printed.status.code(), Some(126..=128)) && (printed.out() + &printed.err()).contains("/not/there"),
        "{printed:?}"
    );
}

fn privileged(docker: &Session) {
    one(docker, "");
    // CAP_SYS_ADMIN is number 21 (capabilities(7)).
    let may_mount = "$((0x$(grep CapEff /proc/self/status | cut -f 2) >> 21 & 1))";
    docker.prints(
        &format!("docker exec --privileged one sh -c 'echo {may_mount}'; docker exec one sh -c 'echo {may_mount}'"),
        "1\n0",
    );
}

fn confined_as_the_container(docker: &Session) {
    one(docker, "--cap-drop ALL --security-opt no-new-privileges --ulimit nofile=77 --oom-score-adj 500");
    docker.prints(
        "docker exec one sh -c 'grep -E \"CapBnd|NoNewPrivs|Seccomp:\" /proc/self/status; ulimit -n; cat /proc/self/oom_score_adj'",
        "CapBnd:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n77\n500",
    );
}

fn in_the_same_namespaces(docker: &Session) {
    one(docker, "");
    docker.ok("docker exec one sh -c 'cd /proc/1/ns; for n in *; do test $(readlink $n) = $(readlink /proc/self/ns/$n); done'");
}

fn in_the_same_cgroup(docker: &Session) {
    one(docker, "");
    docker.ok("docker exec -d one sleep 2000");
    docker.wait("test $(wc -l < $(cgroup one)/cgroup.procs) = 2");
}

fn into_a_paused_one(docker: &Session) {
    one(docker, "");
    docker.ok("docker pause one");
    docker.fails("docker exec one true", 1, "is paused");
    docker.prints("docker unpause one; docker exec one echo again", "one\nagain");
}

fn into_a_stopped_one(docker: &Session) {
    docker.ok("docker run --name one busybox true");
    docker.fails("docker exec one true", 1, "is not running");
}

fn many_at_once(docker: &Session) {
    one(docker, "");
    let script = "for i in $(seq 16); do docker exec one sh -c \"sleep 0.2; exit $i\" & pids[i]=$!; done
                  for i in $(seq 16); do wait ${pids[i]} && s=0 || s=$?; test $s = $i; done";
    docker.ok(script);
    docker.prints("docker top one | wc -l", "2");
}

fn many_in_a_row(docker: &Session) {
    one(docker, "");
    docker.prints("for i in $(seq 20); do docker exec one echo $i; done | tail -1", "20");
    docker.prints("docker inspect -f '{{.ExecIDs}}' one", "[]");
}

fn ends_with_the_container(docker: &Session) {
    one(docker, "");
    docker.prints("docker exec one sleep 2000 & sleep 0.5; docker kill one > /dev/null; wait $! || echo $?", "137");
}

fn outlived_by_its_child(docker: &Session) {
    one(docker, "--init");
    docker.prints("docker exec one sh -c 'sleep 1500 > /dev/null 2>&1 & echo begun'", "begun");
    docker.says("docker top one", "sleep 1500");
}

fn much_output(docker: &Session) {
    one(docker, "");
    docker.prints("docker exec one head -c 10000000 /dev/zero | wc -c", "10000000");
}

fn killed_is_137(docker: &Session) {
    one(docker, "");
    docker.fails("docker exec one sh -c 'kill -9 $$'", 137, "");
}
