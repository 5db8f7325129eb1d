//! The streams of processes: fifos, files, logging programs, and none; readers that are late, gone, or never there.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use containerd_shim_protos::protobuf::MessageField;
use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::runtime::Kind;
use integration_tests::scene::Scene;
use integration_tests::shim::task::{Fifo, SIGKILL, Streams, Task};
use integration_tests::shim::{Engine, NAMESPACE, options};
use serde_json::json;

integration_tests::tests! {
    fifos,
    fifos_of_a_process,
    fifo_as_a_uri [Need::Planc],
    a_fifo_ends_with_the_process,
    all_of_a_long_output,
    a_late_reader [Need::Planc],
    a_reader_that_goes_away_and_comes_back,
    nobody_reads_and_nobody_else_waits,
    a_process_that_ends_before_its_output_is_read,
    input_and_its_end,
    input_of_a_process_and_its_end,
    input_that_is_longer_than_a_pipe,
    close_without_input,
    input_that_nobody_reads_blocks_nobody,
    no_streams_are_dev_null,
    a_stream_that_is_not_asked_for_is_dev_null [Need::Planc],
    much_output_to_nowhere,
    a_file,
    a_file_for_standard_output_only [Need::Planc],
    a_file_is_appended_to,
    a_file_in_a_folder_that_is_not_there,
    a_logging_program,
    a_logging_program_of_a_process,
    a_logging_program_that_is_not_there,
    a_logging_program_that_ends_before_it_is_ready [Need::Planc],
    a_logging_program_that_takes_its_time [Need::Planc],
    a_logging_program_that_does_not_end [Need::Planc],
    no_annotation_names_a_logging_program,
    an_unknown_scheme_is_refused,
    an_unknown_scheme_of_a_process_is_refused,
    a_child_that_keeps_the_output_delays_delete_for_a_while_only,
    a_child_that_keeps_the_output_of_the_first_process,
    streams_belong_to_the_user_of_the_options,
    what_has_a_name_keeps_its_owner,
}

/// Fifos of a process that reads nothing: both are read from the start.
struct Outputs {
    out: Fifo,
    err: Fifo,
}

impl Outputs {
    fn new(scene: &Scene, name: &str) -> Self {
        let fifo = |stream| Fifo::new(scene.path(&format!("{name}-{stream}")));
        Self { out: fifo("out"), err: fifo("err") }
    }

    fn read(mut self) -> Self {
        self.out.reads();
        self.err.reads();
        self
    }

    fn streams(&self) -> Streams {
        Streams { stdout: self.out.arg(), stderr: self.err.arg(), ..Streams::default() }
    }
}

/// Adds and starts a process with streams.
#[track_caller]
fn launch(task: &Task<'_, '_>, exec: &str, script: &str, streams: &Streams) -> u32 {
    task.add_with(exec, script, streams).unwrap();
    task.client.start(&task.id, exec).unwrap()
}

fn fifos(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.sh("echo to out; echo to err >&2; exit 3"));
    let mut outputs = Outputs::new(scene, "init").read();
    task.create_with(&outputs.streams());
    task.start();
    outputs.out.expect(scene.soon(), "to out\n");
    outputs.err.expect(scene.soon(), "to err\n");
    assert_eq!(task.wait("").exit_status, 3);
    assert_eq!((outputs.out.seen(), outputs.err.seen()), ("to out\n".to_owned(), "to err\n".to_owned()));
    task.ended();
}

fn fifos_of_a_process(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let mut outputs = Outputs::new(scene, "e").read();
    launch(&task, "e", "echo to out; echo to err >&2", &outputs.streams());
    task.wait("e");
    task.client.delete(&task.id, "e").unwrap();
    assert!(outputs.out.to_the_end(scene.soon()) && outputs.err.to_the_end(scene.soon()));
    assert_eq!((outputs.out.seen(), outputs.err.seen()), ("to out\n".to_owned(), "to err\n".to_owned()));
    task.end();
}

