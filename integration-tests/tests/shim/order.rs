//! Events: what each says, in which order they come, and that none is lost or doubled.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use containerd_shim_protos::events::task::TaskCreate;
use integration_tests::harness::{Need, cycles};
use integration_tests::lane::Lane;
use integration_tests::runtime::Kind;
use integration_tests::scene::Scene;
use integration_tests::shim::events::Event;
use integration_tests::shim::task::{SIGKILL, Streams, Task};
use integration_tests::shim::{Engine, NAMESPACE};
use serde_json::json;

integration_tests::tests! {
    envelopes,
    create_tells_the_request,
    an_init_that_ends_at_once,
    a_thousand_fast_exits,
    exits_of_processes_come_before_that_of_the_first [Need::Planc],
    exits_come_before_that_of_a_first_that_ends_by_itself [Need::Planc],
    exits_without_a_pid_namespace [Need::Planc],
    starts_race_with_the_end,
    an_oom_comes_before_the_exit [MEMORY, Need::Planc],
    an_oom_of_another_process [MEMORY],
    nothing_is_lost_while_nobody_listens [Need::Planc],
    nothing_is_lost_while_nobody_answers [Need::Planc],
    nobody_waits_for_who_does_not_answer,
}

/// The lane with a memory controller.
const MEMORY: Need = Need::Lane(Lane::Uml);

fn envelopes(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.client.pause(&task.id).unwrap();
    task.client.resume(&task.id).unwrap();
    let pid = task.client.state(&task.id, "").unwrap().pid;
    task.add("e", "exit 3");
    let exec = task.client.start(&task.id, "e").unwrap();
    task.wait("e");
    task.expect("exit e 3");
    task.end();
    let events = engine.events.all();
    let expected = [
        ("/tasks/create", "TaskCreate", pid),
        ("/tasks/start", "TaskStart", pid),
        ("/tasks/paused", "TaskPaused", 0),
        ("/tasks/resumed", "TaskResumed", 0),
        ("/tasks/exec-added", "TaskExecAdded", 0),
        ("/tasks/exec-started", "TaskExecStarted", exec),
        ("/tasks/exit", "TaskExit", exec),
        ("/tasks/exit", "TaskExit", pid),
        ("/tasks/delete", "TaskDelete", pid),
    ];
    let seen: Vec<_> = events.iter().map(|it| (it.topic.as_str(), it.type_url.as_str(), it.pid)).collect();
    assert_eq!(
        seen,
        expected
            .map(|(topic, name, pid)| (topic, format!("containerd.events.{name}"), pid))
            .each_ref()
            .map(|(topic, name, pid)| (*topic, name.as_str(), *pid))
    );
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i128;
    for event in &events {
        assert_eq!((event.namespace.as_str(), event.container.as_str()), (NAMESPACE, task.id.as_str()));
        assert!(event.stamp <= now && event.stamp > now - 600_000_000_000, "{event:?}");
    }
    assert!(events.windows(2).all(|two| two[0].stamp <= two[1].stamp), "stamps go back: {events:?}");
    // The exit of the first process names the container, of another one the process.
    let exits: Vec<String> = events.iter().filter(|event| event.topic == "/tasks/exit").map(exit_id).collect();
    assert_eq!(exits, ["e", &task.id]);
}

fn exit_id(event: &Event) -> String {
    event.decode::<containerd_shim_protos::events::task::TaskExit>().id
}

fn create_tells_the_request(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    let output = format!("file://{}", scene.path("output").display());
    let pid = task.create_with(&Streams { stdout: output.clone(), stderr: output.clone(), ..Streams::default() });
    let event: TaskCreate = task.expect("create").decode();
    assert_eq!((event.pid, event.bundle.as_str()), (pid, task.bundle.to_str().unwrap()));
    assert_eq!((event.io.stdout.as_str(), event.io.stdin.as_str(), event.io.terminal), (output.as_str(), "", false));
    assert_eq!((event.checkpoint.as_str(), event.rootfs.len()), ("", 0));
    task.start();
    task.end();
}

fn an_init_that_ends_at_once(scene: &Scene) {
    let engine = Engine::new(scene);
    let group = scene.id();
    for _ in 0..cycles(20) {
        let mut bundle = engine.bundle();
        bundle.args(&["/bin/true"]).set("/annotations", json!({"io.containerd.runc.v2.group": group}));
        let task = engine.running(&bundle);
        assert_eq!(task.wait("").exit_status, 0);
        task.delete();
        task.expect("delete 0");
        assert_eq!(task.words(), ["create", "start", "exit 0", "delete 0"]);
    }
    end_of_group(&engine, &group);
}

