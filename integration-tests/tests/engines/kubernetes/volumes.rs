//! Volumes of every kind that a node alone has.

use integration_tests::engines::kubernetes::{apply, ends, ready};
use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    shared_by_two,
    in_memory,
    config_map,
    config_map_changed,
    secret,
    downward,
    token,
    sub_path,
    image,
    host_path,
    mounts_come_in,
    mounts_go_out,
    read_only_with_all_below,
}

fn shared_by_two(k8s: &Session) {
    ready(k8s, "two", "
        terminationGracePeriodSeconds: 1
        volumes: [{name: data, emptyDir: {}}]
        containers:
        - {name: a, image: busybox, command: [sleep, '1000'], volumeMounts: [{name: data, mountPath: /a}]}
        - {name: b, image: busybox, command: [sleep, '1000'], volumeMounts: [{name: data, mountPath: /b, readOnly: true}]}
    ");
    k8s.ok("kubectl exec two -c a -- sh -c 'echo of a > /a/file'");
    k8s.prints("kubectl exec two -c b -- cat /b/file", "of a");
    k8s.fails("kubectl exec two -c b -- touch /b/file", 1, "Read-only file system");
}

fn in_memory(k8s: &Session) {
    ends(k8s, "memory", "Succeeded", "
        restartPolicy: Never
        volumes: [{name: data, emptyDir: {medium: Memory, sizeLimit: 1Mi}}]
        containers:
        - name: one
          image: busybox
          command: [sh, -c, \"grep -o '/data tmpfs' /proc/mounts; df -k /data | awk 'END {print $2}'; head -c 2000000 /dev/zero > /data/x || wc -c < /data/x\"]
          volumeMounts: [{name: data, mountPath: /data}]
    ");
    k8s.prints("kubectl logs memory | grep -v '^head: '", "/data tmpfs\n1024\n1048576");
}

fn config_map(k8s: &Session) {
    k8s.ok("kubectl create configmap settings --from-literal color=blue --from-literal size=9 || true");
    ends(
        k8s,
        "map",
        "Succeeded",
        "
        restartPolicy: Never
        volumes: [{name: settings, configMap: {name: settings, items: [{key: color, path: sub/hue}]}}]
        containers:
        - name: one
          image: busybox
          command: [sh, -c, 'echo $(cat /settings/sub/hue) $size; touch /settings/x 2>&1 || true']
          envFrom: [{configMapRef: {name: settings}}]
          volumeMounts: [{name: settings, mountPath: /settings}]
    ",
    );
    k8s.prints("kubectl logs map", "blue 9\ntouch: /settings/x: Read-only file system");
}

fn config_map_changed(k8s: &Session) {
    apply(k8s, "{apiVersion: v1, kind: ConfigMap, metadata: {name: changes}, data: {it: before}}");
    ready(k8s, "follows", "
        terminationGracePeriodSeconds: 1
        volumes: [{name: changes, configMap: {name: changes}}]
        containers: [{name: one, image: busybox, command: [sleep, '1000'], volumeMounts: [{name: changes, mountPath: /changes}]}]
    ");
    k8s.prints("kubectl exec follows -- cat /changes/it", "before");
    apply(k8s, "{apiVersion: v1, kind: ConfigMap, metadata: {name: changes}, data: {it: after}}");
    // A change is seen in the kubelet's next round.
    k8s.wait(
        "kubectl annotate pod follows --overwrite round=$RANDOM && kubectl exec follows -- grep -x after /changes/it",
    );
}

fn secret(k8s: &Session) {
    k8s.ok("kubectl create secret generic key --from-literal word=xyzzy || true");
    ends(k8s, "secret", "Succeeded", "
        restartPolicy: Never
        volumes: [{name: key, secret: {secretName: key, defaultMode: 0400}}]
        containers:
        - name: one
          image: busybox
          command: [sh, -c, 'cat /key/word; echo; echo $WORD; stat -Lc %a /key/word; grep -o \"/key tmpfs\" /proc/mounts']
          env: [{name: WORD, valueFrom: {secretKeyRef: {name: key, key: word}}}]
          volumeMounts: [{name: key, mountPath: /key}]
    ");
    k8s.prints("kubectl logs secret", "xyzzy\nxyzzy\n400\n/key tmpfs");
}

fn downward(k8s: &Session) {
    ends(k8s, "own", "Succeeded", "
        restartPolicy: Never
        volumes: [{name: own, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}]
        containers: [{name: one, image: busybox, command: [cat, /own/labels], volumeMounts: [{name: own, mountPath: /own}]}]
    ");
    k8s.prints("kubectl logs own", "app=\"own\"");
}

fn token(k8s: &Session) {
    ends(k8s, "token", "Succeeded", "
        restartPolicy: Never
        containers: [{name: one, image: busybox, command: [sh, -c, 'cd /var/run/secrets/kubernetes.io/serviceaccount; cat namespace; echo; cut -d. -f2 token']}]
    ");
    let printed = k8s.ok("kubectl logs token | tail -n 1 | tr _- /+ | base64 -d 2> /dev/null || true");
    assert!(printed.contains("system:serviceaccount:default:default"), "{printed}");
    k8s.prints("kubectl logs token | sed -n 1p", "default");
}

fn sub_path(k8s: &Session) {
    apply(k8s, "{apiVersion: v1, kind: ConfigMap, metadata: {name: part}, data: {it: of the map}}");
    ready(
        k8s,
        "part",
        "
        terminationGracePeriodSeconds: 1
        volumes: [{name: data, emptyDir: {}}, {name: part, configMap: {name: part}}]
        containers:
        - name: one
          image: busybox
          command: [sleep, '1000']
          volumeMounts:
          - {name: data, mountPath: /all}
          - {name: data, mountPath: /below, subPath: some/where}
          - {name: part, mountPath: /etc/part.conf, subPath: it}
    ",
    );
    k8s.prints(
        "kubectl exec part -- sh -c 'echo x > /below/file; cat /all/some/where/file /etc/part.conf'",
        "x\nof the map",
    );
}

fn image(k8s: &Session) {
    ends(k8s, "layers", "Succeeded", "
        restartPolicy: Never
        volumes: [{name: files, image: {reference: nginx}}]
        containers:
        - {name: one, image: busybox, command: [sh, -c, 'test -x /files/usr/sbin/nginx && echo there; touch /files/x 2>&1 || true'], volumeMounts: [{name: files, mountPath: /files}]}
    ");
    k8s.prints("kubectl logs layers", "there\ntouch: /files/x: Read-only file system");
}

fn host_path(k8s: &Session) {
    k8s.ok("mkdir -p hosts && echo of the host > hosts/file");
    ends(k8s, "host", "Succeeded", "
        restartPolicy: Never
        volumes: [{name: host, hostPath: {path: /run/kubernetes/hosts, type: Directory}}]
        containers: [{name: one, image: busybox, command: [sh, -c, cat /host/file; echo back > /host/back], volumeMounts: [{name: host, mountPath: /host}]}]
    ");
    k8s.prints("kubectl logs host; cat hosts/back", "of the host\nback");
}

/// A pod with a folder of the host's, which is a mount and shared.
fn with_shared(k8s: &Session, name: &str, propagation: &str) {
    k8s.ok(&format!("mkdir -p {name} && mount --bind {name} {name} && mkdir {name}/late"));
    ready(
        k8s,
        name,
        &format!(
            "
        terminationGracePeriodSeconds: 1
        volumes: [{{name: host, hostPath: {{path: /run/kubernetes/{name}}}}}]
        containers:
        - name: one
          image: busybox
          command: [sleep, '1000']
          securityContext: {{privileged: true}}
          volumeMounts: [{{name: host, mountPath: /host, mountPropagation: {propagation}}}]
    "
        ),
    );
}

fn mounts_come_in(k8s: &Session) {
    with_shared(k8s, "comes", "HostToContainer");
    k8s.ok("mount -t tmpfs tmpfs comes/late && echo mounted > comes/late/file");
    k8s.prints("kubectl exec comes -- cat /host/late/file", "mounted");
    k8s.ok("umount comes/late");
    k8s.fails("kubectl exec comes -- cat /host/late/file", 1, "No such file");
    k8s.ok("kubectl exec comes -- mount -t tmpfs tmpfs /host/late");
    k8s.prints("grep -c comes/late /proc/mounts || true", "0");
}

fn mounts_go_out(k8s: &Session) {
    with_shared(k8s, "goes", "Bidirectional");
    k8s.ok("kubectl exec goes -- sh -c 'mount -t tmpfs tmpfs /host/late && echo mounted > /host/late/file'");
    k8s.prints("cat goes/late/file", "mounted");
    k8s.ok("umount goes/late");
}

fn read_only_with_all_below(k8s: &Session) {
    k8s.ok("mkdir -p below && mount --bind below below && mkdir below/more && mount -t tmpfs tmpfs below/more");
    ends(k8s, "below", "Succeeded", "
        restartPolicy: Never
        volumes: [{name: host, hostPath: {path: /run/kubernetes/below}}]
        containers:
        - {name: one, image: busybox, command: [sh, -c, 'touch /host/more/x 2>&1 || true'], volumeMounts: [{name: host, mountPath: /host, readOnly: true, recursiveReadOnly: Enabled}]}
    ");
    k8s.prints("kubectl logs below", "touch: /host/more/x: Read-only file system");
    k8s.ok("umount below/more below");
}
