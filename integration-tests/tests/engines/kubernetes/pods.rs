//! Pods, their containers and their ends.

use integration_tests::engines::kubernetes::{ends, ready};
use integration_tests::engines::session::Session;
use integration_tests::harness::Need;

integration_tests::scenarios! {
    a_runtime_class,
    another_beside_it [Need::Path("/usr/sbin/runc")],
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
          command: [sh, -c, echo hello from $(hostname)]
    ",
    );
    k8s.prints("kubectl logs hello", "hello from hello");
}

fn another_beside_it(k8s: &Session) {
    ready(
        k8s,
        "one",
        "
        containers: [{name: one, image: busybox, command: [sleep, '1000']}]
    ",
    );
}