/// The shim of a group without containers.
fn end_of_group(engine: &Engine<'_>, group: &str) {
    let mut bundle = engine.bundle();
    bundle.set("/annotations", json!({"io.containerd.runc.v2.group": group}));
    engine.task(&bundle).shutdown();
}

/// Each start comes before its exit, none is lost, none is doubled.
fn a_thousand_fast_exits(scene: &Scene) {
    const AT_ONCE: usize = 4;
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let usual = if scene.runtime.kind == Kind::Planc && Lane::current() == Lane::Native { 1000 } else { 100 };
    let each = cycles(usual) / AT_ONCE;
    let pids = thread::scope(|scope| {
        let task = &task;
        let threads: Vec<_> = (0..AT_ONCE).map(|thread| scope.spawn(move || burst(task, thread, each))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<BTreeMap<_, _>>()
    });
    assert_eq!(pids.len(), each * AT_ONCE);
    task.end();
    let events = engine.events.of(&task.id);
    let mut of_each: BTreeMap<&str, Vec<(&str, u32, u32)>> = BTreeMap::new();
    for event in events.iter().filter(|event| !event.exec.is_empty()) {
        of_each.entry(&event.exec).or_default().push((&event.topic, event.pid, event.status));
    }
    assert_eq!(of_each.len(), pids.len());
    for (exec, seen) in of_each {
        let pid = pids[exec];
        let expected = [("/tasks/exec-added", 0, 0), ("/tasks/exec-started", pid, 0), ("/tasks/exit", pid, 0)];
        assert_eq!(seen, expected, "{exec}");
    }
    assert!(events.windows(2).all(|two| two[0].stamp <= two[1].stamp), "stamps go back");
}

fn burst(task: &Task<'_, '_>, thread: usize, count: usize) -> Vec<(String, u32)> {
    let mut process = integration_tests::shim::task::shell("", false);
    process["args"] = json!(["/bin/true"]);
    let one = |number| {
        let name = format!("e{thread}-{number}");
        task.add_process(&name, &process, &Streams::default()).unwrap();
        let pid = task.client.start(&task.id, &name).unwrap();
        assert_eq!(task.wait(&name).exit_status, 0);
        task.client.delete(&task.id, &name).unwrap();
        (name, pid)
    };
    (0..count).map(one).collect()
}

/// Ten sleeping processes; their names.
fn sleepers(task: &Task<'_, '_>) -> Vec<String> {
    let names: Vec<String> = (0..10).map(|number| format!("e{number}")).collect();
    for name in &names {
        task.add(name, "sleep 1000");
        task.client.start(&task.id, name).unwrap();
    }
    names
}

/// The exits of `names` are there, once each, and before the first process's, which is the last of all.
#[track_caller]
fn assert_last(task: &Task<'_, '_>, names: &[String], status: u32) {
    task.expect(&format!("exit {status}"));
    let exits: Vec<String> = task.words().into_iter().filter(|words| words.starts_with("exit ")).collect();
    assert_eq!(exits.last().unwrap(), &format!("exit {status}"), "{exits:?}");
    let mut before = exits[..exits.len() - 1].to_vec();
    before.sort();
    assert_eq!(before, names.iter().map(|name| format!("exit {name} 137")).collect::<Vec<_>>());
}

/// Moby and CRI take the exit of the first process for the end of all. The Go shim learnt that with 1.6.36.
fn exits_of_processes_come_before_that_of_the_first(scene: &Scene) {
    let engine = Engine::new(scene);
    for _ in 0..5 {
        let task = engine.running(&engine.bundle());
        let names = sleepers(&task);
        task.client.kill(&task.id, "", SIGKILL, false).unwrap();
        assert_last(&task, &names, 137);
        task.ended();
    }
}

fn exits_come_before_that_of_a_first_that_ends_by_itself(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.sh("until [ -e /dev/end ]; do sleep 0.05; done; exit 6"));
    let names = sleepers(&task);
    task.add("z", "touch /dev/end; sleep 1000");
    task.client.start(&task.id, "z").unwrap();
    assert_last(&task, &[&names[..], &["z".to_owned()]].concat(), 6);
    task.ended();
}

/// Nobody kills the others with the first one there, but who runs the container.
fn exits_without_a_pid_namespace(scene: &Scene) {
    let engine = Engine::new(scene);
    let mut bundle = engine.bundle();
    bundle.namespace("pid", None);
    let task = engine.running(&bundle);
    let names = sleepers(&task);
    task.client.kill(&task.id, "", SIGKILL, false).unwrap();
    assert_last(&task, &names, 137);
    task.ended();
}

