//! `-t`: a container on a terminal, and whoever sits there.

use integration_tests::engines::session::Session;
use integration_tests::engines::terminal::Terminal;

integration_tests::scenarios! {
    a_shell,
    window_size,
    window_pulled_larger,
    interrupted,
    end_of_input,
    detach_keys,
    other_detach_keys,
    attached_again,
    without_input,
    exec_has_its_own,
    exec_interrupted,
    a_user_without_privilege,
}

fn a_shell(docker: &Session) {
    let mut terminal = Terminal::run(docker, "docker run --rm -it busybox sh");
    terminal.enter("tty; echo $((6 * 7)); exit 3");
    terminal.expect("/dev/pts/0");
    terminal.expect("42");
    terminal.ends(3);
}

fn window_size(docker: &Session) {
    // The client tells it after the start: a program may be faster.
    let mut terminal = Terminal::run(docker, "docker run --rm -it busybox sh");
    terminal.enter("until [ \"$(stty size)\" = '33 77' ]; do sleep 0.1; done; echo it is so | tr a-z A-Z; exit");
    terminal.expect("IT IS SO");
    terminal.ends(0);
}

fn window_pulled_larger(docker: &Session) {
    let mut terminal = Terminal::run(docker, "docker run --rm -it busybox sh");
    terminal.enter(
        "trap 'stty size' WINCH; until [ \"$(stty size)\" = '33 77' ]; do sleep 0.1; done; echo seen | tr a-z A-Z",
    );
    terminal.expect("SEEN");
    terminal.resize(50, 120);
    terminal.enter("until [ \"$(stty size)\" = '50 120' ]; do sleep 0.1; done; echo pulled | tr a-z A-Z; exit");
    terminal.expect("PULLED");
    terminal.ends(0);
}

fn interrupted(docker: &Session) {
    let mut terminal = Terminal::run(docker, "docker run --rm -it busybox sh");
    // One job: who has said so is in the foreground.
    terminal.enter("(echo begin | tr a-z A-Z; sleep 1000)");
    terminal.expect("BEGIN");
    terminal.type_in("\x03");
    terminal.enter("echo status $? | tr a-z A-Z; exit");
    terminal.expect("STATUS 130");
    terminal.ends(0);
}

fn end_of_input(docker: &Session) {
    let mut terminal = Terminal::run(docker, "docker run --rm -it busybox cat");
    terminal.enter("twice");
    terminal.expect("twice\r\ntwice");
    terminal.type_in("\x04");
    terminal.ends(0);
}

fn detach_keys(docker: &Session) {
    let mut terminal = Terminal::run(docker, "docker run --name one -it busybox sh");
    terminal.expect("# ");
    terminal.type_in("\x10\x11");
    terminal.ends(0);
    docker.prints("docker inspect -f '{{.State.Status}}' one", "running");
}

fn other_detach_keys(docker: &Session) {
    docker.ok("docker run -dit --name one busybox cat");
    let mut terminal = Terminal::run(docker, "docker attach --detach-keys x,y one");
    terminal.enter("hello");
    terminal.expect("hello\r\nhello");
    terminal.type_in("xy");
    terminal.leaves();
    docker.prints("docker inspect -f '{{.State.Status}}' one", "running");
}

fn attached_again(docker: &Session) {
    docker.ok("docker run -dit --name one busybox sh");
    let mut terminal = Terminal::run(docker, "docker attach one");
    terminal.enter("echo begin | tr a-z A-Z; exit 9");
    terminal.expect("BEGIN");
    terminal.ends(9);
}

fn without_input(docker: &Session) {
    docker.prints("docker run --rm -t busybox sh -c 'test -t 1 && echo a terminal | tr a-z A-Z'", "A TERMINAL");
}

fn exec_has_its_own(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000");
    let mut terminal = Terminal::run(docker, "docker exec -it one sh");
    terminal.enter("until [ \"$(stty size)\" = '33 77' ]; do sleep 0.1; done; tty; exit 5");
    terminal.expect("/dev/pts/0");
    terminal.ends(5);
}

fn exec_interrupted(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000");
    let mut terminal = Terminal::run(
        docker,
        "docker exec -it one sh -c 'trap \"echo caught; exit 6\" INT; echo ready; while :; do sleep 0.1; done'",
    );
    terminal.expect("ready");
    terminal.type_in("\x03");
    terminal.expect("caught");
    terminal.ends(6);
    docker.prints("docker inspect -f '{{.State.Status}}' one", "running");
}

fn a_user_without_privilege(docker: &Session) {
    let mut terminal = Terminal::run(docker, "docker run --rm -it --user 1000 busybox sh");
    terminal.enter("echo to it > $(tty); stat -Lc %u /dev/stdin; echo x > /dev/stdout && echo y > /dev/stderr && echo all | tr a-z A-Z; exit 7");
    terminal.expect("1000");
    terminal.expect("ALL");
    terminal.ends(7);
}
