//! Requests and limits, where the node's cgroups have the controllers.

use integration_tests::engines::kubernetes::{ends, ready};
use integration_tests::engines::session::Session;
use integration_tests::harness::Need;

const MEMORY: Need = Need::Works("grep -qw memory /sys/fs/cgroup/cgroup.controllers");
const CPU: Need = Need::Works("grep -qw cpu /sys/fs/cgroup/cgroup.controllers");

integration_tests::scenarios! {
    memory_and_processor [MEMORY, CPU],
    out_of_memory [MEMORY],
}

/// A pod with these limits.
fn limited(k8s: &Session, name: &str, limits: &str) {
    ready(
        k8s,
        name,
        &format!(
            "
        terminationGracePeriodSeconds: 1
        containers: [{{name: one, image: busybox, command: [sleep, '1000'], resources: {{limits: {limits}}}}}]
    "
        ),
    );
}

fn memory_and_processor(k8s: &Session) {
    limited(k8s, "less", "{memory: 64Mi, cpu: 500m}");
    k8s.prints("kubectl exec less -- cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max", "67108864\n50000 100000");
}

fn out_of_memory(k8s: &Session) {
    ends(k8s, "eats", "Failed", "
        restartPolicy: Never
        containers: [{name: one, image: busybox, command: [sh, -c, 'tail /dev/zero'], resources: {limits: {memory: 16Mi}}}]
    ");
    let state = "{.status.containerStatuses[0].state.terminated}";
    k8s.says(&format!("kubectl get pod eats -o jsonpath='{state}'"), "\"reason\":\"OOMKilled\"");
    k8s.says(&format!("kubectl get pod eats -o jsonpath='{state}'"), "\"exitCode\":137");
}
