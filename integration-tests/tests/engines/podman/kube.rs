//! `podman play kube`, whose pods are below a cgroup of their own: with the cgroupfs manager only a user without
//! privilege can have them, who then has no such cgroup.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    played,
}

fn played(podman: &Session) {
    let yaml = "apiVersion: v1
kind: Pod
metadata: {name: play}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: localhost/busybox
    imagePullPolicy: Never
    command: [sh, -c, 'echo played $WORD; sleep 1000']
    env: [{name: WORD, value: well}]
    securityContext: {runAsUser: 1000, readOnlyRootFilesystem: true}
";
    podman.ok(&format!("cat > play.yaml <<'end'\n{yaml}end"));
    podman.ok("podman play kube --network none play.yaml");
    podman.wait("test \"$(podman logs play-main)\" = 'played well'");
    podman.prints("podman exec play-main id -u", "1000");
    podman.ok("podman play kube --down play.yaml");
    podman.prints("podman ps -aq", "");
}
