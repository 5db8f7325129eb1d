//! A container's root filesystem and what `docker run` puts into it.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    read_only,
    tmpfs,
    tmpfs_is_full,
    shm_size,
    changes_are_its_own,
    dev,
    proc_is_masked,
    proc_is_not_masked,
    sys_is_read_only,
    root_is_the_images,
}

fn read_only(docker: &Session) {
    docker.fails("docker run --rm --read-only busybox touch /file", 1, "Read-only file system");
    docker.prints(
        "docker run --rm --read-only --tmpfs /run busybox sh -c 'touch /run/file /dev/shm/file && ls /run'",
        "file",
    );
}

fn tmpfs(docker: &Session) {
    let options =
        docker.ok("docker run --rm --tmpfs /scratch:size=1m,mode=1770,noexec busybox grep ' /scratch ' /proc/mounts");
    for option in ["tmpfs /scratch tmpfs", "size=1024k", "mode=1770", "noexec", "nosuid", "nodev"] {
        assert!(options.contains(option), "{options}: {option}");
    }
}

fn tmpfs_is_full(docker: &Session) {
    docker.fails(
        "docker run --rm --tmpfs /scratch:size=64k busybox dd if=/dev/zero of=/scratch/f bs=1k count=65",
        1,
        "No space left",
    );
}

fn shm_size(docker: &Session) {
    docker.prints(
        "docker run --rm --shm-size 3m busybox sh -c 'df -k /dev/shm | tail -1 | tr -s \" \" | cut -d \" \" -f 2'",
        "3072",
    );
}

fn changes_are_its_own(docker: &Session) {
    docker.ok("docker run --name one busybox sh -c 'echo changed > /etc/passwd'");
    docker.says("docker run --rm busybox cat /etc/passwd", "root:x:0:0");
    docker.prints("docker cp one:/etc/passwd - | tar -xO", "changed");
}

fn dev(docker: &Session) {
    docker.prints(
        "docker run --rm busybox sh -c 'ls /dev | grep -vx core | tr \"\\n\" \" \"'",
        "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ",
    );
    docker.prints(
        "docker run --rm busybox sh -c 'head -c 3 /dev/zero | wc -c; echo x > /dev/null; readlink /dev/fd'",
        "3\n/proc/self/fd",
    );
}

fn proc_is_masked(docker: &Session) {
    docker.prints("docker run --rm busybox sh -c 'wc -c < /proc/timer_list; ls /sys/firmware | wc -l'; test -n \"$(sed 1q /proc/timer_list)\"", "0\n0");
    docker.fails("docker run --rm busybox sh -c 'echo 1 > /proc/sys/vm/drop_caches'", 1, "Read-only file system");
}

fn proc_is_not_masked(docker: &Session) {
    let mounts = "docker run --rm --security-opt systempaths=unconfined busybox sh -c 'grep -c \" /proc/\" /proc/mounts || true'";
    docker.prints(mounts, "0");
}

fn sys_is_read_only(docker: &Session) {
    docker.says("docker run --rm busybox grep ' /sys sysfs ' /proc/mounts", "ro,");
    docker.fails("docker run --rm busybox mkdir /sys/fs/cgroup/mine", 1, "Read-only file system");
}

fn root_is_the_images(docker: &Session) {
    docker.says("docker run --rm busybox sh -c 'ls /; head -1 /proc/self/mountinfo'", " / / ");
    docker.prints("docker run --rm busybox sh -c 'ls /proc/1/root/../../work 2> /dev/null || echo none'", "none");
}
