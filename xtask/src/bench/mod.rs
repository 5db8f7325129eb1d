//! `cargo xtask bench`: the benches, each in a lane of its own, with the release planc; and docs/performance.md.

mod document;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::counts;
use crate::engine_profiles;
use crate::engines;
use crate::lane::Lane;
use crate::packages;
use crate::run::{Result, build, release_planc, release_shim, root, split_at_dashes, succeed, target_directory};

/// A bench: what the package `benches` calls it, and what docs/performance.md does.
pub(crate) struct Bench {
    name: &'static str,
    title: &'static str,
    lane: Lane,
    /// Whether it is run where none is named; the others want engines, and minutes.
    is_usual: bool,
}

const fn usual(name: &'static str, title: &'static str) -> Bench {
    Bench { name, title, lane: Lane::Native, is_usual: true }
}

const fn unusual(name: &'static str, title: &'static str) -> Bench {
    Bench { name, title, lane: Lane::Native, is_usual: false }
}

/// What is counted, not timed: not a bench of the package.
const COUNTS: &str = "counts";

/// In the order of the page.
const BENCHES: &[Bench] = &[
    usual("launch", "`run` and `exec`"),
    usual("commands", "Commands that start nothing"),
    usual("crowd", "With 1,000 containers"),
    usual("parallel", "Eight clients at once"),
    usual("mounts", "With 4,000 mounts on the host"),
    usual("footprint", "Memory"),
    Bench { lane: Lane::Uml, ..usual("memory", "The smallest memory limit") },
    usual("seccomp", "Seccomp profiles compiled"),
    usual("calls", "System calls under a seccomp filter"),
    usual(COUNTS, "Counts"),
    unusual("shim", "Shims under containerd"),
    unusual("docker", "Under Docker"),
    // Where crun has the controllers that it asks for.
    Bench { lane: Lane::Uml, ..unusual("docker-uml", "Under Docker, kernel of the uml lane") },
    unusual("podman", "Under Podman"),
];

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    names: Vec<String>,
    is_written: bool,
    are_counts_written: bool,
}

