//! `crictl update`, and the limits that a container begins with.

use integration_tests::engines::cri::{container, pod};
use integration_tests::engines::session::Session;
use integration_tests::harness::Need;
use serde_json::json;

const MEMORY: Need = Need::Works("grep -qw memory /sys/fs/cgroup/cgroup.controllers");
const CPU: Need = Need::Works("grep -qw cpu /sys/fs/cgroup/cgroup.controllers");

integration_tests::scenarios! {
    of_memory [MEMORY],
    of_the_processor [CPU],
    out_of_memory [MEMORY],
}

/// Reads a file of the container's cgroup: the container sees its own as the root.
fn reads(id: &str, file: &str) -> String {
    format!("crictl exec --sync {id} cat /sys/fs/cgroup/{file}")
}

fn of_memory(cri: &Session) {
    let pod = pod(cri, "memory", json!({}));
    let resources = json!({"memory_limit_in_bytes": 33_554_432});
    let id = container(cri, &pod, "sleeps", json!({"command": ["sleep", "1000"], "linux": {"resources": resources}}));
    cri.prints(&reads(&id, "memory.max"), "33554432");
    cri.ok(&format!("crictl update --memory 67108864 {id}"));
    cri.prints(&reads(&id, "memory.max"), "67108864");
}

fn of_the_processor(cri: &Session) {
    let pod = pod(cri, "processor", json!({}));
    let resources = json!({"cpu_period": 100_000, "cpu_quota": 50_000});
    let id = container(cri, &pod, "sleeps", json!({"command": ["sleep", "1000"], "linux": {"resources": resources}}));
    cri.prints(&reads(&id, "cpu.max"), "50000 100000");
    cri.ok(&format!("crictl update --cpu-quota 20000 {id}"));
    cri.prints(&reads(&id, "cpu.max"), "20000 100000");
}

fn out_of_memory(cri: &Session) {
    let pod = pod(cri, "eats", json!({}));
    let resources = json!({"memory_limit_in_bytes": 16_777_216, "memory_swap_limit_in_bytes": 16_777_216});
    let eats = json!({"command": ["sh", "-c", "tail /dev/zero"], "linux": {"resources": resources}});
    let id = container(cri, &pod, "eats", eats);
    let told = |what: &str| format!("crictl inspect -o go-template --template '{{{{.status.{what}}}}}' {id}");
    cri.wait(&format!("[ $({}) = CONTAINER_EXITED ]", told("state")));
    cri.prints(&told("reason"), "OOMKilled");
}
