//! `-v`, `--mount`, `--volumes-from`: what is mounted into a container.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    bind,
    bind_read_only,
    bind_a_file,
    bind_relabelled,
    bind_below_a_bind,
    bind_what_is_not_there,
    a_folder_on_a_file,
    the_engines_socket,
    named_volume,
    volume_read_only,
    volume_has_what_the_image_had,
    volume_is_not_filled,
    volume_with_options,
    tmpfs_by_mount,
    volumes_from,
    not_recursive,
    propagation_private,
    propagation_slave,
    propagation_shared,
}

fn bind(docker: &Session) {
    docker
        .prints("mkdir bind; docker run --rm -v $PWD/bind:/to busybox sh -c 'echo hello > /to/f'; cat bind/f", "hello");
}

fn bind_read_only(docker: &Session) {
    docker.ok("mkdir ro; echo kept > ro/f");
    docker.fails(
        "docker run --rm -v $PWD/ro:/to:ro busybox sh -c 'cat /to/f; echo x > /to/f'",
        1,
        "Read-only file system",
    );
    docker.prints("cat ro/f", "kept");
}

fn bind_a_file(docker: &Session) {
    docker.ok("echo mine > file");
    docker.prints(
        "docker run --rm -v $PWD/file:/etc/motd:ro -v $PWD/file:/etc/passwd busybox cat /etc/motd /etc/passwd",
        "mine\nmine",
    );
}

fn bind_relabelled(docker: &Session) {
    docker.prints(
        "mkdir z; docker run --rm -v $PWD/z:/to:z busybox touch /to/f; docker run --rm -v $PWD/z:/to:Z busybox ls /to",
        "f",
    );
}

fn bind_below_a_bind(docker: &Session) {
    docker.ok("mkdir outer inner; mkdir outer/in; touch inner/f");
    docker.prints(
        "docker run --rm -v $PWD/inner:/to/in -v $PWD/outer:/to:ro busybox sh -c 'ls /to/in; touch /to/in/g'; ls inner",
        "f\nf\ng",
    );
}

fn bind_what_is_not_there(docker: &Session) {
    docker.ok("docker run --rm -v $PWD/made:/to busybox true; test -d made");
    docker.fails("docker run --rm --mount type=bind,src=$PWD/none,dst=/to busybox true", 125, "does not exist");
}

fn a_folder_on_a_file(docker: &Session) {
    // Docker reads the runtime's words, and says more.
    docker.says(
        "mkdir folder; ! docker run --rm -v $PWD/folder:/etc/passwd busybox true 2>&1",
        "mount a directory onto a file",
    );
}

fn the_engines_socket(docker: &Session) {
    docker.prints(
        "docker run --rm --name one -v /run/docker.sock:/var/run/docker.sock -v /usr:/usr:ro -v /usr/lib:/lib:ro \
         -v /usr/lib64:/lib64:ro busybox $(readlink -f bin/docker) ps --format '{{.Names}}'",
        "one",
    );
}

fn named_volume(docker: &Session) {
    docker.ok("docker volume create data; docker run --rm -v data:/data busybox sh -c 'echo kept > /data/f'");
    docker.prints("docker run --rm -v data:/elsewhere busybox cat /elsewhere/f", "kept");
    docker.fails("docker create --name one -v data:/data busybox; docker volume rm data", 1, "volume is in use");
    docker.prints("docker rm one; docker volume rm data; docker volume ls -q", "one\ndata");
}

fn volume_read_only(docker: &Session) {
    docker.fails("docker run --rm -v data:/data:ro busybox touch /data/f", 1, "Read-only file system");
    docker.ok("docker volume rm data");
}

fn volume_has_what_the_image_had(docker: &Session) {
    docker.prints(
        "docker run --rm -v /etc busybox sh -c 'grep -c /etc /proc/mounts > /dev/null && head -1 /etc/passwd'",
        "root:x:0:0:root:/root:/bin/sh",
    );
    docker.prints(
        "docker run --rm --user user -v home:/home/user busybox sh -c 'touch /home/user/f && stat -c %u /home/user'",
        "1000",
    );
    docker.ok("docker volume rm home");
}

fn volume_is_not_filled(docker: &Session) {
    docker.prints("docker run --rm -v data:/home:nocopy busybox ls /home; docker volume rm data", "data");
}

fn volume_with_options(docker: &Session) {
    docker.ok("docker volume create -d local -o type=tmpfs -o device=tmpfs -o o=size=2m,uid=1000 small");
    docker.prints("docker run --rm -v small:/to busybox sh -c 'stat -c %u /to; grep -o \" /to tmpfs .*size=2048k\" /proc/mounts | cut -c 1-10'; docker volume rm small", "1000\n /to tmpfs\nsmall");
}

fn tmpfs_by_mount(docker: &Session) {
    let mount = "type=tmpfs,dst=/scratch,tmpfs-size=65536,tmpfs-mode=1770";
    let line = docker.ok(&format!("docker run --rm --mount {mount} busybox grep ' /scratch ' /proc/mounts"));
    assert!(line.contains("size=64k") && line.contains("mode=1770"), "{line}");
}

fn volumes_from(docker: &Session) {
    docker.ok("docker run --name one -v /data busybox sh -c 'echo kept > /data/f'");
    docker.prints("docker run --rm --volumes-from one busybox cat /data/f", "kept");
    docker.fails("docker run --rm --volumes-from one:ro busybox touch /data/g", 1, "Read-only file system");
}

fn not_recursive(docker: &Session) {
    docker.ok("mkdir -p top/below; mount -t tmpfs tmpfs top/below; touch top/below/f");
    let below = docker.sh("docker run --rm -v $PWD/top:/to busybox ls /to/below
         docker run --rm --mount type=bind,src=$PWD/top,dst=/to,bind-nonrecursive=true busybox ls /to/below");
    docker.ok("umount top/below");
    assert_eq!(below.ok().out(), "f\n");
}

/// What a container that binds a shared mount with this propagation sees of a mount that the host makes later, and the
/// host of one that it makes: 1 or 0 each.
fn seen(docker: &Session, propagation: &str) -> String {
    docker
        .ok("mkdir -p shared; mount --bind shared shared; mount --make-shared shared; mkdir -p shared/host shared/own");
    let seen = docker.sh(&format!(
        "docker run -d --name one --cap-add SYS_ADMIN -v $PWD/shared:/to:{propagation} busybox sleep 1000 > /dev/null
         mount -t tmpfs tmpfs shared/host
         docker exec one sh -c 'grep -c \" /to/host tmpfs\" /proc/mounts || true'
         docker exec one mount -t tmpfs tmpfs /to/own
         grep -c ' /run/d/shared/own tmpfs' /proc/mounts || true
         docker rm -f one > /dev/null"
    ));
    docker.ok("umount -R shared");
    seen.ok().out().replace('\n', " ")
}

fn propagation_private(docker: &Session) {
    assert_eq!(seen(docker, "rprivate"), "0 0 ");
}

fn propagation_slave(docker: &Session) {
    assert_eq!(seen(docker, "rslave"), "1 0 ");
}

fn propagation_shared(docker: &Session) {
    assert_eq!(seen(docker, "rshared"), "1 1 ");
}
