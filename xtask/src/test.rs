//! `cargo xtask test`: every test of the workspace, each where it can run, and one summary at the end.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Instant;

use crate::containerd;
use crate::coverage::Lines;
use crate::embed;
use crate::engine_profiles;
use crate::lane::Lane;
use crate::packages;
use crate::run::{self, Built, Result, bounded, build, cargo, root, split_at_dashes};

/// Minutes that one part may take before it is ended as a failure.
const HOST_MINUTES: u32 = 20;
const LANE_MINUTES: u32 = 60;

/// Tests of the crate and of the shim, whatever runtime is judged.
const TESTS_OF_THE_TREE: &[&str] = &["guest_manners", "embed", "shim", "containerd", "soak"];

struct Options<'a> {
    lanes: &'static [Lane],
    /// A runtime other than the planc of this tree.
    runtime: Option<PathBuf>,
    /// For the test programs: a filter, `--nocapture` …
    passed: &'a [String],
}

/// What the integration tests run with.
struct Subject {
    runtime: PathBuf,
    failpoints: Option<PathBuf>,
    shim: Option<PathBuf>,
    /// A containerd of the second generation.
    containerd: Option<PathBuf>,
    /// Folders of programs that embed the crate.
    embedders: Vec<PathBuf>,
    /// The folder of seccomp profiles.
    profiles: Option<PathBuf>,
    tests: Vec<Built>,
}

/// What one part of the run came to.
struct Part {
    name: &'static str,
    counts: Counts,
    seconds: f64,
    /// Whether the programs themselves ended well.
    ended_well: bool,
}

/// `test [--all] [--lane native|uml|uml-systemd|all] [--runtime PATH] [-- ARG…]`: on the host, and in the lanes native and
/// uml; with `--all` also in the lane uml-systemd, where only what has to do with cgroups is run.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let options = options(arguments)?;
    packages::ensure(&[packages::TESTS])?;
    let mut parts = Vec::new();
    if options.runtime.is_none() {
        parts.push(host(options.passed).unwrap_or_else(|why| Part::broken("host", &why)));
    }
    // What cannot be built, or a lane that cannot run, is a failure, but no reason to keep back what the rest came to.
    match subject(&options) {
        Err(why) => parts.push(Part::broken("build", &why)),
        Ok(subject) => parts.extend(in_lanes(options.lanes, &subject, options.passed)),
    }
    summary(&parts, !options.passed.is_empty())
}

fn options(arguments: &[String]) -> Result<Options<'_>> {
    let (own, passed) = split_at_dashes(arguments);
    let mut options = Options { lanes: &[Lane::Native, Lane::Uml], runtime: None, passed };
    let mut own = own.iter();
    while let Some(argument) = own.next() {
        if argument == "--all" {
            options.lanes = &[Lane::Native, Lane::Uml, Lane::UmlSystemd];
            continue;
        }
        match (argument.as_str(), own.next().map(String::as_str)) {
            ("--lane", Some("all")) => {}
            ("--lane", Some("native")) => options.lanes = &[Lane::Native],
            ("--lane", Some("uml")) => options.lanes = &[Lane::Uml],
            ("--lane", Some("uml-systemd")) => options.lanes = &[Lane::UmlSystemd],
            ("--lane", _) => return Err("--lane wants native, uml, uml-systemd or all".to_owned()),
            ("--runtime", Some(path)) => {
                let path = std::fs::canonicalize(path).map_err(|why| format!("--runtime {path}: {why}"))?;
                options.runtime = Some(path);
            }
            ("--runtime", None) => return Err("--runtime wants the path of a runtime".to_owned()),
            (unknown, _) => return Err(format!("unknown argument {unknown:?}; arguments for the tests follow --")),
        }
    }
    Ok(options)
}

/// Unit, golden, property and command line tests: they need no lane.
fn host(passed: &[String]) -> Result<Part> {
    println!("     Testing on the host");
    let most = ["test", "--workspace", "--exclude", "integration-tests", "--no-fail-fast", "--"];
    let harness = ["test", "-p", "integration-tests", "--lib", "--"];
    let mut commands = [&most[..], &harness[..]].map(|arguments| bounded(HOST_MINUTES, cargo(), arguments));
    for command in &mut commands {
        command.args(passed);
    }
    part("host", &mut commands, |line| println!("{line}"))
}

