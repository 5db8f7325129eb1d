//! What a service of a Compose file can say of its containers.

use std::fs;

use integration_tests::engines::session::Session;
use integration_tests::harness::Need;

use super::Project;

integration_tests::scenarios! {
    who_and_where,
    environment_and_its_file,
    a_confined_service,
    a_root_filesystem_that_is_read_only,
    namespaces_of_others,
    sysctls_and_ulimits,
    secrets_and_configs,
    profiles,
    the_runtime_by_its_name,
    an_init,
    signals_and_grace,
    limits [Need::Works("grep -qw memory /sys/fs/cgroup/cgroup.controllers")],
}

/// A project of one service of busybox that sleeps, with these further keys.
fn service(keys: &str) -> String {
    format!("version: '3.8'\nservices:\n  one:\n    image: busybox\n    command: sleep 1000\n    init: true\n{keys}")
}

fn who_and_where(docker: &Session) {
    let project = Project::new(docker, &service("    user: user\n    working_dir: /tmp\n    hostname: named\n"));
    project.compose("up -d");
    assert_eq!(project.inside("one", "id -un; id -g; pwd; hostname"), "user\n1000\n/tmp\nnamed");
}

fn environment_and_its_file(docker: &Session) {
    let project =
        Project::new(docker, &service("    env_file: some.env\n    environment: {B: of the key, C: $FROM}\n"));
    fs::write(format!("{}/some.env", project.folder), "A=of the file\nB=of the file\n").unwrap();
    project.sh("FROM=outside docker-compose up -d");
    assert_eq!(project.inside("one", "echo $A, $B, $C"), "of the file, of the key, outside");
}

fn a_confined_service(docker: &Session) {
    let keys = "    cap_drop: [ALL]\n    cap_add: [CHOWN]\n    security_opt: ['no-new-privileges:true']\n";
    let project = Project::new(docker, &service(keys));
    project.compose("up -d");
    let status = project.inside("one", "grep -E \"^(CapBnd|NoNewPrivs|Seccomp):\" /proc/1/status");
    assert_eq!(
        status.split_whitespace().collect::<Vec<_>>(),
        ["CapBnd:", "0000000000000001", "NoNewPrivs:", "1", "Seccomp:", "2"]
    );
}

fn a_root_filesystem_that_is_read_only(docker: &Session) {
    let project = Project::new(docker, &service("    read_only: true\n    tmpfs: ['/tmp:size=1m,mode=700']\n"));
    project.compose("up -d");
    let said = project
        .inside("one", "touch /x 2> /dev/null || echo no; touch /tmp/x && stat -c %a /tmp; df -k /tmp | tail -n 1");
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words[..4], ["no", "700", "tmpfs", "1024"], "{said}");
}

fn namespaces_of_others(docker: &Session) {
    let other = "  two: {image: busybox, command: sleep 1000, pid: 'service:one', ipc: 'shareable', network_mode: 'service:one'}\n";
    let project = Project::new(docker, &(service("") + other));
    project.compose("up -d");
    let namespaces =
        |service: &str| project.inside(service, "for n in net pid uts; do readlink /proc/self/ns/$n; done");
    let (one, two) = (namespaces("one"), namespaces("two"));
    assert_eq!(one.lines().take(2).collect::<Vec<_>>(), two.lines().take(2).collect::<Vec<_>>());
    assert_ne!(one.lines().last(), two.lines().last());
}

fn sysctls_and_ulimits(docker: &Session) {
    let keys = "    sysctls: {net.ipv4.ip_default_ttl: 77}\n    ulimits: {nofile: {soft: 100, hard: 200}, core: 0}\n    shm_size: 2m\n";
    let project = Project::new(docker, &service(keys));
    project.compose("up -d");
    let script = "cat /proc/sys/net/ipv4/ip_default_ttl; ulimit -Sn; ulimit -Hn; ulimit -c; df -k /dev/shm | tail -n 1";
    let said = project.inside("one", script);
    assert_eq!(said.split_whitespace().take(6).collect::<Vec<_>>(), ["77", "100", "200", "0", "shm", "2048"], "{said}");
}

fn secrets_and_configs(docker: &Session) {
    let keys = "    secrets: [word]\nsecrets: {word: {file: ./word}}\n";
    let project = Project::new(docker, &service(keys));
    fs::write(format!("{}/word", project.folder), "open sesame\n").unwrap();
    project.compose("up -d");
    assert_eq!(project.inside("one", "cat /run/secrets/word"), "open sesame");
}

fn profiles(docker: &Session) {
    let other = "  two: {image: busybox, command: sleep 1000, init: true, profiles: [debug]}\n";
    let project = Project::new(docker, &(service("") + other));
    project.compose("up -d");
    assert_eq!(project.compose("ps -q").lines().count(), 1);
    project.compose("--profile debug up -d");
    assert_eq!(project.compose("--profile debug ps -q").lines().count(), 2);
}

fn the_runtime_by_its_name(docker: &Session) {
    let project = Project::new(docker, &service("    runtime: judged\n").replace("version: '3.8'\n", ""));
    project.compose("up -d");
    assert_eq!(project.sh("docker inspect -f '{{.HostConfig.Runtime}}' $(docker-compose ps -q one)"), "judged");
    let wrong = Project::new(docker, &service("    runtime: there-is-none\n").replace("version: '3.8'\n", ""));
    docker.fails(&format!("cd {}; docker-compose up -d --force-recreate", wrong.folder), 1, "there-is-none");
}

fn an_init(docker: &Session) {
    let project = Project::new(docker, &service(""));
    project.compose("up -d");
    assert_eq!(project.inside("one", "cat /proc/1/comm"), "docker-init");
}

fn signals_and_grace(docker: &Session) {
    let keys = "    stop_signal: SIGUSR1\n    stop_grace_period: 20s\n";
    let script = "    command: [sh, -c, 'trap \"exit 5\" USR1; while :; do sleep 0.1; done']\n";
    let project = Project::new(docker, &service(keys).replace("    command: sleep 1000\n    init: true\n", script));
    project.compose("up -d");
    project.compose("stop");
    assert_eq!(project.sh("docker inspect -f '{{.State.ExitCode}}' $(docker ps -aq)"), "5");
}

fn limits(docker: &Session) {
    let keys = "    mem_limit: 32m\n    pids_limit: 20\n    cpus: 0.5\n".to_owned();
    let project = Project::new(docker, &service(&keys).replace("version: '3.8'\n", ""));
    project.compose("up -d");
    let said = project.inside("one", "cd /sys/fs/cgroup; cat memory.max pids.max cpu.max");
    assert_eq!(said, "33554432\n20\n50000 100000");
}
