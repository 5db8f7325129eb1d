//! Pods and their containers.

use integration_tests::engines::cri::{BUSYBOX, container, pod};
use integration_tests::engines::session::Session;
use integration_tests::harness::Need;
use serde_json::json;

/// criu, where it can dump a process of this kernel.
const CRIU: Need = Need::Works("criu check && test \"$(uname -r | cut -d . -f 1)\" -lt 6");

integration_tests::scenarios! {
    pulls,
    runs_a_pod,
    stops,
    tells_figures,
    lists_what_runs,
    in_the_namespaces_of_the_host,
    checkpoints [CRIU],
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

fn in_the_namespaces_of_the_host(cri: &Session) {
    // NODE is 2 (NamespaceMode, api.proto of CRI).
    let options = json!({"security_context": {"namespace_options": {"network": 2, "pid": 2, "ipc": 2}}});
    let pod = pod(cri, "host", json!({"hostname": "", "linux": options}));
    let own = json!({"command": ["sleep", "1000"], "linux": options});
    let id = container(cri, &pod, "sleeps", own);
    for namespace in ["net", "pid", "ipc"] {
        let there = cri.ok(&format!("crictl exec --sync {id} readlink /proc/self/ns/{namespace}"));
        cri.prints(&format!("readlink /proc/self/ns/{namespace}"), &there);
    }
    cri.prints(&format!("crictl exec --sync {id} hostname"), &cri.ok("hostname"));
    cri.says(&format!("crictl exec --sync {id} ip address show lo"), "127.0.0.1");
}

fn checkpoints(cri: &Session) {
    let pod = pod(cri, "point", json!({}));
    let id = container(cri, &pod, "sleeps", json!({"command": ["sleep", "1000"]}));
    cri.ok(&format!("crictl checkpoint --export point.tar {id}"));
    cri.says("tar -tf point.tar", "checkpoint/");
}
