//! Health checks, which the engine executes in the container.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    healthy,
    unhealthy,
    recovers,
    too_slow,
    output_is_kept,
    as_the_containers_user,
}

fn healthy(docker: &Session) {
    docker.ok("docker run -d --name one --health-cmd 'test -e /ok' --health-interval 0.5s --health-retries 100 busybox sleep 1000");
    docker.prints("docker inspect -f '{{.State.Health.Status}}' one; docker exec one touch /ok", "starting");
    docker.wait("docker inspect -f '{{.State.Health.Status}}' one | grep -x healthy");
}

fn unhealthy(docker: &Session) {
    docker
        .ok("docker run -d --name one --health-cmd false --health-interval 0.3s --health-retries 2 busybox sleep 1000");
    docker.wait("docker inspect -f '{{.State.Health.Status}}' one | grep -x unhealthy");
    docker.prints("docker ps --filter health=unhealthy --format '{{.Names}}'", "one");
}

fn recovers(docker: &Session) {
    docker.ok("docker run -d --name one --health-cmd 'test -e /ok' --health-interval 0.3s --health-retries 1 busybox sleep 1000");
    docker.wait("docker inspect -f '{{.State.Health.Status}}' one | grep -x unhealthy");
    docker.ok("docker exec one touch /ok");
    docker.wait("docker inspect -f '{{.State.Health.Status}}' one | grep -x healthy");
}

fn too_slow(docker: &Session) {
    docker.ok("docker run -d --name one --health-cmd 'sleep 1000' --health-interval 0.3s --health-timeout 1s --health-retries 1 busybox sleep 2000");
    docker.wait("docker inspect -f '{{.State.Health.Status}}' one | grep -x unhealthy");
    docker.says("docker inspect -f '{{(index .State.Health.Log 0).Output}}' one", "exceeded timeout");
}

fn output_is_kept(docker: &Session) {
    docker.ok("docker run -d --name one --health-cmd 'echo looked; exit 3' --health-interval 0.3s --health-retries 1 busybox sleep 1000");
    docker.wait("docker inspect -f '{{.State.Health.Status}}' one | grep -x unhealthy");
    docker.prints(
        "docker inspect -f '{{with index .State.Health.Log 0}}{{.ExitCode}} {{.Output}}{{end}}' one",
        "3 looked",
    );
}

fn as_the_containers_user(docker: &Session) {
    docker.ok("docker run -d --name one --user 1000 --health-cmd 'id -u > /tmp/who' --health-interval 0.3s busybox sleep 1000");
    docker.wait("docker exec one grep -qx 1000 /tmp/who");
}