fn fifo_as_a_uri(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let mut outputs = Outputs::new(scene, "e").read();
    let stdout = format!("fifo://{}", outputs.out.arg());
    launch(&task, "e", "echo to out", &Streams { stdout, ..outputs.streams() });
    outputs.out.expect(scene.soon(), "to out\n");
    task.wait("e");
    task.client.delete(&task.id, "e").unwrap();
    task.end();
}

/// Who reads learns of the end at the latest when the process is deleted.
fn a_fifo_ends_with_the_process(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.sh("echo all"));
    let mut outputs = Outputs::new(scene, "init").read();
    task.create_with(&outputs.streams());
    task.start();
    task.wait("");
    task.delete();
    assert!(outputs.out.to_the_end(scene.soon()) && outputs.err.to_the_end(scene.soon()));
    assert_eq!(outputs.out.seen(), "all\n");
    task.shutdown();
}

fn all_of_a_long_output(scene: &Scene) {
    const SIZE: usize = 8 << 20;
    let engine = Engine::new(scene);
    let task = engine.task(&engine.sh(&format!("yes 0123456789abcde | head -c {SIZE}")));
    let mut outputs = Outputs::new(scene, "init").read();
    task.create_with(&outputs.streams());
    task.start();
    assert!(outputs.out.read_to(scene.soon() * 3, SIZE), "{}", outputs.out.count());
    task.wait("");
    task.delete();
    assert!(outputs.out.to_the_end(scene.soon()));
    assert_eq!(outputs.out.seen(), "0123456789abcde\n".repeat(SIZE / 16));
    task.shutdown();
}

/// Go's open of a fifo waits for a reader.
fn a_late_reader(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.sh("echo early"));
    let mut outputs = Outputs::new(scene, "init");
    task.create_with(&outputs.streams());
    task.start();
    task.wait("");
    outputs = outputs.read();
    outputs.out.expect(scene.soon(), "early\n");
    task.ended();
}

/// `docker attach` that ends, and another one: what was said in between is there, and nobody had a SIGPIPE.
fn a_reader_that_goes_away_and_comes_back(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let mut outputs = Outputs::new(scene, "e").read();
    let script =
        "echo one; until [ -e /dev/two ]; do sleep 0.05; done; echo two; echo three; touch /dev/three; sleep 1000";
    launch(&task, "e", script, &outputs.streams());
    outputs.out.expect(scene.soon(), "one\n");
    outputs.out.close();
    outputs.err.close();
    assert_eq!(task.run("two", "touch /dev/two; until [ -e /dev/three ]; do sleep 0.05; done"), 0);
    outputs = outputs.read();
    outputs.out.expect(scene.soon(), "one\ntwo\nthree\n");
    task.client.kill(&task.id, "e", SIGKILL, false).unwrap();
    assert_eq!(task.wait("e").exit_status, 137);
    task.client.delete(&task.id, "e").unwrap();
    task.end();
}

fn nobody_reads_and_nobody_else_waits(scene: &Scene) {
    const SIZE: usize = 1 << 20;
    let engine = Engine::new(scene);
    let task = engine.task(&engine.sh(&format!("head -c {SIZE} /dev/zero; exit 7")));
    let mut outputs = Outputs::new(scene, "init").read();
    task.create_with(&outputs.streams());
    task.start();
    let begin = Instant::now();
    for number in 0..5 {
        assert_eq!(task.run(&format!("e{number}"), "exit 0"), 0);
        task.status("");
    }
    assert!(begin.elapsed() < scene.soon(), "{:?}", begin.elapsed());
    assert!(process::runs(task.client.state(&task.id, "").unwrap().pid), "nobody has read, and it has ended");
    assert!(outputs.out.read_to(scene.soon(), SIZE));
    assert_eq!(task.wait("").exit_status, 7);
    task.ended();
}

