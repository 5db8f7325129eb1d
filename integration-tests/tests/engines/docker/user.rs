//! `--user` and `--group-add`: who a program is.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    by_name,
    by_number,
    by_number_with_group,
    unknown_name,
    more_groups,
    home,
    may_write_its_streams,
    may_write_them_when_executed,
    owns_nothing_else,
}

fn by_name(docker: &Session) {
    docker.prints("docker run --rm --user user busybox sh -c 'id -u; id -g; id -G'", "1000\n1000\n1000 50");
}

fn by_number(docker: &Session) {
    docker.prints("docker run --rm --user 4242 busybox sh -c 'id -u; id -g'", "4242\n0");
}

fn by_number_with_group(docker: &Session) {
    docker.prints("docker run --rm --user 4242:4343 busybox sh -c 'id -u; id -g'", "4242\n4343");
    docker.prints("docker run --rm --user user:staff busybox sh -c 'id -un; id -gn'", "user\nstaff");
}

fn unknown_name(docker: &Session) {
    docker.fails("docker run --rm --user no-such-user busybox true", 125, "no-such-user");
}

fn more_groups(docker: &Session) {
    let groups = docker.ok("docker run --rm --user 4242:4343 --group-add staff --group-add 777 busybox id -G");
    let groups: Vec<&str> = groups.split(' ').collect();
    assert!(["4343", "50", "777"].iter().all(|group| groups.contains(group)), "{groups:?}");
}

fn home(docker: &Session) {
    docker.prints(
        "docker run --rm --user user busybox sh -c 'echo $HOME; cd; touch mine; stat -c %U mine'",
        "/home/user\nuser",
    );
}

/// What every image does whose program logs to files that are links to them, as nginx's does.
fn may_write_its_streams(docker: &Session) {
    let printed =
        docker.sh("docker run --rm --user 1000 busybox sh -c 'echo out > /dev/stdout; echo err > /dev/stderr'");
    assert_eq!((printed.ok().out(), printed.err()), ("out\n".to_owned(), "err\n".to_owned()));
    docker.prints(
        "docker run --rm --user 1000 -t busybox sh -c 'echo out > /dev/stdout; echo err > /dev/stderr'",
        "out\r\nerr",
    );
    docker.prints("docker run --name one -d --user 1000 busybox sh -c 'echo out > /dev/stdout' > /dev/null; docker wait one; docker logs one", "0\nout");
}

fn may_write_them_when_executed(docker: &Session) {
    docker.ok("docker run -d --name one busybox sleep 1000");
    let printed = docker.sh("docker exec --user 1000 one sh -c 'echo out > /dev/stdout; echo err > /dev/stderr'");
    assert_eq!((printed.ok().out(), printed.err()), ("out\n".to_owned(), "err\n".to_owned()));
}

fn owns_nothing_else(docker: &Session) {
    let script = "stat -c %u:%Z /dev/null; exec 3> given; docker run --rm --user 1000 busybox true > /dev/null 2>&3 < /dev/null; \
                  stat -c %u:%Z /dev/null; stat -c %u given";
    let (before, after) =
        docker.ok(script).split_once('\n').map(|(one, two)| (one.to_owned(), two.to_owned())).unwrap();
    assert_eq!(after, format!("{before}\n0"));
    docker.prints("docker run --rm --user 1000 busybox sh -c 'stat -c %u /dev/null /dev/zero'", "0\n0");
}
