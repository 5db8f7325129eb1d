//! Files out of and into containers, and images of them.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    into_a_running_one,
    out_of_a_running_one,
    a_stopped_one,
    a_folder,
    a_stream,
    owner_is_kept,
    into_a_volume,
    into_a_read_only_one,
    diff,
    commit,
    commit_with_changes,
    commit_a_paused_one,
    export_and_import,
    save_and_load,
    history,
}

fn into_a_running_one(docker: &Session) {
    docker.ok("echo hello > greeting; docker run -d --name one busybox sleep 1000; docker cp greeting one:/tmp/other");
    docker.prints("docker exec one cat /tmp/other", "hello");
}

fn out_of_a_running_one(docker: &Session) {
    docker.ok(
        "docker run -d --name one --tmpfs /scratch busybox sleep 1000; docker exec one sh -c 'echo hello > /tmp/f'",
    );
    docker.prints("docker cp one:/tmp/f got; cat got", "hello");
    docker.fails("docker cp one:/tmp/none got", 1, "/tmp/none");
}

fn a_stopped_one(docker: &Session) {
    docker.ok("echo in > in; docker run --name one busybox sh -c 'test ! -e /in || cat /in'; docker cp in one:/in");
    docker.prints("docker start -a one; docker cp one:/in - | tar -xO", "in\nin");
}

fn a_folder(docker: &Session) {
    docker.ok("mkdir -p tree/a/b; echo deep > tree/a/b/f; docker run -d --name one busybox sleep 1000; docker cp tree one:/tmp");
    docker.prints("docker exec one cat /tmp/tree/a/b/f; docker cp one:/tmp/tree/a back; cat back/b/f", "deep\ndeep");
}

fn a_stream(docker: &Session) {
    docker.ok(
        "docker run -d --name one busybox sleep 1000; echo piped > streamed; tar -c streamed | docker cp - one:/tmp",
    );
    docker.prints("docker exec one cat /tmp/streamed", "piped");
}

fn owner_is_kept(docker: &Session) {
    docker.ok(
        "docker run -d --name one busybox sleep 1000; echo x > owned; chown 1000:50 owned; docker cp -a owned one:/tmp",
    );
    docker.prints("docker exec one stat -c '%u %g' /tmp/owned", "1000 50");
}

fn into_a_volume(docker: &Session) {
    docker.ok("docker run -d --name one -v kept:/data busybox sleep 1000; echo v > v; docker cp v one:/data");
    docker.prints("docker run --rm -v kept:/data busybox cat /data/v", "v");
}

fn into_a_read_only_one(docker: &Session) {
    docker.ok("docker run -d --name one --read-only busybox sleep 1000; echo x > x");
    docker.fails("docker cp x one:/x", 1, "read-only");
}

fn diff(docker: &Session) {
    docker.ok("docker run --name one busybox sh -c 'echo x > /tmp/new; echo y >> /etc/passwd; rm /etc/group'");
    docker.prints("docker diff one | grep -E '/(new|passwd|group)$' | sort", "A /tmp/new\nC /etc/passwd\nD /etc/group");
}

fn commit(docker: &Session) {
    docker.ok("docker run --name one busybox sh -c 'echo kept > /file'; docker commit one committed");
    docker.prints(
        "docker run --rm committed cat /file; docker rmi committed | sed -n 1p",
        "kept\nUntagged: committed:latest",
    );
}

fn commit_with_changes(docker: &Session) {
    docker.ok("docker run --name one busybox true; docker commit -c 'CMD [\"echo\", \"by default\"]' -c 'USER 1000' -c 'ENV A=b' one committed");
    docker.prints(
        "docker run --rm committed; docker run --rm committed sh -c 'id -u; echo $A'; docker rmi committed > /dev/null",
        "by default\n1000\nb",
    );
}

fn commit_a_paused_one(docker: &Session) {
    // It is paused for as long as it takes.
    docker.ok("docker run -d --name one busybox sh -c 'echo kept > /file; sleep 1000'; docker exec one sync");
    docker.prints("docker commit one committed > /dev/null; docker inspect -f '{{.State.Status}}' one; docker run --rm committed cat /file; docker rmi committed > /dev/null", "running\nkept");
}

fn export_and_import(docker: &Session) {
    docker.ok("docker run --name one busybox sh -c 'echo kept > /file'; docker export one | docker import -c 'ENV PATH=/bin' - imported");
    docker.prints("docker run --rm imported cat /file; docker rmi imported > /dev/null", "kept");
}

fn save_and_load(docker: &Session) {
    docker.ok("docker run --name one busybox sh -c 'echo kept > /file'; docker commit one saved; docker save -o saved.tar saved; docker rm one; docker rmi saved");
    docker.fails("docker run --rm --pull never saved true", 125, "saved");
    docker.prints(
        "docker load -q -i saved.tar; docker run --rm saved cat /file; docker rmi saved > /dev/null",
        "Loaded image: saved:latest\nkept",
    );
}

fn history(docker: &Session) {
    docker.ok("docker run --name one busybox touch /file; docker commit -m 'with a file' one committed");
    docker.prints(
        "docker history --format '{{.Comment}}' committed | sed -n 1p; docker rmi committed > /dev/null",
        "with a file",
    );
}
