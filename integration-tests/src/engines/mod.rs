//! Real engines, and what people do with them: scenarios, written as people type them, on an engine of their own whose
//! containers the runtime under test runs.
//!
//! `RUNTIME` says who is judged, as for every other test; `ENGINE_IMAGES` is the folder with the images that `cargo xtask
//! engines` has made. Everything an engine keeps is in a folder and namespaces of the lane.

pub mod buildah;
pub mod compose;
pub mod cri;
pub mod docker;
pub mod kubernetes;
pub mod podman;
pub mod session;
pub mod swarm;
pub mod terminal;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::Instant;

use crate::harness::{Need, say};
use crate::lane::Lane;
use crate::runtime::Runtime;
use session::Session;

/// One thing that people do with an engine.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// `binary::engine::file::function`.
    pub name: &'static str,
    /// What it asks for.
    pub needs: &'static [Need],
    /// It itself; a panic is its failure.
    pub body: fn(&Session),
}

/// Lists a file's scenarios as `SCENARIOS`; what one needs stands behind it in brackets.
#[macro_export]
macro_rules! scenarios {
    ($($name:ident $([$($need:expr),+])?),* $(,)?) => {
        pub(crate) const SCENARIOS: &[$crate::engines::Scenario] = &[$($crate::engines::Scenario {
            name: concat!(module_path!(), "::", stringify!($name)),
            needs: &[$($($need),+)?],
            body: $name,
        }),*];
    };
}

impl Scenario {
    /// The name without those of the binary and of the engine.
    fn short(&self) -> &'static str {
        self.name.splitn(3, "::").last().unwrap_or(self.name)
    }
}

/// An engine, or a way to use one.
#[derive(Debug)]
pub struct Engine {
    /// As `cargo xtask engines` takes it.
    pub name: &'static str,
    /// Starts it for a runtime.
    pub start: fn(&Runtime) -> Session,
    /// What people do with it, by subject.
    pub scenarios: &'static [&'static [Scenario]],
    /// Others' tests, run after the scenarios, with the parts of names that were given.
    pub suite: Option<Suite>,
}

impl Engine {
    /// One without tests of others.
    pub const fn new(
        name: &'static str,
        start: fn(&Runtime) -> Session,
        scenarios: &'static [&'static [Scenario]],
    ) -> Self {
        Self { name, start, scenarios, suite: None }
    }
}

/// Others' tests: those that a part of a name chooses, or all.
pub type Suite = fn(&Session, &[String]) -> Vec<Outcome>;

/// How one of others' tests ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its name, without ` (` and `: `, which end a name on a line.
    pub name: String,
    /// How.
    pub verdict: Verdict,
    /// After how many milliseconds.
    pub took: u128,
}

/// How a test ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should.
    Passed,
    /// And what was wrong.
    Failed(String),
    /// And why it was not run.
    NotRun(String),
}

/// How many scenarios ended how.
#[derive(Debug, Default)]
struct Tally {
    passed: u32,
    failed: u32,
    not_run: u32,
}

/// Runs the scenarios of the engine that the first argument names; the other arguments are parts of the names of those
/// that are run. The exit code of the process.
pub fn main(engines: &[Engine]) -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let filter: Vec<String> = arguments.collect();
    let Some(engine) = engines.iter().find(|engine| engine.name == name) else {
        let names: Vec<&str> = engines.iter().map(|engine| engine.name).collect();
        // cargo test runs every test without arguments: engines are run by xtask, in a lane.
        say(format_args!("NOT RUN: engines: cargo xtask engines runs them; there are {}", names.join(", ")));
        return if name.is_empty() || name.starts_with('-') { ExitCode::SUCCESS } else { ExitCode::from(2) };
    };
    if Lane::current() == Lane::Outside {
        say(format_args!("error: engines are run in a lane only (cargo xtask engines)"));
        return ExitCode::from(2);
    }
    match Runtime::from_env() {
        Ok(runtime) => judge(engine, &runtime, &filter),
        Err(error) => {
            say(format_args!("error: {error}"));
            ExitCode::from(2)
        }
    }
}

fn judge(engine: &Engine, runtime: &Runtime, filter: &[String]) -> ExitCode {
    let chosen: Vec<&Scenario> = engine
        .scenarios
        .iter()
        .copied()
        .flatten()
        .filter(|scenario| filter.is_empty() || filter.iter().any(|part| scenario.short().contains(part.as_str())))
        .collect();
    // Its message is told on the line of its scenario.
    panic::set_hook(Box::new(|_| {}));
    let session = match session::caught(|| (engine.start)(runtime)) {
        Ok(session) => session,
        Err(why) => {
            say(format_args!("FAIL start (0 ms): {}", one_line(&why)));
            return ExitCode::FAILURE;
        }
    };
    let mut tally = Tally::default();
    for scenario in chosen {
        let name = scenario.short();
        if let Some(reason) = scenario.needs.iter().find_map(|need| need.lacks(runtime)) {
            tally.add(Outcome { name: name.to_owned(), verdict: Verdict::NotRun(reason), took: 0 });
            continue;
        }
        play(scenario, &session, &mut tally);
    }
    if let Some(suite) = engine.suite {
        match session::caught(AssertUnwindSafe(|| suite(&session, filter))) {
            Ok(outcomes) => outcomes.into_iter().for_each(|outcome| tally.add(outcome)),
            Err(why) => tally.add(Outcome { name: "suite".to_owned(), verdict: Verdict::Failed(why), took: 0 }),
        }
    }
    if let Err(left) = session.end() {
        tally.add(Outcome { name: "end".to_owned(), verdict: Verdict::Failed(left), took: 0 });
    }
    let Tally { passed, failed, not_run } = tally;
    say(format_args!("{passed} passed, {failed} failed, {not_run} not run"));
    ExitCode::from(u8::from(failed > 0 || passed == 0))
}

fn play(scenario: &Scenario, session: &Session, tally: &mut Tally) {
    let begin = Instant::now();
    let played = session::caught(AssertUnwindSafe(|| (scenario.body)(session)));
    let took = begin.elapsed().as_millis();
    // What a scenario leaves behind would be in the way of the next.
    let cleaned = session::caught(AssertUnwindSafe(|| session.clean()));
    let verdict = played.and(cleaned).map_or_else(Verdict::Failed, |()| Verdict::Passed);
    tally.add(Outcome { name: scenario.short().to_owned(), verdict, took });
}

impl Tally {
    /// Counts and tells it.
    fn add(&mut self, outcome: Outcome) {
        let Outcome { name, verdict, took } = outcome;
        match verdict {
            Verdict::Passed => {
                self.passed += 1;
                say(format_args!("ok {name} ({took} ms)"));
            }
            Verdict::Failed(why) => {
                self.failed += 1;
                say(format_args!("FAIL {name} ({took} ms): {}", one_line(&why)));
            }
            Verdict::NotRun(why) => {
                self.not_run += 1;
                say(format_args!("NOT RUN {name}: {}", one_line(&why)));
            }
        }
    }
}

fn one_line(why: &str) -> String {
    why.trim_end().replace('\n', " | ")
}
