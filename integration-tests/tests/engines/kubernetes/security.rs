//! securityContext.

use integration_tests::engines::kubernetes::{ends, pod, ready};
use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    user_and_groups,
    user_of_a_container,
    groups_strictly,
    non_root_refused,
    read_only_root,
    capabilities,
    seccomp_by_default,
    seccomp_of_a_file,
    no_new_privileges,
    masked_paths,
    privileged,
    sysctls,
    restricted,
}

fn user_and_groups(k8s: &Session) {
    ends(k8s, "who", "Succeeded", "
        restartPolicy: Never
        securityContext: {runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000, supplementalGroups: [4000]}
        volumes: [{name: data, emptyDir: {}}]
        containers:
        - name: one
          image: busybox
          command: [sh, -c, 'id -u; id -g; id -G | tr \" \" \"\\n\" | sort -n | xargs; touch /data/x; stat -c \"%u %g\" /data/x']
          volumeMounts: [{name: data, mountPath: /data}]
    ");
    // The image says of its user 1000 that it is in 50000 too.
    k8s.prints("kubectl logs who", "1000\n3000\n2000 3000 4000 50000\n1000 2000");
}

fn user_of_a_container(k8s: &Session) {
    ready(
        k8s,
        "users",
        "
        terminationGracePeriodSeconds: 1
        securityContext: {runAsUser: 1000}
        containers:
        - {name: a, image: busybox, command: [sleep, '1000']}
        - {name: b, image: busybox, command: [sleep, '1000'], securityContext: {runAsUser: 1001}}
    ",
    );
    k8s.prints("kubectl exec users -c a -- id -u; kubectl exec users -c b -- id -u", "1000\n1001");
}

fn groups_strictly(k8s: &Session) {
    for (name, policy, groups) in [("merge", "Merge", "1000 50000"), ("strict", "Strict", "1000")] {
        ends(
            k8s,
            name,
            "Succeeded",
            &format!(
                "
        restartPolicy: Never
        securityContext: {{runAsUser: 1000, runAsGroup: 1000, supplementalGroupsPolicy: {policy}}}
        containers: [{{name: one, image: busybox, command: [id, -G]}}]
        "
            ),
        );
        k8s.prints(&format!("kubectl logs {name}"), groups);
    }
}

fn non_root_refused(k8s: &Session) {
    pod(
        k8s,
        "root",
        "
        securityContext: {runAsNonRoot: true}
        containers: [{name: one, image: busybox, command: [id]}]
    ",
    );
    k8s.wait("kubectl get pod root -o jsonpath='{.status.containerStatuses[0].state.waiting.message}' | grep 'image will run as root'");
}

fn read_only_root(k8s: &Session) {
    ends(
        k8s,
        "ro",
        "Succeeded",
        "
        restartPolicy: Never
        volumes: [{name: data, emptyDir: {}}]
        containers:
        - name: one
          image: busybox
          command: [sh, -c, 'touch /x 2>&1 || true; touch /data/x && echo written']
          securityContext: {readOnlyRootFilesystem: true}
          volumeMounts: [{name: data, mountPath: /data}]
    ",
    );
    k8s.prints("kubectl logs ro", "touch: /x: Read-only file system\nwritten");
}

fn capabilities(k8s: &Session) {
    ends(
        k8s,
        "caps",
        "Succeeded",
        "
        restartPolicy: Never
        containers:
        - name: one
          image: busybox
          command: [grep, -E, 'Cap(Prm|Eff|Bnd)', /proc/self/status]
          securityContext: {capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}
    ",
    );
    let only = "0000000000000400";
    k8s.prints("kubectl logs caps | tr -d '\\t'", &format!("CapPrm:{only}\nCapEff:{only}\nCapBnd:{only}"));
}

fn seccomp_by_default(k8s: &Session) {
    ready(k8s, "filter", "
        terminationGracePeriodSeconds: 1
        containers:
        - {name: one, image: busybox, command: [sleep, '1000'], securityContext: {seccompProfile: {type: RuntimeDefault}}}
        - {name: two, image: busybox, command: [sleep, '1000'], securityContext: {seccompProfile: {type: Unconfined}}}
    ");
    k8s.prints("kubectl exec filter -c one -- awk '/^Seccomp:/ {print $2}' /proc/1/status", "2");
    k8s.prints("kubectl exec filter -c two -- awk '/^Seccomp:/ {print $2}' /proc/1/status", "0");
    k8s.fails("kubectl exec filter -c one -- unshare -U true", 1, "Operation not permitted");
}

fn seccomp_of_a_file(k8s: &Session) {
    let profile = "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"mkdir\", \"mkdirat\"], \"action\": \"SCMP_ACT_ERRNO\"}]}";
    k8s.ok(&format!("mkdir -p /var/lib/kubelet/seccomp; echo '{profile}' > /var/lib/kubelet/seccomp/none.json"));
    ends(
        k8s,
        "file",
        "Succeeded",
        "
        restartPolicy: Never
        containers:
        - name: one
          image: busybox
          command: [sh, -c, 'touch /tmp/x && echo touched; mkdir /tmp/y 2>&1 || true']
          securityContext: {seccompProfile: {type: Localhost, localhostProfile: none.json}}
    ",
    );
    k8s.says("kubectl logs file", "touched\nmkdir: can't create directory '/tmp/y': Operation not permitted");
}

fn no_new_privileges(k8s: &Session) {
    ready(k8s, "nnp", "
        terminationGracePeriodSeconds: 1
        containers:
        - {name: one, image: busybox, command: [sleep, '1000'], securityContext: {runAsUser: 1000, allowPrivilegeEscalation: false}}
        - {name: two, image: busybox, command: [sleep, '1000'], securityContext: {runAsUser: 1000}}
    ");
    k8s.prints("kubectl exec nnp -c one -- /nnp", "Effective uid: 1000");
    k8s.prints("kubectl exec nnp -c two -- /nnp", "Effective uid: 0");
}

fn masked_paths(k8s: &Session) {
    ready(
        k8s,
        "masked",
        "
        terminationGracePeriodSeconds: 1
        containers: [{name: one, image: busybox, command: [sleep, '1000']}]
    ",
    );
    k8s.prints("kubectl exec masked -- sh -c 'wc -c < /proc/timer_list; ls /sys/firmware'", "0");
    k8s.fails("kubectl exec masked -- touch /proc/sys/kernel/panic", 1, "Read-only file system");
}

fn privileged(k8s: &Session) {
    ready(
        k8s,
        "all",
        "
        terminationGracePeriodSeconds: 1
        containers: [{name: one, image: busybox, command: [sleep, '1000'], securityContext: {privileged: true}}]
    ",
    );
    k8s.ok("kubectl exec all -- mount -t tmpfs tmpfs /mnt || kubectl exec all -- sh -c 'mkdir /mnt; mount -t tmpfs tmpfs /mnt'");
    k8s.ok("kubectl exec all -- test -c /dev/kmsg");
    let host = k8s.ok("awk '/^CapBnd:/ {print $2}' /proc/self/status");
    k8s.prints("kubectl exec all -- awk '/^CapEff:/ {print $2}' /proc/1/status", &host);
}

fn sysctls(k8s: &Session) {
    ends(k8s, "kernel", "Succeeded", "
        restartPolicy: Never
        securityContext: {sysctls: [{name: kernel.shm_rmid_forced, value: '1'}, {name: net.ipv4.ip_local_port_range, value: '2000 3000'}]}
        containers: [{name: one, image: busybox, command: [cat, /proc/sys/kernel/shm_rmid_forced, /proc/sys/net/ipv4/ip_local_port_range]}]
    ");
    k8s.prints("kubectl logs kernel | xargs", "1 2000 3000");
}

fn restricted(k8s: &Session) {
    k8s.ok("kubectl get namespace tight || kubectl create namespace tight; kubectl label --overwrite namespace tight pod-security.kubernetes.io/enforce=restricted; until kubectl get serviceaccount default -n tight; do sleep 0.2; done");
    k8s.fails("kubectl run open -n tight --image=busybox", 1, "violates PodSecurity");
    apply_tight(k8s);
    k8s.wait("kubectl logs tight -n tight | grep -x 'uid=1000(default-user) gid=1000(default-user) groups=1000(default-user),50000(group-defined-in-image)'");
    k8s.ok("kubectl delete pod tight -n tight --now");
}

fn apply_tight(k8s: &Session) {
    integration_tests::engines::kubernetes::apply(
        k8s,
        "
        apiVersion: v1
        kind: Pod
        metadata: {name: tight, namespace: tight}
        spec:
          restartPolicy: Never
          securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
          containers:
          - name: one
            image: busybox
            command: [id]
            securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    ",
    );
}
