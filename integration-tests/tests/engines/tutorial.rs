//! The hands-on steps of Docker's tutorials for beginners, each on its own.

use std::fs;

use integration_tests::engines::compose::project;
use integration_tests::engines::session::Session;
use integration_tests::terminal::Pty;

integration_tests::scenarios! {
    hello_world,
    a_shell_of_ones_own,
    in_the_background,
    exec_into_it,
    build_an_image,
    serve_a_page,
    share_a_folder,
    keep_data_in_a_volume,
    link_two_containers,
    a_network_of_two,
    several_containers_of_an_image,
    commit_a_change,
    save_and_load,
    environment,
    a_stage_for_building,
    stop_start_remove,
}

fn hello_world(docker: &Session) {
    docker.prints("docker run busybox echo 'Hello from Docker!'", "Hello from Docker!");
    docker.says("docker ps -a --format '{{.Status}}'", "Exited (0)");
}

fn a_shell_of_ones_own(docker: &Session) {
    let mut pty = Pty::new();
    let mut command = docker.command("exec docker run -it --name shell --hostname box busybox");
    let mut shell = command.stdin(pty.slave()).stdout(pty.slave()).stderr(pty.slave()).spawn().unwrap();
    let master = &mut pty.master;
    master.expect("/ # ");
    master.type_in("echo in $(hostname) > /note; cat /note\n");
    master.expect("in box");
    master.expect("/ # ");
    master.type_in("exit 3\n");
    assert_eq!(shell.wait().unwrap().code(), Some(3));
    docker.says("docker diff shell", "A /note");
}

fn in_the_background(docker: &Session) {
    let id = docker.ok("docker run -d --name ticker busybox sh -c 'while :; do echo tick; sleep 0.1; done'");
    assert_eq!(id.len(), 64, "{id}");
    docker.wait("[ $(docker logs ticker | grep -c tick) -ge 3 ]");
    docker.prints("docker ps --format '{{.Names}}'", "ticker");
}

fn exec_into_it(docker: &Session) {
    docker.ok("docker run -d --name box --init busybox sleep 1000");
    docker.prints("docker exec box sh -c 'echo inside > /file; cat /file'", "inside");
    docker.says("docker exec box ps", "sleep 1000");
}

fn build_an_image(docker: &Session) {
    let folder = project(docker, "");
    docker.says(&format!("docker build -t page {folder}"), "Successfully tagged page:latest");
    docker.says("docker history page", "COPY");
    docker.prints("docker run --rm page cat /code/file", "of the image");
}

fn serve_a_page(docker: &Session) {
    fs::write(docker.path("index.html"), "a page\n").unwrap();
    let flags = format!("-v {}:/var/www/html/index.html:ro", docker.path("index.html").display());
    docker.ok(&format!("docker run -d --name site -p 8080:80 {flags} debian nginx -g 'daemon off;'"));
    docker.wait("curl -sSf --max-time 5 http://localhost:8080/ | grep 'a page'");
    docker.prints("docker port site 80/tcp | sed -n 1p", "0.0.0.0:8080");
    // One process for the orders, and others for the work, who are nobody.
    docker.says("docker top site -eo pid,user,args | grep worker", "www-data");
    docker.ok("docker stop site");
    docker.prints("docker inspect -f '{{.State.ExitCode}}' site", "0");
}

fn share_a_folder(docker: &Session) {
    docker.ok("mkdir -p shared; echo from outside > shared/a");
    docker.prints(
        "docker run --rm -v $PWD/shared:/shared busybox sh -c 'cat /shared/a; echo from inside > /shared/b'",
        "from outside",
    );
    docker.prints("cat shared/b", "from inside");
}

fn keep_data_in_a_volume(docker: &Session) {
    docker.ok("docker volume create data");
    docker.ok("docker run --rm -v data:/data busybox sh -c 'echo kept > /data/file'");
    docker.prints("docker run --rm -v data:/data busybox cat /data/file", "kept");
    docker.ok("docker volume rm data");
}

fn link_two_containers(docker: &Session) {
    docker.ok("docker run -d --name db -e SECRET=x debian redis-server --save '' --protected-mode no");
    docker.wait("docker run --rm --link db:store debian redis-cli -h store set key value | grep OK");
    docker.prints("docker run --rm --link db:store debian redis-cli -h store get key", "value");
    docker.says("docker run --rm --link db:store busybox env", "STORE_ENV_SECRET=x");
}

fn a_network_of_two(docker: &Session) {
    docker.ok("docker network create backend");
    docker.ok("docker run -d --name redis --network backend debian redis-server --save '' --protected-mode no");
    docker.wait("docker run --rm --network backend debian redis-cli -h redis ping | grep PONG");
    let folder = project(docker, "");
    docker.ok(&format!("docker build -q -t page {folder}"));
    docker.ok("docker run -d --name web --network backend -p 5000:5000 page");
    docker.wait("curl -sSf --max-time 5 http://localhost:5000/ | grep 'visits 1'");
    docker.fails("docker run --rm busybox ping -c 1 -W 2 redis", 1, "bad address");
}

fn several_containers_of_an_image(docker: &Session) {
    docker.ok(
        "for i in 1 2 3 4 5; do docker run -d --name n$i --init busybox sh -c \"echo $i > /own; sleep 1000\"; done",
    );
    docker.prints("for i in 1 2 3 4 5; do docker exec n$i cat /own; done | xargs", "1 2 3 4 5");
    docker.prints("docker ps -q | wc -l", "5");
}

fn commit_a_change(docker: &Session) {
    docker.ok("docker run --name changed busybox sh -c 'echo more > /more'");
    docker.ok("docker commit -m 'more of it' -c 'CMD [\"cat\", \"/more\"]' changed improved");
    docker.prints("docker run --rm improved", "more");
    docker.ok("docker rm changed; docker rmi improved");
}

fn save_and_load(docker: &Session) {
    docker.ok("docker tag busybox carried; docker save carried -o carried.tar; docker rmi carried");
    docker.says("docker load -i carried.tar", "Loaded image: carried:latest");
    docker.prints("docker run --rm carried echo again", "again");
    docker.ok("docker rmi carried");
}

fn environment(docker: &Session) {
    docker.prints(
        "docker run --rm -e A=1 -e B='two words' busybox sh -c 'echo $A, $B, $HOME, $PATH'",
        "1, two words, /root, /bin",
    );
}

fn a_stage_for_building(docker: &Session) {
    docker.ok("mkdir -p stages");
    let file = "FROM busybox AS builder\nRUN mkdir /out && echo built > /out/result\n\
                FROM busybox\nARG WHO=nobody\nENV WHO=$WHO\nCOPY --from=builder /out/result /result\nUSER user\n\
                ENTRYPOINT [\"sh\", \"-c\", \"cat /result; id -un; echo $WHO\"]\n";
    fs::write(docker.path("stages/Dockerfile"), file).unwrap();
    docker.ok("docker build -t staged --build-arg WHO=me stages");
    docker.prints("docker run --rm staged", "built\nuser\nme");
}

fn stop_start_remove(docker: &Session) {
    docker.ok("docker run -d --name box busybox sh -c 'trap \"exit 4\" TERM; while :; do sleep 0.1; done'");
    docker.ok("docker stop box");
    docker.prints("docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' box", "exited 4");
    docker.ok("docker start box");
    docker.prints("docker inspect -f '{{.State.Status}}' box", "running");
    docker.fails("docker rm box", 1, "You cannot remove a running container");
    docker.ok("docker rm -f box");
    docker.prints("docker ps -aq", "");
}
