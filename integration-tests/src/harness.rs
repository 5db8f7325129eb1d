//! The harness: one test after the other, each on a scene of its own, judged by its panics and by the leak oracle.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::unistd::geteuid;

use crate::exceptions;
use crate::lane::Lane;
use crate::runtime::{Kind, Runtime};
use crate::scene::Scene;
use crate::without;

/// What a test asks of the machine or of the runtime, beside a lane and root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// What only planc promises.
    Planc,
    /// A planc with failpoints, in `PLANC_FAILPOINTS`.
    Failpoints,
    /// A kernel with time namespaces.
    TimeNamespaces,
    /// What only this lane has.
    Lane(Lane),
    /// Cgroups that the runtime makes itself: where systemd makes them, `cgroupsPath` is no path.
    Cgroupfs,
    /// A runtime of at least this version of the runtime-spec.
    Spec(u32, u32),
    /// This file on the host.
    Path(&'static str),
    /// A file that this variable of the environment names.
    Given(&'static str),
    /// A host on which this shell command succeeds.
    Works(&'static str),
}

/// One test.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// `file::function`, behind the name of the test's binary.
    pub name: &'static str,
    /// What it asks for.
    pub needs: &'static [Need],
    /// The test itself; a panic is its failure.
    pub body: fn(&Scene),
}

/// Lists a file's tests as `TESTS`; what one needs stands behind it in brackets.
#[macro_export]
macro_rules! tests {
    ($($name:ident $([$($need:expr),+])?),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::harness::Test] = &[$($crate::harness::Test {
            name: concat!(module_path!(), "::", stringify!($name)),
            needs: &[$($($need),+)?],
            body: $name,
        }),*];
    };
}

impl Test {
    /// The name without that of the binary.
    fn short(&self) -> &'static str {
        self.name.split_once("::").map_or(self.name, |(_, rest)| rest)
    }
}

/// What was let pass, for the end of the run.
static TOLERATED: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    /// Where and why the current test panicked.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs the tests of `RUNTIME`; the exit code of the process.
pub fn main(tests: impl IntoIterator<Item = Test>) -> ExitCode {
    if let Some(code) = without::launched() {
        return code;
    }
    main_of(Runtime::from_env(), tests)
}