/// Whoever is started while the container ends either was never started, or has an exit; and none comes after the last.
fn starts_race_with_the_end(scene: &Scene) {
    let engine = Engine::new(scene);
    for round in 0..cycles(5) {
        let task = engine.running(&engine.bundle());
        let names: Vec<String> = (0..8).map(|number| format!("e{number}")).collect();
        names.iter().for_each(|name| task.add(name, "sleep 1000"));
        let started: Vec<bool> = thread::scope(|scope| {
            let task = &task;
            let start = |name: &String| {
                let name = name.clone();
                scope.spawn(move || task.client.start(&task.id, &name).is_ok())
            };
            let starts: Vec<_> = names.iter().map(start).collect();
            thread::sleep(Duration::from_millis(15 * round as u64));
            task.client.kill(&task.id, "", SIGKILL, false).unwrap();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        task.wait("");
        task.expect("exit 137");
        for (name, started) in names.iter().zip(started) {
            if started {
                assert_eq!(task.wait(name).exit_status, 137, "{name}");
                task.expect(&format!("exit {name} 137"));
            }
        }
        task.ended();
        let words = task.words();
        for name in &names {
            let at = |word: String| words.iter().position(|words| *words == word);
            let (start, exit) = (at(format!("exec-started {name}")), at(format!("exit {name} 137")));
            assert!(start.is_some() == exit.is_some() && start <= exit, "{name}: {words:?}");
            if scene.runtime.kind == Kind::Planc {
                assert!(exit < at("exit 137".to_owned()), "{name}: {words:?}");
            }
        }
    }
}

/// Takes more memory than there is.
const GLUTTON: [&str; 5] = ["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"];

/// Who reads them in order takes the end for an error of the program otherwise. The Go shim learnt that with 2.3.
fn an_oom_comes_before_the_exit(scene: &Scene) {
    let engine = Engine::new(scene);
    for _ in 0..3 {
        let mut bundle = engine.bundle();
        bundle.args(&GLUTTON).set("/linux/resources/memory", json!({"limit": 40_000_000, "swap": 40_000_000}));
        let task = engine.running(&bundle);
        assert_eq!(task.wait("").exit_status, 137);
        task.ended();
        assert_eq!(task.words(), ["create", "start", "oom", "exit 137", "delete 137"]);
    }
}

fn an_oom_of_another_process(scene: &Scene) {
    let engine = Engine::new(scene);
    let mut bundle = engine.bundle();
    bundle.set("/linux/resources/memory", json!({"limit": 40_000_000, "swap": 40_000_000}));
    let task = engine.running(&bundle);
    assert_eq!(task.run("e", &GLUTTON.join(" ")), 137);
    task.expect("exit e 137");
    task.expect("oom");
    task.end();
    let words = task.words();
    assert_eq!(words.iter().filter(|words| *words == "oom").count(), 1, "{words:?}");
}

/// What a life of a task with processes says.
#[track_caller]
fn eventful(task: &Task<'_, '_>) -> Vec<String> {
    let mut expected = Vec::new();
    for number in 0..5 {
        let name = format!("e{number}");
        assert_eq!(task.run(&name, "exit 1"), 1);
        expected.extend([format!("exec-added {name}"), format!("exec-started {name}"), format!("exit {name} 1")]);
    }
    expected
}

/// containerd is restarted. The Go shim gives an event up after five tries within some seconds.
fn nothing_is_lost_while_nobody_listens(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let mut expected = vec!["create".to_owned(), "start".to_owned()];
    expected.extend(eventful(&task));
    task.expect("exit e4 1");
    for away in [0, 8] {
        engine.events.go_away();
        for words in eventful(&task) {
            let _ = task.client.delete(&task.id, "nobody");
            expected.push(words);
        }
        thread::sleep(Duration::from_secs(away));
        engine.events.come_back();
        let count = expected.len();
        let came = engine.events.wait(scene.soon() * 2, |events| events.len() >= count);
        assert!(came, "{:?}", task.words());
        assert_eq!(task.words(), expected);
    }
    expected.extend(["exit 137".to_owned(), "delete 137".to_owned()]);
    task.end();
    assert_eq!(task.words(), expected);
}

fn nothing_is_lost_while_nobody_answers(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.expect("start");
    let mut expected = vec!["create".to_owned(), "start".to_owned()];
    engine.events.fall_silent();
    expected.extend(eventful(&task));
    thread::sleep(Duration::from_secs(7));
    engine.events.come_back();
    let count = expected.len();
    engine.events.wait(scene.soon() * 2, |events| events.len() >= count);
    assert_eq!(task.words(), expected);
    task.end();
}

fn nobody_waits_for_who_does_not_answer(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    engine.events.fall_silent();
    let begin = Instant::now();
    eventful(&task);
    task.kill();
    let took = begin.elapsed();
    // The Go shim waits for five seconds for each answer.
    assert!(took < Duration::from_secs(4) * Lane::current().patience(), "{took:?}");
    engine.events.come_back();
    task.delete();
    task.shutdown();
}
