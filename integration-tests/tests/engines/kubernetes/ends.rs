//! How containers and pods end, and what is told of it.

use integration_tests::engines::kubernetes::{ends, pod, ready};
use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    exit_code,
    killed_by_a_signal,
    a_program_that_is_not_there,
    restarted_on_failure,
    crash_loop,
    message,
    message_of_the_log,
    deadline,
    told_to_end,
    killed_when_it_does_not,
    a_hook_before_the_end,
    deletion_leaves_nothing,
}

/// Where the status of the only container is.
const STATUS: &str = ".status.containerStatuses[0]";

fn exit_code(k8s: &Session) {
    ends(
        k8s,
        "exits",
        "Failed",
        "
        restartPolicy: Never
        containers: [{name: one, image: busybox, command: [sh, -c, exit 9]}]
    ",
    );
    k8s.prints(&format!("kubectl get pod exits -o jsonpath='{{{STATUS}.state.terminated.exitCode}}'"), "9");
    k8s.prints(&format!("kubectl get pod exits -o jsonpath='{{{STATUS}.state.terminated.reason}}'"), "Error");
}

fn killed_by_a_signal(k8s: &Session) {
    // Its pid 1 is another: it dies of what it sends itself. A kubelet takes $$ for $.
    ends(
        k8s,
        "dies",
        "Failed",
        "
        restartPolicy: Never
        shareProcessNamespace: true
        containers: [{name: one, image: busybox, command: [sh, -c, kill -SEGV $$$$]}]
    ",
    );
    k8s.prints(&format!("kubectl get pod dies -o jsonpath='{{{STATUS}.state.terminated.exitCode}}'"), "139");
}

fn a_program_that_is_not_there(k8s: &Session) {
    pod(
        k8s,
        "absent",
        "
        restartPolicy: Never
        containers: [{name: one, image: busybox, command: [/no/such/program]}]
    ",
    );
    k8s.wait(&format!(
        "kubectl get pod absent -o jsonpath='{{{STATUS}.state.terminated.message}}' | grep /no/such/program"
    ));
    k8s.prints(&format!("kubectl get pod absent -o jsonpath='{{{STATUS}.state.terminated.reason}}'"), "StartError");
    k8s.prints(&format!("kubectl get pod absent -o jsonpath='{{{STATUS}.state.terminated.exitCode}}'"), "128");
}

