//! A shim after very many calls: what it has then, it had before (T-58). `cargo xtask soak` says how many, and where.
//!
//! `SOAK_EXECS` is how many processes join one container, `SOAK_SECONDS` when to stop at the latest.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test gives its verdict")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use integration_tests::harness::say;
use integration_tests::process;
use integration_tests::scene::Scene;
use integration_tests::shim::Engine;
use integration_tests::shim::client::{Impatient, V2};
use integration_tests::shim::task::{Streams, Task};

integration_tests::tests! {
    execs_leave_nothing,
    calls_that_nobody_waits_for_leave_nothing,
}

fn main() -> ExitCode {
    integration_tests::harness::main_of(integration_tests::shim::judged(), TESTS.to_vec())
}

/// How many processes join at the same time.
const CLIENTS: u64 = 8;
/// After how many the shim is as large as it is to be.
const WARM: u64 = 2_000;
/// How many processes may be ahead of what is told of them: what waits for containerd is memory, and no leak.
const AHEAD: u64 = 200;
/// How long events may take.
const EVENTS: Duration = Duration::from_secs(120);
/// When a shim has given back what it does not need.
const IDLE: Duration = Duration::from_millis(1500);
/// How much its memory may grow after that, in KiB.
const GROWTH_KIB: u64 = 1024;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is no number")))
}

/// What a shim has.
#[derive(Debug)]
struct Size {
    /// Proportional set size, in KiB (smaps_rollup, proc_pid_smaps(5)).
    pss: u64,
    descriptors: usize,
    children: usize,
    threads: usize,
}

impl Size {
    fn of(shim: u32) -> Self {
        let rollup = std::fs::read_to_string(format!("/proc/{shim}/smaps_rollup")).unwrap();
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        Self {
            pss: pss.trim().trim_end_matches(" kB").trim().parse().unwrap(),
            descriptors: process::descriptors(shim).len(),
            children: process::all().into_iter().filter(|(_, stat)| stat.parent == shim).count(),
            threads: std::fs::read_dir(format!("/proc/{shim}/task")).unwrap().count(),
        }
    }

    /// What it has when nothing is on its way any more: no thread works, no event waits, and it has been idle for a while.
    fn at_rest(scene: &Scene, engine: &Engine<'_>, task: &Task<'_, '_>, execs: u64, like: Option<&Self>) -> Self {
        let came = engine.events.wait(EVENTS, |events| events.len() as u64 >= 2 + 3 * execs);
        assert!(came, "not all events of {execs} processes have come");
        std::thread::sleep(IDLE);
        scene.wait_until("the shim's threads end", || {
            Self::of(task.shim).threads <= like.map_or(16, |like| like.threads)
        });
        Self::of(task.shim)
    }

    fn assert_like(&self, before: &Self) {
        assert_eq!(self.descriptors, before.descriptors, "descriptors");
        assert_eq!(self.children, before.children, "children");
        assert!(self.pss <= before.pss + GROWTH_KIB, "PSS grew from {} to {} KiB", before.pss, self.pss);
    }
}

/// One process joins, ends, and is deleted.
fn exec(task: &Task<'_, '_>, name: &str) {
    task.add_with(name, "exit 7", &Streams::default()).unwrap();
    task.client.start(&task.id, name).unwrap();
    assert_eq!(task.client.wait(&task.id, name).unwrap().exit_status, 7);
    assert_eq!(task.client.delete(&task.id, name).unwrap().exit_status, 7);
}

/// `count` processes, some at the same time, until the time is over; how many there were.
fn execs(engine: &Engine<'_>, task: &Task<'_, '_>, from: u64, count: u64, deadline: Instant) -> u64 {
    let next = AtomicU64::new(from);
    let work = || {
        while Instant::now() < deadline {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= from + count {
                return;
            }
            exec(task, &format!("e{number}"));
            assert!(engine.events.wait(EVENTS, |events| events.len() as u64 + 3 * AHEAD >= 3 * number));
        }
    };
    std::thread::scope(|scope| (0..CLIENTS).for_each(|_| drop(scope.spawn(work))));
    next.load(Ordering::Relaxed).min(from + count) - from
}

fn execs_leave_nothing(scene: &Scene) {
    let wanted = number("SOAK_EXECS", 5_000);
    let deadline = Instant::now() + Duration::from_secs(number("SOAK_SECONDS", 3600));
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let warm = execs(&engine, &task, 0, WARM.min(wanted / 2), deadline);
    let before = Size::at_rest(scene, &engine, &task, warm, None);
    let begin = Instant::now();
    let count = execs(&engine, &task, warm, wanted - warm, deadline);
    let took = begin.elapsed();
    let after = Size::at_rest(scene, &engine, &task, warm + count, Some(&before));
    say(format_args!("{count} execs in {:.1} s after {warm}: {before:?}, {after:?}", took.as_secs_f64()));
    assert!(count > 0, "there was no time for any");
    after.assert_like(&before);
    // Each was told of: it was added, has started, has ended.
    assert_eq!(engine.events.of(&task.id).len() as u64, 2 + 3 * (warm + count));
    task.end();
}

/// Clients that hang up before they have an answer: what they asked for is done, and nothing of it is kept.
fn calls_that_nobody_waits_for_leave_nothing(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let rounds = number("SOAK_EXECS", 5_000) / 50;
    (0..rounds / 2).for_each(|round| hang_up(&task, round));
    let before = Size::at_rest(scene, &engine, &task, rounds / 2, None);
    (rounds / 2..rounds).for_each(|round| hang_up(&task, round));
    let after = Size::at_rest(scene, &engine, &task, rounds, Some(&before));
    after.assert_like(&before);
    task.end();
}

/// Asks for one process's life on a connection that is closed at once.
fn hang_up(task: &Task<'_, '_>, round: u64) {
    let name = format!("r{round}");
    task.add_with(&name, "exit 0", &Streams::default()).unwrap();
    let mut client = Impatient::connect(&task.address, V2);
    for method in ["Wait", "Start", "Wait", "State", "Pids", "Stats"] {
        client.ask(method, &task.id, &name);
    }
    drop(client);
    assert_eq!(task.client.wait(&task.id, &name).unwrap().exit_status, 0);
    task.client.delete(&task.id, &name).unwrap();
}
