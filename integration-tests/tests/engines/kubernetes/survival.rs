//! What pods outlive, and what is put right.

use integration_tests::engines::kubernetes::{containerd_again, ready};
use integration_tests::engines::session::Session;
use nix::sys::signal::Signal;

integration_tests::scenarios! {
    containerd_is_killed,
    a_shim_is_killed,
    the_pause_process_is_killed,
}

fn one(k8s: &Session) {
    ready(k8s, "one", "
        terminationGracePeriodSeconds: 1
        containers: [{name: one, image: busybox, command: [sh, -c, 'i=0; while :; do echo $((i += 1)); sleep 0.5; done']}]
    ");
}

fn containerd_is_killed(k8s: &Session) {
    one(k8s);
    let before = k8s.ok("kubectl get pod one -o jsonpath='{.status.containerStatuses[0].containerID}'");
    k8s.stop("containerd", Signal::SIGKILL);
    containerd_again(k8s);
    k8s.wait("kubectl exec one -- true");
    k8s.prints("kubectl get pod one -o jsonpath='{.status.containerStatuses[0].containerID}'", &before);
    k8s.prints("kubectl get pod one -o jsonpath='{.status.containerStatuses[0].restartCount}'", "0");
    // Its log goes on where it was.
    let last = k8s.ok("kubectl logs one --tail 1");
    k8s.wait(&format!("[ $(kubectl logs one --tail 1) -gt {last} ]"));
}

fn a_shim_is_killed(k8s: &Session) {
    one(k8s);
    k8s.ok("kill -9 $(pgrep -f '/[c]ontainerd-shim-.* -namespace k8s.io')");
    k8s.wait("[ $(kubectl get pod one -o jsonpath='{.status.containerStatuses[0].restartCount}') -ge 1 ] && kubectl exec one -- true");
    // Nothing of the first life is left.
    k8s.wait("[ $(pgrep -fc 'echo [$]') = 1 ]");
}

fn the_pause_process_is_killed(k8s: &Session) {
    one(k8s);
    k8s.ok("kill -9 $(pgrep -x pause)");
    k8s.wait("[ $(kubectl get pod one -o jsonpath='{.status.containerStatuses[0].restartCount}') -ge 1 ] && kubectl exec one -- true");
    k8s.wait("[ $(pgrep -fc 'echo [$]') = 1 ]");
}
