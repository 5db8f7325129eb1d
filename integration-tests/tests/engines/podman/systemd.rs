//! Podman where systemd makes the cgroups.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    scope,
    scope_goes_with_the_container,
    slice,
    limits_are_properties,
    changed,
    pod_with_a_slice,
    systemd_as_the_program,
    service_that_is_generated,
    health_by_timer,
    paused,
    executed,
    killed_by_systemd,
}

fn one(podman: &Session, options: &str) {
    podman.ok(&format!("podman run -d --network none --name one {options} busybox sleep 1000"));
}

/// A property of the container's scope.
fn property(name: &str) -> String {
    format!("systemctl show -P {name} libpod-$(podman inspect -f '{{{{.Id}}}}' one).scope")
}

fn scope(podman: &Session) {
    one(podman, "");
    podman.prints(&property("ActiveState"), "active");
    podman.ok("grep -E '/machine.slice/libpod-[0-9a-f]{64}.scope(/container)?$' /proc/$(podman inspect -f '{{.State.Pid}}' one)/cgroup");
    podman
        .ok("grep -E 'libpod-conmon-[0-9a-f]{64}.scope$' /proc/$(podman inspect -f '{{.State.ConmonPid}}' one)/cgroup");
}

fn scope_goes_with_the_container(podman: &Session) {
    one(podman, "");
    podman.ok("podman rm -f -t 0 one");
    podman.wait("test -z \"$(systemctl list-units --all --plain --no-legend 'libpod-*')\"");
}

fn slice(podman: &Session) {
    one(podman, "--cgroup-parent own.slice");
    podman.prints(&property("Slice"), "own.slice");
}

fn limits_are_properties(podman: &Session) {
    one(podman, "--memory 64m --pids-limit 44 --cpus 0.5");
    podman.prints(&property("MemoryMax"), "67108864");
    podman.prints(&property("TasksMax"), "44");
    podman.prints(&property("CPUQuotaPerSecUSec"), "500ms");
    podman.prints("podman exec one cat /sys/fs/cgroup/memory.max", "67108864");
}

fn changed(podman: &Session) {
    one(podman, "--memory 64m");
    podman.ok("podman update --memory 96m one");
    podman.prints("podman exec one cat /sys/fs/cgroup/memory.max", "100663296");
    // systemd's own opinion is the same, or it would bring the old limit back.
    podman.ok("systemctl daemon-reload");
    podman.prints("podman exec one cat /sys/fs/cgroup/memory.max", "100663296");
}

fn pod_with_a_slice(podman: &Session) {
    podman.ok("podman pod create --network none --name pod && podman run -d --pod pod --name one busybox sleep 1000");
    podman.prints("podman exec one echo runs", "runs");
    podman
        .ok("podman inspect -f '{{.State.CgroupPath}}' one | grep -E '/machine-libpod_pod_[0-9a-f]{64}.slice/libpod-'");
}

fn systemd_as_the_program(podman: &Session) {
    let script = "sh -c 'mkdir /sys/fs/cgroup/init.scope && echo 1 > /sys/fs/cgroup/init.scope/cgroup.procs && cat /proc/1/cgroup'";
    podman.prints(&format!("podman run --rm --network none --systemd=always busybox {script}"), "0::/init.scope");
}

fn service_that_is_generated(podman: &Session) {
    podman.ok("podman create --network none --name made busybox sleep 1000");
    podman.ok("podman generate systemd --new --name made > /run/systemd/system/made.service && podman rm made");
    podman.ok("mkdir -p /run/systemd/system/made.service.d && env | grep -E '^(CONTAINERS_|HOME=|PATH=)' | sed 's/.*/[Service]\\nEnvironment=\"&\"/' > /run/systemd/system/made.service.d/env.conf");
    podman.ok("systemctl daemon-reload && systemctl start made");
    podman.prints("podman exec made echo runs", "runs");
    podman.prints("systemctl is-active made", "active");
    podman.ok("systemctl stop made; rm -r /run/systemd/system/made.service*; systemctl daemon-reload");
    podman.prints("podman ps -aq", "");
}

fn health_by_timer(podman: &Session) {
    one(podman, "--health-cmd true --health-interval 1s");
    podman.wait("test \"$(podman inspect -f '{{.State.Health.Status}}' one)\" = healthy");
}

fn paused(podman: &Session) {
    one(podman, "");
    podman.ok("podman pause one");
    podman.prints("podman inspect -f '{{.State.Status}}' one", "paused");
    podman.ok("podman unpause one && podman exec one true");
}

fn executed(podman: &Session) {
    one(podman, "");
    podman.prints("podman exec one sh -c 'cat /proc/self/cgroup'", "0::/");
}

fn killed_by_systemd(podman: &Session) {
    one(podman, "");
    podman.ok("systemctl stop libpod-$(podman inspect -f '{{.Id}}' one).scope");
    podman.ok("podman wait one");
    podman.prints("podman inspect -f '{{.State.Status}}' one", "exited");
}
