//! What people do with Swarm.

use std::fs;

use integration_tests::engines::session::Session;
use integration_tests::harness::Need;

integration_tests::scenarios! {
    create,
    scale,
    update_and_rollback,
    an_update_that_fails_is_rolled_back,
    a_task_that_dies_is_replaced,
    a_global_service,
    a_job,
    secrets,
    configs,
    a_stack,
    drain,
    logs,
    health,
    who_and_where,
    capabilities_and_sysctls,
    mounts,
    an_unknown_program,
    grace,
    limits [Need::Works("grep -qw memory /sys/fs/cgroup/cgroup.controllers")],
}

/// Of every service: images are not looked up in a registry, and what is changed is waited for.
const QUIET: &str = "--quiet --no-resolve-image";

/// Creates the service `one` of busybox that sleeps.
#[track_caller]
fn service(docker: &Session, flags: &str) {
    docker.ok(&format!("docker service create {QUIET} --name one --init {flags} busybox sleep 1000"));
}

/// Waits until so many containers of the service run.
#[track_caller]
fn running(docker: &Session, count: u32) {
    docker.wait(&format!("[ $(docker ps -qf label=com.docker.swarm.service.name=one | wc -l) = {count} ]"));
}

/// What a shell prints in a container of the service.
#[track_caller]
fn inside(docker: &Session, script: &str) -> String {
    running(docker, 1);
    docker.ok(&format!("docker exec $(docker ps -qf label=com.docker.swarm.service.name=one) sh -c '{script}'"))
}

fn create(docker: &Session) {
    service(docker, "--replicas 2");
    running(docker, 2);
    docker.prints("docker service ls --format '{{.Name}} {{.Replicas}}'", "one 2/2");
    docker.prints("docker inspect -f '{{.HostConfig.Runtime}}' $(docker ps -q) | sort -u", "judged");
    docker.ok("docker service rm one");
    docker.wait("[ -z \"$(docker ps -aq)\" ]");
}

fn scale(docker: &Session) {
    service(docker, "");
    docker.ok("docker service scale one=4");
    running(docker, 4);
    docker.ok("docker service scale one=1");
    running(docker, 1);
}

fn update_and_rollback(docker: &Session) {
    service(docker, "--env A=first --replicas 2");
    docker.ok(&format!("docker service update {QUIET} --env-add A=second --update-parallelism 1 one"));
    let values = "for c in $(docker ps -q); do docker exec $c sh -c 'echo $A'; done | sort | uniq -c | xargs";
    docker.wait(&format!("[ \"$({values})\" = '2 second' ]"));
    docker.ok("docker service rollback --quiet one");
    docker.wait(&format!("[ \"$({values})\" = '2 first' ]"));
}

fn an_update_that_fails_is_rolled_back(docker: &Session) {
    service(docker, "--update-failure-action rollback --update-monitor 2s --restart-max-attempts 0");
    docker.sh(&format!("docker service update {QUIET} --args 'sh -c \"exit 1\"' one"));
    docker.wait("docker service inspect -f '{{.UpdateStatus.State}}' one | grep rollback_completed");
    running(docker, 1);
    assert!(inside(docker, "cat /proc/*/cmdline | tr \"\\0\" \" \"").contains("sleep 1000"));
}

fn a_task_that_dies_is_replaced(docker: &Session) {
    service(docker, "--restart-delay 100ms");
    running(docker, 1);
    let first = docker.ok("docker ps -q");
    docker.ok(&format!("docker kill {first}"));
    docker.wait(&format!("[ -n \"$(docker ps -q)\" ] && [ \"$(docker ps -q)\" != {first} ]"));
}

fn a_global_service(docker: &Session) {
    service(docker, "--mode global");
    running(docker, 1);
    docker.prints("docker service ls --format '{{.Mode}} {{.Replicas}}'", "global 1/1");
}

fn a_job(docker: &Session) {
    docker.ok(&format!(
        "docker service create {QUIET} --detach --name job --mode replicated-job --replicas 2 busybox true"
    ));
    docker.wait("docker service ls --format '{{.Replicas}}' | grep '(2/2 completed)'");
}

fn secrets(docker: &Session) {
    docker.ok("echo open sesame | docker secret create word -");
    service(docker, "--secret word --secret source=word,target=other,uid=1000,mode=0400");
    assert_eq!(inside(docker, "cat /run/secrets/word"), "open sesame");
    assert_eq!(inside(docker, "stat -c \"%u %a\" /run/secrets/other"), "1000 400");
    // It is in memory only.
    assert!(inside(docker, "grep /run/secrets /proc/mounts").contains("tmpfs"));
    docker.ok("echo changed | docker secret create word2 -");
    docker.ok(&format!("docker service update {QUIET} --secret-rm word --secret-add source=word2,target=word one"));
    docker.wait("docker exec $(docker ps -q) cat /run/secrets/word | grep changed");
}

fn configs(docker: &Session) {
    docker.ok("echo x=1 | docker config create settings -");
    service(docker, "--config source=settings,target=/etc/settings,mode=0440");
    assert_eq!(inside(docker, "cat /etc/settings; stat -c %a /etc/settings"), "x=1\n440");
}