/// It ends at once: what it said is with the shim, and comes however long nobody reads.
fn a_process_that_ends_before_its_output_is_read(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let mut outputs = Outputs::new(scene, "e").read();
    launch(&task, "e", "head -c 100000 /dev/zero", &outputs.streams());
    std::thread::sleep(Duration::from_millis(500));
    assert!(outputs.out.read_to(scene.soon(), 100_000), "{}", outputs.out.count());
    task.wait("e");
    task.client.delete(&task.id, "e").unwrap();
    assert!(outputs.out.to_the_end(scene.soon()));
    assert_eq!(outputs.out.count(), 100_000);
    task.end();
}

fn input_and_its_end(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.sh("cat; echo end"));
    let mut outputs = Outputs::new(scene, "init").read();
    let mut input = Fifo::new(scene.path("init-in"));
    let streams = Streams { stdin: input.arg(), ..outputs.streams() };
    task.create_with(&streams);
    task.start();
    input.writes(scene.soon()).write("some text\n");
    outputs.out.expect(scene.soon(), "some text\n");
    input.write("more\n");
    input.close();
    task.client.close_stdin(&task.id, "").unwrap();
    outputs.out.expect(scene.soon(), "some text\nmore\nend\n");
    task.ended();
}

fn input_of_a_process_and_its_end(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let mut outputs = Outputs::new(scene, "e").read();
    let mut input = Fifo::new(scene.path("e-in"));
    launch(&task, "e", "cat; exit 4", &Streams { stdin: input.arg(), ..outputs.streams() });
    input.writes(scene.soon()).write("some text\n");
    input.close();
    task.client.close_stdin(&task.id, "e").unwrap();
    outputs.out.expect(scene.soon(), "some text\n");
    assert_eq!(task.wait("e").exit_status, 4);
    task.client.delete(&task.id, "e").unwrap();
    task.end();
}

fn input_that_is_longer_than_a_pipe(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let mut outputs = Outputs::new(scene, "e").read();
    let input = scene.path("e-in");
    let fifo = Fifo::new(input.clone());
    launch(&task, "e", "sleep 0.3; wc -c", &Streams { stdin: fifo.arg(), ..outputs.streams() });
    // This end waits when the fifo is full.
    let writer = std::thread::spawn(move || fs::write(input, vec![b'x'; 1 << 20]));
    writer.join().unwrap().unwrap();
    task.client.close_stdin(&task.id, "e").unwrap();
    outputs.out.expect(scene.soon(), "1048576\n");
    task.wait("e");
    task.client.delete(&task.id, "e").unwrap();
    task.end();
}

fn close_without_input(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.client.close_stdin(&task.id, "").unwrap();
    task.end();
}

fn input_that_nobody_reads_blocks_nobody(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let mut input = Fifo::new(scene.path("e-in"));
    let outputs = Outputs::new(scene, "e").read();
    launch(&task, "e", "sleep 1000", &Streams { stdin: input.arg(), ..outputs.streams() });
    input.writes(scene.soon()).write(&"x".repeat(60_000));
    assert_eq!(task.run("other", "exit 0"), 0);
    task.client.kill(&task.id, "e", SIGKILL, false).unwrap();
    assert_eq!(task.wait("e").exit_status, 137);
    task.client.delete(&task.id, "e").unwrap();
    task.end();
}

fn no_streams_are_dev_null(scene: &Scene) {
    let engine = Engine::new(scene);
    let script = "for fd in 0 1 2; do [ $(readlink /proc/$$/fd/$fd) = /dev/null ] || exit 1$fd; done";
    let task = engine.running(&engine.bundle());
    assert_eq!(task.run("e", script), 0);
    task.end();
    let task = engine.running(&engine.sh(script));
    assert_eq!(task.wait("").exit_status, 0);
    task.ended();
}

