//! The application of Docker's tutorial: a page and Redis.

use std::fs;

use integration_tests::engines::session::Session;

use super::Project;

integration_tests::scenarios! {
    up_builds_and_serves,
    dependence_on_health,
    scale,
    logs_of_all,
    exec_and_run,
    data_outlives_down,
    networks_are_apart,
    code_from_a_bind_mount,
    stop_and_start,
    pause_and_unpause,
    kill_and_restart,
    top,
    down_leaves_nothing,
    a_change_recreates_one_service,
    two_projects_at_once,
}

const COMPOSE: &str = "
version: '3.8'
services:
  web:
    build: .
    image: app_web
    ports: ['5000']
    depends_on: [redis]
  redis:
    image: debian
    command: redis-server --save '' --protected-mode no
";

/// Waits until the page is served; what it says.
#[track_caller]
fn page(project: &Project<'_>, path: &str) -> String {
    let curl = format!("curl -sSf --max-time 5 http://$(docker-compose port web 5000){path}");
    project.wait(&format!("{curl} > page"));
    project.sh("cat page")
}

fn up_builds_and_serves(docker: &Session) {
    let project = Project::new(docker, COMPOSE);
    project.compose("up -d --build");
    assert_eq!(page(&project, "/"), "visits 1");
    assert_eq!(page(&project, "/"), "visits 2");
    assert_eq!(page(&project, "/file"), "of the image");
    let runtime = project.sh("docker inspect -f '{{.HostConfig.Runtime}} {{.State.Running}}' $(docker-compose ps -q)");
    assert_eq!(runtime, "judged true\njudged true");
}

fn dependence_on_health(docker: &Session) {
    let compose = COMPOSE.replace("depends_on: [redis]", "depends_on: {redis: {condition: service_healthy}}").replace(
        "    command: redis-server",
        "    healthcheck: {test: [CMD, redis-cli, ping], interval: 1s, retries: 30}\n    command: redis-server",
    );
    let project = Project::new(docker, compose.trim_start_matches("\nversion: '3.8'"));
    project.compose("up -d");
    // It was healthy before the page was started.
    let health = "docker inspect -f '{{.State.Health.Status}}' $(docker-compose ps -q redis)";
    assert_eq!(project.sh(health), "healthy");
    let since = |service: &str, field: &str| {
        project.sh(&format!("docker inspect -f '{{{{{field}}}}}' $(docker-compose ps -q {service})"))
    };
    let healthy = since("redis", "(index .State.Health.Log 0).End");
    assert!(!healthy.is_empty() && since("web", ".State.StartedAt") > since("redis", ".State.StartedAt"));
    assert_eq!(page(&project, "/"), "visits 1");
}

fn scale(docker: &Session) {
    let project = Project::new(docker, COMPOSE);
    project.compose("up -d --scale web=3");
    assert_eq!(project.compose("ps -q web").lines().count(), 3);
    let names = project.sh("for c in $(docker-compose ps -q web); do docker exec $c hostname; done | sort -u | wc -l");
    assert_eq!(names, "3");
    project.compose("up -d --scale web=1");
    assert_eq!(project.compose("ps -q web").lines().count(), 1);
    assert_eq!(page(&project, "/"), "visits 1");
}

fn logs_of_all(docker: &Session) {
    let project = Project::new(docker, COMPOSE);
    project.compose("up -d");
    page(&project, "/");
    project.wait("docker-compose logs --no-color > all; grep 'web.*GET / HTTP' all; grep 'redis.*Ready to accept' all");
    let one = project.compose("logs --no-color redis");
    assert!(!one.contains("GET /"), "{one}");
}

fn exec_and_run(docker: &Session) {
    let project = Project::new(docker, COMPOSE);
    project.compose("up -d");
    page(&project, "/");
    assert_eq!(project.inside("redis", "redis-cli get visits"), "1");
    assert_eq!(project.compose("exec -T -u nobody -w /tmp -e A=b web sh -c 'id -un; pwd; echo $A'"), "nobody\n/tmp\nb");
    docker.fails(&format!("cd {}; docker-compose exec -T web sh -c 'exit 9'", project.folder), 9, "");
    // A further container of a service, in the same network.
    let script = "run --rm -T web python3 -c 'import redis; print(redis.Redis(host=\"redis\").get(\"visits\"))'";
    assert_eq!(project.compose(script).lines().last(), Some("b'1'"));
    assert_eq!(project.compose("ps -q web").lines().count(), 1);
}

fn data_outlives_down(docker: &Session) {
    let compose = COMPOSE.replace("--save ''", "--save '' --appendonly yes --dir /data")
        + "    volumes: ['data:/data']\nvolumes: {data: {}}\n";
    let project = Project::new(docker, &compose);
    project.compose("up -d");
    page(&project, "/");
    project.compose("down");
    assert_eq!(docker.ok("docker ps -aq"), "");
    project.compose("up -d");
    assert_eq!(page(&project, "/"), "visits 2");
    project.compose("down -v");
    assert_eq!(docker.ok("docker volume ls -q"), "");
}

