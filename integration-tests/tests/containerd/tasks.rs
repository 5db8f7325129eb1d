//! `ctr task`: what is done with a container that runs.

use std::fs;
use std::path::Path;

use integration_tests::containerd::events::Events;
use integration_tests::containerd::{Containerd, shims};
use integration_tests::criu::WORKS as CRIU;
use integration_tests::harness::Need;
use integration_tests::lane::Lane;
use integration_tests::process;
use integration_tests::runtime::Kind;
use integration_tests::scene::Scene;
use integration_tests::shim::process::run;
use integration_tests::terminal::Pty;

const NATIVE: Need = Need::Lane(Lane::Native);

integration_tests::containerd_tests! {
    list_processes_kill_delete [NATIVE],
    statuses_of_the_ends [NATIVE],
    an_exec [NATIVE],
    an_exec_with_a_terminal [NATIVE],
    pause_and_resume [NATIVE],
    metrics [NATIVE],
    events_in_their_order [NATIVE],
    a_group_has_one_shim [NATIVE],
    a_checkpoint [CRIU],
}

fn list_processes_kill_delete(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let id = containerd.sleeping(&[]);
    let listed = containerd.task(&id).unwrap();
    assert_eq!(listed.status, "RUNNING");
    assert!(process::runs(listed.pid));
    let processes = containerd.ctr(&["task", "ps", &id]);
    let pids: Vec<&str> = processes.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(pids, [listed.pid.to_string()], "{processes}");
    // What runs is not deleted.
    let refused = containerd.try_ctr(&["task", "delete", &id]);
    assert!(!refused.status.success() && refused.err().contains("stopped"), "{refused:?}");
    assert_eq!(containerd.stop(&id), 137);
    assert!(containerd.tasks().is_empty());
    containerd.end();
}

fn statuses_of_the_ends(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    for (script, status) in [("exit 0", 0), ("exit 3", 3), ("exit 255", 255)] {
        let id = containerd.detached(&[], &["sh", "-c", script]);
        containerd.wait_status(&id, "STOPPED");
        assert_eq!(containerd.delete(&id), status, "{script}");
    }
    let id = containerd.detached(&[], &["sh", "-c", "trap 'exit 9' TERM; echo; sleep 1000 & wait"]);
    let pid = containerd.task(&id).unwrap().pid;
    let has_a_trap =
        || fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).is_ok_and(|text| !text.is_empty());
    scene.wait_until("its trap is set", has_a_trap);
    containerd.ctr(&["task", "kill", &id]);
    containerd.wait_status(&id, "STOPPED");
    assert_eq!(containerd.delete(&id), 9);
    containerd.end();
}

fn an_exec(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let id = containerd.sleeping(&["--env", "OF=container"]);
    let printed = containerd.exec(&id, &["--cwd", "/tmp"], &["sh", "-c", "pwd; echo $OF; echo err >&2; exit 3"]);
    let said = (printed.status.code(), printed.out(), printed.err());
    assert_eq!(said, (Some(3), "/tmp\ncontainer\n".to_owned(), "err\n".to_owned()));
    let missing = containerd.exec(&id, &[], &["there-is-none"]);
    assert!(!missing.status.success(), "{missing:?}");
    assert!(missing.err().contains("OCI runtime exec failed: "), "{missing:?}");
    assert!(missing.err().contains("executable file not found"), "{missing:?}");
    let exec = scene.id();
    let typed = containerd.typed(&["task", "exec", "--exec-id", &exec, &id, "cat"], "a line");
    assert_eq!(typed.ok().out(), "a line\n");
    for _ in 0..5 {
        assert_eq!(containerd.exec(&id, &[], &["true"]).ok().out(), "");
    }
    assert_eq!(containerd.stop(&id), 137);
    containerd.end();
}

