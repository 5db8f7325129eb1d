//! `run` with a terminal: bytes, signals and the window pass between the caller's terminal and the container's, and the
//! caller's is afterwards what it was.

use std::fs::{self, File};

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::runtime::Running;
use integration_tests::scene::Scene;
use integration_tests::terminal::Pty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

integration_tests::tests! {
    passes_bytes_both_ways,
    passes_ctrl_c_as_a_byte,
    returns_the_carriage_once,
    restores_the_terminal_after_a_kill,
    restores_the_terminal_after_a_signal,
    restores_the_terminal_after_a_failure,
    passes_the_exit_code,
    begins_with_the_callers_window [Need::Planc],
    follows_the_callers_window,
    passes_every_byte_of_a_long_output,
    passes_the_last_words,
    needs_some_terminal,
    takes_input_from_a_pipe,
    prints_into_a_file,
    goes_on_when_nobody_reads [Need::Planc],
    ends_while_nobody_reads [Need::Planc],
    leaves_the_callers_streams_as_they_were [Need::Planc],
    exec_is_passed_on_as_run_is,
}

/// A script's bundle, with a terminal; it is written.
fn bundle(scene: &Scene, script: &str) -> Bundle {
    let mut bundle = scene.bundle();
    bundle.sh(script).set("/process/terminal", true).write();
    bundle
}

/// `run`, called from this terminal, which controls it.
fn run(scene: &Scene, bundle: &Bundle, id: &str, pty: &Pty) -> Running {
    scene.call_by(&["setsid", "-c"], &["run", "--bundle", bundle.arg(), id]).terminal(pty).spawn()
}

/// Runs a script to its end; what was printed. The terminal is what it was.
#[track_caller]
fn printed(scene: &Scene, script: &str, last: &str, code: i32) -> String {
    let mut pty = Pty::new();
    let before = pty.master.modes();
    let running = run(scene, &bundle(scene, script), &scene.id(), &pty);
    pty.master.expect(last);
    running.wait().exits(code);
    assert_eq!(pty.master.modes(), before);
    pty.master.seen()
}

fn passes_bytes_both_ways(scene: &Scene) {
    let mut pty = Pty::new();
    let before = pty.master.modes();
    let bundle = bundle(scene, "echo ready; read line; echo \"got $line\"; echo error >&2; sleep 0.2; exit 3");
    let running = run(scene, &bundle, &scene.id(), &pty);
    pty.master.expect("ready");
    scene.wait_until("the caller's terminal is raw", || !pty.master.modes().contains("ICANON"));
    // Raw, but for what becomes of a printed new line.
    let raw = pty.master.modes();
    assert!(!raw.contains("ISIG") && !raw.contains("ECHO ") && raw.contains("OPOST"), "{raw}");
    pty.master.type_in("hello\r");
    pty.master.expect("got hello");
    pty.master.expect("error");
    running.wait().exits(3);
    assert_eq!(pty.master.modes(), before);
    // Once: what the container's terminal echoes, and not the caller's as well.
    assert_eq!(pty.master.seen(), "ready\r\nhello\r\ngot hello\r\nerror\r\n");
}

fn passes_ctrl_c_as_a_byte(scene: &Scene) {
    let mut pty = Pty::new();
    let script = "trap 'echo interrupted; exit 7' INT; echo ready; while :; do sleep 0.05; done";
    let running = run(scene, &bundle(scene, script), &scene.id(), &pty);
    pty.master.expect("ready");
    scene.wait_until("the caller's terminal is raw", || !pty.master.modes().contains("ISIG"));
    pty.master.type_in("\x03");
    pty.master.expect("interrupted");
    running.wait().exits(7);
}

fn returns_the_carriage_once(scene: &Scene) {
    assert_eq!(printed(scene, "printf 'a\\nb\\n'; sleep 0.1", "b\r\n", 0), "a\r\nb\r\n");
}

fn restores_the_terminal_after_a_kill(scene: &Scene) {
    let mut pty = Pty::new();
    let before = pty.master.modes();
    let bundle = bundle(scene, "echo ready; exec sleep 1000");
    let id = scene.id();
    let running = run(scene, &bundle, &id, &pty);
    pty.master.expect("ready");
    scene.wait_until("the caller's terminal is raw", || pty.master.modes() != before);
    scene.rt(&["kill", &id, "KILL"]).ok();
    running.wait().exits(137);
    assert_eq!(pty.master.modes(), before);
    scene.rt(&["state", &id]).fails();
}

