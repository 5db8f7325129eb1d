//! Probes: whether a container is ready, lives, and has started.

use integration_tests::engines::kubernetes::{pod, ready};
use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    ready_by_a_program,
    ready_by_http,
    ready_by_a_port,
    restarted_by_a_program,
    restarted_by_http,
    killed_when_it_does_not_live,
    a_probe_that_takes_too_long,
    startup,
}

/// Whether a pod is ready.
fn is_ready(name: &str) -> String {
    format!("kubectl get pod {name} -o jsonpath='{{.status.containerStatuses[0].ready}}'")
}

fn restarts(name: &str) -> String {
    format!("kubectl get pod {name} -o jsonpath='{{.status.containerStatuses[0].restartCount}}'")
}

/// The exit code of the life before this one.
fn last_code(name: &str) -> String {
    format!("kubectl get pod {name} -o jsonpath='{{.status.containerStatuses[0].lastState.terminated.exitCode}}'")
}

fn ready_by_a_program(k8s: &Session) {
    pod(
        k8s,
        "exec",
        "
        containers:
        - name: one
          image: busybox
          command: [sleep, '1000']
          readinessProbe: {exec: {command: [test, -f, /tmp/ready]}, periodSeconds: 1}
    ",
    );
    k8s.wait("kubectl exec exec -- true");
    k8s.prints(&is_ready("exec"), "false");
    k8s.ok("kubectl exec exec -- touch /tmp/ready");
    k8s.wait(&format!("{} | grep true", is_ready("exec")));
}

fn ready_by_http(k8s: &Session) {
    ready(
        k8s,
        "http",
        "
        containers:
        - name: one
          image: nginx
          readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
    ",
    );
    k8s.says("wget -qO- http://$(kubectl get pod http -o jsonpath='{.status.podIP}')", "hello");
}

fn ready_by_a_port(k8s: &Session) {
    ready(
        k8s,
        "port",
        "
        containers:
        - name: one
          image: busybox
          command: [sh, -c, 'httpd -p 8080; sleep 1000']
          readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, failureThreshold: 1}
    ",
    );
    k8s.ok("kubectl exec port -- killall httpd");
    k8s.wait(&format!("{} | grep false", is_ready("port")));
}

fn restarted_by_a_program(k8s: &Session) {
    ready(k8s, "lives", "
        containers:
        - name: one
          image: busybox
          command: [sh, -c, 'trap \"exit 7\" TERM; touch /tmp/alive; while :; do sleep 0.1; done']
          livenessProbe: {exec: {command: [test, -f, /tmp/alive]}, periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 1}
    ");
    k8s.ok("kubectl exec lives -- rm /tmp/alive");
    k8s.wait(&format!("{} | grep 1", restarts("lives")));
    k8s.prints(&last_code("lives"), "7");
    k8s.wait(&format!("{} | grep true", is_ready("lives")));
}

fn restarted_by_http(k8s: &Session) {
    ready(
        k8s,
        "serves",
        "
        terminationGracePeriodSeconds: 1
        containers:
        - name: one
          image: busybox
          command: [sh, -c, 'mkdir /www; echo yes > /www/index.html; exec httpd -f -p 8080 -h /www']
          livenessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 1}
    ",
    );
    k8s.ok("kubectl exec serves -- rm /www/index.html");
    k8s.wait(&format!("{} | grep 1", restarts("serves")));
    k8s.wait(&format!("{} | grep true", is_ready("serves")));
}

fn killed_when_it_does_not_live(k8s: &Session) {
    ready(k8s, "deaf", "
        containers:
        - name: one
          image: busybox
          command: [sh, -c, 'trap : TERM; touch /tmp/alive; while :; do sleep 0.1; done']
          livenessProbe: {exec: {command: [test, -f, /tmp/alive]}, periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 1, terminationGracePeriodSeconds: 1}
    ");
    k8s.ok("kubectl exec deaf -- rm /tmp/alive");
    k8s.wait(&format!("{} | grep 1", restarts("deaf")));
    k8s.prints(&last_code("deaf"), "137");
}

fn a_probe_that_takes_too_long(k8s: &Session) {
    pod(
        k8s,
        "slow",
        "
        containers:
        - name: one
          image: busybox
          command: [sleep, '1000']
          readinessProbe: {exec: {command: [sleep, '900']}, periodSeconds: 1, timeoutSeconds: 1}
    ",
    );
    k8s.wait("kubectl get events --field-selector involvedObject.name=slow,reason=Unhealthy | grep 'timed out'");
    k8s.prints(&is_ready("slow"), "false");
    // What took too long does not go on.
    k8s.wait("[ $(pgrep -fc '^sleep 900') -le 1 ]");
}

fn startup(k8s: &Session) {
    ready(
        k8s,
        "starts",
        "
        containers:
        - name: one
          image: busybox
          command: [sh, -c, 'sleep 3; touch /tmp/up; sleep 1000']
          startupProbe: {exec: {command: [test, -f, /tmp/up]}, periodSeconds: 1, failureThreshold: 30}
          livenessProbe: {exec: {command: [test, -f, /tmp/up]}, periodSeconds: 1, failureThreshold: 1}
    ",
    );
    k8s.prints(&restarts("starts"), "0");
    k8s.ok("kubectl exec starts -- test -f /tmp/up");
}
