//! Containers put to sleep, and woken.

use integration_tests::engines::session::Session;
use integration_tests::harness::Need;

/// A criu that works with this kernel.
const CRIU: Need = Need::Works("criu check");

integration_tests::scenarios! {
    restored [CRIU],
    restored_elsewhere [CRIU],
}

const COUNTS: &str = "busybox sh -c 'n=0; while :; do n=$((n + 1)); echo $n > /count; sleep 0.1; done'";

fn restored(podman: &Session) {
    podman.ok(&format!("podman run -d --network none --name one {COUNTS}; sleep 1; podman container checkpoint one"));
    podman.prints("podman inspect -f '{{.State.Checkpointed}} {{.State.Status}}' one", "true exited");
    podman.ok("podman container restore one");
    podman.wait("test $(podman exec one cat /count) -gt 10");
}

fn restored_elsewhere(podman: &Session) {
    podman.ok(&format!("podman run -d --network none --name one {COUNTS}; sleep 1"));
    podman.ok("podman container checkpoint --export one.tar.gz one && podman rm one");
    podman.ok("podman container restore --import one.tar.gz --name two");
    podman.wait("test $(podman exec two cat /count) -gt 10");
}