fn restores_the_terminal_after_a_signal(scene: &Scene) {
    let mut pty = Pty::new();
    let before = pty.master.modes();
    let script = "trap 'echo got it; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let running = run(scene, &bundle(scene, script), &scene.id(), &pty);
    pty.master.expect("ready");
    scene.wait_until("the caller's terminal is raw", || pty.master.modes() != before);
    kill(Pid::from_raw(running.pid() as i32), Signal::SIGTERM).unwrap();
    pty.master.expect("got it");
    running.wait().exits(7);
    assert_eq!(pty.master.modes(), before);
}

fn restores_the_terminal_after_a_failure(scene: &Scene) {
    let mut pty = Pty::new();
    let before = pty.master.modes();
    let mut bundle = bundle(scene, "true");
    bundle.args(&["/nowhere"]).write();
    let running = run(scene, &bundle, &scene.id(), &pty);
    let done = running.wait();
    assert!(done.code() != 0);
    pty.master.expect("/nowhere");
    assert_eq!(pty.master.modes(), before);
}

fn passes_the_exit_code(scene: &Scene) {
    for code in [0, 42] {
        printed(scene, &format!("echo end; exit {code}"), "end", code);
    }
}

/// runc sets it when the program runs already, so that the first look may be too early.
fn begins_with_the_callers_window(scene: &Scene) {
    printed(scene, "stty size", "33 77\r\n", 0);
    // It counts, whatever is configured; but a caller that knows none leaves the configured one.
    for (rows, columns, expected) in [(33, 77, "33 77\r\n"), (0, 0, "30 100\r\n")] {
        let mut pty = Pty::new();
        pty.master.set_window(rows, columns);
        let mut bundle = bundle(scene, "stty size");
        bundle.set("/process/consoleSize", serde_json::json!({ "height": 30, "width": 100 })).write();
        let running = run(scene, &bundle, &scene.id(), &pty);
        pty.master.expect(expected);
        running.wait().ok();
    }
}

fn follows_the_callers_window(scene: &Scene) {
    let mut pty = Pty::new();
    let script = "trap 'echo changed; [ \"$(stty size)\" = '50 120' ] && { echo as wanted; exit 0; }' WINCH; \
                  until [ \"$(stty size)\" = '33 77' ]; do sleep 0.05; done; echo ready; while :; do sleep 0.05; done";
    let running = run(scene, &bundle(scene, &script.replace("'50 120'", "\"50 120\"")), &scene.id(), &pty);
    pty.master.expect("ready");
    pty.master.set_window(50, 120);
    pty.master.expect("as wanted");
    running.wait().ok();
}

fn passes_every_byte_of_a_long_output(scene: &Scene) {
    let seen = printed(scene, "head -c 1048576 /dev/zero | tr '\\0' x; echo; echo the end", "the end", 0);
    assert_eq!(seen.bytes().filter(|byte| *byte == b'x').count(), 1 << 20);
    assert!(seen.ends_with("x\r\nthe end\r\n"), "{}", &seen[seen.len() - 100..]);
}

/// What stands in the container's terminal when the process ends is not lost; nor what is held up by a slow caller.
fn passes_the_last_words(scene: &Scene) {
    for _ in 0..5 {
        let mut pty = Pty::new();
        let script = "head -c 20000 /dev/zero | tr '\\0' x; printf 'last words'";
        let running = run(scene, &bundle(scene, script), &scene.id(), &pty);
        std::thread::sleep(std::time::Duration::from_millis(300));
        pty.master.expect("last words");
        running.wait().ok();
        assert_eq!(pty.master.seen().len(), 20_000 + "last words".len());
    }
}

fn needs_some_terminal(scene: &Scene) {
    let bundle = bundle(scene, "true");
    let id = scene.id();
    scene.call_by(&["setsid", "-w"], &["run", "--bundle", bundle.arg(), &id]).done().fails();
    scene.rt(&["state", &id]).fails().says("does not exist");
}

