//! Limits of resources, as the files of the container's cgroup have them.

use integration_tests::engines::session::Session;
use integration_tests::harness::Need;

/// The host hands down this controller.
macro_rules! controller {
    ($name:literal) => {
        Need::Works(concat!("grep -qw ", $name, " /sys/fs/cgroup/cgroup.controllers"))
    };
}

const CPU: Need = controller!("cpu");
const CPUSET: Need = controller!("cpuset");
const MEMORY: Need = controller!("memory");
const PIDS: Need = controller!("pids");
const IO: Need = controller!("io");
const NO_MEMORY: Need = Need::Works("! grep -qw memory /sys/fs/cgroup/cgroup.controllers");
/// The weight is that of a scheduler of block devices, or of the cost model.
const IO_WEIGHT: Need =
    Need::Works("d=/sys/fs/cgroup/w$$; mkdir $d && { ls $d | grep -qE 'io.(bfq.)?weight'; s=$?; rmdir $d; exit $s; }");

integration_tests::scenarios! {
    default_cgroup,
    cgroup_parent,
    without_controllers [NO_MEMORY],
    memory [MEMORY],
    memory_and_swap [MEMORY],
    memory_reservation [MEMORY],
    killed_for_memory [MEMORY],
    killed_for_memory_in_exec [MEMORY],
    cpus [CPU],
    cpu_quota [CPU],
    cpu_shares [CPU],
    cpuset [CPUSET],
    pids [PIDS],
    fork_bomb [PIDS],
    blkio_weight [IO, IO_WEIGHT],
    update_memory [MEMORY],
    update_cpus [CPU],
    update_pids [PIDS],
    update_what_does_not_run [MEMORY],
    stats_have_them [MEMORY, PIDS],
}

/// Starts `one` with these flags, and asserts what files of its cgroup have.
fn has(docker: &Session, flags: &str, files: &[(&str, &str)]) {
    docker.ok(&format!("docker run -d --name one {flags} busybox sleep 1000"));
    shows(docker, files);
}

fn shows(docker: &Session, files: &[(&str, &str)]) {
    for (file, expected) in files {
        docker.prints(&format!("cat $(cgroup one)/{file}"), expected);
    }
}

fn default_cgroup(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000");
    docker.prints("cgroup one", &docker.ok("echo /sys/fs/cgroup/docker/$(docker inspect -f '{{.Id}}' one)"));
    docker.prints("cat $(cgroup one)/cgroup.procs", &docker.ok("pid one"));
    // The device filter of the container, and of nobody else.
    let cgroup = docker.ok("cgroup one");
    docker.ok(&format!("docker rm -f one; test ! -e {cgroup}"));
}

fn cgroup_parent(docker: &Session) {
    docker.ok("docker run -d --name one --cgroup-parent /mine/below busybox sleep 1000");
    docker.prints("cgroup one", &docker.ok("echo /sys/fs/cgroup/mine/below/$(docker inspect -f '{{.Id}}' one)"));
    docker.ok("docker rm -f one; rmdir /sys/fs/cgroup/mine/below /sys/fs/cgroup/mine 2> /dev/null || test ! -e /sys/fs/cgroup/mine");
}

fn without_controllers(docker: &Session) {
    docker.says("docker run --rm --memory 64m --pids-limit 20 busybox echo hello 2>&1", "hello");
}

fn memory(docker: &Session) {
    has(docker, "--memory 64m", &[("memory.max", "67108864")]);
}

fn memory_and_swap(docker: &Session) {
    has(docker, "--memory 64m --memory-swap 96m", &[("memory.max", "67108864"), ("memory.swap.max", "33554432")]);
}

fn memory_reservation(docker: &Session) {
    has(docker, "--memory 64m --memory-reservation 32m", &[("memory.low", "33554432")]);
}

fn killed_for_memory(docker: &Session) {
    // A first process that is killed itself may be gone before the shim is told of the memory.
    docker.fails(
        "docker run --name one --memory 24m --memory-swap 24m busybox sh -c 'tail /dev/zero; s=$?; sleep 1; exit $s'",
        137,
        "",
    );
    docker.prints("docker inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' one", "true 137");
}

fn killed_for_memory_in_exec(docker: &Session) {
    docker.ok("docker run -d --name one --memory 24m --memory-swap 24m busybox sleep 1000");
    docker.fails("docker exec one tail /dev/zero", 137, "");
    docker.prints("docker inspect -f '{{.State.Status}}' one", "running");
}

fn cpus(docker: &Session) {
    has(docker, "--cpus 0.5", &[("cpu.max", "50000 100000")]);
}

fn cpu_quota(docker: &Session) {
    has(docker, "--cpu-period 50000 --cpu-quota 10000", &[("cpu.max", "10000 50000")]);
}

fn cpu_shares(docker: &Session) {
    docker.ok("docker run -d --name one --cpu-shares 512 busybox sleep 1000");
    // 1 + (512 - 2) * 9999 / 262142, and by the formula that runtimes have since 2025, with which 1024 is the default of 100.
    let weight = docker.ok("cat $(cgroup one)/cpu.weight");
    assert!(["20", "59"].contains(&weight.as_str()), "{weight}");
}

fn cpuset(docker: &Session) {
    has(docker, "--cpuset-cpus 0 --cpuset-mems 0", &[("cpuset.cpus", "0"), ("cpuset.mems", "0")]);
    docker.prints("docker exec one grep Cpus_allowed_list /proc/self/status", "Cpus_allowed_list:\t0");
}

fn pids(docker: &Session) {
    has(docker, "--pids-limit 20", &[("pids.max", "20")]);
}

fn fork_bomb(docker: &Session) {
    let bomb = "i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i + 1)); done";
    docker.says(&format!("docker run --rm --init --pids-limit 10 busybox sh -c '{bomb}' 2>&1 || true"), "can't fork");
}

fn blkio_weight(docker: &Session) {
    docker.ok("docker run -d --name one --blkio-weight 300 busybox sleep 1000");
    docker.says("cd $(cgroup one); cat io.bfq.weight io.weight 2> /dev/null || true", "default ");
    docker.ok("cd $(cgroup one); ! grep -qx 'default 100' io.bfq.weight io.weight 2> /dev/null");
}

fn update_memory(docker: &Session) {
    has(docker, "--memory 64m --memory-swap 64m", &[("memory.max", "67108864")]);
    docker.ok("docker update --memory 128m --memory-swap 256m one");
    shows(docker, &[("memory.max", "134217728"), ("memory.swap.max", "134217728")]);
}

fn update_cpus(docker: &Session) {
    has(docker, "--cpus 0.5", &[("cpu.max", "50000 100000")]);
    docker.ok("docker update --cpus 0.75 one");
    shows(docker, &[("cpu.max", "75000 100000")]);
}

fn update_pids(docker: &Session) {
    has(docker, "--pids-limit 20", &[("pids.max", "20")]);
    docker.ok("docker update --pids-limit 30 one");
    shows(docker, &[("pids.max", "30")]);
}

fn update_what_does_not_run(docker: &Session) {
    docker.ok("docker create --name one --memory 64m busybox sleep 1000; docker update --memory 32m --memory-swap 64m one; docker start one");
    shows(docker, &[("memory.max", "33554432")]);
}

fn stats_have_them(docker: &Session) {
    docker.ok("docker run -d --name one --memory 64m --pids-limit 20 busybox sleep 1000");
    let stats = docker.ok("docker stats --no-stream --format '{{.Name}} {{.PIDs}} {{.MemUsage}}' one");
    assert!(stats.starts_with("one 1 ") && stats.ends_with("/ 64MiB"), "{stats}");
}
