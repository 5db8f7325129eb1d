//! `cargo xtask check`: every gate, each printed with its figure and its limit; all of them run before it fails.

mod aarch64;
mod init_image;
mod limits;
mod sources;

use std::fmt;
use std::path::Path;

use crate::run::{self, Result, bounded, cargo, root, stdout, succeed};
use crate::{counts, coverage, miri};

/// What a gate found.
enum Outcome {
    /// The figure is within its limit.
    Ok(String),
    /// It is not, or the gate could not be judged though everything it needs ought to be there.
    Fail(String),
    /// Something that is not part of the repository is missing.
    NotRun(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok(what) => write!(f, "ok      {what}"),
            Self::Fail(what) => write!(f, "FAIL    {what}"),
            Self::NotRun(what) => write!(f, "NOT RUN {what}"),
        }
    }
}

impl Outcome {
    /// A figure against its limit; `place` says which file or function it is of.
    fn counted(what: &str, figure: u64, limit: u64, place: &str) -> Self {
        let line = format!("{what:<28} {figure:>7}  limit {limit:>6}  {place}");
        if figure <= limit { Self::Ok(line) } else { Self::Fail(line) }
    }

    /// A list that has to be empty.
    fn none_of(what: &str, found: &[String]) -> Self {
        match found {
            [] => Self::Ok(format!("{what:<28} {:>7}  limit {:>6}", 0, 0)),
            _ => Self::Fail(format!(
                "{what:<28} {:>7}  limit {:>6}\n          {}",
                found.len(),
                0,
                found.join("\n          ")
            )),
        }
    }

    fn command(what: &str, result: Result<()>) -> Self {
        match result {
            Ok(()) => Self::Ok(what.to_owned()),
            Err(why) => Self::Fail(format!("{what}: {why}")),
        }
    }
}

/// Runs every gate. Takes no arguments.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        return Err("takes no arguments".to_owned());
    }
    let mut failed = 0;
    let mut show = |outcome: Outcome| {
        println!("{outcome}");
        failed += usize::from(matches!(outcome, Outcome::Fail(_)));
    };
    sources::gates().into_iter().for_each(&mut show);
    for gate in [properties, format, lints, documentation, deny, crates, aarch64::gate, interpreter] {
        show(gate());
    }
    match run::release_planc() {
        Ok(planc) => init_image::gates(&planc).into_iter().chain(counted(&planc)).for_each(show),
        Err(why) => show(Outcome::Fail(format!("release build of planc: {why}"))),
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} failed")) }
}

/// Every property of config.json has a row, and every row a test: docs/compat.md.
fn properties() -> Outcome {
    match coverage::gate() {
        Err(why) => Outcome::Fail(why),
        Ok((rows, faults)) if faults.is_empty() => Outcome::Ok(format!("{:<28} {rows:>7}", "rows of docs/compat.md")),
        Ok((_, faults)) => Outcome::none_of("faults of docs/compat.md", &faults),
    }
}

fn format() -> Outcome {
    let mut result = succeed(&mut bounded(2, cargo(), &["fmt", "--all", "--check"]));
    if root().join("fuzz/Cargo.toml").is_file() {
        result = result.and(succeed(&mut bounded(2, cargo(), &["fmt", "--manifest-path=fuzz/Cargo.toml", "--check"])));
    }
    Outcome::command("cargo fmt", result)
}

/// Twice: failpoints are in no other build that the lints see.
fn lints() -> Outcome {
    let clippy = |what: &[&str]| {
        let arguments = [&["clippy", "--quiet"], what, &["--all-targets", "--", "-D", "warnings"]].concat();
        succeed(&mut bounded(15, cargo(), &arguments))
    };
    let result = clippy(&["--workspace"]).and_then(|()| clippy(&["-p", "runtime-core", "--features", "failpoints"]));
    Outcome::command("cargo clippy", result)
}

fn documentation() -> Outcome {
    let mut command = bounded(10, cargo(), &["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"]);
    Outcome::command("cargo doc", succeed(command.env("RUSTDOCFLAGS", "-D warnings")))
}

/// Its tests take minutes: `cargo xtask miri` runs them.
fn interpreter() -> Outcome {
    let why = miri::lacks().unwrap_or_else(|| "too slow for a gate: cargo xtask miri".to_owned());
    Outcome::NotRun(format!("miri: {why}"))
}

/// Licences, advisories, duplicates: deny.toml says which.
fn deny() -> Outcome {
    let there = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join("cargo-deny").is_file()));
    if !there {
        return Outcome::NotRun("cargo deny: cargo-deny is not installed".to_owned());
    }
    // Advisories need a database that is fetched over the network.
    let checks = ["deny", "--offline", "check", "bans", "licenses", "sources"];
    Outcome::command("cargo deny", succeed(&mut bounded(5, cargo(), &checks)))
}

/// The crates that planc is built from.
fn crates() -> Outcome {
    let tree = stdout(&mut bounded(
        2,
        cargo(),
        &["tree", "-p", "runtime-cli", "-e", "normal", "--prefix", "none", "--no-dedupe"],
    ));
    match tree {
        Err(why) => Outcome::Fail(why),
        Ok(tree) => {
            // "name v1.2.3 (…)": the remark differs between the places of one crate.
            let name = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            let crates: std::collections::BTreeSet<String> =
                tree.lines().map(name).filter(|name| !name.is_empty()).collect();
            Outcome::counted("crates in planc", crates.len() as u64, limits::CRATES, "")
        }
    }
}

/// System calls and instructions of each command, beside those that are written down.
fn counted(planc: &Path) -> Vec<Outcome> {
    if !planc.components().any(|folder| folder.as_os_str().to_string_lossy().ends_with("-musl")) {
        let why = "counts: those in xtask/counts.json are of a program made for musl (rustup target add)";
        return vec![Outcome::NotRun(why.to_owned())];
    }
    let judged = counts::count(planc).and_then(|counts| counts::judge(&counts));
    let line = |judged: counts::Judged| match (judged.figure, judged.limit) {
        (Some(figure), Some(limit)) => Outcome::counted(&judged.what, figure, limit, ""),
        (Some(figure), None) => Outcome::Fail(format!(
            "{}: {figure}, and nothing in xtask/counts.json (bench --update-counts)",
            judged.what
        )),
        (None, _) => Outcome::NotRun(format!("{}: this valgrind cannot run it", judged.what)),
    };
    match judged {
        Ok(judged) => judged.into_iter().map(line).collect(),
        Err(why) => vec![Outcome::Fail(format!("counts: {why}"))],
    }
}

/// `path` as it is written in the repository.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