/// `bench [--all] [--write] [--update-counts] [-- BENCH…]`: the usual benches, all of them, or those that are named. What they
/// find is kept until they are run again; with `--write` docs/performance.md is made of it.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let options = options(arguments)?;
    let folder = target_directory()?.join("bench");
    fs::create_dir_all(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    let mut failed = Vec::new();
    let asked: Vec<&Bench> =
        BENCHES.iter().filter(|bench| options.names.iter().any(|name| name == bench.name)).collect();
    let tools = if asked.is_empty() { None } else { Some(Tools::made(&options, &folder)?) };
    for (bench, tools) in asked.iter().zip(tools.iter().cycle()) {
        println!("     Running {} (lane {})", bench.name, bench.lane.name());
        let ended = match bench.name {
            COUNTS => tools.count(options.are_counts_written),
            _ => tools.measure(bench),
        };
        if let Err(why) = ended {
            eprintln!("xtask bench: {}: {why}", bench.name);
            failed.push(bench.name);
        }
    }
    if options.is_written {
        document::write(&folder, BENCHES.iter().map(|bench| (bench.name, bench.title)))?;
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn options(arguments: &[String]) -> Result<Options> {
    let (own, named) = split_at_dashes(arguments);
    let mut options = Options { names: named.to_vec(), ..Options::default() };
    let mut is_all = false;
    for argument in own {
        match argument.as_str() {
            "--all" => is_all = true,
            "--write" => options.is_written = true,
            "--update-counts" => options.are_counts_written = true,
            unknown => return Err(format!("unknown argument {unknown:?}; names of benches follow --")),
        }
    }
    if let Some(unknown) = named.iter().find(|name| BENCHES.iter().all(|bench| bench.name != **name)) {
        let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
        return Err(format!("no bench is called {unknown:?}: {}", names.join(", ")));
    }
    if options.names.is_empty() && options.are_counts_written && !is_all {
        options.names.push(COUNTS.to_owned());
    } else if options.names.is_empty() {
        let wanted = BENCHES.iter().filter(|bench| is_all || bench.is_usual);
        options.names = wanted.map(|bench| bench.name.to_owned()).collect();
    }
    Ok(options)
}

/// What the benches are run with.
struct Tools {
    folder: PathBuf,
    planc: PathBuf,
    shim: Option<PathBuf>,
    benches: Option<PathBuf>,
    images: Option<PathBuf>,
    profiles: Option<PathBuf>,
}

impl Tools {
    fn made(options: &Options, folder: &Path) -> Result<Self> {
        let wants = |name: &str| options.names.iter().any(|wanted| wanted == name);
        let planc = release_planc()?;
        let folder = folder.to_owned();
        if options.names.iter().all(|name| name == COUNTS) {
            return Ok(Self { folder, planc, shim: None, benches: None, images: None, profiles: None });
        }
        packages::ensure(&[packages::BENCHES])?;
        let engines: Vec<&str> = options.names.iter().map(|name| name.trim_end_matches("-uml")).collect();
        let images = engines::for_bench(&engines)?;
        let shim = if wants("shim") { Some(release_shim()?) } else { None };
        let profiles = if wants("seccomp") || wants("calls") { engine_profiles::folder() } else { None };
        let built = build(30, &["build", "--quiet", "--release", "-p", "benches", "--bins"])?;
        let benches = built.into_iter().find(|built| built.name == "benches").ok_or("cargo built no benches")?;
        Ok(Self { folder, planc, shim, benches: Some(benches.path), images, profiles })
    }

    /// Where the results of a bench are.
    fn results(&self, bench: &str) -> PathBuf {
        self.folder.join(bench).with_extension("jsonl")
    }

    fn measure(&self, bench: &Bench) -> Result<()> {
        let results = self.results(bench.name);
        // Those of the last time must not be taken for this one's.
        let _ = fs::remove_file(&results);
        let mut lane = bench.lane.command()?;
        let paths = [("SHIM", &self.shim), ("ENGINE_IMAGES", &self.images), ("ENGINE_PROFILES", &self.profiles)];
        lane.envs(paths.iter().filter_map(|(name, path)| Some((name, path.as_ref()?))));
        // The one folder that a lane in another kernel shares with the machine.
        lane.env("LANE_OUT", &self.folder).env("BENCH_RESULTS", &results).env("LANE_DATA", "/media");
        lane.env("PLANC", &self.planc).env("LANE_TIMEOUT", "3600").current_dir(root());
        let program = self.benches.as_ref().ok_or("the package benches is not built")?;
        let ended = succeed(lane.arg(program).arg(bench.name));
        ended.inspect_err(|why| self.leave(bench.name, &[json!({"kind": "not run", "what": bench.name, "why": why})]))
    }

    /// Counts, and holds the figures to those that are written down.
    fn count(&self, are_written: bool) -> Result<()> {
        let counts = counts::count(&self.planc)?;
        let _ = fs::remove_file(self.results(COUNTS));
        self.leave(COUNTS, &counts::tables(&counts, &self.planc));
        if are_written {
            counts::write(&counts)?;
        }
        let judged = counts::judge(&counts)?;
        let shown = |figure: Option<u64>| figure.map_or_else(|| "-".to_owned(), |figure| figure.to_string());
        for one in &judged {
            println!("{:<28} {:>9}  limit {:>9}", one.what, shown(one.figure), shown(one.limit));
        }
        let over: Vec<&str> = judged.iter().filter(|one| !one.is_well()).map(|one| one.what.as_str()).collect();
        if over.is_empty() { Ok(()) } else { Err(format!("more than is written down: {}", over.join("; "))) }
    }

    /// Adds lines to the results of a bench.
    fn leave(&self, bench: &str, lines: &[Value]) {
        let path = self.results(bench);
        let mut text = fs::read_to_string(&path).unwrap_or_default();
        lines.iter().for_each(|line| text += &format!("{line}\n"));
        if let Err(why) = fs::write(&path, text) {
            eprintln!("xtask bench: {}: {why}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Result<Options> {
        options(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_usual_ones_all_or_the_named() {
        let usual = asked(&[]).unwrap().names;
        assert!(usual.contains(&"counts".to_owned()) && !usual.contains(&"docker".to_owned()));
        assert_eq!(asked(&["--all"]).unwrap().names.len(), BENCHES.len());
        let named = asked(&["--write", "--", "shim"]).unwrap();
        assert_eq!(named, Options { names: vec!["shim".to_owned()], is_written: true, are_counts_written: false });
        assert_eq!(asked(&["--update-counts"]).unwrap().names, ["counts"]);
    }

    #[test]
    fn what_is_not_there_is_refused() {
        assert!(asked(&["--fast"]).is_err());
        assert!(asked(&["--", "moon"]).is_err());
    }
}
