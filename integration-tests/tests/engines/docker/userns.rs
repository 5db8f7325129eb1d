//! `dockerd --userns-remap`: the ids of every container are subordinate ones of a user, from 500000 on.

use integration_tests::engines::docker::again;
use integration_tests::engines::session::Session;
use integration_tests::engines::terminal::Terminal;
use integration_tests::harness::Need;
use nix::sys::signal::Signal;

const BUILDKIT: Need = Need::Works("iptables -t nat -L -n");
const LIMITS: Need = Need::Works("grep -w memory /sys/fs/cgroup/cgroup.controllers | grep -w cpu | grep -qw pids");

integration_tests::scenarios! {
    map,
    processes_on_the_host,
    layers,
    volume,
    volume_has_what_the_image_had,
    bind_of_roots,
    bind_of_the_mapped_root,
    bind_of_a_file_read_only,
    proc_and_sys,
    cgroup,
    devices,
    tmpfs,
    sysctl,
    streams_of_a_user,
    terminal,
    terminal_of_a_user,
    exec,
    exec_on_a_terminal,
    exec_as_a_user,
    capabilities_are_of_the_namespace,
    mount_in_the_namespace,
    copied,
    committed_and_exported,
    built,
    built_by_buildkit [BUILDKIT],
    network_of_another,
    pid_and_ipc_of_another,
    hostname_and_network,
    init,
    userns_host,
    privileged_is_refused,
    host_namespaces_are_refused,
    limits [LIMITS],
    stats,
    paused,
    restarted,
    daemon_is_killed,
    nothing_of_the_engine_is_theirs,
}

fn one(docker: &Session, flags: &str) {
    docker.ok(&format!("docker run -d --name one {flags} busybox sleep 1000"));
}

fn map(docker: &Session) {
    docker.prints(
        "docker run --rm busybox cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '",
        " 0 500000 65536\n 0 500000 65536",
    );
    docker.says("docker info -f '{{.SecurityOptions}}'", "name=userns");
}

fn processes_on_the_host(docker: &Session) {
    one(docker, "");
    docker.ok("docker run -d --name two --user 1000:50 --group-add 7 busybox sleep 1000");
    docker.prints(
        "for c in one two; do awk '/^[UG]id|^Groups/ {print $2}' /proc/$(pid $c)/status; done | tr '\\n' ' '",
        "500000 500000 500000 501000 500050 500007 ",
    );
}

fn layers(docker: &Session) {
    one(docker, "");
    docker.prints("docker exec one stat -c %u:%g /etc/passwd /home/user", "0:0\n1000:1000");
    docker.prints(
        "cd $(docker inspect -f '{{.GraphDriver.Data.MergedDir}}' one); stat -c %u:%g etc/passwd home/user",
        "500000:500000\n501000:501000",
    );
}

fn volume(docker: &Session) {
    docker.prints("docker run --rm -v data:/data busybox sh -c 'touch /data/f; stat -c %u /data /data/f'", "0\n0");
    docker.prints(
        "cd $(docker volume inspect -f '{{.Mountpoint}}' data); stat -c %u . f; cd; docker volume rm data",
        "500000\n500000\ndata",
    );
}

fn volume_has_what_the_image_had(docker: &Session) {
    docker.prints(
        "docker run --rm --user user -v home:/home/user busybox sh -c 'touch /home/user/f; stat -c %u /home/user/f'
         stat -c %u $(docker volume inspect -f '{{.Mountpoint}}' home)/f; docker volume rm home > /dev/null",
        "1000\n501000",
    );
}

fn bind_of_roots(docker: &Session) {
    docker.ok("mkdir -p roots; chmod 755 roots; echo readable > roots/f; chmod 644 roots/f; echo x > roots/secret; chmod 600 roots/secret");
    docker.prints("docker run --rm -v $PWD/roots:/to busybox sh -c 'cat /to/f; stat -c %u /to/f'", "readable\n65534");
    docker.fails("docker run --rm -v $PWD/roots:/to busybox touch /to/g", 1, "Permission denied");
    docker.fails("docker run --rm -v $PWD/roots:/to busybox cat /to/secret", 1, "Permission denied");
}

