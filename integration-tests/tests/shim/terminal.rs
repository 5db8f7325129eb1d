//! Terminals, whose other end the shim has: what is typed, what is shown, and the size.

use integration_tests::bundle::Bundle;
use integration_tests::scene::Scene;
use integration_tests::shim::Engine;
use integration_tests::shim::task::{Fifo, SIGKILL, Streams, Task};

integration_tests::tests! {
    a_terminal,
    a_terminal_of_a_process,
    resize,
    interrupt,
    end_of_input,
    all_of_what_is_shown_last,
    without_input,
    closed_by_whoever_reads,
    a_process_of_a_container_without_one,
}

/// The two ends that containerd has of a terminal.
struct Screen {
    keys: Fifo,
    shown: Fifo,
}

impl Screen {
    fn new(scene: &Scene, name: &str) -> Self {
        let mut shown = Fifo::new(scene.path(&format!("{name}-out")));
        shown.reads();
        Self { keys: Fifo::new(scene.path(&format!("{name}-in"))), shown }
    }

    fn streams(&self) -> Streams {
        Streams { stdin: self.keys.arg(), stdout: self.shown.arg(), stderr: String::new(), terminal: true }
    }
}

fn bundle(engine: &Engine<'_>, script: &str) -> Bundle {
    let mut bundle = engine.sh(script);
    bundle.set("/process/terminal", true);
    bundle
}

/// A container with a terminal, which runs.
fn shown<'e, 's>(engine: &'e Engine<'s>, script: &str) -> (Task<'e, 's>, Screen) {
    let task = engine.task(&bundle(engine, script));
    let mut screen = Screen::new(engine.scene, "init");
    task.create_with(&screen.streams());
    task.start();
    screen.keys.writes(engine.scene.soon());
    (task, screen)
}

fn a_terminal(scene: &Scene) {
    let engine = Engine::new(scene);
    let (task, mut screen) = shown(&engine, "tty; echo err >&2; read line; echo \"[$line]\"; exit 3");
    screen.shown.expect(scene.soon(), "/dev/pts/0\r\nerr\r\n");
    assert!(task.client.state(&task.id, "").unwrap().terminal);
    screen.keys.write("typed\n");
    screen.shown.expect(scene.soon(), "typed\r\n[typed]\r\n");
    assert_eq!(task.wait("").exit_status, 3);
    task.delete();
    assert!(screen.shown.to_the_end(scene.soon()));
    task.shutdown();
}

fn a_terminal_of_a_process(scene: &Scene) {
    let engine = Engine::new(scene);
    let (task, _first) = shown(&engine, "sleep 1000");
    let mut screen = Screen::new(scene, "e");
    // As containerd's CRI asks for it: with a stderr that is not there.
    let streams = Streams { stderr: scene.path("none").to_str().unwrap().to_owned(), ..screen.streams() };
    task.add_with("e", "tty; read line; echo \"[$line]\"", &streams).unwrap();
    task.client.start(&task.id, "e").unwrap();
    screen.keys.writes(scene.soon());
    screen.shown.expect(scene.soon(), "/dev/pts/");
    screen.keys.write("typed\n");
    screen.shown.expect(scene.soon(), "[typed]\r\n");
    assert_eq!(task.wait("e").exit_status, 0);
    task.client.delete(&task.id, "e").unwrap();
    task.end();
}

fn resize(scene: &Scene) {
    let engine = Engine::new(scene);
    let (task, mut screen) = shown(&engine, "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done");
    screen.shown.expect(scene.soon(), "ready\r\n");
    task.client.resize(&task.id, "", 120, 40).unwrap();
    screen.shown.expect(scene.soon(), "40 120\r\n");
    let mut other = Screen::new(scene, "e");
    task.add_with("e", "until [ \"$(stty size)\" = '7 9' ]; do sleep 0.05; done; echo seen", &other.streams()).unwrap();
    task.client.start(&task.id, "e").unwrap();
    task.client.resize(&task.id, "e", 9, 7).unwrap();
    other.shown.expect(scene.soon(), "seen\r\n");
    task.wait("e");
    task.client.delete(&task.id, "e").unwrap();
    task.end();
}

fn interrupt(scene: &Scene) {
    let engine = Engine::new(scene);
    let (task, mut screen) =
        shown(&engine, "trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.05; done");
    screen.shown.expect(scene.soon(), "ready\r\n");
    screen.keys.write("\u{3}");
    screen.shown.expect(scene.soon(), "interrupted\r\n");
    assert_eq!(task.wait("").exit_status, 5);
    task.ended();
}

fn end_of_input(scene: &Scene) {
    let engine = Engine::new(scene);
    let (task, mut screen) = shown(&engine, "cat; echo end; exit 6");
    screen.keys.write("text\n\u{4}");
    screen.shown.expect(scene.soon(), "end\r\n");
    assert_eq!(task.wait("").exit_status, 6);
    task.ended();
}

/// The last output may be with the terminal when its process has ended already.
fn all_of_what_is_shown_last(scene: &Scene) {
    let engine = Engine::new(scene);
    let (task, mut screen) = shown(&engine, "head -c 100000 /dev/zero | tr '\\0' x; echo; echo last");
    screen.shown.expect(scene.soon(), "last\r\n");
    assert_eq!(screen.shown.count(), 100_000 + 2 + 6);
    task.wait("");
    task.delete();
    assert!(screen.shown.to_the_end(scene.soon()));
    assert_eq!(screen.shown.count(), 100_000 + 2 + 6);
    task.shutdown();
}

fn without_input(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&bundle(&engine, "tty; exit 7"));
    let mut screen = Screen::new(scene, "init");
    task.create_with(&Streams { stdin: String::new(), ..screen.streams() });
    task.start();
    screen.shown.expect(scene.soon(), "/dev/pts/0\r\n");
    assert_eq!(task.wait("").exit_status, 7);
    task.ended();
}

/// Whoever looks may leave; who works does not notice.
fn closed_by_whoever_reads(scene: &Scene) {
    let engine = Engine::new(scene);
    let (task, mut screen) = shown(&engine, "echo one; read line; echo two; sleep 1000");
    screen.shown.expect(scene.soon(), "one\r\n");
    screen.shown.close();
    screen.keys.write("\n");
    screen.keys.close();
    assert_eq!(task.run("e", "exit 0"), 0);
    screen.shown.reads();
    screen.shown.expect(scene.soon(), "two\r\n");
    task.client.kill(&task.id, "", SIGKILL, false).unwrap();
    assert_eq!(task.wait("").exit_status, 137);
    task.ended();
}

fn a_process_of_a_container_without_one(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let mut screen = Screen::new(scene, "e");
    task.add_with("e", "test -t 0 && test -t 1 && test -t 2 && echo yes", &screen.streams()).unwrap();
    task.client.start(&task.id, "e").unwrap();
    screen.shown.expect(scene.soon(), "yes\r\n");
    assert_eq!(task.wait("e").exit_status, 0);
    task.client.delete(&task.id, "e").unwrap();
    task.end();
}