/// Runs the tests of whoever is judged; the exit code of the process.
pub fn main_of(judged_one: Result<Runtime, String>, tests: impl IntoIterator<Item = Test>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The oracle looks at the whole host: two tests at once would see each other.
    arguments.test_threads = Some(1);
    let runtime = match judged_one {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => {
            say(format_args!("error: {error}"));
            return ExitCode::from(2);
        }
    };
    if let Err(error) = Lane::current().settle() {
        say(format_args!("error: {error}"));
        return ExitCode::from(2);
    }
    panic::set_hook(Box::new(|info| PANIC.set(Some(info.to_string()))));
    let mut not_run = Vec::new();
    let trials: Vec<Trial> = tests
        .into_iter()
        .filter(|test| Lane::current().runs(test.short()))
        .map(|test| {
            let lacks = lacks(&test, &runtime);
            let (runtime, reason) = (judged(&test, &runtime), lacks.clone());
            let trial = Trial::ignorable_test(test.short(), move || match reason {
                Some(reason) => Ok(Completion::ignored_with(reason)),
                None => judge(&test, &runtime).map(|()| Completion::Completed).map_err(Failed::from),
            });
            if let Some(reason) = lacks.filter(|_| !arguments.is_filtered_out(&trial)) {
                not_run.push(format!("NOT RUN: {}: {reason}", test.short()));
            }
            trial
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        let tolerated = TOLERATED.lock().unwrap();
        not_run.iter().chain(tolerated.iter()).for_each(|line| say(format_args!("{line}")));
        say(format_args!("runtime: {}, lane: {:?}", runtime.path.display(), Lane::current()));
    }
    conclusion.exit_code()
}

/// The first thing a test needs and does not get here.
fn lacks(test: &Test, runtime: &Runtime) -> Option<String> {
    if Lane::current() == Lane::Outside {
        return Some("containers are run in a lane only (cargo xtask lane native|uml)".to_owned());
    }
    if !geteuid().is_root() {
        return Some("it asks for root".to_owned());
    }
    test.needs.iter().find_map(|need| need.lacks(runtime))
}

impl Need {
    /// Why this machine or runtime does not have it.
    pub(crate) fn lacks(self, runtime: &Runtime) -> Option<String> {
        let (holds, reason) = match self {
            Self::Planc => (runtime.kind == Kind::Planc, "only planc promises it".to_owned()),
            Self::Failpoints => (failpoints().is_some(), "PLANC_FAILPOINTS names no planc with failpoints".to_owned()),
            Self::TimeNamespaces => (exists("/proc/self/ns/time"), "the kernel has no time namespaces".to_owned()),
            Self::Spec(major, minor) => {
                let (own_major, own_minor) = runtime.spec;
                let reason = format!("runtime-spec {major}.{minor}; the runtime is of {own_major}.{own_minor}");
                ((own_major, own_minor) >= (major, minor), reason)
            }
            Self::Lane(lane) => (Lane::current() == lane, format!("only lane {lane:?} has what it asks for")),
            Self::Cgroupfs => {
                (Lane::current() != Lane::UmlSystemd, "systemd makes the cgroups in this lane".to_owned())
            }
            Self::Path(path) => (exists(path), format!("the host has no {path}")),
            Self::Given(variable) => {
                let given = std::env::var_os(variable).is_some_and(|path| Path::new(&path).is_file());
                (given, format!("{variable} names no file"))
            }
            Self::Works(command) => (works(command), format!("`{command}` fails on this host")),
        };
        (!holds).then_some(reason)
    }
}

/// Who is judged by this test: `RUNTIME`, or the planc that stops where it is told to.
fn judged(test: &Test, runtime: &Arc<Runtime>) -> Arc<Runtime> {
    let special = test.needs.contains(&Need::Failpoints).then(failpoints).flatten();
    special.and_then(|path| Runtime::identify(path).ok()).map_or_else(|| Arc::clone(runtime), Arc::new)
}

fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

fn works(command: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.status().is_ok_and(|status| status.success())
}

/// The planc with failpoints.
fn failpoints() -> Option<PathBuf> {
    std::env::var_os("PLANC_FAILPOINTS").map(PathBuf::from).filter(|path| path.is_file())
}

/// Why a test failed.
enum Failure {
    /// It panicked.
    Verdict(String),
    /// It left something behind.
    Leaks(Vec<String>),
}

impl Failure {
    /// Whether runc left nothing but empty cgroups (a process in them would be in the list too). It kills what it undoes
    /// and does not wait until that is dead, so that removing the cgroup sometimes fails (against runtime-spec
    /// runtime.md#errors). A race is no exception whose failure could be asserted: it is tolerated, and each time is told.
    fn is_runcs_race(&self, runtime: &Runtime) -> bool {
        let Self::Leaks(lines) = self else { return false };
        runtime.kind == Kind::Runc && lines.iter().all(|line| line.starts_with("cgroup left behind: "))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdict(why) => f.write_str(why),
            Self::Leaks(lines) => f.write_str(&lines.join("; ")),
        }
    }
}

/// Plays a test, and turns its end around where it is an exception of runc.
fn judge(test: &Test, runtime: &Runtime) -> Result<(), String> {
    let outcome = match play(test, runtime) {
        Err(failure) if failure.is_runcs_race(runtime) => {
            TOLERATED.lock().unwrap().push(format!("TOLERATED: {}: {failure}", test.short()));
            Ok(())
        }
        played => played.map_err(|failure| failure.to_string()),
    };
    let Some(exception) = exceptions::of(test.short()).filter(|_| runtime.kind == Kind::Runc) else { return outcome };
    match outcome {
        Ok(()) => Err(format!("runc passes it: the exception is out of date ({})", exception.reason)),
        Err(failure) if failure.contains(exception.shows) => Ok(()),
        Err(failure) => Err(format!("{failure}\nand not, as the exception says: {}", exception.shows)),
    }
}

fn play(test: &Test, runtime: &Runtime) -> Result<(), Failure> {
    let scene = Scene::new(runtime, test.short());
    let verdict = panic::catch_unwind(AssertUnwindSafe(|| (test.body)(&scene)));
    let outcome = match verdict {
        Err(_) => Err(Failure::Verdict(PANIC.take().unwrap_or_default())),
        Ok(()) => match scene.leaks() {
            leaks if leaks.is_empty() => Ok(()),
            leaks => Err(Failure::Leaks(leaks)),
        },
    };
    scene.end();
    outcome
}

/// How often a test of many containers goes round: `CYCLES` of the environment, or what its lane has time for.
pub fn cycles(usual: usize) -> usize {
    std::env::var("CYCLES").map_or(usual, |cycles| cycles.parse().expect("CYCLES is a number"))
}

/// Prints a line among the verdicts: a figure that a test found.
pub fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}
