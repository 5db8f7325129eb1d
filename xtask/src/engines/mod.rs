//! `cargo xtask engines`: what people do with real engines, planc in runc's place, and runc and crun beside it.

mod cri;
mod docker;
mod images;
mod kubernetes;
mod lines;
mod registry;
mod table;
mod tools;

use std::path::{Path, PathBuf};

use crate::lane::Lane;
use crate::packages::{self, Package};
use crate::run::{self, Result, bounded, root, stdout, target_directory};
use crate::suites::judge::{self, Measure, Run};
use crate::suites::reasons::ENGINES as REASONS;
use crate::suites::report::{self, Report};
use crate::suites::{self, Runtime};
use table::{ENGINES, Engine};

/// What scenarios are told, by the names of the variables.
type Variables = Vec<(&'static str, PathBuf)>;

/// Who is beside planc: the variable that names another one, and Debian's.
const DEBIANS: [(&str, &str); 2] = [("RUNC", "/usr/sbin/runc"), ("CRUN", "/usr/bin/crun")];

/// What the command takes.
#[derive(Debug, Default)]
struct Options {
    /// None are all.
    engines: Vec<String>,
    lane: Option<Lane>,
    /// Who is judged, where it is not planc.
    runtime: Option<PathBuf>,
    /// The shim that is judged, where there is one and it is not planc's.
    shim: Option<PathBuf>,
    /// Whether runc and crun are run beside it: Debian's, or those that `RUNC` and `CRUN` name; an empty one is not run.
    beside: bool,
    /// Whether docs/conformance.md gets the outcomes.
    write: bool,
    /// Parts of the names of the scenarios that are run; none are all.
    filter: Vec<String>,
}

/// `engines [all|ENGINE…] [--lane native|uml|uml-systemd] [--runtime PATH] [--shim PATH] [--beside] [--write] [-- PART-OF-A-NAME…]`.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let options = options(arguments)?;
    let chosen: Vec<&Engine> = ENGINES
        .iter()
        .filter(|engine| options.engines.is_empty() || options.engines.iter().any(|name| name == engine.name))
        .collect();
    let runtimes = runtimes(&options)?;
    let mut faults = Vec::new();
    for engine in chosen {
        let lane = options.lane.unwrap_or(engine.lane);
        println!("\n     {} in lane {}", engine.title, lane.name());
        faults.extend(engine.judge(lane, &runtimes, &options)?);
    }
    suites::verdict(&faults)
}

/// planc, or who is judged in its place, and then those beside it.
fn runtimes(options: &Options) -> Result<Vec<Runtime>> {
    let first = match &options.runtime {
        Some(path) => Runtime::beside(path)?,
        None => Runtime::this_planc(run::release_planc()?)?,
    };
    let mut runtimes = vec![first];
    if options.beside {
        packages::ensure(&[packages::BESIDE])?;
        for (variable, debians) in DEBIANS {
            let path = std::env::var_os(variable).map_or_else(|| PathBuf::from(debians), PathBuf::from);
            if path.as_os_str().is_empty() {
                continue;
            }
            runtimes.push(Runtime { name: variable.to_lowercase(), ..Runtime::beside(&path)? });
        }
    }
    suites::distinct(runtimes)
}

impl Engine {
    /// Runs it with each runtime; what has to be mended.
    fn judge(&self, lane: Lane, runtimes: &[Runtime], options: &Options) -> Result<Vec<String>> {
        packages::ensure(&[self.packages, packages::TESTS])?;
        let prepared = match (self.prepare)(&folder()?) {
            Ok(prepared) => prepared,
            Err(why) => {
                println!("NOT RUN {}: {why}", self.name);
                return Ok(Vec::new());
            }
        };
        let runtimes = &self.judged(runtimes)?;
        let run =
            |runtime| self.run(lane, runtime, self.shim(runtime, options)?.as_deref(), &prepared, &options.filter);
        let runs = runtimes.iter().map(run).collect::<Result<Vec<_>>>()?;
        let place = format!("{} {}", self.name, lane.name());
        let report = Report {
            name: format!("engine {place}"),
            title: format!("{}, lane {}", self.title, lane.name()),
            source: self.source(&prepared)?,
            runs,
            versions: runtimes.iter().map(|runtime| runtime.version.clone()).collect(),
        };
        if report.runs.len() > 1 {
            print!("{}", report::table(&report, false));
        }
        if options.write {
            report::write(&report, REASONS, &place)?;
        }
        if options.runtime.is_some() || options.shim.is_some() {
            let failed = |run: &Run| run.outcomes.values().any(|outcome| outcome.verdict == suites::tap::Verdict::Fail);
            return Ok(report.runs.first().filter(|run| failed(run)).map(|_| place).into_iter().collect());
        }
        Ok(judge::faults(Measure::Failures, &place, &report.runs, REASONS, options.filter.is_empty()))
    }

    /// Those that are judged: beside the first one, a tool of the engine's takes the place of Debian's runtime of that name.
    fn judged(&self, runtimes: &[Runtime]) -> Result<Vec<Runtime>> {
        let judged = runtimes.iter().enumerate().map(|(at, runtime)| {
            let debians = at > 0 && DEBIANS.iter().any(|(_, path)| runtime.path == Path::new(path));
            let tool = self.tools.iter().find(|tool| debians && tool.name == runtime.name);
            match tool.map(|tool| tool.get(&folder()?).ok_or_else(|| format!("there is no {}", tool.version()))) {
                Some(path) => Ok(Runtime { name: runtime.name.clone(), ..Runtime::beside(&path?)? }),
                None => Ok(runtime.clone()),
            }
        });
        judged.collect()
    }

