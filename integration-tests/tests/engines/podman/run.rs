//! `podman run`: streams, statuses, and what a program finds.

use integration_tests::engines::session::Session;

use super::{SYS_RESOURCE, at_terminal};

integration_tests::scenarios! {
    prints,
    status,
    standard_input,
    terminal,
    detached,
    removed_at_its_end,
    a_program_that_is_not_there,
    a_program_that_is_not_executable,
    an_option_that_podman_refuses,
    a_sysctl_that_is_not_there,
    init,
    environment,
    environment_of_the_host,
    working_directory,
    entrypoint,
    hostname,
    umask,
    ulimit [SYS_RESOURCE],
    timeout,
    pid_file,
    descriptors,
    personality,
    annotation,
    secret,
    root_filesystem,
    root_filesystem_under_an_overlay,
    replace,
    systemd_in_it,
    without_cgroups,
    split_cgroups,
    without_a_cgroup_for_conmon,
}

fn prints(podman: &Session) {
    podman.prints("podman run --rm busybox echo hello", "hello");
}

fn status(podman: &Session) {
    podman.fails("podman run --rm busybox sh -c 'echo x >&2; exit 7'", 7, "x");
}

fn standard_input(podman: &Session) {
    let printed = podman.typed("podman run --rm -i busybox cat", "what was typed\n");
    assert_eq!(printed.ok().out(), "what was typed\n");
}