fn an_exec_with_a_terminal(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let id = containerd.sleeping(&[]);
    let mut pty = Pty::new();
    let mut ctr = containerd.command(&["task", "exec", "--tty", "--exec-id", "terminal", &id, "sh"]);
    let mut ctr = ctr.stdin(pty.slave()).stdout(pty.slave()).stderr(pty.slave()).spawn().unwrap();
    // Before it is resized a terminal has no size, and busybox no complaint.
    pty.master.type_in("until stty size 2>&1 | grep '3[3] 77'; do sleep 0.1; done\r");
    pty.master.expect("33 77");
    pty.master.type_in("tty; exit 4\r");
    pty.master.expect("/dev/pts/0");
    assert_eq!(ctr.wait().unwrap().code(), Some(4), "{}", pty.master.seen());
    // As people do it in a script.
    let typescript = scene.path("typescript");
    let words = containerd.command(&["task", "exec", "-t", "--exec-id", "script", &id, "tty"]);
    let line = [words.get_program()].into_iter().chain(words.get_args()).map(|word| word.to_str().unwrap());
    let line = line.collect::<Vec<_>>().join(" ");
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--return", "--command", &line]).arg(&typescript);
    script.envs(words.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run(script, &[]).ok();
    assert!(fs::read_to_string(&typescript).unwrap().contains("/dev/pts/"));
    assert_eq!(containerd.stop(&id), 137);
    containerd.end();
}

fn pause_and_resume(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let id = containerd.sleeping(&[]);
    let frozen = process::cgroup(containerd.task(&id).unwrap().pid).join("cgroup.freeze");
    containerd.ctr(&["task", "pause", &id]);
    assert_eq!(containerd.task(&id).unwrap().status, "PAUSED");
    assert_eq!(fs::read_to_string(&frozen).unwrap(), "1\n");
    containerd.ctr(&["task", "resume", &id]);
    assert_eq!(containerd.task(&id).unwrap().status, "RUNNING");
    assert_eq!(fs::read_to_string(&frozen).unwrap(), "0\n");
    assert_eq!(containerd.exec(&id, &[], &["echo", "awake"]).ok().out(), "awake\n");
    assert_eq!(containerd.stop(&id), 137);
    containerd.end();
}

fn metrics(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let id = containerd.sleeping(&[]);
    let table = containerd.ctr(&["task", "metrics", &id]);
    let value = |key: &str| table.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
    assert!(table.contains(&id), "{table}");
    // Controllers or not, the cgroup tells of the processor's time.
    let told = value("cpu.usage_usec").is_some_and(|usec| usec > 0);
    // The older shim of runc tells nothing of a cgroup without controllers.
    assert!(told || scene.runtime.kind != Kind::Planc, "{table}");
    let json = containerd.ctr(&["task", "metrics", "--format", "json", &id]);
    serde_json::from_str::<serde_json::Value>(&json).unwrap();
    assert_eq!(containerd.stop(&id), 137);
    containerd.end();
}

fn events_in_their_order(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let events = Events::listen(&containerd);
    let id = containerd.sleeping(&[]);
    let pid = containerd.task(&id).unwrap().pid;
    containerd.exec(&id, &[], &["sh", "-c", "exit 6"]);
    containerd.ctr(&["task", "pause", &id]);
    containerd.ctr(&["task", "resume", &id]);
    containerd.stop(&id);
    let wanted = ["create", "start", "exec-added", "exec-started", "exit", "paused", "resumed", "exit", "delete"];
    if scene.runtime.kind == Kind::Planc {
        assert_eq!(events.topics_until(&id, "delete"), wanted);
    } else {
        // The shim of runc may end before it has told of the last one.
        scene.wait_until("the exit is told", || events.of(&id).len() >= wanted.len() - 1);
        assert_eq!(events.topics_until(&id, "exit")[..wanted.len() - 1], wanted[..wanted.len() - 1]);
    }
    let exits: Vec<_> = events.of(&id).into_iter().filter(|event| event.topic == "/tasks/exit").collect();
    assert_eq!([exits[0].get("exit_status"), exits[1].get("exit_status")], ["6", "137"]);
    assert_eq!((exits[1].get("id"), exits[1].get("pid")), (id.clone(), pid.to_string()));
    // One that ends at once has begun before.
    for _ in 0..5 {
        let id = containerd.detached(&[], &["true"]);
        assert_eq!(events.topics_until(&id, "exit"), ["create", "start", "exit"]);
        assert_eq!(containerd.delete(&id), 0);
    }
    drop(events);
    containerd.end();
}

fn a_group_has_one_shim(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let group = ["--annotation", "io.containerd.runc.v2.group=pod"];
    let [first, second] = [containerd.sleeping(&group), containerd.sleeping(&group)];
    let shim = shims();
    assert_eq!(shim.len(), 1, "{shim:?}");
    let alone = containerd.sleeping(&[]);
    assert_eq!(shims().len(), 2);
    // The one that made the shim ends first.
    assert_eq!(containerd.stop(&first), 137);
    assert!(process::runs(shim[0]));
    assert_eq!(containerd.exec(&second, &[], &["echo", "well"]).ok().out(), "well\n");
    assert_eq!(containerd.stop(&alone), 137);
    let third = containerd.sleeping(&group);
    assert_eq!(shims(), shim);
    assert_eq!(containerd.stop(&second), 137);
    assert_eq!(containerd.stop(&third), 137);
    containerd.end();
}

fn a_checkpoint(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let id = containerd.sleeping(&[]);
    let (image, work) = (scene.path("image"), scene.path("work"));
    fs::create_dir(&work).unwrap();
    let (image, work) = (image.to_str().unwrap(), work.to_str().unwrap());
    containerd.ctr(&["task", "checkpoint", "--image-path", image, "--work-path", work, &id]);
    assert!(Path::new(image).join("inventory.img").exists());
    assert_eq!(containerd.task(&id).unwrap().status, "RUNNING");
    assert_eq!(containerd.stop(&id), 137);
    containerd.end();
}
