//! `docker build`, by the builder that runs a container for each step, and by BuildKit.

use integration_tests::engines::session::Session;
use integration_tests::harness::Need;

const BUILDKIT: Need = Need::Works("iptables -t nat -L -n");

integration_tests::scenarios! {
    run_and_copy,
    work_dir_and_user,
    entrypoint_and_command,
    argument,
    environment,
    several_stages,
    a_step_that_fails,
    cached,
    health_check_of_an_image,
    volume_of_an_image,
    capabilities_of_a_step,
    buildkit [BUILDKIT],
    buildkit_step_that_fails [BUILDKIT],
    buildkit_without_network [BUILDKIT],
}

/// Builds `built` from this Dockerfile and a file `hello`.
fn built(docker: &Session, flags: &str, dockerfile: &str) -> String {
    docker.ok("rm -rf context; mkdir context; echo hello > context/hello");
    let text = docker.ok(&format!(
        "cat > context/Dockerfile <<'END'\nFROM busybox\n{dockerfile}\nEND\ndocker build {flags} -t built context 2>&1"
    ));
    docker.ok("docker image inspect built");
    text
}

fn run_and_copy(docker: &Session) {
    built(docker, "", "COPY hello /hello\nRUN cat /hello /hello > /twice\nRUN chmod 700 /twice");
    docker.prints("docker run --rm built sh -c 'cat /twice; stat -c %a /twice'", "hello\nhello\n700");
}

fn work_dir_and_user(docker: &Session) {
    built(docker, "", "WORKDIR /home/user\nUSER user\nRUN id -u > who && pwd > where");
    docker.prints("docker run --rm built sh -c 'cat who where; pwd; id -u'", "1000\n/home/user\n/home/user\n1000");
}

fn entrypoint_and_command(docker: &Session) {
    built(docker, "", "ENTRYPOINT [\"echo\", \"a\"]\nCMD [\"b\"]");
    docker.prints("docker run --rm built; docker run --rm built c", "a b\na c");
}

fn argument(docker: &Session) {
    built(docker, "--build-arg VERSION=2", "ARG VERSION=1\nRUN echo $VERSION > /version");
    docker.prints("docker run --rm built sh -c 'cat /version; echo ${VERSION:-unset}'", "2\nunset");
}

fn environment(docker: &Session) {
    built(docker, "", "ENV A=1\nENV B=$A-2\nRUN echo $B > /b");
    docker.prints("docker run --rm built sh -c 'cat /b; echo $B'", "1-2\n1-2");
}

fn several_stages(docker: &Session) {
    built(docker, "", "RUN echo compiled > /program\nFROM busybox\nCOPY --from=0 /program /app/program");
    docker.prints(
        "docker run --rm built sh -c 'cat /app/program; test -e /program || echo only this'",
        "compiled\nonly this",
    );
}

fn a_step_that_fails(docker: &Session) {
    docker.ok("mkdir -p failing; printf 'FROM busybox\\nRUN echo before; exit 9\\n' > failing/Dockerfile");
    docker.fails("docker build failing 2>&1", 9, "returned a non-zero code: 9");
    docker.fails(
        "printf 'FROM busybox\\nRUN [\"there-is-none\"]\\n' > failing/Dockerfile; docker build failing 2>&1",
        1,
        "there-is-none",
    );
}

fn cached(docker: &Session) {
    built(docker, "", "RUN date +%s%N > /moment");
    let first = docker.ok("docker run --rm built cat /moment");
    assert!(built(docker, "", "RUN date +%s%N > /moment").contains("Using cache"));
    docker.prints("docker run --rm built cat /moment", &first);
    built(docker, "--no-cache", "RUN date +%s%N > /moment");
    docker.ok(&format!("test $(docker run --rm built cat /moment) != {first}"));
}

fn health_check_of_an_image(docker: &Session) {
    built(
        docker,
        "",
        "HEALTHCHECK --interval=1s --retries=1 CMD test -e /ok\nCMD [\"sh\", \"-c\", \"touch /ok; sleep 1000\"]",
    );
    docker.ok("docker run -d --name one built");
    docker.wait("docker inspect -f '{{.State.Health.Status}}' one | grep -x healthy");
}

fn volume_of_an_image(docker: &Session) {
    built(docker, "", "RUN mkdir /data && echo kept > /data/f\nVOLUME /data");
    docker.prints("docker run --rm --read-only built sh -c 'cat /data/f; touch /data/g; ls /data'", "kept\nf\ng");
}

fn capabilities_of_a_step(docker: &Session) {
    built(docker, "", "RUN grep -E 'CapEff|Seccomp:' /proc/self/status > /status");
    docker.prints("docker run --rm built cat /status", "CapEff:\t00000000a80425fb\nSeccomp:\t2");
}

/// Builds with BuildKit, and asserts that it was the runtime under test that ran the step.
fn buildkit(docker: &Session) {
    docker.ok("rm -rf runc-calls context; mkdir context; echo hello > context/hello");
    docker.ok("printf 'FROM busybox\\nCOPY hello /hello\\nRUN cat /hello /hello > /twice\\n' > context/Dockerfile");
    docker.ok("DOCKER_BUILDKIT=1 docker build -t built context 2>&1");
    docker.prints("docker run --rm built cat /twice; grep -c ' run --bundle ' runc-calls", "hello\nhello\n1");
}

fn buildkit_step_that_fails(docker: &Session) {
    docker.ok("mkdir -p failing; printf 'FROM busybox\\nRUN echo before; exit 9\\n' > failing/Dockerfile");
    docker.fails("DOCKER_BUILDKIT=1 docker build failing 2>&1", 1, "exit code: 9");
}

fn buildkit_without_network(docker: &Session) {
    docker.ok("rm -rf context; mkdir context; printf 'FROM busybox\\nRUN ls /sys/class/net > /net; id -u >> /net\\n' > context/Dockerfile");
    docker.ok("DOCKER_BUILDKIT=1 docker build --network none -t built context 2>&1");
    docker.prints("docker run --rm built cat /net", "lo\n0");
}
