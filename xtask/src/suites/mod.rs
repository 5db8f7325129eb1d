//! The public test suites, `cargo xtask conformance` and `cargo xtask bats`: other people's judgement of planc. Their code
//! is had by its ordinary client, or from a checkout, and never kept here.

pub(crate) mod bats;
mod judge;
pub(crate) mod oci;
mod reasons;
mod report;
mod tap;

use std::path::{Path, PathBuf};

use crate::lane::Lane;
use crate::run::{self, Result, bounded, root, stdout, succeed};

/// What both commands take.
#[derive(Debug, Default)]
struct Options {
    lanes: Vec<Lane>,
    /// A planc of this tree that is built already.
    planc: Option<PathBuf>,
    /// Runtimes that are run beside planc.
    runtimes: Vec<PathBuf>,
    /// Those that are run beside planc unless named otherwise.
    beside: bool,
    rootless: bool,
    /// Whether docs/conformance.md gets the outcomes.
    write: bool,
    /// Tests or files; none are all.
    wanted: Vec<String>,
}

fn options(arguments: &[String]) -> Result<Options> {
    let mut options = Options::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut path = || -> Result<PathBuf> {
            let path = arguments.next().ok_or_else(|| format!("{argument} wants the path of a runtime"))?;
            std::fs::canonicalize(path).map_err(|why| format!("{argument} {path}: {why}"))
        };
        match argument.as_str() {
            "--planc" => options.planc = Some(path()?),
            "--runtime" => options.runtimes.push(path()?),
            "--beside" => options.beside = true,
            "--rootless" => options.rootless = true,
            "--write" => options.write = true,
            "--lane" => match arguments.next().map(String::as_str) {
                Some("native") => options.lanes.push(Lane::Native),
                Some("uml") => options.lanes.push(Lane::Uml),
                _ => return Err("--lane wants native or uml".to_owned()),
            },
            unknown if unknown.starts_with('-') => return Err(format!("unknown argument {unknown:?}")),
            wanted => options.wanted.push(wanted.to_owned()),
        }
    }
    if options.write && !options.wanted.is_empty() {
        return Err("--write is for the whole suite: a page of some of its tests would say too little".to_owned());
    }
    Ok(options)
}

/// A runtime that a suite is run on.
#[derive(Clone, Debug)]
struct Runtime {
    name: String,
    path: PathBuf,
    version: String,
}

impl Runtime {
    /// A runtime that is run beside planc: it has the name of its file.
    fn beside(path: &Path) -> Result<Self> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let said = stdout(bounded(1, path, &["--version"]).current_dir("/"))?;
        let commit = said.lines().find_map(|line| line.strip_prefix("commit: "));
        let version = said.lines().next().unwrap_or(&name).replace(" version ", " ");
        let version = commit.map_or(version.clone(), |commit| format!("{version} ({commit})"));
        Ok(Self { name, path: path.to_owned(), version })
    }

    /// planc, under the file name that tests are to find it by.
    fn planc(options: &Options, called: &str, folder: &Path) -> Result<Self> {
        let built = options.planc.clone().map_or_else(run::release_planc, Ok)?;
        let path = folder.join("planc").join(called);
        let failed = |why: std::io::Error| format!("{}: {why}", path.display());
        std::fs::create_dir_all(folder.join("planc")).map_err(failed)?;
        let _ = std::fs::remove_file(&path);
        std::fs::copy(built, &path).map_err(failed)?;
        let version = format!("planc {} ({})", env!("CARGO_PKG_VERSION"), commit(root())?);
        Ok(Self { name: "planc".to_owned(), path, version })
    }
}

/// What a checkout is at, as git describes it.
fn commit(checkout: &Path) -> Result<String> {
    let described = stdout(bounded(1, "git", &["describe", "--always", "--dirty", "--long"]).current_dir(checkout))?;
    Ok(described.trim().to_owned())
}

fn distinct(runtimes: Vec<Runtime>) -> Result<Vec<Runtime>> {
    for (i, runtime) in runtimes.iter().enumerate() {
        if runtimes[..i].iter().any(|other| other.name == runtime.name) {
            return Err(format!("two runtimes are called {}", runtime.name));
        }
    }
    Ok(runtimes)
}

/// One of the scripts in `suites/`, to be run in a lane.
#[derive(Debug)]
struct Job<'a> {
    script: &'static str,
    lane: Lane,
    /// The suite as it was laid out, and the folder for what comes out.
    suite: &'a Path,
    out: &'a Path,
    runtimes: &'a [Runtime],
    what: &'a [String],
    environment: &'a [(&'static str, String)],
    minutes: u32,
}

impl Job<'_> {
    /// Runs it and returns the version of the lane's kernel.
    fn run(&self) -> Result<String> {
        let failed = |why: std::io::Error| format!("{}: {why}", self.out.display());
        let _ = std::fs::remove_dir_all(self.out);
        std::fs::create_dir_all(self.out).map_err(failed)?;
        let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "suites", self.script].iter().collect();
        let mut command = self.lane.command()?;
        command.arg(script);
        for runtime in self.runtimes {
            command.arg(format!("{}={}", runtime.name, runtime.path.display()));
        }
        command.arg("--").args(self.what).current_dir(root());
        // /media: a folder that every machine has and that nothing needs. Not /mnt, which the uml lane has its old root on.
        command.env("SUITE", self.suite).env("LANE_OUT", self.out).env("LANE_DATA", "/media");
        command.env("LANE_TIMEOUT", (self.minutes * 60).to_string()).envs(self.environment.iter().cloned());
        succeed(&mut command)?;
        std::fs::read_to_string(self.out.join("kernel")).map(|kernel| kernel.trim().to_owned()).map_err(failed)
    }

    /// What a runtime's run of a test or file printed; nothing where it was not reached.
    fn printed(&self, runtime: &Runtime, what: &str) -> String {
        let path = self.out.join(&runtime.name).join(format!("{what}.tap"));
        std::fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }
}

/// Prints faults and says whether there are any.
fn verdict(faults: &[String]) -> Result<()> {
    for fault in faults {
        println!("FAIL {fault}");
    }
    match faults.len() {
        0 => Ok(()),
        count => Err(format!("{count} to mend")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Options> {
        options(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn arguments() {
        let options = parsed(&["--lane", "uml", "--runtime", "/bin/sh", "--beside", "create", "kill"]);
        let options = options.unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((options.lanes, options.beside, options.wanted.len()), (vec![Lane::Uml], true, 2));
        assert_eq!(options.runtimes.len(), 1);
        for wrong in
            [&["--lane", "moon"][..], &["--runtime"], &["--runtime", "/none"], &["--all"], &["--write", "kill"]]
        {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn two_runtimes_of_one_name_are_refused() {
        let runtime = |name: &str| Runtime { name: name.to_owned(), path: PathBuf::new(), version: String::new() };
        assert!(distinct(vec![runtime("planc"), runtime("runc")]).is_ok());
        assert!(distinct(vec![runtime("runc"), runtime("planc"), runtime("runc")]).is_err());
    }
}