fn bind_of_the_mapped_root(docker: &Session) {
    docker.ok("mkdir -p theirs; chown 500000:500000 theirs");
    docker.prints(
        "docker run --rm -v $PWD/theirs:/to busybox sh -c 'touch /to/f; chown user:staff /to/f; stat -c %u:%g /to /to/f'
         stat -c %u:%g theirs/f",
        "0:0\n1000:50\n501000:500050",
    );
}

fn bind_of_a_file_read_only(docker: &Session) {
    docker.ok("echo mine > file; chmod 666 file");
    docker.fails(
        "docker run --rm -v $PWD/file:/etc/motd:ro busybox sh -c 'cat /etc/motd; echo x > /etc/motd'",
        1,
        "Read-only file system",
    );
    // What the host has mounted read-only stays so for who has every capability in there.
    docker.ok("! docker run --rm --cap-add SYS_ADMIN -v $PWD/file:/etc/motd:ro busybox mount -o remount,rw,bind /etc/motd; test $(cat file) = mine");
}

fn proc_and_sys(docker: &Session) {
    docker.prints("docker run --rm busybox sh -c 'wc -c < /proc/timer_list; ls /sys/firmware | wc -l'", "0\n0");
    docker.fails("docker run --rm busybox sh -c 'echo 1 > /proc/sys/vm/drop_caches'", 1, "Read-only file system");
    docker.says("docker run --rm busybox grep ' /sys sysfs ' /proc/mounts", "ro,");
}

/// Docker mounts it so that it can be written, and its root owns it.
fn cgroup(docker: &Session) {
    docker.prints("docker run --rm busybox sh -c 'mkdir /sys/fs/cgroup/mine && stat -c %u /sys/fs/cgroup/mine'", "0");
}

fn devices(docker: &Session) {
    docker.prints(
        "docker run --rm busybox sh -c 'head -c 3 /dev/zero | wc -c; echo x > /dev/null; head -c 2 /dev/urandom | wc -c; echo x > /dev/full || echo full'",
        "3\n2\nfull",
    );
    docker.prints(
        "docker run --rm busybox sh -c 'ls /dev | grep -vx core | tr \"\\n\" \" \"'",
        "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ",
    );
    docker.fails("docker run --rm busybox mknod /tmp/null c 1 3", 1, "Operation not permitted");
}

fn tmpfs(docker: &Session) {
    docker.prints(
        "docker run --rm --tmpfs /a --tmpfs /b:uid=1000,mode=700 busybox sh -c 'touch /a/f /dev/shm/f; stat -c %u:%a /a/f /b /dev/shm'",
        "0:644\n1000:700\n0:1777",
    );
}

fn sysctl(docker: &Session) {
    docker.prints(
        "docker run --rm --sysctl net.core.somaxconn=512 --sysctl kernel.msgmax=9000 busybox cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax",
        "512\n9000",
    );
}

fn streams_of_a_user(docker: &Session) {
    for flags in ["", "--user 1000"] {
        let script = format!(
            "docker run --rm -i {flags} busybox sh -c 'cat < /dev/stdin > /dev/stdout; echo err > /dev/stderr'"
        );
        let printed = docker.typed(&script, "typed\n");
        assert_eq!((printed.ok().out(), printed.err()), ("typed\n".to_owned(), "err\n".to_owned()), "{flags}");
    }
}

fn terminal(docker: &Session) {
    let mut terminal = Terminal::run(docker, "docker run --rm -it busybox sh");
    terminal.enter("tty; stat -c owner=%u $(tty); echo to it > $(tty) && echo all | tr a-z A-Z; exit 3");
    terminal.expect("/dev/pts/0");
    terminal.expect("owner=0");
    terminal.expect("ALL");
    terminal.ends(3);
}

fn terminal_of_a_user(docker: &Session) {
    let mut terminal = Terminal::run(docker, "docker run --rm -it --user 1000 busybox sh");
    terminal.enter(
        "stat -c owner=%u $(tty); echo x > /dev/stdout && echo y > /dev/stderr && echo all | tr a-z A-Z; exit 7",
    );
    terminal.expect("owner=1000");
    terminal.expect("ALL");
    terminal.ends(7);
}

