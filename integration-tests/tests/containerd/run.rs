//! `ctr run`: a container from its begin to its end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use integration_tests::containerd::Containerd;
use integration_tests::harness::Need;
use integration_tests::lane::Lane;
use integration_tests::scene::Scene;
use integration_tests::terminal::Pty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const NATIVE: Need = Need::Lane(Lane::Native);

integration_tests::containerd_tests! {
    output_and_status [NATIVE],
    standard_input_and_its_end [NATIVE],
    who_where_and_what_environment [NATIVE],
    a_root_filesystem_that_is_read_only [NATIVE],
    a_mount [NATIVE],
    a_program_that_is_not_there [NATIVE],
    a_terminal [NATIVE],
    output_to_a_file [NATIVE],
    output_to_a_program [NATIVE],
    a_shim_by_its_path [NATIVE],
}

fn output_and_status(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let printed = containerd.run(&[], &["sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((printed.status.code(), printed.out().as_str(), printed.err().as_str()), (Some(3), "out\n", "err\n"));
    assert_eq!(containerd.run(&[], &["true"]).status.code(), Some(0));
    // As pid 1 it would not be killed by itself.
    let killed = containerd.run(&[], &["sh", "-c", "sh -c 'kill -KILL $$'; exit $?"]);
    assert_eq!(killed.status.code(), Some(137), "{killed:?}");
    containerd.end();
}

fn standard_input_and_its_end(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let id = scene.id();
    let words = containerd.run_words(&["--rm"], &id, &["sh", "-c", "cat; echo the end; exit 3"]);
    let printed = containerd.typed(&words, "a line");
    assert_eq!((printed.status.code(), printed.out().as_str()), (Some(3), "a line\nthe end\n"), "{printed:?}");
    containerd.end();
}

fn who_where_and_what_environment(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let flags = ["--cwd", "/tmp", "--env", "ONE=1", "--env", "TWO=a b", "--user", "1000:7"];
    // Only the newer ctr has --user.
    let flags = if containerd.is_2() { &flags[..] } else { &flags[..6] };
    let said = containerd.sh(flags, "pwd; echo $ONE $TWO; id -u; id -g; hostname | wc -l");
    let who = if containerd.is_2() { "1000\n7\n" } else { "0\n0\n" };
    assert_eq!(said, format!("/tmp\n1 a b\n{who}1\n"));
    containerd.end();
}

fn a_root_filesystem_that_is_read_only(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let printed = containerd.run(&["--read-only"], &["sh", "-c", "echo x > /x"]);
    assert_eq!(printed.status.code(), Some(1), "{printed:?}");
    assert!(printed.err().contains("Read-only file system"), "{printed:?}");
    assert_eq!(containerd.sh(&[], "echo x > /x; cat /x"), "x\n");
    containerd.end();
}

fn a_mount(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let source = scene.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "of the host\n").unwrap();
    let bind = |options| format!("type=bind,src={},dst=/tmp/there,options={options}", source.display());
    let (read_only, writable) = (bind("rbind:ro"), bind("rbind:rw"));
    let said = containerd.sh(&["--mount", &read_only], "cat /tmp/there/file; echo x 2>&1 > /tmp/there/new || echo no");
    assert!(said.starts_with("of the host\n") && said.ends_with("no\n"), "{said:?}");
    containerd.sh(&["--mount", &writable], "echo from inside > /tmp/there/new");
    assert_eq!(fs::read_to_string(source.join("new")).unwrap(), "from inside\n");
    containerd.end();
}

fn a_program_that_is_not_there(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    for flags in [&[][..], &["--detach"]] {
        let id = scene.id();
        let printed = containerd.try_ctr(&containerd.run_words(flags, &id, &["there-is-none"]));
        assert!(!printed.status.success(), "{printed:?}");
        let err = printed.err();
        // Engines look for both.
        assert!(err.contains("OCI runtime create failed: "), "{err}");
        assert!(err.contains("executable file not found"), "{err}");
        assert!(containerd.task(&id).is_none(), "{:?}", containerd.tasks());
        // ctr removes it, but for one that is detached.
        containerd.try_ctr(&["container", "delete", &id]);
    }
    containerd.end();
}

fn a_terminal(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let id = scene.id();
    let script = "tty; trap 'stty size > /size' WINCH; echo ready
        until read line; do :; done; echo got $line; exit 5";
    let words = containerd.run_words(&["--rm", "--tty"], &id, &["sh", "-c", script]);
    let mut pty = Pty::new();
    let mut command = containerd.command(&words);
    let mut ctr = command.stdin(pty.slave()).stdout(pty.slave()).stderr(pty.slave()).spawn().unwrap();
    let master = &mut pty.master;
    master.expect("/dev/pts/0");
    master.expect("ready");
    for (rows, columns) in [(30, 100), (40, 120)] {
        master.set_window(rows, columns);
        scene.wait_until("the container has the size of the window", || {
            // It is not ctr's controlling terminal, which would tell it; and it listens some time after the start.
            kill(Pid::from_raw(ctr.id() as i32), Signal::SIGWINCH).unwrap();
            sleep(Duration::from_millis(50));
            fs::read_to_string(containerd.bundle.rootfs("size")).is_ok_and(|size| size == format!("{rows} {columns}\n"))
        });
    }
    master.type_in("a line\r");
    master.expect("got a line");
    assert_eq!(ctr.wait().unwrap().code(), Some(5));
    containerd.end();
}

fn output_to_a_file(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let log = scene.path("out.log");
    let uri = format!("file://{}", log.display());
    let id = containerd.detached(&["--log-uri", &uri], &["sh", "-c", "echo out; echo err >&2"]);
    containerd.wait_status(&id, "STOPPED");
    assert_eq!(containerd.delete(&id), 0);
    let mut lines: Vec<String> = fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "out"]);
    // All of it is there. (Debian's ctr itself closes its FIFOs too early now and then, whatever shim it is.)
    let script = "i=0; while [ $i -lt 20000 ]; do echo 0123456789012345678901234567890; i=$((i+1)); done";
    let id = containerd.detached(&["--log-uri", &uri], &["sh", "-c", script]);
    containerd.wait_status(&id, "STOPPED");
    assert_eq!(containerd.delete(&id), 0);
    assert_eq!(fs::read_to_string(&log).unwrap().len(), 8 + 20_000 * 32);
    containerd.end();
}

