//! `cargo xtask conformance`: the OCI validation suite, a Go module.

use std::path::{Path, PathBuf};

use super::judge::{self, Measure};
use super::report::{self, Report};
use super::{Job, Left, Options, Runtime, distinct, reasons, tap, verdict};
use crate::lane::Lane;
use crate::packages;
use crate::run::{self, Result, bounded, root, stdout, succeed};

/// What names the module's version, and those of what it needs.
const MODULES: &str = "integration-tests/oci-validation/go.mod";
const MODULE: &str = "github.com/opencontainers/runtime-tools";

/// Seconds after which a test is ended, and minutes for all of them in a lane.
const TEST_SECONDS: u32 = 60;
const LANE_MINUTES: u32 = 30;

/// The suite, built.
#[derive(Debug)]
struct Suite {
    folder: PathBuf,
    version: String,
    tests: Vec<String>,
}

/// Why there is no suite.
#[derive(Debug)]
enum Lack {
    /// Go or the network is not there: nothing is known of planc.
    Fetched(String),
    /// What was fetched is not of one piece: a failure, as of any test.
    Built(String),
}

impl From<String> for Lack {
    fn from(why: String) -> Self {
        Self::Built(why)
    }
}

/// `conformance [--lane native|uml]… [--beside] [--runtime PATH]… [--planc PATH] [--judge FOLDER] [--write] [TEST…]`: in
/// both lanes; with `--beside` also runc and crun of the machine. With `--judge` nothing is run: FOLDER is what a run left.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let options = super::options(arguments)?;
    if options.rootless {
        return Err("the OCI validation suite is root's".to_owned());
    }
    let folder = run::target_directory()?.join("oci-validation");
    let suite = match suite(&folder, "go") {
        Ok(suite) => suite,
        Err(Lack::Fetched(why)) => {
            println!("NOT RUN conformance: the OCI validation suite cannot be had: {why}");
            return Ok(());
        }
        Err(Lack::Built(why)) => return Err(format!("the OCI validation suite was fetched, but not built: {why}")),
    };
    if let Some(unknown) = options.wanted.iter().find(|wanted| !suite.tests.contains(wanted)) {
        return Err(format!("the suite has no test {unknown:?}; it has {}", suite.tests.join(" ")));
    }
    let tests = if options.wanted.is_empty() { &suite.tests } else { &options.wanted };
    let lanes = if options.lanes.is_empty() { &[Lane::Native, Lane::Uml][..] } else { &options.lanes };
    let left = match &options.judge {
        Some(left) => vec![Left::read(left)],
        None => in_lanes(lanes, &suite, &runtimes(&options, &folder)?, tests, &folder),
    };
    let mut faults = Vec::new();
    for (&lane, left) in lanes.iter().zip(left) {
        let report = report(lane, &suite, tests, &left?);
        println!("{}", report::table(&report, true));
        let whole = options.wanted.is_empty();
        faults.extend(judge::faults(Measure::Reasons, lane.name(), &report.runs, reasons::OCI, whole));
        if options.write {
            report::write(&report, reasons::OCI, lane.name())?;
        }
    }
    verdict(&faults)
}

fn runtimes(options: &Options, folder: &Path) -> Result<Vec<Runtime>> {
    let mut runtimes = vec![Runtime::planc(options, "planc", folder)?];
    if options.beside {
        packages::ensure(&[packages::BESIDE])?;
        for path in ["/usr/sbin/runc", "/usr/bin/crun"] {
            runtimes.push(Runtime::beside(Path::new(path))?);
        }
    }
    for path in &options.runtimes {
        runtimes.push(Runtime::beside(path)?);
    }
    distinct(runtimes)
}

/// At the same time: the kernel of the uml lane has one processor.
fn in_lanes(lanes: &[Lane], suite: &Suite, runtimes: &[Runtime], tests: &[String], folder: &Path) -> Vec<Result<Left>> {
    std::thread::scope(|scope| {
        let run = |&lane| scope.spawn(move || in_lane(lane, suite, runtimes, tests, folder));
        let running: Vec<_> = lanes.iter().map(run).collect();
        running
            .into_iter()
            .map(|lane| lane.join().unwrap_or_else(|_| Err("a lane's thread panicked".to_owned())))
            .collect()
    })
}

fn in_lane(lane: Lane, suite: &Suite, runtimes: &[Runtime], tests: &[String], folder: &Path) -> Result<Left> {
    println!("     OCI validation suite in lane {}", lane.name());
    let job = Job {
        script: "oci-validation",
        lane,
        suite: &suite.folder,
        out: &folder.join(lane.name()),
        runtimes,
        what: tests,
        environment: &[("TEST_SECONDS", TEST_SECONDS.to_string())],
        minutes: LANE_MINUTES,
    };
    job.run()
}

fn report(lane: Lane, suite: &Suite, tests: &[String], left: &Left) -> Report {
    let (runs, versions) = left
        .runs(|runtime| tests.iter().map(|test| (test.clone(), tap::program(&left.printed(runtime, test)))).collect());
    Report {
        name: format!("oci-validation {}", lane.name()),
        title: format!("OCI validation suite, lane {}", lane.name()),
        source: format!("{MODULE} {}, kernel {}", suite.version, left.kernel),
        runs,
        versions,
    }
}

