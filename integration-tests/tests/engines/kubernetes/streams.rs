//! `kubectl exec`, `attach`, `cp`, `port-forward` and `debug`.

use integration_tests::engines::kubernetes::ready;
use integration_tests::engines::session::Session;
use integration_tests::engines::terminal::Terminal;

integration_tests::scenarios! {
    exec,
    exec_with_input,
    exec_on_a_terminal,
    a_shell,
    attach,
    copy,
    forwarded_port,
    an_ephemeral_container,
    logs_followed,
}

fn one(k8s: &Session) {
    ready(
        k8s,
        "one",
        "
        terminationGracePeriodSeconds: 1
        containers: [{name: one, image: busybox, command: [sleep, '1000']}]
    ",
    );
}

fn exec(k8s: &Session) {
    one(k8s);
    k8s.prints("kubectl exec one -- hostname", "one");
    k8s.fails("kubectl exec one -- sh -c 'exit 7'", 7, "exit code 7");
    k8s.fails("kubectl exec one -- /no/such", 1, "stat /no/such: no such file or directory");
}

fn exec_with_input(k8s: &Session) {
    one(k8s);
    let printed = k8s.typed("kubectl exec -i one -- sh -c 'cat; echo the end'", "in and out\n");
    assert_eq!(printed.out(), "in and out\nthe end\n", "{printed:?}");
    k8s.prints("head -c 3000000 /dev/zero | kubectl exec -i one -- sh -c 'cat | wc -c'", "3000000");
    k8s.prints("kubectl exec one -- head -c 3000000 /dev/zero | wc -c", "3000000");
}

fn exec_on_a_terminal(k8s: &Session) {
    one(k8s);
    let mut terminal = Terminal::run(k8s, "kubectl exec -it one -- sh");
    terminal.enter("tty; until [ \"$(stty size)\" = '33 77' ]; do sleep 0.1; done; echo $((6 * 7)); exit 3");
    terminal.expect("/dev/pts/0");
    terminal.expect("42");
    terminal.ends(3);
}

fn a_shell(k8s: &Session) {
    let mut terminal = Terminal::run(
        k8s,
        "kubectl run shell -it --rm --image=busybox --restart=Never -- sh -c 'read a; echo got $a; test -t 0 && exit 5'",
    );
    // Who comes late sees no prompt.
    terminal.enter("hello");
    terminal.expect("got hello");
    terminal.ends(5);
    k8s.prints("kubectl get pods -o name", "");
}

fn attach(k8s: &Session) {
    ready(
        k8s,
        "cat",
        "
        terminationGracePeriodSeconds: 1
        containers: [{name: one, image: busybox, stdin: true, stdinOnce: true, command: [cat]}]
    ",
    );
    let printed = k8s.typed("kubectl attach -qi cat", "to it\n");
    assert_eq!(printed.out(), "to it\n", "{printed:?}");
}

fn copy(k8s: &Session) {
    one(k8s);
    k8s.ok("mkdir -p copied && echo text > copied/file && chmod 640 copied/file");
    k8s.ok("kubectl cp copied one:/tmp/copied");
    k8s.prints("kubectl exec one -- sh -c 'cat /tmp/copied/file; stat -c %a /tmp/copied/file'", "text\n640");
    k8s.ok("kubectl cp one:/tmp/copied back");
    k8s.prints("cat back/file", "text");
}

fn forwarded_port(k8s: &Session) {
    ready(
        k8s,
        "web",
        "
        containers: [{name: web, image: nginx, readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}}]
    ",
    );
    let get = "for i in $(seq 50); do wget -qO- http://127.0.0.1:12090 && break; sleep 0.1; done";
    k8s.says(&format!("kubectl port-forward pod/web 12090:80 > forward.log 2>&1 & {get}; kill $!"), "hello");
}

fn an_ephemeral_container(k8s: &Session) {
    one(k8s);
    k8s.ok("kubectl debug one --image=busybox --target=one -c look --attach=false -- sh -c 'tr \"\\\\0\" \" \" < /proc/1/cmdline; ls /proc/1/root/bin/sleep; sleep 1000'");
    k8s.wait("kubectl logs one -c look | grep '^sleep 1000'");
    k8s.says("kubectl logs one -c look", "/proc/1/root/bin/sleep");
    k8s.prints("kubectl exec one -c look -- hostname", "one");
}

fn logs_followed(k8s: &Session) {
    ready(
        k8s,
        "talks",
        "
        restartPolicy: Never
        containers: [{name: one, image: busybox, command: [sh, -c, 'for i in 1 2 3; do echo $i; sleep 1; done']}]
    ",
    );
    k8s.prints("kubectl logs -f talks", "1\n2\n3");
}
