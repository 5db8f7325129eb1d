//! Pods, and Kubernetes' descriptions of them. With the cgroupfs manager Podman gives a pod's cgroup a device filter that
//! denies everything, so containers are not below it.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    one_network_for_all,
    one_host_name_and_ipc_for_all,
    one_pid_namespace_for_all,
    stopped_and_started,
    described_for_kubernetes,
}

const CREATE: &str = "podman pod create --share-parent=false --network none --name pod";

fn one_network_for_all(podman: &Session) {
    podman.ok(&format!("{CREATE} && podman run -d --pod pod --name web busybox httpd -f -h /etc"));
    podman.wait("podman run --rm --pod pod busybox wget -q -O - http://127.0.0.1/group | grep root:x:0:");
    podman.prints("podman pod ps --format '{{.Name}} {{.Status}} {{.NumberOfContainers}}'", "pod Running 2");
}

fn one_host_name_and_ipc_for_all(podman: &Session) {
    podman.ok(&format!("{CREATE} --hostname castle && podman run -d --pod pod --name one busybox sleep 1000"));
    podman.prints("podman run --rm --pod pod busybox hostname", "castle");
    podman.ok("test $(podman exec one readlink /proc/1/ns/ipc) = $(podman run --rm --pod pod busybox readlink /proc/1/ns/ipc)");
}

fn one_pid_namespace_for_all(podman: &Session) {
    podman.ok(&format!("{CREATE} --share pid,net && podman run -d --pod pod --name one busybox sleep 1000"));
    podman.says("podman run --rm --pod pod busybox ps", "sleep 1000");
}

fn stopped_and_started(podman: &Session) {
    podman.ok(&format!("{CREATE} && podman run -d --pod pod --name one busybox sleep 1000"));
    podman.ok("podman pod stop -t 0 pod");
    podman.prints("podman inspect -f '{{.State.Status}}' one", "exited");
    podman.ok("podman pod start pod");
    podman.prints("podman exec one echo again", "again");
}

fn described_for_kubernetes(podman: &Session) {
    podman.ok("podman run -d --name one busybox sleep 1000");
    let yaml = podman.ok("podman generate kube one");
    assert!(yaml.contains("kind: Pod") && yaml.contains("image: localhost/busybox:latest"), "{yaml}");
}