/// Builds what the lanes run. planc is the release build, as users have it; the one with failpoints and the tests
/// share the debug build of the host's tests.
fn subject(options: &Options<'_>) -> Result<Subject> {
    let tests = build(20, &["test", "--quiet", "--no-run", "-p", "integration-tests", "--tests"])?;
    let judged = |name: &str| options.runtime.is_none() || !TESTS_OF_THE_TREE.contains(&name);
    let tests: Vec<Built> = tests.into_iter().filter(|built| built.kind == "test" && judged(&built.name)).collect();
    if tests.is_empty() {
        return Err("the package integration-tests has no tests".to_owned());
    }
    let profiles = engine_profiles::folder();
    match &options.runtime {
        Some(runtime) => {
            let runtime = runtime.clone();
            Ok(Subject {
                runtime,
                failpoints: None,
                shim: None,
                containerd: None,
                embedders: Vec::new(),
                profiles,
                tests,
            })
        }
        None => Ok(Subject {
            runtime: run::release_planc()?,
            failpoints: Some(planc_with_failpoints()?),
            shim: Some(run::release_shim()?),
            containerd: containerd::newest(),
            embedders: embed::build()?,
            profiles,
            tests,
        }),
    }
}

/// A planc for the kill sweep, copied away before the next build of planc takes its name.
fn planc_with_failpoints() -> Result<PathBuf> {
    let with = ["build", "--quiet", "-p", "runtime-cli", "--bin", "planc", "--features", "runtime-core/failpoints"];
    let built = build(15, &with)?;
    let planc = built.into_iter().find(|built| built.name == "planc").ok_or("cargo built no planc with failpoints")?;
    let folder = run::target_directory()?.join("failpoints");
    let copy = folder.join("planc");
    std::fs::create_dir_all(&folder)
        .and_then(|()| match std::fs::remove_file(&copy) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(why),
            _ => std::fs::copy(&planc.path, &copy),
        })
        .map_err(|why| format!("{}: {why}", copy.display()))?;
    Ok(copy)
}

/// Whether a test program is run in a lane: with systemd only those of the runtime, which know which of them ask for it.
fn runs_in(lane: Lane, program: &str) -> bool {
    match program {
        "runtime" => true,
        // What `cargo xtask engines` runs.
        "engines" => false,
        // Many system calls, which are slow in uml; `cargo xtask soak` has more of them.
        "soak" => lane == Lane::Native,
        _ => lane != Lane::UmlSystemd,
    }
}

/// One lane as it goes; several at once, because they have one processor each and wait a lot, and what each says when it has
/// ended.
fn in_lanes(lanes: &[Lane], subject: &Subject, passed: &[String]) -> Vec<Part> {
    let broken = |lane: Lane| move |why: String| Part::broken(lane.name(), &why);
    if let [lane] = lanes {
        return vec![in_lane(*lane, subject, passed, |line| println!("{line}")).unwrap_or_else(broken(*lane))];
    }
    let names = lanes.iter().map(|lane| lane.name()).collect::<Vec<_>>().join(", ");
    println!("     Testing in lanes {names} at once: what each says comes when it has ended");
    thread::scope(|scope| {
        let start = |&lane: &Lane| {
            scope.spawn(move || {
                let mut said = String::new();
                let part = in_lane(lane, subject, passed, |line| said.extend([line, "\n"]));
                print!("{said}");
                part.unwrap_or_else(broken(lane))
            })
        };
        let running: Vec<_> = lanes.iter().map(|lane| (lane, start(lane))).collect();
        let end = |(lane, thread): (&Lane, thread::ScopedJoinHandle<'_, Part>)| {
            thread.join().unwrap_or_else(|_| Part::broken(lane.name(), "it panicked"))
        };
        running.into_iter().map(end).collect()
    })
}

