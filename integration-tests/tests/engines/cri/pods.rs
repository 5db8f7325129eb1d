//! Pods and their containers.

use integration_tests::engines::cri::{BUSYBOX, container, pod};
use integration_tests::engines::session::Session;
use serde_json::json;

integration_tests::scenarios! {
    pulls,
    runs_a_pod,
    execs,
    execs_with_a_terminal,
    stops,
    tells_figures,
    lists_what_runs,
}

fn pulls(cri: &Session) {
    cri.ok(&format!("crictl rmi {BUSYBOX} || true"));
    cri.says(&format!("crictl pull {BUSYBOX}"), "Image is up to date");
    cri.says(&format!("crictl inspecti {BUSYBOX}"), "e2e-test-images/busybox");
}

fn runs_a_pod(cri: &Session) {
    let pod = pod(cri, "one", json!({}));
    let id = container(cri, &pod, "says", json!({"command": ["sh", "-c", "echo hello; echo no >&2; exit 3"]}));
    cri.wait(&format!(
        "[ $(crictl inspect -o go-template --template '{{{{.status.state}}}}' {id}) = CONTAINER_EXITED ]"
    ));
    cri.prints(&format!("crictl inspect -o go-template --template '{{{{.status.exitCode}}}}' {id}"), "3");
    cri.prints(&format!("crictl logs {id} 2> /dev/null"), "hello");
    cri.prints(&format!("crictl logs {id} 2>&1 > /dev/null"), "no");
}

fn execs(cri: &Session) {
    let pod = pod(cri, "two", json!({}));
    let id = container(cri, &pod, "sleeps", json!({"command": ["sleep", "1000"]}));
    cri.prints(&format!("crictl exec {id} echo of exec"), "of exec");
    cri.prints(&format!("crictl exec --sync {id} hostname"), "two");
    cri.fails(&format!("crictl exec --sync {id} sh -c 'echo bad >&2; exit 9'"), 1, "9");
    cri.fails(&format!("crictl exec --sync --timeout 1 {id} sleep 30"), 1, "deadline exceeded");
}

fn execs_with_a_terminal(cri: &Session) {
    let pod = pod(cri, "terminal", json!({}));
    let id = container(cri, &pod, "sleeps", json!({"command": ["sleep", "1000"]}));
    let typed = cri.typed(&format!("script -qec 'crictl exec -it {id} sh' /dev/null"), "tty; echo $((40 + 2)); exit\n");
    let shown = typed.out();
    assert!(shown.contains("/dev/pts/0") && shown.contains("42"), "{typed:?}");
}

fn stops(cri: &Session) {
    let pod = pod(cri, "three", json!({}));
    let script = "trap 'echo told; exit 4' TERM; echo ready; while :; do sleep 0.1; done";
    let id = container(cri, &pod, "listens", json!({"command": ["sh", "-c", script]}));
    cri.wait(&format!("crictl logs {id} | grep ready"));
    cri.ok(&format!("crictl stop --timeout 10 {id}"));
    cri.prints(&format!("crictl inspect -o go-template --template '{{{{.status.exitCode}}}}' {id}"), "4");
    cri.says(&format!("crictl logs {id}"), "told");
    cri.ok(&format!("crictl rm {id}"));
    cri.ok(&format!("crictl stopp {pod}"));
    cri.ok(&format!("crictl rmp {pod}"));
    cri.prints("crictl pods -q", "");
}

fn tells_figures(cri: &Session) {
    // The figures of a pod are those of the cgroup that a kubelet has made for it.
    cri.ok("mkdir -p /sys/fs/cgroup/figures");
    let pod = pod(cri, "four", json!({"linux": {"cgroup_parent": "/figures"}}));
    let id = container(cri, &pod, "sleeps", json!({"command": ["sleep", "1000"]}));
    cri.prints(
        &format!("crictl stats -o json {id} | tr -d ' \\n' | grep -o '\"id\":\"{id}\"'"),
        &format!("\"id\":\"{id}\""),
    );
    cri.says(&format!("crictl statsp -o json --id {pod}"), &pod);
}

fn lists_what_runs(cri: &Session) {
    let pod = pod(cri, "five", json!({"labels": {"app": "five"}}));
    let id = container(cri, &pod, "sleeps", json!({"command": ["sleep", "1000"]}));
    cri.prints("crictl ps -q", &id);
    cri.prints("crictl pods --label app=five -q", &pod);
    cri.prints("crictl pods --label app=six -q", "");
    cri.says(&format!("crictl inspectp {pod}"), "SANDBOX_READY");
}