fn restarted_on_failure(k8s: &Session) {
    ends(k8s, "again", "Succeeded", "
        restartPolicy: OnFailure
        volumes: [{name: data, emptyDir: {}}]
        containers:
        - {name: one, image: busybox, command: [sh, -c, 'test -f /data/seen || { touch /data/seen; exit 3; }'], volumeMounts: [{name: data, mountPath: /data}]}
    ");
    k8s.prints(&format!("kubectl get pod again -o jsonpath='{{{STATUS}.restartCount}}'"), "1");
    k8s.prints(&format!("kubectl get pod again -o jsonpath='{{{STATUS}.lastState.terminated.exitCode}}'"), "3");
}

fn crash_loop(k8s: &Session) {
    pod(
        k8s,
        "loop",
        "
        containers: [{name: one, image: busybox, command: [sh, -c, echo once more; exit 1]}]
    ",
    );
    k8s.wait(&format!("[ $(kubectl get pod loop -o jsonpath='{{{STATUS}.restartCount}}') -ge 3 ]"));
    k8s.wait("kubectl get events --field-selector involvedObject.name=loop,reason=BackOff | grep 'restarting failed container'");
    k8s.prints("kubectl logs loop --previous", "once more");
}

fn message(k8s: &Session) {
    ends(
        k8s,
        "says",
        "Succeeded",
        "
        restartPolicy: Never
        containers: [{name: one, image: busybox, command: [sh, -c, echo -n the end > /dev/termination-log]}]
    ",
    );
    k8s.prints(&format!("kubectl get pod says -o jsonpath='{{{STATUS}.state.terminated.message}}'"), "the end");
}

fn message_of_the_log(k8s: &Session) {
    ends(k8s, "logs", "Failed", "
        restartPolicy: Never
        containers: [{name: one, image: busybox, command: [sh, -c, echo last words; exit 1], terminationMessagePolicy: FallbackToLogsOnError}]
    ");
    k8s.prints(&format!("kubectl get pod logs -o jsonpath='{{{STATUS}.state.terminated.message}}'"), "last words");
}

fn deadline(k8s: &Session) {
    ends(
        k8s,
        "late",
        "Failed",
        "
        restartPolicy: Never
        activeDeadlineSeconds: 2
        terminationGracePeriodSeconds: 1
        containers: [{name: one, image: busybox, command: [sleep, '1000']}]
    ",
    );
    k8s.prints("kubectl get pod late -o jsonpath='{.status.reason}'", "DeadlineExceeded");
}

/// A pod that writes what happens to it into a folder of the host's.
fn that_tells(k8s: &Session, name: &str, grace: u32, script: &str, lifecycle: &str) {
    let told = k8s.path(name);
    ready(
        k8s,
        name,
        &format!(
            "
        terminationGracePeriodSeconds: {grace}
        volumes: [{{name: told, hostPath: {{path: {}, type: DirectoryOrCreate}}}}]
        containers:
        - name: one
          image: busybox
          command: [sh, -c, \"{script} while :; do sleep 0.1; done\"]
          volumeMounts: [{{name: told, mountPath: /told}}]
          lifecycle: {lifecycle}
    ",
            told.display()
        ),
    );
}

fn told_to_end(k8s: &Session) {
    that_tells(k8s, "ends", 30, "trap 'sleep 1; echo told > /told/all; exit 0' TERM;", "{}");
    let begin = std::time::Instant::now();
    k8s.ok("kubectl delete pod ends");
    assert!(begin.elapsed().as_secs() < 25, "it was not told");
    k8s.prints("cat ends/all", "told");
}

fn killed_when_it_does_not(k8s: &Session) {
    that_tells(k8s, "stays", 3, "trap 'echo told > /told/all' TERM;", "{}");
    let begin = std::time::Instant::now();
    k8s.ok("kubectl delete pod stays");
    let took = begin.elapsed().as_secs();
    assert!((3..25).contains(&took), "{took} s");
    k8s.prints("cat stays/all", "told");
}

fn a_hook_before_the_end(k8s: &Session) {
    let hook = "{preStop: {exec: {command: [sh, -c, sleep 1; echo hook >> /told/all]}}}";
    that_tells(k8s, "hooked", 30, "trap 'echo told >> /told/all; exit 0' TERM;", hook);
    k8s.ok("kubectl delete pod hooked");
    k8s.prints("cat hooked/all", "hook\ntold");
}

fn deletion_leaves_nothing(k8s: &Session) {
    ready(
        k8s,
        "gone",
        "
        terminationGracePeriodSeconds: 1
        volumes: [{name: data, emptyDir: {medium: Memory}}]
        containers:
        - {name: one, image: busybox, command: [sleep, '1000'], volumeMounts: [{name: data, mountPath: /data}]}
        - {name: two, image: busybox, command: [sh, -c, sleep 1001 & sleep 1002]}
    ",
    );
    let sandbox = k8s.ok("ctr -n k8s.io containers ls -q | xargs -n 1 ctr -n k8s.io containers info | grep -o '\"io.kubernetes.cri.sandbox-id\": \"[0-9a-f]*' | grep -o '[0-9a-f]*$' | sort -u");
    let left = format!(
        "{{ find /sys/fs/cgroup/k8s.io -mindepth 1 -type d; find /run/containerd/io.containerd.runtime.v2.task/k8s.io -mindepth 1 -maxdepth 1; pgrep -f '{sandbox}'; pgrep -f '^sleep 100[012]'; grep -o '/var/lib/kubelet/pods/.*' /proc/mounts; find /run/netns -mindepth 1; }} || true"
    );
    let before = k8s.ok(&left);
    assert!(before.lines().count() > 8, "{before}");
    k8s.ok("kubectl delete pod gone");
    k8s.wait(&format!("[ -z \"$({left})\" ]"));
}