/// A logging driver: descriptors 3 and 4 are what the container prints, and 5 is closed when it is ready.
fn output_to_a_program(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let driver = scene.path("driver");
    let script = format!(
        "#!/bin/sh\nexec 5>&-\n(cat <&3; echo $CONTAINER_ID $CONTAINER_NAMESPACE $1=$2) > {0}/out & cat <&4 > {0}/err\nwait\n",
        scene.path("").display()
    );
    fs::write(&driver, script).unwrap();
    fs::set_permissions(&driver, fs::Permissions::from_mode(0o755)).unwrap();
    let uri = format!("binary://{}?key=value", driver.display());
    let id = containerd.detached(&["--log-uri", &uri], &["sh", "-c", "echo out; echo err >&2"]);
    containerd.wait_status(&id, "STOPPED");
    assert_eq!(containerd.delete(&id), 0);
    assert_eq!(fs::read_to_string(scene.path("out")).unwrap(), format!("out\n{id} planc-tests key=value\n"));
    assert_eq!(fs::read_to_string(scene.path("err")).unwrap(), "err\n");
    containerd.end();
}

fn a_shim_by_its_path(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let id = scene.id();
    let shim = scene.runtime.path.to_str().unwrap();
    let mut words = containerd.run_words(&["--rm"], &id, &["echo", "by its path"]);
    let name = words.iter_mut().find(|word| **word == containerd.runtime_type()).unwrap();
    *name = shim;
    let printed = containerd.try_ctr(&words);
    assert_eq!(printed.out(), "by its path\n", "{printed:?}");
    containerd.end();
}