/// The Go shim 1.6 has all of them or none.
fn a_stream_that_is_not_asked_for_is_dev_null(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let mut outputs = Outputs::new(scene, "e").read();
    let streams = [
        ("a", Streams { stderr: String::new(), ..outputs.streams() }, [0, 2]),
        ("b", Streams { stdout: String::new(), ..outputs.streams() }, [0, 1]),
        ("c", Streams { stdin: Fifo::new(scene.path("c-in")).arg(), ..Streams::default() }, [1, 2]),
    ];
    for (name, streams, null) in streams {
        let script = null.map(|fd| format!("[ $(readlink /proc/$$/fd/{fd}) = /dev/null ]")).join(" && ");
        launch(&task, name, &format!("echo {name}; echo {name} >&2; {script}"), &streams);
        assert_eq!(task.wait(name).exit_status, 0, "{name}");
        task.client.delete(&task.id, name).unwrap();
    }
    outputs.out.expect(scene.soon(), "a\n");
    outputs.err.expect(scene.soon(), "b\n");
    task.end();
}

fn much_output_to_nowhere(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.sh("head -c 10000000 /dev/zero; exit 2"));
    assert_eq!(task.wait("").exit_status, 2);
    task.ended();
}

/// Both streams to one file.
fn to_file(path: &std::path::Path) -> Streams {
    let uri = format!("file://{}", path.display());
    Streams { stdout: uri.clone(), stderr: uri, ..Streams::default() }
}

fn a_file(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.sh("echo to out; sleep 0.2; echo to err >&2"));
    let file = scene.path("output");
    task.create_with(&to_file(&file));
    task.start();
    task.ended();
    assert_eq!(fs::read_to_string(&file).unwrap(), "to out\nto err\n");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o022, 0);
}

/// The Go shim 1.6 dies of it.
fn a_file_for_standard_output_only(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.sh("echo to out; echo to err >&2"));
    let file = scene.path("output");
    task.create_with(&Streams { stderr: String::new(), ..to_file(&file) });
    task.start();
    task.ended();
    assert_eq!(fs::read_to_string(&file).unwrap(), "to out\n");
}

fn a_file_is_appended_to(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let file = scene.path("output");
    fs::write(&file, "before\n").unwrap();
    for name in ["a", "b"] {
        launch(&task, name, &format!("echo {name}"), &to_file(&file));
        task.wait(name);
        task.client.delete(&task.id, name).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "before\na\nb\n");
    task.end();
}

/// The folder is made, as containerd's own shim does.
fn a_file_in_a_folder_that_is_not_there(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let file = scene.path("some/folder/output");
    launch(&task, "e", "echo text", &to_file(&file));
    task.wait("e");
    task.client.delete(&task.id, "e").unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "text\n");
    task.end();
}