fn a_stack(docker: &Session) {
    let stack = "version: '3.8'
services:
  one: {image: busybox, command: sleep 1000, init: true, configs: [c], deploy: {replicas: 2}}
  two: {image: busybox, command: sleep 1000, init: true, environment: {A: b}}
configs: {c: {file: ./c}}
";
    fs::write(docker.path("stack.yml"), stack).unwrap();
    fs::write(docker.path("c"), "of a file\n").unwrap();
    docker.ok("docker stack deploy --resolve-image never -c stack.yml app");
    docker.wait("[ \"$(docker stack services --format '{{.Name}} {{.Replicas}}' app | sort | xargs)\" = 'app_one 2/2 app_two 1/1' ]");
    let said = "docker exec $(docker ps -qf label=com.docker.swarm.service.name=app_one | sed -n 1p) cat /c";
    docker.prints(said, "of a file");
    docker.prints("docker exec $(docker ps -qf label=com.docker.swarm.service.name=app_two) sh -c 'echo $A'", "b");
    fs::write(docker.path("stack.yml"), stack.replace("replicas: 2", "replicas: 1")).unwrap();
    docker.ok("docker stack deploy --resolve-image never -c stack.yml app");
    docker.wait("[ $(docker ps -qf label=com.docker.swarm.service.name=app_one | wc -l) = 1 ]");
    docker.ok("docker stack rm app");
    docker.wait("[ -z \"$(docker ps -aq)\" ]");
}

fn drain(docker: &Session) {
    service(docker, "--replicas 2");
    running(docker, 2);
    docker.ok("docker node update --availability drain $(docker node ls -q)");
    running(docker, 0);
    docker.ok("docker node update --availability active $(docker node ls -q)");
    running(docker, 2);
}

fn logs(docker: &Session) {
    docker.ok(&format!(
        "docker service create {QUIET} --name one --init busybox sh -c 'echo said; echo also >&2; sleep 1000'"
    ));
    docker.wait("docker service logs --raw one > logs 2>&1; [ \"$(sort logs | xargs)\" = 'also said' ]");
}

fn health(docker: &Session) {
    // Whoever is not healthy is replaced.
    let flags = "--health-cmd 'test ! -e /ill' --health-interval 300ms --health-retries 2 --restart-delay 100ms";
    service(docker, flags);
    let first = docker.ok("docker ps -q");
    docker.wait("docker inspect -f '{{.State.Health.Status}}' $(docker ps -q) | grep -x healthy");
    docker.ok(&format!("docker exec {first} touch /ill"));
    docker.wait(&format!("[ -n \"$(docker ps -q)\" ] && [ \"$(docker ps -q)\" != {first} ]"));
}

fn who_and_where(docker: &Session) {
    service(docker, "--user user --workdir /tmp --hostname '{{.Service.Name}}-{{.Task.Slot}}' --env A=b --read-only");
    assert_eq!(
        inside(docker, "id -un; pwd; hostname; echo $A; touch /x 2> /dev/null || echo no"),
        "user\n/tmp\none-1\nb\nno"
    );
}

fn capabilities_and_sysctls(docker: &Session) {
    service(docker, "--cap-drop ALL --cap-add CHOWN --sysctl net.ipv4.ip_default_ttl=77 --ulimit nofile=100:200");
    let script = "grep CapBnd /proc/1/status; cat /proc/sys/net/ipv4/ip_default_ttl; ulimit -Sn; ulimit -Hn";
    assert_eq!(
        inside(docker, script).split_whitespace().collect::<Vec<_>>(),
        ["CapBnd:", "0000000000000001", "77", "100", "200"]
    );
}

fn mounts(docker: &Session) {
    fs::write(docker.path("shared"), "of the host\n").unwrap();
    let bind = format!("--mount type=bind,source={},target=/shared,readonly", docker.path("shared").display());
    service(
        docker,
        &format!("{bind} --mount type=volume,source=data,target=/data --mount type=tmpfs,target=/mem,tmpfs-size=1m"),
    );
    assert_eq!(inside(docker, "cat /shared; echo x 2> /dev/null > /shared || echo no"), "of the host\nno");
    inside(docker, "echo kept > /data/file");
    docker.ok(&format!("docker service update {QUIET} --force one"));
    docker.wait("docker exec $(docker ps -q) cat /data/file | grep kept");
}

fn an_unknown_program(docker: &Session) {
    let create =
        format!("docker service create {QUIET} --detach --name one --restart-condition none busybox there-is-none");
    docker.ok(&create);
    docker.wait("docker service ps --no-trunc --format '{{.Error}}' one | grep 'executable file not found in $PATH'");
}

fn grace(docker: &Session) {
    let script = "trap \"sleep 2; exit 5\" TERM; echo ready; while :; do sleep 0.1; done";
    docker.ok(&format!("docker service create {QUIET} --name one --stop-grace-period 20s busybox sh -c '{script}'"));
    docker.wait("docker logs $(docker ps -q) | grep ready");
    // The container is removed with its service: its end is only told.
    docker.ok(
        "(docker events --filter event=die --format '{{.Actor.Attributes.exitCode}}' > ends 2> /dev/null &); sleep 0.5",
    );
    docker.ok("docker service rm one");
    docker.wait("[ -z \"$(docker ps -aq)\" ]");
    docker.prints("cat ends; kill $(pgrep -f 'event=di[e]')", "5");
}

fn limits(docker: &Session) {
    service(docker, "--limit-memory 32m --limit-pids 20 --limit-cpu 0.5 --reserve-memory 16m");
    let said = inside(docker, "cd /sys/fs/cgroup; cat memory.max pids.max cpu.max memory.low");
    assert_eq!(said, "33554432\n20\n50000 100000\n16777216");
}