    /// The engine's version and the kernel it was run on.
    fn source(&self, prepared: &Variables) -> Result<String> {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").map_err(|why| why.to_string())?;
        let packages = self.packages.iter().map(Package::version).collect::<Result<Vec<_>>>()?;
        let tools = self.tools.iter().map(tools::Tool::version);
        let programs = self.programs.iter().map(|(variable, name)| {
            let found = prepared.iter().find(|(other, _)| other == variable);
            let (_, path) = found.ok_or_else(|| format!("{variable} is not there"))?;
            let program = if name.is_empty() { path.clone() } else { path.join(name) };
            let told = stdout(&mut bounded(1, program, &["--version"]))?;
            Ok(told.lines().next().unwrap_or_default().trim().to_owned())
        });
        let programs = programs.collect::<Result<Vec<_>>>()?;
        let all: Vec<String> = programs.into_iter().chain(packages).chain(tools).collect();
        Ok(format!("{}; kernel {}", all.join(", "), kernel.trim()))
    }

    /// The shim that is judged; `None` where the runtime is under one of containerd's, or there are no shims.
    fn shim(&self, runtime: &Runtime, options: &Options) -> Result<Option<PathBuf>> {
        match &options.shim {
            Some(shim) => Ok(Some(shim.clone())),
            None if self.by_shim && options.runtime.is_none() && runtime.name == "planc" => {
                run::release_shim().map(Some)
            }
            None => Ok(None),
        }
    }

    fn run(
        &self,
        lane: Lane,
        runtime: &Runtime,
        shim: Option<&Path>,
        prepared: &[(&str, PathBuf)],
        filter: &[String],
    ) -> Result<Run> {
        let images = images::made(self.images, &folder()?.join("images"))?;
        let built = run::build(20, &["test", "--quiet", "--no-run", "-p", "integration-tests", "--test", "engines"])?;
        let program = built.iter().find(|built| built.name == "engines").ok_or("cargo built no test named engines")?;
        println!("\n     {}", runtime.version);
        let mut command = lane.command()?;
        command.arg(&program.path).arg(self.name).args(filter).current_dir(root());
        command.env("RUNTIME", &runtime.path).env("ENGINE_IMAGES", images);
        command.envs(prepared.iter().map(|(name, value)| (name, value)));
        command.envs(shim.map(|shim| ("SHIM", shim)));
        // /media: a folder that every machine has and that nothing needs.
        command.env("LANE_DATA", "/media").env("LANE_TIMEOUT", (self.minutes * 60).to_string());
        for tool in self.tools {
            if let Some(path) = tool.get(&folder()?) {
                command.env(tool.variable, path);
            }
        }
        let mut outcomes = lines::Outcomes::default();
        run::watch(&mut command, |line| {
            println!("{line}");
            outcomes.add(line);
        })?;
        Ok(Run { runtime: runtime.name.clone(), outcomes: outcomes.whole()? })
    }
}

/// What a bench under engines needs, if its arguments name one: the folder with their images.
pub(crate) fn for_bench(names: &[&str]) -> Result<Option<PathBuf>> {
    let mut named = ENGINES.iter().filter(|engine| names.contains(&engine.name)).peekable();
    if named.peek().is_none() {
        return Ok(None);
    }
    for engine in named {
        packages::ensure(&[engine.packages])?;
    }
    images::made(&[images::BUSYBOX], &folder()?.join("images")).map(Some)
}

/// Where everything is kept that engines need.
fn folder() -> Result<PathBuf> {
    Ok(target_directory()?.join("engines"))
}

fn options(arguments: &[String]) -> Result<Options> {
    let (own, filter) = run::split_at_dashes(arguments);
    let mut options = Options { filter: filter.to_vec(), ..Options::default() };
    let mut arguments = own.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--lane" => {
                let name = arguments.next().ok_or("--lane wants a name")?;
                let lane = [Lane::Native, Lane::Uml, Lane::UmlSystemd].into_iter().find(|lane| lane.name() == name);
                options.lane = Some(lane.ok_or_else(|| format!("there is no lane {name:?}"))?);
            }
            "--runtime" => {
                let path = arguments.next().ok_or("--runtime wants a path")?;
                let path = std::fs::canonicalize(path).map_err(|why| format!("--runtime {path}: {why}"))?;
                options.runtime = Some(path);
            }
            "--shim" => {
                let path = arguments.next().ok_or("--shim wants a path")?;
                let path = std::fs::canonicalize(path).map_err(|why| format!("--shim {path}: {why}"))?;
                options.shim = Some(path);
            }
            "--beside" => options.beside = true,
            "--write" => options.write = true,
            "all" => {}
            name if ENGINES.iter().any(|engine| engine.name == name) => options.engines.push(name.to_owned()),
            unknown => {
                let names: Vec<&str> = ENGINES.iter().map(|engine| engine.name).collect();
                return Err(format!("unknown argument {unknown:?}; the engines are {}", names.join(", ")));
            }
        }
    }
    if options.write && !(options.beside && options.filter.is_empty() && options.runtime.is_none()) {
        return Err("--write wants --beside, and every scenario on planc".to_owned());
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Options> {
        options(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn arguments() {
        let options =
            parsed(&["docker", "--lane", "uml", "--beside", "--", "run::"]).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((options.lane, options.beside, options.filter.len()), (Some(Lane::Uml), true, 1));
        assert!(parsed(&["all"]).is_ok_and(|options| options.engines.is_empty()));
        for wrong in
            [&["rkt"][..], &["--lane", "moon"], &["--runtime"], &["--runtime", "/none"], &["--write"], &["--frob"]]
        {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