/// All test programs in one lane, one after another.
fn in_lane(lane: Lane, subject: &Subject, passed: &[String], mut say: impl FnMut(&str)) -> Result<Part> {
    say(&format!("     Testing {} in lane {}", subject.runtime.display(), lane.name()));
    let every = r#"status=0 tests=(); while [ "$1" != -- ]; do tests+=("$1"); shift; done; shift
        for test in "${tests[@]}"; do echo "     Running $test"; "$test" "$@" || status=1; done; exit $status"#;
    let mut command = lane.command()?;
    command
        .args(["bash", "-c", every, "tests"])
        .args(subject.tests.iter().filter(|test| runs_in(lane, &test.name)).map(|test| &test.path))
        .arg("--")
        .args(passed);
    command.env("RUNTIME", &subject.runtime).env("LANE_TIMEOUT", (LANE_MINUTES * 60).to_string());
    let embedders = std::env::join_paths(&subject.embedders).map_err(|why| why.to_string())?;
    command.env("EMBED_PROGRAMS", embedders);
    command.current_dir(root().join("integration-tests"));
    let paths = [
        ("PLANC_FAILPOINTS", &subject.failpoints),
        ("SHIM", &subject.shim),
        ("CONTAINERD", &subject.containerd),
        ("ENGINE_PROFILES", &subject.profiles),
    ];
    for (name, path) in paths {
        match path {
            Some(path) => command.env(name, path),
            None => command.env_remove(name),
        };
    }
    let mut verdicts = Lines::default();
    let part = part(lane.name(), &mut [command], |line| {
        say(line);
        verdicts.add(line);
    })?;
    // What `cargo xtask coverage` tells is of planc, and of whole runs.
    if passed.is_empty() && subject.failpoints.is_some() {
        verdicts.leave(lane.name())?;
    }
    Ok(part)
}

fn part(name: &'static str, commands: &mut [Command], mut see: impl FnMut(&str)) -> Result<Part> {
    let start = Instant::now();
    let mut counts = Counts::default();
    let mut ended_well = true;
    for command in commands {
        ended_well &= run::watch(command, |line| {
            counts.add(line);
            see(line);
        })?;
    }
    Ok(Part { name, counts, seconds: start.elapsed().as_secs_f64(), ended_well })
}

/// Prints cargo's closing line for each part, summed over its programs.
fn summary(parts: &[Part], filtered: bool) -> Result<()> {
    println!("\n     Summary (host, then each lane)");
    for part in parts {
        println!("{}:", part.name);
        println!("{}", part.closing_line(filtered));
    }
    let bad: Vec<&str> = parts.iter().filter(|part| !part.good(filtered)).map(|part| part.name).collect();
    if bad.is_empty() { Ok(()) } else { Err(format!("failed: {}", bad.join(", "))) }
}

impl Part {
    fn broken(name: &'static str, why: &str) -> Self {
        eprintln!("xtask test: {why}");
        Self { name, counts: Counts::default(), seconds: 0.0, ended_well: false }
    }

    fn good(&self, filtered: bool) -> bool {
        self.ended_well && self.counts.failed == 0 && (filtered || self.counts.passed > 0)
    }

    fn closing_line(&self, filtered: bool) -> String {
        let Counts { passed, failed, ignored, measured, filtered_out } = self.counts;
        let verdict = if self.good(filtered) { "ok" } else { "FAILED" };
        format!(
            "test result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; {measured} measured; \
             {filtered_out} filtered out; finished in {:.2}s",
            self.seconds
        )
    }
}

/// The figures of cargo's `test result:` lines, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
    measured: u64,
    filtered_out: u64,
}

impl Counts {
    fn add(&mut self, line: &str) {
        let Some((_verdict, figures)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for figure in figures.split("; ") {
            let Some((number, what)) = figure.split_once(' ') else { continue };
            let number = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                "measured" => self.measured += number,
                "filtered out" => self.filtered_out += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_add_up() {
        let mut counts = Counts::default();
        counts.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.12s");
        counts.add("test some::thing ... ok");
        counts.add("test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9s");
        assert_eq!(counts, Counts { passed: 7, failed: 2, ignored: 1, measured: 0, filtered_out: 2 });
    }

    #[test]
    fn a_part_without_a_test_is_a_failure_unless_a_filter_asked_for_it() {
        let part = Part { name: "part", counts: Counts::default(), seconds: 0.0, ended_well: true };
        assert!(!part.good(false));
        assert!(part.good(true));
        assert!(part.closing_line(false).starts_with("test result: FAILED. 0 passed; 0 failed;"));
    }

    #[test]
    fn an_unknown_argument_is_refused() {
        let arguments = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert!(options(&arguments(&["--lane", "moon"])).is_err());
        assert!(options(&arguments(&["--runtime"])).is_err());
        assert!(options(&arguments(&["name"])).is_err());
        let all = arguments(&["--all"]);
        assert!(options(&all).is_ok_and(|options| options.lanes.contains(&Lane::UmlSystemd)));
        let with_filter = arguments(&["--lane", "uml", "--", "name"]);
        let options = options(&with_filter).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((options.lanes, options.passed.len()), (&[Lane::Uml][..], 1));
    }
}
