//! `podman exec`.

use integration_tests::engines::session::Session;

use super::at_terminal;

integration_tests::scenarios! {
    prints,
    status,
    a_program_that_is_not_there,
    a_program_that_is_not_executable,
    standard_input,
    terminal,
    detached,
    user,
    working_directory,
    environment,
    privileged,
    descriptors,
    where_the_container_is,
    in_a_container_that_has_ended,
}

fn one(podman: &Session) {
    podman.ok("podman run -d --name one busybox sleep 1000");
}

fn prints(podman: &Session) {
    one(podman);
    podman.prints("podman exec one echo hello", "hello");
}

fn status(podman: &Session) {
    one(podman);
    podman.fails("podman exec one sh -c 'echo x >&2; exit 9'", 9, "x");
    podman.fails("podman exec one sh -c 'kill -9 $$'", 137, "");
}

fn a_program_that_is_not_there(podman: &Session) {
    one(podman);
    podman.fails("podman exec one there-is-none", 127, "OCI runtime attempted to invoke a command that was not found");
}

fn a_program_that_is_not_executable(podman: &Session) {
    one(podman);
    podman.fails("podman exec one /etc/passwd", 126, "OCI permission denied");
}

fn standard_input(podman: &Session) {
    one(podman);
    let printed = podman.typed("podman exec -i one cat", "what was typed\n");
    assert_eq!(printed.ok().out(), "what was typed\n");
}

fn terminal(podman: &Session) {
    one(podman);
    let (mut child, mut master) = at_terminal(podman, "podman exec -it one sh");
    master.expect("/ # ");
    master.type_in("stty size; echo $((6 * 7))th\n");
    master.expect("33 77");
    master.expect("42th");
    master.set_window(44, 99);
    // The window's new size comes with a signal, and conmon's own messages.
    std::thread::sleep(std::time::Duration::from_millis(500));
    master.type_in("exit 6\n");
    master.to_the_end();
    assert_eq!(child.wait().unwrap().code(), Some(6));
}

fn detached(podman: &Session) {
    one(podman);
    podman.ok("podman exec -d one sh -c 'echo x > /file'");
    podman.wait("test \"$(podman exec one cat /file)\" = x");
}

fn user(podman: &Session) {
    one(podman);
    podman.says("podman exec -u user one id", "uid=1000(user) gid=1000(user) groups=50(staff)");
    podman.prints("podman exec -u user one grep CapEff /proc/self/status", "CapEff:\t0000000000000000");
}

fn working_directory(podman: &Session) {
    one(podman);
    podman.prints("podman exec -w /var one pwd", "/var");
}

fn environment(podman: &Session) {
    podman.ok("podman run -d --name one -e A=1 busybox sleep 1000");
    podman.prints("podman exec -e B='two words' one sh -c 'echo $A $B'", "1 two words");
}

fn privileged(podman: &Session) {
    one(podman);
    podman.fails("podman exec one mount -t tmpfs x /tmp", 1, "");
    podman.prints("podman exec --privileged one sh -c 'mount -t tmpfs x /tmp && echo mounted'", "mounted");
}

fn descriptors(podman: &Session) {
    one(podman);
    podman.prints("podman exec --preserve-fds 2 one cat /proc/self/fd/4 3<<< three 4<<< four", "four");
}

fn where_the_container_is(podman: &Session) {
    one(podman);
    for kind in ["pid", "ipc", "uts", "net", "mnt", "cgroup", "user"] {
        podman.ok(&format!(
            "podman exec one sh -c 'test $(readlink /proc/self/ns/{kind}) = $(readlink /proc/1/ns/{kind})'"
        ));
    }
    podman.ok("podman exec one sh -c 'test \"$(cat /proc/self/cgroup)\" = \"$(cat /proc/1/cgroup)\"'");
    podman.ok(
        "podman exec one sh -c 'test \"$(grep Seccomp: /proc/self/status)\" = \"$(grep Seccomp: /proc/1/status)\"'",
    );
}

fn in_a_container_that_has_ended(podman: &Session) {
    podman.ok("podman run --name one busybox true");
    podman.fails("podman exec one true", 255, "container state improper");
}