/// A logging program: descriptor 3 is standard output, 4 standard error, and the end of 5 says that it is ready.
pub(crate) fn logger(scene: &Scene, script: &str) -> (PathBuf, Streams) {
    let path = scene.path("logger");
    fs::write(&path, format!("#!/bin/busybox sh\ncd {}\n{script}\n", scene.path("").display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let uri = format!("binary://{}?id=7&color=red", path.display());
    (path, Streams { stdout: uri.clone(), stderr: uri, ..Streams::default() })
}

const LOGGER: &str =
    "echo \"$CONTAINER_ID $CONTAINER_NAMESPACE $#\" > about; exec 5>&-; cat <&4 >err & cat <&3 >out; wait";

fn a_logging_program(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.sh("echo to out; echo to err >&2"));
    let (_, streams) = logger(scene, LOGGER);
    task.create_with(&streams);
    let about = fs::read_to_string(scene.path("about")).expect("`Create` has waited until it is ready");
    assert_eq!(about, format!("{} {NAMESPACE} 4\n", task.id));
    task.start();
    task.ended();
    let read = |name| fs::read_to_string(scene.path(name)).unwrap_or_default();
    scene.wait_until("all is logged", || (read("out"), read("err")) == ("to out\n".to_owned(), "to err\n".to_owned()));
}

/// SECURITY.md T-57; CVE-2026-53488: what an image's author writes. That the program would log is shown above.
fn no_annotation_names_a_logging_program(scene: &Scene) {
    let engine = Engine::new(scene);
    let (_, Streams { stdout: uri, .. }) = logger(scene, LOGGER);
    let keys =
        ["io.containerd.runc.v2.log_uri", "containerd.io/restart.loguri", "nerdctl/log-uri", "stdout", "log-uri"];
    let annotations: serde_json::Map<_, _> = keys.map(|key| (key.to_owned(), json!(uri))).into_iter().collect();
    let mut bundle = engine.sh("echo to out; echo to err >&2");
    bundle.set("/annotations", annotations);
    for variable in ["STDOUT", "LOG_URI", "CONTAINERD_LOG_URI"] {
        bundle.set("/process/env/-", format!("{variable}={uri}"));
    }
    let task = engine.running(&bundle);
    assert_eq!(task.wait("").exit_status, 0);
    task.ended();
    assert!(!fs::exists(scene.path("about")).unwrap());
}

fn a_logging_program_of_a_process(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let (_, streams) = logger(scene, LOGGER);
    launch(&task, "e", "echo to out; echo to err >&2", &streams);
    task.wait("e");
    task.client.delete(&task.id, "e").unwrap();
    let read = |name| fs::read_to_string(scene.path(name)).unwrap_or_default();
    scene.wait_until("all is logged", || (read("out"), read("err")) == ("to out\n".to_owned(), "to err\n".to_owned()));
    task.end();
}

fn a_logging_program_that_is_not_there(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    let uri = "binary:///not/there".to_owned();
    let failure =
        task.try_create_with(&Streams { stdout: uri.clone(), stderr: uri, ..Streams::default() }).unwrap_err();
    assert!(failure.message.contains("/not/there"), "{failure:?}");
    task.client.state(&task.id, "").unwrap_err();
    task.create();
    task.start();
    task.end();
}

fn a_logging_program_that_ends_before_it_is_ready(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    let (path, streams) = logger(scene, "exit 3");
    // Its end closes descriptor 5, too: what is asked for is that nothing hangs.
    let begin = Instant::now();
    match task.try_create_with(&streams) {
        Ok(_) => {
            task.start();
            task.end();
        }
        Err(failure) => {
            assert!(failure.message.contains(path.to_str().unwrap()), "{failure:?}");
            task.shutdown();
        }
    }
    assert!(begin.elapsed() < scene.soon() * 2, "{:?}", begin.elapsed());
}

/// The shim was told to end, and does when the last line is written. (The Go shim sends SIGTERM with `Delete`.)
fn a_logging_program_that_takes_its_time(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.sh("echo text"));
    let (_, streams) = logger(scene, "exec 5>&-; cat <&3 >lines; sleep 1; mv lines out");
    task.create_with(&streams);
    task.start();
    task.ended();
    assert_eq!(fs::read_to_string(scene.path("out")).unwrap_or_default(), "text\n");
}

/// It is asked to, and then killed.
fn a_logging_program_that_does_not_end(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.sh("echo text"));
    let (_, streams) = logger(scene, "trap '' TERM; exec 5>&-; while :; do sleep 0.2; done");
    task.create_with(&streams);
    task.start();
    task.wait("");
    task.delete();
    let _ = task.client.shutdown(&task.id);
    process::wait_until(Duration::from_secs(25), "the shim has ended", || !process::runs(task.shim));
}

fn an_unknown_scheme_is_refused(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    let uri = "moon:///dark/side".to_owned();
    let failure =
        task.try_create_with(&Streams { stdout: uri.clone(), stderr: uri, ..Streams::default() }).unwrap_err();
    assert!(failure.message.contains("moon"), "{failure:?}");
    assert!(task.words().is_empty());
    task.shutdown();
}

fn an_unknown_scheme_of_a_process_is_refused(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let uri = "moon:///dark/side".to_owned();
    let streams = Streams { stdout: uri.clone(), stderr: uri, ..Streams::default() };
    let refused = task.add_with("e", "exit 0", &streams).and_then(|()| task.client.start(&task.id, "e"));
    let failure = refused.unwrap_err();
    assert!(failure.message.contains("moon"), "{failure:?}");
    let _ = task.client.delete(&task.id, "e");
    assert_eq!(task.run("e", "exit 0"), 0);
    task.end();
}

