//! The arguments `docker` and `podman`: what a user of the engine waits for, `run --rm` and `exec` of `true`, with planc, runc and
//! crun under the same engine, in turn.
//!
//! `ENGINE_IMAGES` is the folder with the images (`cargo xtask bench -- docker` makes it), `RUNC` and `CRUN` are runtimes other
//! than Debian's.

use std::env;
use std::path::PathBuf;

use integration_tests::engines::session::Session;
use integration_tests::engines::{docker, podman};
use integration_tests::runtime::Runtime;

use crate::Folders;
use crate::programs::installed;
use crate::race::{Contender, Race, rounds};
use crate::results::not_run;
use crate::runtime::planc;

/// Who takes part beside planc, by the variable that names another one than Debian's.
fn others(folders: &Folders) -> Vec<(&'static str, PathBuf)> {
    let path = |variable: &str, debians: &str| env::var_os(variable).map_or_else(|| debians.into(), PathBuf::from);
    let all = [("runc", path("RUNC", "/usr/sbin/runc")), ("crun", path("CRUN", "/usr/bin/crun"))];
    all.into_iter()
        .filter_map(|(name, path)| Some((name, installed(&path, folders).map_err(|why| not_run(name, &why)).ok()?)))
        .collect()
}

/// Rounds of each race.
const ROUNDS: usize = 20;

/// A runtime under an engine.
struct Judged {
    name: &'static str,
    /// How the engine itself is told of it.
    flags: Vec<String>,
    /// How `run` is.
    run_flags: Vec<String>,
}

/// Races under Docker.
pub(crate) fn docker(folders: &Folders) -> Result<(), String> {
    // `runc` is Docker's own name for what it has.
    let called = |name: &str| format!("the-{name}");
    let others = others(folders);
    let added = others.iter().map(|(name, path)| format!("--add-runtime={}={}", called(name), path.display()));
    let added: Vec<String> = added.collect();
    let session = docker::start_with(
        &Runtime::identify(installed(&planc(), folders)?)?,
        &added.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let names = others.iter().map(|(name, _)| (*name, called(name)));
    let judged = [("planc", "judged".to_owned())].into_iter().chain(names).map(|(name, runtime)| Judged {
        name,
        flags: Vec::new(),
        run_flags: vec![format!("--runtime={runtime}")],
    });
    contest("docker", &session, &judged.collect::<Vec<_>>())
}

/// Races under Podman, as root.
pub(crate) fn podman(folders: &Folders) -> Result<(), String> {
    let planc = installed(&planc(), folders)?;
    let session = podman::start(&Runtime::identify(planc.clone())?);
    let judged = [("planc", planc)].into_iter().chain(others(folders)).map(|(name, path)| Judged {
        name,
        flags: vec![format!("--runtime={}", path.display())],
        run_flags: Vec::new(),
    });
    contest("podman", &session, &judged.collect::<Vec<_>>())
}

/// Both races.
fn contest(engine: &str, session: &Session, runtimes: &[Judged]) -> Result<(), String> {
    let contender = |judged: &Judged, words: &[&str], of_run: &[String], rest: &[&str]| {
        let flags = judged.flags.iter().map(String::as_str);
        let words = [engine].into_iter().chain(flags).chain(words.iter().copied());
        let words: Vec<&str> = words.chain(of_run.iter().map(String::as_str)).chain(rest.iter().copied()).collect();
        let words = session.words(&words);
        Contender::new(judged.name, &words.iter().map(String::as_str).collect::<Vec<_>>()).able()
    };
    let mut running = Vec::new();
    let mut joining = Vec::new();
    for judged in runtimes {
        running.extend(contender(judged, &["run", "--rm"], &judged.run_flags, &["busybox", "true"]));
        let sleeper = ["run", "--detach", "--name", judged.name];
        if contender(judged, &sleeper, &judged.run_flags, &["busybox", "sleep", "10000"]).is_some() {
            joining.extend(contender(judged, &["exec", judged.name, "true"], &[], &[]));
        }
    }
    Race::run(&format!("{engine} run --rm busybox true"), running, rounds(ROUNDS))?;
    Race::run(&format!("{engine} exec C true"), joining, rounds(ROUNDS))?;
    session.clean();
    // That is a matter of the scenarios: `cargo xtask engines`.
    let _ = session.end();
    Ok(())
}