fn networks_are_apart(docker: &Session) {
    let service = |name: &str, networks: &str| {
        format!("  {name}: {{image: busybox, command: sleep 1000, init: true, networks: [{networks}]}}\n")
    };
    let services = [service("front", "outer"), service("middle", "outer, inner"), service("back", "inner")].concat();
    let project =
        Project::new(docker, &format!("version: '3.8'\nservices:\n{services}networks: {{outer: {{}}, inner: {{}}}}\n"));
    project.compose("up -d");
    for (from, to, reached) in
        [("front", "middle", true), ("middle", "back", true), ("back", "middle", true), ("front", "back", false)]
    {
        let script = format!("ping -c 1 -W 5 {to} > /dev/null 2>&1 && echo true || echo false");
        assert_eq!(project.inside(from, &script), reached.to_string(), "{from} to {to}");
    }
}

fn code_from_a_bind_mount(docker: &Session) {
    let compose = COMPOSE.replace("    depends_on", "    volumes: ['.:/code:ro']\n    depends_on");
    let project = Project::new(docker, &compose);
    project.compose("up -d");
    assert_eq!(page(&project, "/file"), "of the image");
    fs::write(format!("{}/file", project.folder), "changed\n").unwrap();
    assert_eq!(page(&project, "/file"), "changed");
    assert_eq!(project.inside("web", "echo x > /code/file 2> /dev/null || echo read-only"), "read-only");
}

fn stop_and_start(docker: &Session) {
    let project = Project::new(docker, COMPOSE);
    project.compose("up -d");
    page(&project, "/");
    let ids = project.compose("ps -q");
    project.compose("stop -t 10");
    // Both end by SIGTERM.
    let ends = project.sh("docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' $(docker ps -aq)");
    assert_eq!(ends, "exited 0\nexited 0");
    project.compose("start");
    assert_eq!(project.compose("ps -q"), ids);
    assert_eq!(page(&project, "/file"), "of the image");
}

fn pause_and_unpause(docker: &Session) {
    let project = Project::new(docker, COMPOSE);
    project.compose("up -d");
    page(&project, "/");
    project.compose("pause redis");
    assert_eq!(project.sh("docker inspect -f '{{.State.Paused}}' $(docker-compose ps -q redis)"), "true");
    let curl = "curl -sS --max-time 1 http://$(docker-compose port web 5000)/";
    docker.fails(&format!("cd {}; {curl}", project.folder), 28, "");
    project.compose("unpause redis");
    page(&project, "/");
}

fn kill_and_restart(docker: &Session) {
    let project = Project::new(docker, &COMPOSE.replace("    ports", "    restart: on-failure\n    ports"));
    project.compose("up -d");
    page(&project, "/");
    let pid = "docker inspect -f '{{.State.Pid}}' $(docker-compose ps -q web)";
    let first = project.sh(pid);
    project.sh(&format!("kill -KILL {first}"));
    project.wait(&format!("p=$({pid}); [ $p != 0 ] && [ $p != {first} ]"));
    assert_eq!(page(&project, "/"), "visits 2");
    project.compose("restart -t 5 web");
    assert_eq!(page(&project, "/"), "visits 3");
    project.compose("kill -s KILL redis");
    let end = project.sh("docker inspect -f '{{.State.ExitCode}}' $(docker ps -aqf name=redis)");
    assert_eq!(end, "137");
}

fn top(docker: &Session) {
    let project = Project::new(docker, COMPOSE);
    project.compose("up -d");
    let table = project.compose("top");
    assert!(table.contains("python3 -u app.py") && table.contains("redis-server"), "{table}");
}

fn down_leaves_nothing(docker: &Session) {
    let before = docker.ok("docker network ls -q | sort; docker image ls -q | sort");
    let project = Project::new(docker, COMPOSE);
    project.compose("up -d");
    project.compose("down -t 5");
    assert_eq!(docker.ok("docker ps -aq"), "");
    assert_eq!(docker.ok("docker network ls -q | sort; docker image ls -q | sort"), before);
}

fn a_change_recreates_one_service(docker: &Session) {
    let project = Project::new(docker, COMPOSE);
    project.compose("up -d");
    let redis = project.compose("ps -q redis");
    let web = project.compose("ps -q web");
    let compose = COMPOSE.replace("    ports", "    environment: {GREETING: changed}\n    ports");
    fs::write(format!("{}/docker-compose.yml", project.folder), compose).unwrap();
    project.compose("up -d");
    assert_eq!(project.compose("ps -q redis"), redis);
    assert_ne!(project.compose("ps -q web"), web);
    assert_eq!(page(&project, "/"), "changed 1");
}

fn two_projects_at_once(docker: &Session) {
    let project = Project::new(docker, COMPOSE);
    project.compose("-p one up -d");
    project.compose("-p two up -d");
    for (name, visits) in [("one", 1), ("two", 1), ("one", 2)] {
        let curl = format!("curl -sSf --max-time 5 http://$(docker-compose -p {name} port web 5000)/ > page");
        project.wait(&curl);
        assert_eq!(project.sh("cat page"), format!("visits {visits}"), "{name}");
    }
    project.compose("-p one down -t 5");
    assert_eq!(project.compose("-p two ps -q").lines().count(), 2);
}