fn a_child_that_keeps_the_output_delays_delete_for_a_while_only(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let mut outputs = Outputs::new(scene, "e").read();
    launch(&task, "e", "sleep 1000 & echo done", &outputs.streams());
    let begin = Instant::now();
    assert_eq!(task.wait("e").exit_status, 0);
    assert!(begin.elapsed() < scene.soon(), "`Wait` waits for a process, not for its output");
    outputs.out.expect(scene.soon(), "done\n");
    let others = {
        let client = task.client.clone();
        let id = task.id.clone();
        move || client.state(&id, "").unwrap()
    };
    let deleting = {
        let client = task.client.clone();
        let id = task.id.clone();
        std::thread::spawn(move || client.delete(&id, "e"))
    };
    let begin = Instant::now();
    others();
    assert!(begin.elapsed() < Duration::from_secs(2), "who deletes keeps others waiting");
    deleting.join().unwrap().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(14), "{:?}", begin.elapsed());
    task.end();
}

fn a_child_that_keeps_the_output_of_the_first_process(scene: &Scene) {
    let engine = Engine::new(scene);
    let mut bundle = engine.sh("sleep 1000 & echo done");
    bundle.namespace("pid", None);
    let task = engine.task(&bundle);
    let mut outputs = Outputs::new(scene, "init").read();
    task.create_with(&outputs.streams());
    task.start();
    outputs.out.expect(scene.soon(), "done\n");
    task.wait("");
    let begin = Instant::now();
    task.delete();
    assert!(begin.elapsed() < Duration::from_secs(14), "{:?}", begin.elapsed());
    task.shutdown();
}

/// In a user namespace, the shim's own pipes would be root's of the host, and could not be opened again.
fn streams_belong_to_the_user_of_the_options(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.sh("stat -L -c %u:%g /proc/self/fd/1 >&2; sleep 1000"));
    let mut outputs = Outputs::new(scene, "init").read();
    let Streams { stdout, stderr, .. } = outputs.streams();
    let options = MessageField::some(options(|options| (options.io_uid, options.io_gid) = (1234, 2345)));
    let request = containerd_shim_protos::api::CreateTaskRequest { stdout, stderr, options, ..task.request() };
    task.client.create(&request).unwrap();
    task.start();
    outputs.err.expect(scene.soon(), "\n");
    // runc gives them to the process's own user once more.
    let seen = outputs.err.seen();
    let expected = if scene.runtime.kind == Kind::Planc { "1234:2345\n" } else { "0:2345\n" };
    assert_eq!(seen, expected);
    task.end();
}

/// T-20, R-23: the process has a pipe of the shim's, which is its user's; containerd's fifos and the log file are nobody
/// else's than before.
fn what_has_a_name_keeps_its_owner(scene: &Scene) {
    let engine = Engine::new(scene);
    let file = scene.path("log");
    fs::write(&file, "").unwrap();
    let mut bundle = engine.sh("stat -L -c %u /proc/self/fd/1 >&2; sleep 1000");
    bundle.set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    let task = engine.task(&bundle);
    let mut outputs = Outputs::new(scene, "init").read();
    let streams = outputs.streams();
    let owner = |path: &str| {
        let status = fs::metadata(path).unwrap();
        (status.uid(), status.gid(), status.mode())
    };
    let before = [owner(&streams.stdout), owner(&streams.stderr), owner(file.to_str().unwrap())];
    task.create_with(&streams);
    task.start();
    outputs.err.expect(scene.soon(), "1000\n");
    launch(&task, "e", "echo logged", &to_file(&file));
    task.wait("e");
    scene.wait_until("the line is logged", || fs::read_to_string(&file).unwrap() == "logged\n");
    assert_eq!([owner(&streams.stdout), owner(&streams.stderr), owner(file.to_str().unwrap())], before);
    task.end();
}
