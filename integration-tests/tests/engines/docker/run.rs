//! `docker run`.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    prints,
    status,
    standard_input,
    a_program_that_is_not_there,
    detached,
}

fn prints(docker: &Session) {
    docker.prints("docker run --rm busybox echo hello", "hello");
}

fn status(docker: &Session) {
    docker.fails("docker run --rm busybox sh -c 'echo x >&2; exit 7'", 7, "x");
}

fn standard_input(docker: &Session) {
    let printed = docker.typed("docker run --rm -i busybox cat", "what was typed\n");
    assert_eq!(printed.ok().out(), "what was typed\n");
}

fn a_program_that_is_not_there(docker: &Session) {
    docker.fails("docker run --rm busybox there-is-none", 127, "executable file not found in $PATH");
    docker.fails("docker run --rm busybox /etc/passwd", 126, "permission denied");
}

fn detached(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000");
    docker.prints("docker ps --format '{{.Names}} {{.Command}}'", "one \"sleep 1000\"");
    docker.ok("docker rm -f one");
    docker.prints("docker ps -aq", "");
}
