//! The namespaces of a container: its own, the host's, another container's.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    its_own,
    pid_host,
    pid_of_another,
    ipc_host,
    ipc_of_another,
    ipc_none,
    uts_host,
    net_host,
    net_of_another,
    userns_host,
    cgroup_private,
    cgroup_host,
    gone_with_the_other,
}

/// Starts `one` with these flags, and asserts that of these namespaces it has the host's, or another than the host.
fn compared(docker: &Session, flags: &str, namespaces: &[&str], hosts: bool) {
    docker.ok(&format!("docker run -d --name one {flags} busybox sleep 1000"));
    for name in namespaces {
        let own = docker.ok(&format!("readlink /proc/$(pid one)/ns/{name}"));
        let host = docker.ok(&format!("readlink /proc/self/ns/{name}"));
        assert_eq!(own == host, hosts, "{name}: {own} {host}");
    }
}

fn its_own(docker: &Session) {
    compared(docker, "", &["cgroup", "ipc", "mnt", "net", "pid", "uts"], false);
    docker.prints("docker exec one sh -c 'echo /proc/[0-9]* | cut -d \" \" -f 1; cat /proc/1/comm'", "/proc/1\nsleep");
}

fn pid_host(docker: &Session) {
    compared(docker, "--pid host", &["pid"], true);
    docker.prints("docker exec one cat /proc/$(pid one)/comm; docker exec one cat /proc/self/comm", "sleep\ncat");
    docker.prints("docker rm -f one", "one");
}

fn pid_of_another(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000");
    docker.prints("docker run --rm --pid container:one busybox cat /proc/1/cmdline | tr '\\0' ' '", "sleep 1000 ");
}

fn ipc_host(docker: &Session) {
    compared(docker, "--ipc host", &["ipc"], true);
    docker.prints(
        "touch /dev/shm/engines-$$; docker exec one ls /dev/shm | grep -c engines-$$; rm /dev/shm/engines-$$",
        "1",
    );
}

fn ipc_of_another(docker: &Session) {
    docker.ok("docker run -d --name one --ipc shareable busybox sh -c 'echo shared > /dev/shm/f; sleep 1000'");
    docker.wait("docker exec one test -s /dev/shm/f");
    docker.prints(
        "docker run -d --name two --ipc container:one busybox sleep 1000 > /dev/null; docker exec two cat /dev/shm/f",
        "shared",
    );
    docker.ok("test $(readlink /proc/$(pid one)/ns/ipc) = $(readlink /proc/$(pid two)/ns/ipc)");
}

fn ipc_none(docker: &Session) {
    docker.prints("docker run --rm --ipc none busybox sh -c 'grep -c /dev/shm /proc/mounts || true'", "0");
}

fn uts_host(docker: &Session) {
    compared(docker, "--uts host", &["uts"], true);
    docker.prints("docker exec one hostname", "lane");
}

fn net_host(docker: &Session) {
    compared(docker, "--net host", &["net"], true);
    docker.prints("docker exec one ip link show docker0 | grep -c docker0:", "1");
}

fn net_of_another(docker: &Session) {
    docker.ok(
        "docker run -d --name one busybox sh -c 'mkdir /www; echo served > /www/index.html; httpd -f -p 8080 -h /www'",
    );
    docker.wait("docker exec one wget -qO- 127.0.0.1:8080");
    docker.prints("docker run --rm --net container:one busybox wget -qO- 127.0.0.1:8080", "served");
}

fn userns_host(docker: &Session) {
    compared(docker, "--userns host", &["user"], true);
}

fn cgroup_private(docker: &Session) {
    compared(docker, "--cgroupns private", &["cgroup"], false);
    docker.prints("docker exec one grep 0:: /proc/1/cgroup", "0::/");
    docker.prints("docker exec one cat /sys/fs/cgroup/cgroup.procs | sed -n 1p", "1");
}

fn cgroup_host(docker: &Session) {
    compared(docker, "--cgroupns host", &["cgroup"], true);
    docker.prints(
        "docker exec one grep 0:: /proc/1/cgroup",
        &docker.ok("echo 0::/docker/$(docker inspect -f '{{.Id}}' one)"),
    );
}

fn gone_with_the_other(docker: &Session) {
    docker.ok("docker run -d --name two busybox sleep 1000; docker create --name one --pid container:two busybox true; docker rm -f two");
    docker.fails("docker start -a one", 1, "ontainer");
}