fn terminal(podman: &Session) {
    let (mut child, mut master) = at_terminal(podman, "podman run --rm -it busybox sh");
    master.expect("/ # ");
    master.type_in("stty size; tty; echo $((6 * 7))th\n");
    master.expect("33 77");
    master.expect("/dev/pts/0");
    master.expect("42th");
    master.type_in("exit 5\n");
    master.to_the_end();
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

fn detached(podman: &Session) {
    podman.ok("podman run -d --name one busybox sleep 1000");
    podman.prints("podman ps --format '{{.Names}} {{.Command}}'", "one sleep 1000");
    podman.ok("podman rm -f -t 0 one");
    podman.prints("podman ps -aq", "");
}

fn removed_at_its_end(podman: &Session) {
    podman.ok("podman run --rm -d --name one busybox sleep 1");
    podman.wait("! podman container exists one");
}

fn a_program_that_is_not_there(podman: &Session) {
    let printed = podman.sh("podman run --rm busybox there-is-none");
    assert_eq!(printed.status.code(), Some(127), "{printed:?}");
    // The runtime's words, and Podman's own.
    assert!(printed.err().contains("executable file") && printed.err().contains("there-is-none"), "{printed:?}");
    assert!(printed.err().contains("OCI runtime attempted to invoke a command that was not found"), "{printed:?}");
}

fn a_program_that_is_not_executable(podman: &Session) {
    let printed = podman.sh("podman run --rm busybox /etc/passwd");
    assert_eq!(printed.status.code(), Some(126), "{printed:?}");
    assert!(printed.err().contains("/etc/passwd") && printed.err().contains("OCI permission denied"), "{printed:?}");
}

fn an_option_that_podman_refuses(podman: &Session) {
    podman.fails("podman run --rm --no-such-option busybox true", 125, "unknown flag: --no-such-option");
}

fn a_sysctl_that_is_not_there(podman: &Session) {
    let printed = podman.sh("podman run --rm --sysctl net.ipv4.there_is_none=1 busybox true");
    assert!(matches!(printed.status.code(), Some(125..=127)), "{printed:?}");
    assert!(printed.err().contains("there_is_none"), "{printed:?}");
    let lines = printed.err().lines().filter(|line| line.starts_with("Error: ")).count();
    assert_eq!(lines, 1, "{printed:?}");
    podman.prints("podman ps -aq", "");
}

fn init(podman: &Session) {
    podman.prints("podman run --rm --init busybox cat /proc/1/comm", "podman-init");
    // It is a parent to those that have lost theirs.
    podman.prints(
        "podman run --rm --init busybox sh -c '(sleep 0.2 &); sleep 1; ps -o comm | grep -c -x sleep || true'",
        "0",
    );
}

fn environment(podman: &Session) {
    podman
        .prints("podman run --rm -e A=1 -e B='two words' busybox sh -c 'echo $A $B $container'", "1 two words podman");
    podman.ok("printf 'C=three\\nD=4\\n' > env-file");
    podman.prints("podman run --rm --env-file env-file busybox sh -c 'echo $C $D'", "three 4");
}

fn environment_of_the_host(podman: &Session) {
    podman.prints("export SEEN=yes; podman run --rm --env-host busybox sh -c 'echo $SEEN'", "yes");
    podman.prints("export SEEN=yes; podman run --rm busybox sh -c 'echo ${SEEN-unset}'", "unset");
}

fn working_directory(podman: &Session) {
    podman.prints("podman run --rm -w /var busybox pwd", "/var");
    podman.fails("podman run --rm -w /there-is-none busybox pwd", 126, "there-is-none");
}

fn entrypoint(podman: &Session) {
    podman.prints("podman run --rm --entrypoint '[\"/bin/echo\", \"-n\"]' busybox a b", "a b");
}

fn hostname(podman: &Session) {
    podman.prints("podman run --rm --hostname castle busybox sh -c 'hostname; echo $HOSTNAME'", "castle\ncastle");
}

fn umask(podman: &Session) {
    podman.prints("podman run --rm --umask 027 busybox sh -c 'umask; touch /x; stat -c %a /x'", "0027\n640");
}

fn ulimit(podman: &Session) {
    podman.prints("podman run --rm --ulimit nofile=99:100 busybox sh -c 'ulimit -n; ulimit -Hn'", "99\n100");
}

fn timeout(podman: &Session) {
    podman.fails("podman run --rm --timeout 1 busybox sleep 1000", 255, "");
}

fn pid_file(podman: &Session) {
    podman.ok("podman run -d --name one --pidfile $HOME/one.pid busybox sleep 1000");
    podman.ok("test $(cat one.pid) = $(podman inspect -f '{{.State.Pid}}' one)");
    podman.prints("tr '\\0' ' ' < /proc/$(cat one.pid)/cmdline", "sleep 1000 ");
}

fn descriptors(podman: &Session) {
    podman.prints("podman run --rm --preserve-fds 2 busybox cat /proc/self/fd/4 3<<< three 4<<< four", "four");
}

fn personality(podman: &Session) {
    podman.prints("podman run --rm --personality=LINUX32 busybox uname -m", "i686");
}

fn annotation(podman: &Session) {
    podman.ok("podman run -d --name one --annotation org.example.color=blue busybox sleep 1000");
    podman.prints("podman inspect -f '{{index .Config.Annotations \"org.example.color\"}}' one", "blue");
}

fn secret(podman: &Session) {
    podman.ok("printf hush | podman secret create sesame -");
    podman.prints("podman run --rm --secret sesame,mode=0400 busybox stat -c '%a %s' /run/secrets/sesame", "400 4");
    podman.prints("podman run --rm --secret sesame busybox cat /run/secrets/sesame", "hush");
    podman.prints("podman run --rm --secret sesame,type=env,target=WORD busybox sh -c 'echo $WORD'", "hush");
}

fn root_filesystem(podman: &Session) {
    podman.ok("mkdir rootfs && tar -C rootfs --exclude ./dev/* -xf $ENGINE_IMAGES/busybox.tar");
    podman.prints("podman run --rm --rootfs $HOME/rootfs /bin/sh -c 'echo $0 > /written; cat /written' word", "word");
    podman.prints("cat rootfs/written", "word");
}

fn root_filesystem_under_an_overlay(podman: &Session) {
    podman.ok("mkdir $GRAPH/below && tar -C $GRAPH/below -xf $ENGINE_IMAGES/busybox.tar");
    podman.prints("podman run --rm --rootfs $GRAPH/below:O /bin/sh -c 'echo x > /written; /bin/cat /written'", "x");
    podman.ok("test ! -e $GRAPH/below/written");
}

fn replace(podman: &Session) {
    podman.ok("podman run -d --name one busybox sleep 1000");
    podman.fails("podman run -d --name one busybox sleep 2000", 125, "already in use");
    podman.ok("podman run -d --replace --name one busybox sleep 2000");
    podman.prints("podman ps --format '{{.Command}}'", "sleep 2000");
}

fn systemd_in_it(podman: &Session) {
    let script = "podman run --rm --systemd=always busybox sh -c '
        for at in /run /run/lock /tmp /var/log/journal; do grep -c \"^tmpfs $at tmpfs rw\" /proc/mounts; done
        test ${#container_uuid} = 32 && mkdir /sys/fs/cgroup/init.scope && echo made'";
    podman.prints(script, "1\n1\n1\n1\nmade");
    // What ends a systemd is not SIGTERM.
    podman.ok("podman create --name one --systemd=always busybox");
    podman.prints("podman inspect -f '{{.Config.StopSignal}}' one", "37");
}

fn without_cgroups(podman: &Session) {
    podman.ok("podman run -d --name one --cgroups=disabled busybox sleep 1000");
    // Where the one who called it is.
    podman.ok("test \"$(grep ^0: /proc/$(podman inspect -f '{{.State.Pid}}' one)/cgroup)\" = \"$(grep ^0: /proc/self/cgroup)\"");
    podman.prints("podman exec one echo exec", "exec");
    podman.ok("podman stop -t 0 one");
}

fn split_cgroups(podman: &Session) {
    let script = "mkdir -p $(dirname $CG)/split && echo $$ > $(dirname $CG)/split/cgroup.procs
        podman run --rm --cgroups=split --cgroupns=host busybox grep ^0: /proc/self/cgroup";
    podman.says(
        &format!("CG=/sys/fs/cgroup$(grep ^0: /proc/self/cgroup | cut -d: -f3); {script}"),
        "/split/libpod-payload-",
    );
}

fn without_a_cgroup_for_conmon(podman: &Session) {
    podman.ok("podman run -d --name one --cgroups=no-conmon busybox sleep 1000");
    podman.ok("test \"$(grep ^0: /proc/$(podman inspect -f '{{.State.ConmonPid}}' one)/cgroup)\" = \"$(grep ^0: /proc/self/cgroup)\"");
}