fn exec(docker: &Session) {
    one(docker, "");
    docker.prints("docker exec one sh -c 'id -u; tr -s \" \" < /proc/self/uid_map'", "0\n 0 500000 65536");
    docker.ok("docker exec one sh -c 'cd /proc/1/ns; for n in *; do test $(readlink $n) = $(readlink /proc/self/ns/$n); done'");
    docker.ok("docker exec -d one sleep 2000");
    docker.wait("stat -c %u /proc/$(pgrep -xf 'sleep 2000') | grep -x 500000");
}

fn exec_on_a_terminal(docker: &Session) {
    one(docker, "");
    let mut terminal = Terminal::run(docker, "docker exec -it --user 1000 one sh");
    terminal.enter("stat -c owner=%u $(tty); echo to it > $(tty) && echo all | tr a-z A-Z; exit 5");
    terminal.expect("owner=1000");
    terminal.expect("ALL");
    terminal.ends(5);
}

fn exec_as_a_user(docker: &Session) {
    one(docker, "");
    let printed = docker.sh("docker exec --user user one sh -c 'id -u > /dev/stdout; id -G > /dev/stderr'");
    assert_eq!((printed.ok().out(), printed.err()), ("1000\n".to_owned(), "1000 50\n".to_owned()));
}

fn capabilities_are_of_the_namespace(docker: &Session) {
    docker.says("docker run --rm busybox grep CapEff /proc/self/status", "CapEff:\t00000000a80425fb");
    docker.prints("docker run --rm --user 1000 busybox grep CapEff /proc/self/status | cut -f 2", "0000000000000000");
    // What is the kernel's own is not theirs, whatever they have.
    docker.fails("docker run --rm --cap-add ALL busybox renice -n -5 -p 1", 1, "Permission denied");
    docker.ok("nice -n -5 true");
}

fn mount_in_the_namespace(docker: &Session) {
    docker.prints(
        "docker run --rm --cap-add SYS_ADMIN busybox sh -c 'mount -t tmpfs mine /tmp && grep -c \"^mine /tmp\" /proc/mounts'",
        "1",
    );
    docker.fails("docker run --rm busybox mount -t tmpfs mine /tmp", 1, "ermission denied");
}

fn copied(docker: &Session) {
    one(docker, "");
    docker.ok("echo hello > f; docker cp f one:/tmp/f; docker exec one sh -c 'echo back > /tmp/g; chown user /tmp/g'");
    docker.prints("docker exec one stat -c %u /tmp/f; docker exec one cat /tmp/f", "0\nhello");
    docker.prints("docker cp one:/tmp/g g; cat g; stat -c %u g", "back\n0");
}

fn committed_and_exported(docker: &Session) {
    docker.ok(
        "docker run --name one busybox sh -c 'echo kept > /file; chown user:staff /file'; docker commit one committed",
    );
    docker.prints(
        "docker run --rm committed stat -c %u:%g /file; docker rmi committed > /dev/null
         docker export one | tar -tv --numeric-owner file | tr -s ' ' | cut -d ' ' -f 2",
        "1000:50\n1000/50",
    );
}

const DOCKERFILE: &str = "FROM busybox
COPY hello /hello
COPY --chown=1000:50 hello /theirs
RUN cat /hello /hello > /twice && chown user /twice
USER user
RUN id -u > /tmp/who";

fn built_with(docker: &Session, variable: &str) {
    docker.ok(&format!(
        "rm -rf context; mkdir context; echo hello > context/hello
         cat > context/Dockerfile <<'END'\n{DOCKERFILE}\nEND\n{variable} docker build --no-cache -t built context 2>&1"
    ));
    docker.prints(
        "docker run --rm built sh -c 'cat /twice /tmp/who; stat -c %u:%g /hello /theirs /twice /tmp/who'; docker rmi built > /dev/null",
        "hello\nhello\n1000\n0:0\n1000:50\n1000:0\n1000:1000",
    );
}

fn built(docker: &Session) {
    built_with(docker, "");
}

fn built_by_buildkit(docker: &Session) {
    docker.ok("rm -f runc-calls");
    built_with(docker, "DOCKER_BUILDKIT=1");
    docker.prints("grep -c ' run --bundle ' runc-calls", "2");
}

