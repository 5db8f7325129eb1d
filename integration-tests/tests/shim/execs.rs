//! Processes that are added to a container: their lives, and what is refused.

use containerd_shim_protos::api::{ExecProcessRequest, Status};
use containerd_shim_protos::protobuf::MessageField;
use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::scene::Scene;
use integration_tests::shim::client::Code;
use integration_tests::shim::task::{SIGKILL, Streams, shell};
use integration_tests::shim::{Engine, any};
use serde_json::json;

integration_tests::tests! {
    exit_statuses,
    a_name_is_taken_once,
    a_name_is_free_after_delete,
    adding_runs_nothing,
    delete_of_what_was_not_started,
    start_twice_is_refused,
    start_after_the_end_of_the_container_is_refused,
    adding_after_the_end_is_of_no_use,
    a_program_that_is_not_there,
    a_program_that_may_not_be_run,
    a_process_that_is_no_json_is_refused [Need::Planc],
    its_environment_and_user_are_its_own,
    it_ends_with_the_container,
    many_at_once,
    its_end_leaves_the_container,
    kill_ends_one_process_only,
    the_umask_and_directory_of_the_shim_are_not_its_own,
}

fn exit_statuses(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    for (name, script, status) in
        [("zero", "exit 0", 0), ("one", "exit 1", 1), ("most", "exit 255", 255), ("signal", "kill -15 $$", 143)]
    {
        assert_eq!(task.run(name, script), status, "{script}");
        assert_eq!(task.expect(&format!("exit {name} {status}")).status, status);
    }
    task.end();
}

fn a_name_is_taken_once(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.add("twice", "exit 0");
    let failure = task.add_with("twice", "exit 1", &Streams::default()).unwrap_err();
    failure.is(Code::ALREADY_EXISTS, "id twice");
    assert_eq!(task.client.start(&task.id, "twice").map(|_| ()), Ok(()));
    assert_eq!(task.wait("twice").exit_status, 0);
    task.add_with("twice", "exit 1", &Streams::default()).unwrap_err().is(Code::ALREADY_EXISTS, "twice");
    task.end();
}

fn a_name_is_free_after_delete(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    for status in 0..3 {
        assert_eq!(task.run("again", &format!("exit {status}")), status);
        task.client.state(&task.id, "again").unwrap_err();
    }
    task.end();
}

fn adding_runs_nothing(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.add("e", "sleep 1000");
    task.expect("exec-added e");
    assert_eq!(task.status("e"), Status::CREATED);
    assert_eq!(task.client.pids(&task.id).unwrap().len(), 1);
    task.end();
    assert!(!task.words().iter().any(|words| words.starts_with("exec-started") || words.starts_with("exit e")));
}

fn delete_of_what_was_not_started(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.add("e", "exit 0");
    task.client.delete(&task.id, "e").unwrap();
    task.client.state(&task.id, "e").unwrap_err();
    task.add("e", "exit 0");
    task.end();
}

fn start_twice_is_refused(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.add("e", "sleep 1000");
    let pid = task.client.start(&task.id, "e").unwrap();
    task.client.start(&task.id, "e").unwrap_err();
    assert!(process::runs(pid));
    task.client.kill(&task.id, "e", SIGKILL, false).unwrap();
    task.wait("e");
    task.client.start(&task.id, "e").unwrap_err();
    task.client.delete(&task.id, "e").unwrap();
    task.end();
}

/// Its start would be in vain, and its exit would come after the end of all exits.
fn start_after_the_end_of_the_container_is_refused(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.add("e", "exit 0");
    task.kill();
    task.expect("exit 137");
    let failure = task.client.start(&task.id, "e").unwrap_err();
    if scene.runtime.kind == integration_tests::runtime::Kind::Planc {
        failure.is(Code::FAILED_PRECONDITION, &format!("container {} init process is not running", task.id));
    }
    task.delete();
    task.shutdown();
    assert_eq!(task.words(), ["create", "start", "exec-added e", "exit 137", "delete 137"]);
}

fn adding_after_the_end_is_of_no_use(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.kill();
    let added = task.add_with("e", "exit 0", &Streams::default());
    added.and_then(|()| task.client.start(&task.id, "e")).unwrap_err();
    task.delete();
    task.shutdown();
}

/// Docker and Kubernetes match the text (exit codes 126 and 127).
fn a_program_that_is_not_there(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    for (name, program, text) in [
        ("path", "/not/there", "/not/there\": stat /not/there: no such file or directory"),
        ("name", "not-there", "exec: \"not-there\": executable file not found in $PATH"),
    ] {
        let mut process = shell("", false);
        process["args"] = json!([program]);
        task.add_process(name, &process, &Streams::default()).unwrap();
        let failure = task.client.start(&task.id, name).unwrap_err();
        assert!(failure.message.contains("OCI runtime exec failed: "), "{failure:?}");
        let text = text.rsplit(": ").next().unwrap();
        assert!(failure.message.contains(program) && failure.message.contains(text), "{failure:?}");
        task.client.delete(&task.id, name).unwrap();
    }
    assert_eq!(task.run("e", "exit 0"), 0);
    task.end();
    let words = task.words();
    assert!(!words.iter().any(|words| words == "exec-started path"), "{words:?}");
}

