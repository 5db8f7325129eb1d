//! Namespaces that are shared, and those that are the pod's own.

use integration_tests::engines::kubernetes::ready;
use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    processes_shared,
    host_network,
    host_processes,
    host_ipc,
    ipc_shared,
    user_namespace,
    user_namespace_with_volumes,
    user_namespaces_apart,
}

fn processes_shared(k8s: &Session) {
    ready(
        k8s,
        "share",
        "
        terminationGracePeriodSeconds: 1
        shareProcessNamespace: true
        containers:
        - {name: a, image: busybox, command: [sleep, '1000']}
        - {name: b, image: busybox, command: [sleep, '1001']}
    ",
    );
    k8s.prints("kubectl exec share -c a -- cat /proc/1/comm", "pause");
    k8s.prints("kubectl exec share -c b -- sh -c 'cat /proc/$(pgrep sleep | cut -d\" \" -f1)/comm'", "sleep");
    k8s.ok("kubectl exec share -c b -- sh -c 'for p in $(pidof sleep); do grep -q 1000 /proc/$p/cmdline && kill -9 $p; done; true'");
    k8s.wait(
        "kubectl get pod share -o jsonpath='{.status.containerStatuses[0].lastState.terminated.exitCode}' | grep 137",
    );
}

/// A pod whose `spec` has this beside its container.
fn with(k8s: &Session, name: &str, line: &str) {
    ready(
        k8s,
        name,
        &format!(
            "
        {line}
        terminationGracePeriodSeconds: 1
        containers: [{{name: one, image: busybox, command: [sleep, '1000']}}]
    "
        ),
    );
}

/// Whether a namespace of a pod is the node's.
fn is_the_nodes(k8s: &Session, pod: &str, namespace: &str) -> bool {
    let link = format!("readlink /proc/self/ns/{namespace}");
    k8s.ok(&format!("kubectl exec {pod} -- {link}")) == k8s.ok(&link)
}

fn host_network(k8s: &Session) {
    with(k8s, "net", "hostNetwork: true");
    assert!(is_the_nodes(k8s, "net", "net"));
    k8s.says("kubectl exec net -- ip -o address show node", "10.89.0.1");
    with(k8s, "own", "hostNetwork: false");
    assert!(!is_the_nodes(k8s, "own", "net"));
}

fn host_processes(k8s: &Session) {
    with(k8s, "pid", "hostPID: true");
    assert!(is_the_nodes(k8s, "pid", "pid"));
    k8s.ok("kubectl exec pid -- pidof kubelet");
    with(k8s, "own", "hostPID: false");
    assert!(!is_the_nodes(k8s, "own", "pid"));
}

fn host_ipc(k8s: &Session) {
    with(k8s, "ipc", "hostIPC: true");
    assert!(is_the_nodes(k8s, "ipc", "ipc"));
    with(k8s, "own", "hostIPC: false");
    assert!(!is_the_nodes(k8s, "own", "ipc"));
}

fn ipc_shared(k8s: &Session) {
    ready(
        k8s,
        "shm",
        "
        terminationGracePeriodSeconds: 1
        containers:
        - {name: a, image: busybox, command: [sleep, '1000']}
        - {name: b, image: busybox, command: [sleep, '1000']}
    ",
    );
    k8s.ok("kubectl exec shm -c a -- sh -c 'echo of a > /dev/shm/it'");
    k8s.prints("kubectl exec shm -c b -- cat /dev/shm/it", "of a");
}

fn user_namespace(k8s: &Session) {
    with(k8s, "users", "hostUsers: false");
    assert!(!is_the_nodes(k8s, "users", "user"));
    let map = k8s.ok("kubectl exec users -- cat /proc/self/uid_map");
    let fields: Vec<u64> = map.split_whitespace().map(|field| field.parse().unwrap()).collect();
    assert!(fields[0] == 0 && fields[1] >= 65536 && fields[2] == 65536, "{map}");
    // On the node its processes are nobody's.
    let pid = k8s.ok("pgrep -fx 'sleep 1000'");
    assert_eq!(k8s.ok(&format!("stat -c %u /proc/{pid}")), fields[1].to_string());
    k8s.prints("kubectl exec users -- id -u", "0");
    k8s.prints("kubectl exec users -- stat -c '%u %g' /bin/busybox", "0 0");
}

fn user_namespace_with_volumes(k8s: &Session) {
    k8s.ok("kubectl create secret generic word --from-literal word=xyzzy || true");
    ready(
        k8s,
        "maps",
        "
        hostUsers: false
        terminationGracePeriodSeconds: 1
        volumes: [{name: data, emptyDir: {}}, {name: word, secret: {secretName: word, defaultMode: 0400}}]
        containers:
        - name: one
          image: busybox
          command: [sleep, '1000']
          volumeMounts: [{name: data, mountPath: /data}, {name: word, mountPath: /word}]
    ",
    );
    k8s.ok("kubectl exec maps -- touch /data/file");
    k8s.prints("kubectl exec maps -- stat -c '%u %g' /data/file", "0 0");
    k8s.prints("kubectl exec maps -- cat /word/word", "xyzzy");
    // The volume itself is root's: the mount is mapped, and not its files.
    k8s.prints("stat -c '%u %g' /var/lib/kubelet/pods/*/volumes/kubernetes.io~empty-dir/data/file", "0 0");
}

fn user_namespaces_apart(k8s: &Session) {
    with(k8s, "one", "hostUsers: false");
    with(k8s, "two", "hostUsers: false");
    let first = |name: &str| k8s.ok(&format!("kubectl exec {name} -- awk '{{print $2}}' /proc/self/uid_map"));
    assert_ne!(first("one"), first("two"));
}