fn network_of_another(docker: &Session) {
    one(docker, "");
    docker.ok("docker run -d --name two --network container:one busybox sleep 1000");
    docker.prints("for n in user net; do test $(readlink /proc/$(pid one)/ns/$n) = $(readlink /proc/$(pid two)/ns/$n) && echo $n; done", "user\nnet");
    docker.prints("docker exec two sh -c 'tr -s \" \" < /proc/self/uid_map; touch /tmp/f; stat -c %u /tmp/f; ls /sys/class/net | tr \"\\n\" \" \"'", " 0 500000 65536\n0\neth0 lo ");
}

fn pid_and_ipc_of_another(docker: &Session) {
    one(docker, "--ipc shareable");
    docker.prints("docker run --rm --pid container:one busybox cat /proc/1/cmdline | tr '\\0' ' '", "sleep 1000 ");
    docker.ok("docker exec one touch /dev/shm/f");
    docker.prints("docker run --rm --ipc container:one busybox stat -c %u /dev/shm/f", "0");
}

fn hostname_and_network(docker: &Session) {
    docker.prints(
        "docker run --rm --hostname box busybox sh -c 'hostname; cat /etc/hostname; stat -c %u /etc/hosts'",
        "box\nbox\n0",
    );
    docker.prints(
        "docker run --rm --cap-add NET_ADMIN busybox sh -c 'ip link set lo mtu 1400; cat /sys/class/net/lo/mtu'",
        "1400",
    );
}

fn init(docker: &Session) {
    docker.prints("docker run --rm --init busybox cat /proc/1/comm", "docker-init");
}

fn userns_host(docker: &Session) {
    docker.prints("docker run --rm --userns host busybox cat /proc/self/uid_map | tr -s ' '", " 0 0 4294967295");
    docker.ok("docker run -d --name one --userns host busybox sleep 1000");
    docker.prints("readlink /proc/$(pid one)/ns/user", &docker.ok("readlink /proc/self/ns/user"));
}

fn privileged_is_refused(docker: &Session) {
    docker.fails(
        "docker run --rm --privileged busybox true",
        125,
        "privileged mode is incompatible with user namespaces",
    );
}

fn host_namespaces_are_refused(docker: &Session) {
    for flag in ["--pid host", "--network host"] {
        docker.fails(&format!("docker run --rm {flag} busybox true"), 125, "when user namespaces are enabled");
    }
}

fn limits(docker: &Session) {
    one(docker, "--memory 64m --cpus 0.5 --pids-limit 20");
    docker.prints("cd $(cgroup one); cat memory.max cpu.max pids.max", "67108864\n50000 100000\n20");
    docker.prints("docker update --memory 32m --memory-swap 32m one; cat $(cgroup one)/memory.max", "one\n33554432");
}

fn stats(docker: &Session) {
    one(docker, "");
    docker.prints(
        "docker stats --no-stream --format '{{.Name}}' one; docker top one -o pid,uid,comm | tail -1 | awk '{print $2, $3}'",
        "one\n500000 sleep",
    );
}

fn paused(docker: &Session) {
    one(docker, "");
    docker
        .prints("docker pause one; grep frozen $(cgroup one)/cgroup.events; docker unpause one", "one\nfrozen 1\none");
    docker.prints("docker exec one echo again", "again");
}

fn restarted(docker: &Session) {
    docker.ok("docker run -d --init --name one -v data:/data busybox sh -c 'echo line >> /data/f; echo line >> /f; exec sleep 1000'");
    docker.ok("docker restart one");
    docker.wait("test $(docker exec one cat /f /data/f | wc -l) = 4");
    docker.prints("docker exec one stat -c %u /f /data/f", "0\n0");
}

fn daemon_is_killed(docker: &Session) {
    one(docker, "");
    let before = docker.ok("pid one");
    again(docker, Signal::SIGKILL, || ());
    docker
        .prints("pid one; docker exec one id -u; docker kill one; docker wait one", &format!("{before}\n0\none\n137"));
}

/// What the engine keeps is out of reach of a process that has come out of its container with the ids it had in there.
fn nothing_of_the_engine_is_theirs(docker: &Session) {
    one(docker, "");
    docker.ok("as() { setpriv --reuid 500000 --regid 500000 --clear-groups -- \"$@\"; }
         ! as ls /run/docker/runtime-runc 2> /dev/null; ! as curl -s --unix-socket /run/docker.sock http://d/_ping
         ! as ls $(docker info -f '{{.DockerRootDir}}')/containers 2> /dev/null");
}