/// Has go fetch the module and build its programs, unless that was done with the same go.mod.
fn suite(folder: &Path, go: &str) -> std::result::Result<Suite, Lack> {
    let (source, laid_out, made) = (folder.join("source"), folder.join("suite"), folder.join("made"));
    let failed = |why: std::io::Error| format!("{}: {why}", folder.display());
    std::fs::create_dir_all(&source).map_err(failed)?;
    let modules = std::fs::read_to_string(root().join(MODULES)).map_err(|why| format!("{MODULES}: {why}"))?;
    if std::fs::read_to_string(&made).is_ok_and(|of| of == modules) {
        return Ok(with_tests(laid_out, &modules)?);
    }
    let _ = std::fs::remove_dir_all(&laid_out);
    std::fs::create_dir_all(laid_out.join("tests")).map_err(failed)?;
    // What go adds to go.mod, and go.sum, are the copy's.
    std::fs::write(source.join("go.mod"), &modules).map_err(failed)?;
    let go = |arguments: &[&str]| {
        let mut command = bounded(10, go, arguments);
        command.current_dir(&source);
        command
    };
    succeed(&mut go(&["mod", "download", MODULE])).map_err(Lack::Fetched)?;
    let module = stdout(&mut go(&["list", "-mod=mod", "-m", "-f", "{{.Dir}}", MODULE])).map_err(Lack::Fetched)?;
    let module = PathBuf::from(module.trim());
    let programs = packages_of(&module)?;
    let runtimetest = format!("{MODULE}/cmd/runtimetest");
    // Everything that they import: what fails from here on is no matter of the network.
    let imports = ["list", "-mod=mod", "-deps", &runtimetest];
    stdout(go(&imports).args(&programs)).map_err(Lack::Fetched)?;
    // In the container there is no C library.
    let build = ["build", "-mod=mod", "-o"];
    succeed(go(&build).arg(laid_out.join("runtimetest")).arg(runtimetest).env("CGO_ENABLED", "0"))?;
    succeed(go(&build).arg(laid_out.join("tests/")).args(programs))?;
    for name in names(&module)?.iter().filter(|name| name.starts_with("rootfs-")) {
        std::fs::copy(module.join(name), laid_out.join(name)).map_err(failed)?;
    }
    // Written last: what is there is whole.
    std::fs::write(made, &modules).map_err(failed)?;
    Ok(with_tests(laid_out, &modules)?)
}

/// Each folder of validation/ is a program but for that of what they share.
fn packages_of(module: &Path) -> Result<Vec<String>> {
    let names = names(&module.join("validation"))?;
    let programs = names.iter().filter(|name| *name != "util" && !name.starts_with('.'));
    Ok(programs.map(|name| format!("{MODULE}/validation/{name}")).collect())
}

fn with_tests(folder: PathBuf, modules: &str) -> Result<Suite> {
    let tests = names(&folder.join("tests"))?;
    let version = modules.lines().find_map(|line| line.trim().strip_prefix(MODULE)).map(str::trim);
    let version = version.ok_or_else(|| format!("{MODULES} does not name {MODULE}"))?.to_owned();
    Ok(Suite { folder, version, tests })
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has a go that fails where `failing` is what it is to do fetch and build the suite.
    fn with_go(failing: &str) -> std::result::Result<Suite, Lack> {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("planc-oci-{}-{failing}", std::process::id()));
        let (module, go) = (folder.join("module"), folder.join("go"));
        let script = format!(
            "#!/bin/sh\n[ \"$1\" != {failing} ] || exit 1\n[ \"$1\" != list ] || echo {}\n\
             [ \"$1\" != build ] || touch {}/suite/tests/default\n",
            module.display(),
            folder.display()
        );
        std::fs::create_dir_all(module.join("validation/default")).expect("a module");
        std::fs::write(&go, script).expect("a script");
        std::fs::set_permissions(&go, std::fs::Permissions::from_mode(0o755)).expect("a program");
        let suite = suite(&folder, &go.to_string_lossy());
        std::fs::remove_dir_all(&folder).expect("an own folder");
        suite
    }

    #[test]
    fn only_what_cannot_be_fetched_is_not_run() {
        assert!(matches!(with_go("mod"), Err(Lack::Fetched(_))));
        assert!(matches!(with_go("list"), Err(Lack::Fetched(_))));
        assert!(matches!(with_go("build"), Err(Lack::Built(_))));
        assert_eq!(with_go("nothing").expect("a suite").tests, ["default"]);
    }

    #[test]
    fn a_go_that_is_not_there_is_not_run() {
        let folder = std::env::temp_dir().join(format!("planc-oci-{}-none", std::process::id()));
        let suite = suite(&folder, "/none/go");
        std::fs::remove_dir_all(&folder).expect("an own folder");
        assert!(matches!(suite, Err(Lack::Fetched(_))), "{suite:?}");
    }
}
