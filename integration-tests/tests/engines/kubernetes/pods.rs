//! Pods and their containers.

use integration_tests::engines::kubernetes::{ends, pod, ready};
use integration_tests::engines::session::Session;
use integration_tests::harness::Need;

integration_tests::scenarios! {
    a_runtime_class,
    a_class_without_a_handler,
    who_runs_it,
    runc_beside_it [Need::Path("/usr/sbin/runc")],
    init_containers_in_order,
    an_init_container_that_fails,
    a_sidecar,
    environment,
    downward_environment,
    names,
    resolver,
    a_hook_after_the_start,
    figures,
}

fn a_runtime_class(k8s: &Session) {
    ends(
        k8s,
        "hello",
        "Succeeded",
        "
        runtimeClassName: planc
        restartPolicy: Never
        containers:
        - name: hello
          image: busybox
          command: [sh, -c, 'echo hello from $(hostname); echo no >&2']
    ",
    );
    k8s.prints("kubectl logs hello | sort", "hello from hello\nno");
}

fn a_class_without_a_handler(k8s: &Session) {
    k8s.ok("kubectl get runtimeclass none || kubectl create -f - <<< '{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: none}, handler: none}'");
    pod(
        k8s,
        "none",
        "
        runtimeClassName: none
        containers: [{name: one, image: busybox, command: [sleep, '1000']}]
    ",
    );
    k8s.wait(
        "kubectl get events --field-selector involvedObject.name=none | grep 'no runtime for \"none\" is configured'",
    );
}

fn who_runs_it(k8s: &Session) {
    ready(
        k8s,
        "one",
        "
        runtimeClassName: planc
        containers: [{name: one, image: busybox, command: [sleep, '1000']}]
    ",
    );
    let id = "$(kubectl get pod one -o jsonpath='{.status.containerStatuses[0].containerID}' | sed 's,.*//,,')";
    let kind = k8s.ok(&format!("ctr -n k8s.io containers info {id} | grep -o 'io.containerd.[a-z]*.v2'"));
    // One shim for the sandbox and the container, and it is what the program of the container is a child of.
    let shim = kind.replace("io.containerd.", "containerd-shim-").replace(".v2", "-v2");
    k8s.prints(&format!("pgrep -fc '/{shim} .*-namespace k8s.io'"), "1");
    let parent = "ps -o ppid= -p $(pgrep -xo -P $(pgrep -fo '/[c]ontainerd-shim') sleep)";
    k8s.says(&format!("cat /proc/$({parent} | tr -d ' ')/cmdline | tr '\\0' ' '"), &shim);
}

fn runc_beside_it(k8s: &Session) {
    k8s.ok("kubectl get runtimeclass runc || kubectl create -f - <<< '{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: runc}, handler: runc}'");
    ready(
        k8s,
        "other",
        "
        runtimeClassName: runc
        containers: [{name: one, image: busybox, command: [sleep, '1000']}]
    ",
    );
    ready(
        k8s,
        "one",
        "
        runtimeClassName: planc
        containers: [{name: one, image: busybox, command: [sleep, '1000']}]
    ",
    );
    k8s.prints("kubectl exec one -- hostname", "one");
    k8s.prints("kubectl exec other -- hostname", "other");
    k8s.prints("pgrep -fc '/containerd-shim-.* -namespace k8s.io'", "2");
}

