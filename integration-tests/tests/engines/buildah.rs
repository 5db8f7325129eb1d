//! What people do with Buildah.

use integration_tests::engines::session::Session;
use integration_tests::terminal::Pty;

integration_tests::scenarios! {
    built,
    built_in_stages,
    built_by_a_user,
    built_by_another_runtime,
    a_build_that_fails,
    a_program_that_is_not_there,
    from_run_and_commit,
    copied,
    mounts,
    mount_of_a_cache,
    environment_and_directory,
    capabilities,
    status,
    terminal,
    user_namespace,
}

/// Writes a Dockerfile into a folder of its own, and builds it.
#[track_caller]
fn build(buildah: &Session, name: &str, lines: &[&str]) {
    buildah.ok(&format!(
        "mkdir {name}; echo copied > {name}/file; cat > {name}/Dockerfile <<'end'\n{}\nend",
        lines.join("\n")
    ));
    buildah.ok(&format!("buildah build -q --network none -t {name} {name}"));
}

/// What a file of the image holds.
fn file(name: &str, path: &str) -> String {
    format!("cat $(buildah mount $(buildah from {name})){path}")
}

fn built(buildah: &Session) {
    build(
        buildah,
        "simple",
        &["FROM localhost/busybox", "COPY file /etc/", "RUN cat /etc/file > /etc/made && id -u >> /etc/made"],
    );
    buildah.prints(&file("simple", "/etc/made"), "copied\n0");
}

fn built_in_stages(buildah: &Session) {
    let first = ["FROM localhost/busybox AS first", "RUN mkdir /out && echo x > /out/file"];
    build(buildah, "stages", &[&first[..], &["FROM localhost/busybox", "COPY --from=first /out /in"]].concat());
    buildah.prints(&file("stages", "/in/file"), "x");
}

fn built_by_a_user(buildah: &Session) {
    build(
        buildah,
        "person",
        &["FROM localhost/busybox", "USER user", "WORKDIR /home/user", "RUN id -un > who && pwd >> who"],
    );
    buildah.prints(&file("person", "/home/user/who"), "user\n/home/user");
}

fn built_by_another_runtime(buildah: &Session) {
    buildah.ok("mkdir wrong; printf 'FROM localhost/busybox\\nRUN true\\n' > wrong/Dockerfile");
    let printed = buildah.sh("buildah build --runtime /bin/false --network none wrong");
    assert!(!printed.status.success(), "{printed:?}");
    buildah.ok("BUILDAH_RUNTIME= buildah build --runtime $RUNTIME --network none wrong");
}

fn a_build_that_fails(buildah: &Session) {
    buildah.ok("mkdir fails; printf 'FROM localhost/busybox\\nRUN echo why >&2; exit 9\\n' > fails/Dockerfile");
    buildah.fails("buildah build --network none fails", 9, "why");
}

fn a_program_that_is_not_there(buildah: &Session) {
    let name = buildah.ok("buildah from localhost/busybox");
    buildah.fails(&format!("buildah run --network none {name} there-is-none"), 1, "executable file");
}

fn from_run_and_commit(buildah: &Session) {
    buildah.ok("buildah from --name work localhost/busybox && buildah run --network none work sh -c 'echo x > /file'");
    buildah.ok("buildah commit -q work result");
    buildah.prints(&file("result", "/file"), "x");
}

fn copied(buildah: &Session) {
    buildah
        .ok("buildah from --name work localhost/busybox && echo x > copied && buildah copy -q work copied /etc/copied");
    buildah.prints("buildah run --network none work cat /etc/copied", "x");
}

fn mounts(buildah: &Session) {
    buildah.ok("buildah from --name work localhost/busybox && mkdir source && echo x > source/file");
    buildah.prints(
        "buildah run --network none --mount type=bind,source=$HOME/source,target=/data work cat /data/file",
        "x",
    );
    buildah.prints(
        "buildah run --network none -v $HOME/source:/data:ro work sh -c 'touch /data/y 2> /dev/null || echo ro'",
        "ro",
    );
    buildah.prints("buildah run --network none --mount type=tmpfs,destination=/data work sh -c 'grep -c \" /data tmpfs\" /proc/mounts'", "1");
}

fn mount_of_a_cache(buildah: &Session) {
    let cached = "RUN --mount=type=cache,target=/cache echo x >> /cache/file && wc -l < /cache/file > /lines";
    build(buildah, "cached", &["FROM localhost/busybox", cached, &format!("{cached}2")]);
    buildah.prints(&file("cached", "/lines2"), "2");
}

fn environment_and_directory(buildah: &Session) {
    buildah.ok("buildah from --name work localhost/busybox");
    buildah.prints(
        "buildah run --network none -e A=b --workingdir /var --user user work sh -c 'echo $A; pwd; id -un'",
        "b\n/var\nuser",
    );
}

fn capabilities(buildah: &Session) {
    buildah.ok("buildah from --name work localhost/busybox");
    buildah.fails(
        "buildah run --network none --cap-drop CAP_CHOWN work chown 1:1 /etc/passwd",
        1,
        "Operation not permitted",
    );
    buildah.ok("buildah run --network none work chown 1:1 /etc/passwd");
}

fn status(buildah: &Session) {
    buildah.ok("buildah from --name work localhost/busybox");
    buildah.fails("buildah run --network none work sh -c 'exit 7'", 7, "");
}

fn terminal(buildah: &Session) {
    buildah.ok("buildah from --name work localhost/busybox");
    let mut pty = Pty::new();
    let mut command = buildah.command("buildah run --network none --tty work sh");
    command.stdin(pty.slave()).stdout(pty.slave()).stderr(pty.slave());
    let mut child = command.spawn().unwrap();
    drop(command);
    pty.master.expect("/ # ");
    pty.master.type_in("echo $((6 * 7))th; test -t 0 && exit 5\n");
    pty.master.expect("42th");
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

fn user_namespace(buildah: &Session) {
    let ids = "--userns-uid-map 0:100000:5000 --userns-gid-map 0:100000:5000";
    buildah.ok(&format!("buildah from {ids} --name work localhost/busybox"));
    buildah.prints(
        "buildah run --network none work sh -c 'tr -s \" \" < /proc/self/uid_map; stat -c %u /etc/passwd'",
        " 0 100000 5000\n0",
    );
}