fn takes_input_from_a_pipe(scene: &Scene) {
    let mut pty = Pty::new();
    let before = pty.master.modes();
    fs::write(scene.path("in"), "one\ntwo\n").unwrap();
    let bundle = bundle(scene, "read a; read b; echo \"got $a, $b\"; test -t 0 && echo still a terminal; sleep 0.1");
    let id = scene.id();
    // A pipe, whose end comes while the container goes on.
    let command = ["setsid", "-c", "sh", "-c", "in=$1; shift; cat \"$in\" | \"$@\"", "sh"];
    let input = scene.path("in");
    let words = [&command[..], &[input.to_str().unwrap()]].concat();
    let running = scene.call_by(&words, &["run", "--bundle", bundle.arg(), &id]).terminal(&pty).spawn();
    pty.master.expect("got one, two");
    pty.master.expect("still a terminal");
    running.wait().ok();
    assert_eq!(pty.master.modes(), before);
}

fn prints_into_a_file(scene: &Scene) {
    let pty = Pty::new();
    let before = pty.master.modes();
    let bundle = bundle(scene, "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end");
    let id = scene.id();
    let out = scene.path("out");
    let call = scene.call_by(&["setsid", "-c"], &["run", "--bundle", bundle.arg(), &id]).terminal(&pty);
    call.stdout(File::create(&out).unwrap()).spawn().wait().ok();
    assert_eq!(fs::read_to_string(&out).unwrap(), format!("{}\nend\n", "x".repeat(100_000)));
    assert_eq!(pty.master.modes(), before);
}

/// Who reads `run | head -1` is gone early; the container is not held up by that.
fn goes_on_when_nobody_reads(scene: &Scene) {
    let mut pty = Pty::new();
    let script = "echo first; head -c 300000 /dev/zero | tr '\\0' x; read line; echo; exit 5";
    let bundle = bundle(scene, script);
    let id = scene.id();
    let command = ["setsid", "-c", "sh", "-c", "{ \"$@\"; echo \"code $?\" >&2; } | head -n 1", "sh"];
    let running = scene.call_by(&command, &["run", "--bundle", bundle.arg(), &id]).terminal(&pty).spawn();
    pty.master.expect("first");
    pty.master.type_in("go on\r");
    pty.master.expect("code 5");
    running.wait().ok();
}

/// A caller's terminal that is stopped holds the output up, and not the signals.
fn ends_while_nobody_reads(scene: &Scene) {
    let pty = Pty::new();
    let before = pty.master.modes();
    let script = "trap 'exit 7' TERM; (yes > /dev/tty 2>&1 &); while :; do sleep 0.05; done";
    let running = run(scene, &bundle(scene, script), &scene.id(), &pty);
    scene.wait_until("the caller's terminal is raw", || pty.master.modes() != before);
    std::thread::sleep(std::time::Duration::from_millis(500));
    let pid = Pid::from_raw(running.pid() as i32);
    // The first one ends the container, the second one the wait for somebody who reads.
    kill(pid, Signal::SIGTERM).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    kill(pid, Signal::SIGTERM).unwrap();
    running.wait().exits(7);
    assert_eq!(pty.master.modes(), before);
}

/// The descriptions that the caller shares with the command do not become non-blocking.
fn leaves_the_callers_streams_as_they_were(scene: &Scene) {
    let mut pty = Pty::new();
    let bundle = bundle(scene, "echo ready; read line");
    let running = run(scene, &bundle, &scene.id(), &pty);
    pty.master.expect("ready");
    for stream in 0..3 {
        let info = fs::read_to_string(format!("/proc/{}/fdinfo/{stream}", running.pid())).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim().to_owned();
        let flags = u32::from_str_radix(&flags, 8).unwrap();
        assert_eq!(flags & 0o4000, 0, "stream {stream} is non-blocking: {flags:o}");
    }
    pty.master.type_in("\r");
    running.wait().ok();
}

fn exec_is_passed_on_as_run_is(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let mut pty = Pty::new();
    let before = pty.master.modes();
    let script =
        "until [ \"$(stty size)\" = '33 77' ]; do sleep 0.05; done; echo ready; read line; echo \"got $line\"; exit 9";
    let words = ["exec", "-t", &container.id, "sh", "-c", script];
    let running = scene.call_by(&["setsid", "-c"], &words).terminal(&pty).spawn();
    pty.master.expect("ready");
    scene.wait_until("the caller's terminal is raw", || pty.master.modes() != before);
    pty.master.type_in("hello\r");
    pty.master.expect("got hello");
    running.wait().exits(9);
    assert_eq!(pty.master.modes(), before);
    container.delete_force();
}
