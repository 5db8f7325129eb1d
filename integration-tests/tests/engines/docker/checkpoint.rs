//! `docker checkpoint`, where criu can dump a process of this kernel.

use integration_tests::engines::session::Session;
use integration_tests::harness::Need;

const CRIU: Need = Need::Works("criu check && test \"$(uname -r | cut -d . -f 1)\" -lt 6");

integration_tests::scenarios! {
    and_start_from_it [CRIU],
    left_running [CRIU],
}

const COUNTS: &str = "docker run -d --name one --security-opt seccomp=unconfined busybox sh -c 'i=0; while :; do echo $((i += 1)); sleep 0.1; done'";

fn and_start_from_it(docker: &Session) {
    docker.ok(COUNTS);
    docker.wait("test $(docker logs one | wc -l) -ge 5");
    docker.ok("docker checkpoint create one point; docker wait one");
    let last: u32 = docker.ok("docker logs one | tail -1").parse().unwrap();
    docker.ok("docker start --checkpoint point one");
    docker.wait(&format!("docker logs one | grep -qx {}", last + 5));
    docker.prints("docker logs one | grep -cx 1", "1");
}

fn left_running(docker: &Session) {
    docker.ok(COUNTS);
    docker.ok("docker checkpoint create --leave-running one point");
    docker.prints("docker inspect -f '{{.State.Running}}' one; docker checkpoint ls one | tail -1", "true\npoint");
}
