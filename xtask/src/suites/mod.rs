//! The public test suites, `cargo xtask conformance` and `cargo xtask bats`: other people's judgement of planc. Their code
//! is had by its ordinary client, or from a checkout, and never kept here.

pub(crate) mod bats;
pub(crate) mod judge;
pub(crate) mod oci;
pub(crate) mod reasons;
pub(crate) mod report;
pub(crate) mod tap;

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
    /// What earlier runs left: judged instead of a run.
    judge: Option<PathBuf>,
    /// Tests or files; none are all.
    wanted: Vec<String>,
}

fn options(arguments: &[String]) -> Result<Options> {
    let mut options = Options::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut path = || -> Result<PathBuf> {
            let path = arguments.next().ok_or_else(|| format!("{argument} wants a path"))?;
            std::fs::canonicalize(path).map_err(|why| format!("{argument} {path}: {why}"))
        };
        match argument.as_str() {
            "--planc" => options.planc = Some(path()?),
            "--judge" => options.judge = Some(path()?),
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
    if options.judge.is_some() && options.lanes.len() != 1 {
        return Err("--judge wants one --lane: that of the run".to_owned());
    }
    if options.write && !options.wanted.is_empty() {
        return Err("--write is for the whole suite: a page of some of its tests would say too little".to_owned());
    }
    Ok(options)
}

/// A runtime that a suite is run on.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) version: String,
}

impl Runtime {
    /// A runtime that is run beside planc: it has the name of its file.
    pub(crate) fn beside(path: &Path) -> Result<Self> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let said = stdout(bounded(1, path, &["--version"]).current_dir("/"))?;
        let commit = said.lines().find_map(|line| line.strip_prefix("commit: "));
        let version = said.lines().next().unwrap_or(&name).replace(" version ", " ");
        let version = commit.map_or(version.clone(), |commit| format!("{version} ({commit})"));
        Ok(Self { name, path: path.to_owned(), version })
    }

    /// planc of this tree.
    pub(crate) fn this_planc(path: PathBuf) -> Result<Self> {
        let version = format!("planc {} ({})", env!("CARGO_PKG_VERSION"), commit(root())?);
        Ok(Self { name: "planc".to_owned(), path, version })
    }

    /// planc, under the file name that tests are to find it by.
    fn planc(options: &Options, called: &str, folder: &Path) -> Result<Self> {
        let built = options.planc.clone().map_or_else(run::release_planc, Ok)?;
        let path = folder.join("planc").join(called);
        let failed = |why: std::io::Error| format!("{}: {why}", path.display());
        std::fs::create_dir_all(folder.join("planc")).map_err(failed)?;
        let _ = std::fs::remove_file(&path);
        std::fs::copy(built, &path).map_err(failed)?;
        Self::this_planc(path)
    }
}

/// What a checkout is at, as git describes it.
fn commit(checkout: &Path) -> Result<String> {
    let described = stdout(bounded(1, "git", &["describe", "--always", "--dirty", "--long"]).current_dir(checkout))?;
    Ok(described.trim().to_owned())
}

pub(crate) fn distinct(runtimes: Vec<Runtime>) -> Result<Vec<Runtime>> {
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
    /// Runs it.
    fn run(&self) -> Result<Left> {
        let failed = |why: std::io::Error| format!("{}: {why}", self.out.display());
        let _ = std::fs::remove_dir_all(self.out);
        std::fs::create_dir_all(self.out).map_err(failed)?;
        let versions = self.runtimes.iter().map(|runtime| format!("{}={}\n", runtime.name, runtime.version));
        std::fs::write(self.out.join(RUNTIMES), versions.collect::<String>()).map_err(failed)?;
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
        Left::read(self.out)
    }
}

/// The file that says on which runtimes a suite was run: NAME=VERSION.
const RUNTIMES: &str = "runtimes";

/// What a run left in its folder.
#[derive(Debug)]
struct Left {
    folder: PathBuf,
    /// The version of the lane's kernel.
    kernel: String,
    /// Names and versions, planc's first.
    runtimes: Vec<(String, String)>,
}

impl Left {
    fn read(folder: &Path) -> Result<Self> {
        let text = |file: &str| {
            let path = folder.join(file);
            std::fs::read_to_string(&path).map_err(|why| format!("{}: {why}", path.display()))
        };
        let runtimes = text(RUNTIMES)?;
        let runtimes = runtimes.lines().filter_map(|line| line.split_once('='));
        Ok(Self {
            folder: folder.to_owned(),
            kernel: text("kernel")?.trim().to_owned(),
            runtimes: runtimes.map(|(name, version)| (name.to_owned(), version.to_owned())).collect(),
        })
    }

    /// What a runtime's run of a test or file printed; nothing where it was not reached.
    fn printed(&self, runtime: &str, what: &str) -> String {
        let path = self.folder.join(runtime).join(format!("{what}.tap"));
        std::fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// Whether a runtime's run of a test or file got to its end.
    fn has(&self, runtime: &str, what: &str) -> bool {
        self.folder.join(runtime).join(format!("{what}.tap")).exists()
    }

    /// The outcomes of all runtimes, as `outcomes` has them of one, and the versions.
    fn runs(&self, outcomes: impl Fn(&str) -> tap::Outcomes) -> (Vec<judge::Run>, Vec<String>) {
        let run = |(name, version): &(String, String)| {
            (judge::Run { runtime: name.clone(), outcomes: outcomes(name) }, version.clone())
        };
        self.runtimes.iter().map(run).unzip()
    }
}

/// Prints faults and says whether there are any.
pub(crate) fn verdict(faults: &[String]) -> Result<()> {
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
        for wrong in [
            &["--lane", "moon"][..],
            &["--runtime"],
            &["--runtime", "/none"],
            &["--all"],
            &["--write", "kill"],
            &["--judge", "/"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_a_run_left_is_read_again() {
        let folder = std::env::temp_dir().join(format!("planc-left-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("planc")).expect("a folder");
        assert!(Left::read(&folder).is_err(), "nothing says which runtimes they were");
        let files =
            [(RUNTIMES, "planc=planc 1 (a)\nrunc=runc 2\n"), ("kernel", "6.1\n"), ("planc/kill.tap", "ok 1 it\n")];
        for (file, text) in files {
            std::fs::write(folder.join(file), text).expect("a file");
        }
        let left = Left::read(&folder).expect("what was left");
        let (runs, versions) = left.runs(|runtime| tap::file("kill", &left.printed(runtime, "kill")));
        std::fs::remove_dir_all(&folder).expect("an own folder");
        assert_eq!((left.kernel.as_str(), versions), ("6.1", vec!["planc 1 (a)".to_owned(), "runc 2".to_owned()]));
        assert_eq!(runs.iter().map(|run| run.runtime.as_str()).collect::<Vec<_>>(), ["planc", "runc"]);
        assert_ne!(runs[0].outcomes, runs[1].outcomes, "runc did not get to it");
    }

    #[test]
    fn two_runtimes_of_one_name_are_refused() {
        let runtime = |name: &str| Runtime { name: name.to_owned(), path: PathBuf::new(), version: String::new() };
        assert!(distinct(vec![runtime("planc"), runtime("runc")]).is_ok());
        assert!(distinct(vec![runtime("runc"), runtime("planc"), runtime("runc")]).is_err());
    }
}
