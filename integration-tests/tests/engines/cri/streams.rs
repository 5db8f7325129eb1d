//! `crictl exec`, `attach` and `logs`.

use integration_tests::engines::cri::{container, pod};
use integration_tests::engines::session::Session;
use integration_tests::engines::terminal::Terminal;
use serde_json::{Value, json};

integration_tests::scenarios! {
    execs,
    execs_with_input,
    execs_on_a_terminal,
    attaches,
    attaches_to_a_terminal,
    follows_a_log,
    reopens_a_log,
}

fn sleeps(cri: &Session, name: &str) -> String {
    let pod = pod(cri, name, json!({}));
    container(cri, &pod, "sleeps", json!({"command": ["sleep", "1000"]}))
}

/// Its standard input is open, and stays so for whoever comes next.
fn listens(cri: &Session, name: &str, command: &[&str], is_terminal: bool) -> String {
    let pod = pod(cri, name, json!({}));
    let own: Value = json!({"command": command, "stdin": true, "tty": is_terminal});
    container(cri, &pod, "listens", own)
}

fn execs(cri: &Session) {
    let id = sleeps(cri, "exec");
    cri.prints(&format!("crictl exec {id} echo of exec"), "of exec");
    cri.prints(&format!("crictl exec --sync {id} hostname"), "exec");
    cri.fails(&format!("crictl exec --sync {id} sh -c 'echo bad >&2; exit 9'"), 1, "9");
    cri.fails(&format!("crictl exec --sync --timeout 1 {id} sleep 30"), 1, "deadline exceeded");
}

fn execs_with_input(cri: &Session) {
    let id = sleeps(cri, "input");
    let printed = cri.typed(&format!("crictl exec -i {id} sh -c 'cat; echo the end'"), "in and out\n");
    assert_eq!(printed.out(), "in and out\nthe end\n", "{printed:?}");
    cri.prints(&format!("head -c 3000000 /dev/zero | crictl exec -i {id} sh -c 'cat | wc -c'"), "3000000");
    cri.prints(&format!("crictl exec {id} head -c 3000000 /dev/zero | wc -c"), "3000000");
}

fn execs_on_a_terminal(cri: &Session) {
    let id = sleeps(cri, "terminal");
    let mut terminal = Terminal::run(cri, &format!("crictl exec -it {id} sh"));
    terminal.enter("tty; until [ \"$(stty size)\" = '33 77' ]; do sleep 0.1; done; echo $((6 * 7))");
    terminal.expect("/dev/pts/0");
    terminal.expect("42");
    terminal.resize(20, 60);
    terminal.enter("until [ \"$(stty size)\" = '20 60' ]; do sleep 0.1; done; echo $((6 * 8)); exit");
    terminal.expect("48");
    terminal.ends(0);
}

fn attaches(cri: &Session) {
    let id = listens(cri, "attach", &["sh", "-c", "while read line; do echo got $line; done"], false);
    // Without a terminal it stays until the container ends, or it is told to go.
    let attach = format!("(echo hello; sleep 2) | timeout 10 crictl attach -i {id} > attached || true");
    cri.ok(&attach);
    cri.prints("cat attached", "got hello");
    cri.prints(&format!("crictl logs {id}"), "got hello");
}

fn attaches_to_a_terminal(cri: &Session) {
    let id = listens(cri, "shell", &["sh"], true);
    let mut terminal = Terminal::run(cri, &format!("crictl attach -it {id}"));
    // Who comes late sees no prompt.
    terminal.enter("tty; echo $((6 * 7))");
    terminal.expect("/dev/pts/0");
    terminal.expect("42");
    terminal.enter("exit 6");
    terminal.leaves();
    let told = |what: &str| format!("crictl inspect -o go-template --template '{{{{.status.{what}}}}}' {id}");
    cri.wait(&format!("[ $({}) = CONTAINER_EXITED ]", told("state")));
    cri.prints(&told("exitCode"), "6");
}

fn follows_a_log(cri: &Session) {
    let pod = pod(cri, "talks", json!({}));
    let script = "for i in 1 2 3; do echo $i; sleep 1; done";
    let id = container(cri, &pod, "talks", json!({"command": ["sh", "-c", script]}));
    cri.prints(&format!("crictl logs --follow {id}"), "1\n2\n3");
    cri.prints(&format!("crictl logs --tail 1 {id}"), "3");
}

fn reopens_a_log(cri: &Session) {
    let pod = pod(cri, "turns", json!({}));
    let script = "i=0; while :; do echo $((i += 1)); sleep 0.1; done";
    let id = container(cri, &pod, "counts", json!({"command": ["sh", "-c", script]}));
    let log = cri.path("tmp").join("turns/counts.log");
    let log = log.display();
    cri.wait(&format!("test -s {log}"));
    // Who rotates a log moves it away, and has the rest written to a new one.
    cri.ok(&format!("mv {log} {log}.1; crictl logs --reopen {id}"));
    cri.wait(&format!("test -s {log}"));
    cri.prints(
        &format!(
            "last=$(tail -n 1 {log}.1 | cut -d ' ' -f 4); head -n 1 {log} | cut -d ' ' -f 4 | grep -cx $((last + 1))"
        ),
        "1",
    );
}
