//! Limits, where the machine has what limits.

use integration_tests::engines::session::Session;
use integration_tests::harness::Need;

/// The controllers of memory, time and processes.
const CONTROLLERS: Need = Need::Works("grep -w memory /sys/fs/cgroup/cgroup.controllers | grep -w cpu | grep -w pids");

integration_tests::scenarios! {
    memory [CONTROLLERS],
    killed_for_want_of_memory [CONTROLLERS],
    processors [CONTROLLERS],
    processes [CONTROLLERS],
    changed [CONTROLLERS],
    usage [CONTROLLERS],
}

/// A file of the container's cgroup, as the container sees it.
fn in_cgroup(options: &str, file: &str) -> String {
    format!("podman run --rm --network none {options} busybox cat /sys/fs/cgroup/{file}")
}

fn memory(podman: &Session) {
    podman.prints(&in_cgroup("--memory 64m", "memory.max"), "67108864");
    podman.prints(&in_cgroup("--memory 64m --memory-reservation 32m", "memory.low"), "33554432");
}

fn killed_for_want_of_memory(podman: &Session) {
    // A line without an end, which tail keeps.
    let run = "podman run --network none --name one --memory 32m --memory-swap 32m busybox tail /dev/zero";
    podman.fails(run, 137, "");
    podman.prints("podman inspect -f '{{.State.OOMKilled}}' one", "true");
}

fn processors(podman: &Session) {
    podman.prints(&in_cgroup("--cpus 0.5", "cpu.max"), "50000 100000");
    // Runtimes of different ages reckon weights differently.
    let weight = |shares: u32| -> u32 {
        podman.ok(&in_cgroup(&format!("--cpu-shares {shares}"), "cpu.weight")).parse().unwrap()
    };
    assert!(weight(2048) > weight(512));
}

fn processes(podman: &Session) {
    podman.prints(&in_cgroup("--pids-limit 7", "pids.max"), "7");
    let many = "sh -c 'for n in 1 2 3 4 5 6 7 8 9; do sleep 5 & done'";
    podman.fails(&format!("podman run --rm --network none --pids-limit 5 busybox {many}"), 2, "can't fork");
}

fn changed(podman: &Session) {
    podman.ok("podman run -d --network none --name one --memory 64m busybox sleep 1000");
    podman
        .ok("podman update --memory 96m --cpus 0.25 --pids-limit 33 one || podman update --memory 96m --cpus 0.25 one");
    podman.prints("podman exec one cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max", "100663296\n25000 100000");
}

fn usage(podman: &Session) {
    podman.ok("podman run -d --network none --name one --memory 64m busybox sleep 1000");
    podman.ok("podman stats --no-stream --format '{{.MemUsage}} {{.PIDS}}' one | grep -E '^[1-9].*B / 67.11MB 1$'");
}