fn init_containers_in_order(k8s: &Session) {
    ends(k8s, "order", "Succeeded", "
        restartPolicy: Never
        volumes: [{name: data, emptyDir: {}}]
        initContainers:
        - {name: a, image: busybox, command: [sh, -c, sleep 1; echo a >> /data/order], volumeMounts: [{name: data, mountPath: /data}]}
        - {name: b, image: busybox, command: [sh, -c, echo b >> /data/order], volumeMounts: [{name: data, mountPath: /data}]}
        containers:
        - {name: c, image: busybox, command: [sh, -c, echo c >> /data/order; cat /data/order], volumeMounts: [{name: data, mountPath: /data}]}
    ");
    k8s.prints("kubectl logs order -c c", "a\nb\nc");
}

fn an_init_container_that_fails(k8s: &Session) {
    ends(
        k8s,
        "bad",
        "Failed",
        "
        restartPolicy: Never
        initContainers: [{name: a, image: busybox, command: [sh, -c, exit 4]}]
        containers: [{name: b, image: busybox, command: [echo, never]}]
    ",
    );
    k8s.prints("kubectl get pod bad -o jsonpath='{.status.initContainerStatuses[0].state.terminated.exitCode}'", "4");
    k8s.prints(
        "kubectl get pod bad -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}'",
        "PodInitializing",
    );
}

fn a_sidecar(k8s: &Session) {
    ends(k8s, "side", "Succeeded", "
        restartPolicy: Never
        terminationGracePeriodSeconds: 1
        initContainers:
        - {name: side, image: busybox, restartPolicy: Always, command: [sh, -c, mkdir /www; echo of the side > /www/index.html; exec httpd -f -p 8080 -h /www]}
        containers:
        - {name: main, image: busybox, command: [sh, -c, 'until wget -qO- http://127.0.0.1:8080; do sleep 0.1; done']}
    ");
    k8s.prints("kubectl logs side -c main 2>&1 | tail -n 1", "of the side");
    // The main container has ended: so has, after it, the sidecar.
    let state = "{.status.initContainerStatuses[0].state.terminated.exitCode}";
    k8s.wait(&format!("kubectl get pod side -o jsonpath='{state}' | grep '^[0-9]'"));
}

fn environment(k8s: &Session) {
    k8s.ok("kubectl run env --image=busybox --restart=Never --env A=b --env 'C=d e' -- sh -c 'echo $A,$C'");
    k8s.wait("kubectl logs env | grep -x 'b,d e'");
}

fn downward_environment(k8s: &Session) {
    ends(
        k8s,
        "down",
        "Succeeded",
        "
        restartPolicy: Never
        containers:
        - name: one
          image: busybox
          command: [sh, -c, 'echo $NAME $NODE $LABEL; ip -o address show eth0 | grep -o \"$ADDRESS/\"']
          env:
          - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
          - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
          - {name: ADDRESS, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
          - {name: LABEL, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}
    ",
    );
    let address = k8s.ok("kubectl get pod down -o jsonpath='{.status.podIP}'");
    k8s.prints("kubectl logs down", &format!("down node down\n{address}/"));
}

fn names(k8s: &Session) {
    ends(
        k8s,
        "names",
        "Succeeded",
        "
        restartPolicy: Never
        hostname: front
        hostAliases: [{ip: 192.0.2.7, hostnames: [far]}]
        containers: [{name: one, image: busybox, command: [sh, -c, hostname; grep far /etc/hosts]}]
    ",
    );
    k8s.prints("kubectl logs names | tr '\\t' ' '", "front\n192.0.2.7 far");
}

fn resolver(k8s: &Session) {
    ends(
        k8s,
        "dns",
        "Succeeded",
        "
        restartPolicy: Never
        dnsPolicy: None
        dnsConfig: {nameservers: [192.0.2.53], searches: [lane.invalid], options: [{name: ndots, value: '3'}]}
        containers: [{name: one, image: busybox, command: [cat, /etc/resolv.conf]}]
    ",
    );
    k8s.prints("kubectl logs dns", "search lane.invalid\nnameserver 192.0.2.53\noptions ndots:3");
}

fn a_hook_after_the_start(k8s: &Session) {
    ready(
        k8s,
        "hook",
        "
        containers:
        - name: one
          image: busybox
          command: [sleep, '1000']
          lifecycle: {postStart: {exec: {command: [sh, -c, sleep 1; echo done > /tmp/hook]}}}
    ",
    );
    k8s.prints("kubectl exec hook -- cat /tmp/hook", "done");
}

fn figures(k8s: &Session) {
    ready(
        k8s,
        "one",
        "
        containers: [{name: one, image: busybox, command: [sleep, '1000']}]
    ",
    );
    k8s.wait("kubectl get --raw /api/v1/nodes/node/proxy/stats/summary | grep -A 3 podRef | grep '\"name\": \"one\"'");
}