fn a_program_that_may_not_be_run(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let mut process = shell("", false);
    process["args"] = json!(["/etc/passwd"]);
    task.add_process("e", &process, &Streams::default()).unwrap();
    let failure = task.client.start(&task.id, "e").unwrap_err();
    assert!(failure.message.contains("permission denied"), "{failure:?}");
    task.client.delete(&task.id, "e").unwrap();
    task.end();
}

/// The Go shim 1.6 finds out when it starts it.
fn a_process_that_is_no_json_is_refused(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    for text in ["", "{", "[]", "{\"args\": 7}"] {
        let spec = any("types.containerd.io/opencontainers/runtime-spec/1/Process", text.into());
        let spec = MessageField::some(spec);
        let request = ExecProcessRequest { id: task.id.clone(), exec_id: "e".to_owned(), spec, ..Default::default() };
        let refused = task.client.exec(&request).and_then(|()| task.client.start(&task.id, "e").map(|_| ()));
        refused.unwrap_err();
        let _ = task.client.delete(&task.id, "e");
    }
    assert_eq!(task.run("e", "exit 0"), 0);
    task.end();
}

fn its_environment_and_user_are_its_own(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let mut process = shell("[ $(id -u):$(id -g):$PWD:$X = 1000:1001:/tmp:y ]", false);
    process["user"] = json!({"uid": 1000, "gid": 1001});
    process["cwd"] = json!("/tmp");
    process["env"].as_array_mut().unwrap().push(json!("X=y"));
    task.add_process("e", &process, &Streams::default()).unwrap();
    task.client.start(&task.id, "e").unwrap();
    assert_eq!(task.wait("e").exit_status, 0);
    task.end();
}

fn it_ends_with_the_container(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.add("e", "sleep 1000");
    let pid = task.client.start(&task.id, "e").unwrap();
    task.kill();
    assert_eq!(task.wait("e").exit_status, 137);
    assert!(!process::runs(pid));
    task.expect("exit e 137");
    task.client.delete(&task.id, "e").unwrap();
    task.delete();
    task.shutdown();
}

fn many_at_once(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let names: Vec<String> = (0..16).map(|number| format!("e{number}")).collect();
    std::thread::scope(|scope| {
        for (number, name) in names.iter().enumerate() {
            let client = task.client.clone();
            let task = &task;
            let request_name = name.clone();
            task.add(name, &format!("sleep 0.2; exit {number}"));
            let id = task.id.clone();
            scope.spawn(move || {
                client.start(&id, &request_name).unwrap();
                assert_eq!(client.wait(&id, &request_name).unwrap().exit_status as usize, number);
                client.delete(&id, &request_name).unwrap();
            });
        }
    });
    assert_eq!(task.client.pids(&task.id).unwrap().len(), 1);
    task.end();
}

fn its_end_leaves_the_container(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let waiting = task.waiting("");
    assert_eq!(task.run("e", "exit 0"), 0);
    waiting.recv_timeout(std::time::Duration::from_millis(300)).unwrap_err();
    assert_eq!(task.status(""), Status::RUNNING);
    task.end();
}

fn kill_ends_one_process_only(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    for name in ["a", "b"] {
        task.add(name, "sleep 1000");
    }
    let pids = ["a", "b"].map(|name| task.client.start(&task.id, name).unwrap());
    task.client.kill(&task.id, "a", SIGKILL, false).unwrap();
    assert_eq!(task.wait("a").exit_status, 137);
    assert!(!process::runs(pids[0]) && process::runs(pids[1]));
    assert_eq!((task.status("b"), task.status("")), (Status::RUNNING, Status::RUNNING));
    task.end();
}

/// What is the shim's own (a directory, a umask, ignored signals) is not what a container gets.
fn the_umask_and_directory_of_the_shim_are_not_its_own(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    assert_eq!(task.run("e", "[ $(umask) = 0022 ] || exit 2; [ $PWD = / ] || exit 3"), 0);
    // A shell ignores some signals by itself.
    let mut process = shell("", false);
    process["args"] = json!(["/bin/sleep", "1000"]);
    task.add_process("f", &process, &Streams::default()).unwrap();
    let pids = [task.client.state(&task.id, "").unwrap().pid, task.client.start(&task.id, "f").unwrap()];
    // What was ignored before the shim (nohup) is ignored by it; Rust's standard library ignores SIGPIPE for itself.
    let signals = |pid: &str, key: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        u64::from_str_radix(&process::status_line(&status, key).unwrap(), 16).unwrap()
    };
    let ignored = signals("self", "SigIgn") & !(1 << (13 - 1));
    for pid in pids {
        scene.wait_until("it is the program", || process::stat(pid).unwrap().name == "sleep");
        // Signals from 32 on are libraries' own: Go's has one of them ignored.
        assert_eq!(signals(&pid.to_string(), "SigIgn") & !ignored & 0x7fff_ffff, 0);
        assert_eq!(signals(&pid.to_string(), "SigBlk"), 0);
    }
    task.end();
}
