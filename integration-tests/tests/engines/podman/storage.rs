//! `podman run -v`, `--mount`, `--tmpfs`, and volumes.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    bind,
    bind_read_only,
    bind_under_an_overlay,
    bind_of_whose_owner_it_is,
    named_volume,
    volume_is_filled_from_the_image,
    volumes_from,
    tmpfs,
    mount_bind,
    mount_tmpfs,
    mount_image,
    recursively_read_only_is_not,
    shared_memory,
    a_source_that_is_not_there,
}

fn bind(podman: &Session) {
    podman.ok("mkdir bind && podman run --rm -v $HOME/bind:/data busybox sh -c 'echo x > /data/file'");
    podman.prints("cat bind/file", "x");
}

fn bind_read_only(podman: &Session) {
    podman.ok("mkdir ro && echo x > ro/file");
    podman.prints("podman run --rm -v ./ro:/data:ro busybox cat /data/file", "x");
    podman.fails("podman run --rm -v ./ro:/data:ro busybox touch /data/y", 1, "Read-only file system");
}

fn bind_under_an_overlay(podman: &Session) {
    podman.ok("mkdir $GRAPH/lower && echo x > $GRAPH/lower/file");
    podman.prints("podman run --rm -v $GRAPH/lower:/data:O busybox sh -c 'echo y > /data/file; cat /data/file'", "y");
    podman.prints("cat $GRAPH/lower/file", "x");
}

fn bind_of_whose_owner_it_is(podman: &Session) {
    podman.ok("mkdir own");
    podman.prints("podman run --rm -u user -v ./own:/data:U busybox sh -c 'stat -c %U /data; touch /data/x'", "user");
}

fn named_volume(podman: &Session) {
    podman.ok("podman volume create things");
    podman.ok("podman run --rm -v things:/data busybox sh -c 'echo kept > /data/file'");
    podman.prints("podman run --rm -v things:/other busybox cat /other/file", "kept");
    podman.prints("podman volume ls -q", "things");
}

fn volume_is_filled_from_the_image(podman: &Session) {
    podman.prints("podman run --rm -v filled:/etc busybox head -n 1 /etc/group", "root:x:0:");
    podman.ok("podman run --rm -v filled:/data busybox test -f /data/passwd");
}

fn volumes_from(podman: &Session) {
    podman.ok("podman create --name one -v things:/data busybox");
    podman.ok("podman run --rm --volumes-from one busybox sh -c 'echo kept > /data/file'");
    podman.prints("podman run --rm --volumes-from one:ro busybox cat /data/file", "kept");
}

fn tmpfs(podman: &Session) {
    let script = "podman run --rm --tmpfs /data:size=1m,mode=1700 busybox sh -c";
    podman.prints(
        &format!("{script} 'stat -c %a /data; df /data | tail -n 1 | grep -o -w 1024 | head -n 1'"),
        "1700\n1024",
    );
    podman.fails(&format!("{script} 'dd if=/dev/zero of=/data/x bs=1k count=2k'"), 1, "No space left on device");
}

fn mount_bind(podman: &Session) {
    podman.ok("mkdir mount-bind && echo x > mount-bind/file");
    let mount = "--mount type=bind,source=$HOME/mount-bind,target=/data,ro=true,bind-propagation=rslave";
    podman.fails(
        &format!("podman run --rm {mount} busybox sh -c 'cat /data/file; rm /data/file'"),
        1,
        "Read-only file system",
    );
    podman.says(&format!("podman run --rm {mount} busybox grep ' /data ' /proc/self/mountinfo"), " master:");
}

fn mount_tmpfs(podman: &Session) {
    let mount = "--mount type=tmpfs,destination=/data,tmpfs-size=512k,tmpfs-mode=0711";
    podman.prints(
        &format!("podman run --rm {mount} busybox sh -c 'stat -c %a /data; df /data | grep -c -w 512'"),
        "711\n1",
    );
}

fn mount_image(podman: &Session) {
    let mount = "--mount type=image,source=localhost/busybox,destination=/data";
    podman.prints(&format!("podman run --rm {mount} busybox head -n 1 /data/etc/group"), "root:x:0:");
    podman.fails(&format!("podman run --rm {mount} busybox touch /data/x"), 1, "Read-only file system");
}

fn recursively_read_only_is_not(podman: &Session) {
    // The file that is mounted over another one is the one that is seen.
    podman.ok("echo a > a; echo b > b");
    podman.prints(
        "podman run --rm -v ./a:/etc/passwd:ro -v ./b:/etc/group busybox sh -c 'cat /etc/passwd; echo c >> /etc/group'",
        "a",
    );
    podman.prints("cat b", "b\nc");
}

fn shared_memory(podman: &Session) {
    podman.prints("podman run --rm --shm-size 2m busybox sh -c 'df /dev/shm | tail -n 1 | grep -c -w 2048'", "1");
}

fn a_source_that_is_not_there(podman: &Session) {
    podman.fails("podman run --rm -v /there/is/none:/data busybox true", 125, "/there/is/none");
}
