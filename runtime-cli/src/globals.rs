//! What stands before the command's name: the global flags, and what they make of the process.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::unistd::geteuid;

use runtime_core::{CgroupDriver, Error, Facts, Rootless, Runtime};

use crate::args::{Flag, Given, HELP, truth};
use crate::failure::{host, invalid};
use crate::log::Format;

const ROOT: Flag =
    Flag::value("root", "the directory of the containers' states (/run/planc, or $XDG_RUNTIME_DIR/planc unprivileged)");
/// The log's file.
pub(crate) const LOG: Flag = Flag::value("log", "append the log to this file (default: the standard error)");
const LOG_FORMAT: Flag = Flag::value("log-format", "text (default) or json");
/// Whether the log is talkative.
pub(crate) const DEBUG: Flag = Flag::switch("debug", "log what helps to find faults");
const SYSTEMD_CGROUP: Flag = Flag::switch(
    "systemd-cgroup",
    "let systemd make the cgroup: create, run and explain; the others know how it was made",
);
const CGROUP_MANAGER: Flag =
    Flag::value("cgroup-manager", "who makes the cgroup: cgroupfs (default), systemd, or disabled for none at all");
const ROOTLESS: Flag = Flag::value(
    "rootless",
    "true, false or auto (default): whether to go without a cgroup, and without a lower oom_score_adj, where that is denied",
);
/// Whether only the version is asked for.
pub(crate) const VERSION: Flag = Flag::switch("version", "print the version").or("v");

/// Every global flag.
pub(crate) const FLAGS: [&Flag; 9] =
    [&ROOT, &LOG, &LOG_FORMAT, &DEBUG, &SYSTEMD_CGROUP, &CGROUP_MANAGER, &ROOTLESS, &VERSION, &HELP];

/// The version of the runtime-spec that is implemented.
const RUNTIME_SPEC: &str = "1.3.0";

/// How planc was called. A link of another name, such as `runc`, makes it speak by that name.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// `argv[0]`
    pub(crate) path: String,
    /// Its last component.
    pub(crate) name: String,
}

impl Program {
    /// Takes the process's arguments apart.
    pub(crate) fn called() -> (Self, Vec<OsString>) {
        let mut args = std::env::args_os();
        let path = args.next().filter(|arg| !arg.is_empty()).unwrap_or_else(|| "planc".into());
        let name = Path::new(&path).file_name().unwrap_or(&path).to_string_lossy().into_owned();
        (Self { path: path.to_string_lossy().into_owned(), name }, args.collect())
    }

    /// The lines of `--version`. Engines look for `version`, `commit: ` and `spec: `; go-runc for `runc version `,
    /// which it finds where planc is called runc. Whose version it then is its build metadata says (semver.org, 10).
    pub(crate) fn version(&self) -> String {
        format!(
            "{} version {}{}\ncommit: {}\nspec: {RUNTIME_SPEC}\nrustc: {}\n",
            self.name,
            env!("CARGO_PKG_VERSION"),
            if self.name == "planc" { "" } else { "+planc" },
            option_env!("PLANC_COMMIT").unwrap_or("unknown"),
            option_env!("PLANC_RUSTC").unwrap_or("unknown"),
        )
    }
}

/// The format that `--log-format` names.
pub(crate) fn log_format(given: &Given) -> Result<Format, Error> {
    given.value(&LOG_FORMAT).map_or(Ok(Format::Text), |name| Format::new(&name.to_string_lossy()))
}

/// What every command is given beside its own flags.
#[derive(Debug)]
pub(crate) struct Context {
    /// How planc was called.
    pub(crate) program: Program,
    /// The containers below `--root`.
    pub(crate) runtime: Runtime,
    /// Whether that is what the caller named, rather than the usual one.
    pub(crate) names_root: bool,
    /// Who is to make the cgroups.
    pub(crate) cgroup_driver: CgroupDriver,
    /// Whether the caller is taken for one who may not do what root may.
    pub(crate) rootless: Rootless,
    /// Whether nothing says where an unprivileged caller may keep states.
    pub(crate) homeless: bool,
}

impl Context {
    /// Checks the global flags' values.
    pub(crate) fn new(program: Program, given: &Given) -> Result<Self, Error> {
        let rootless = given.value(&ROOTLESS).map_or(Ok(Rootless::Auto), rootless)?;
        let named = given.path(&ROOT);
        let names_root = named.is_some();
        let found = named.or_else(own_root);
        let homeless = found.is_none() && !geteuid().is_root();
        let root = found.unwrap_or_else(|| "/run/planc".into());
        let absolute = absolute(&root)?;
        if is_root_directory(&absolute) {
            return Err(invalid("option --root argument should not be set to /"));
        }
        log::debug!("the state directory is {}", absolute.display());
        let cgroup_driver = cgroup_driver(given)?;
        Ok(Self { program, runtime: Runtime::new(absolute), names_root, cgroup_driver, rootless, homeless })
    }
}

/// What `--cgroup-manager` and `--systemd-cgroup` ask for; engines that say both mean the same by them.
fn cgroup_driver(given: &Given) -> Result<CgroupDriver, Error> {
    let systemd = given.is(&SYSTEMD_CGROUP);
    let Some(name) = given.value(&CGROUP_MANAGER) else {
        return Ok(if systemd { CgroupDriver::Systemd } else { CgroupDriver::Cgroupfs });
    };
    match name.to_str() {
        Some("systemd") => Ok(CgroupDriver::Systemd),
        Some("cgroupfs" | "disabled") if systemd => {
            Err(invalid(format!("--systemd-cgroup and --cgroup-manager {} exclude each other", name.display())))
        }
        Some("cgroupfs") => Ok(CgroupDriver::Cgroupfs),
        Some("disabled") => Ok(CgroupDriver::Disabled),
        _ => Err(invalid(format!(
            "invalid value {name:?} for flag -cgroup-manager: it is cgroupfs, systemd or disabled"
        ))),
    }
}

/// The value of `--rootless`: what Go takes for a truth value, or `auto`.
fn rootless(value: &OsStr) -> Result<Rootless, Error> {
    match truth(value) {
        Some(true) => Ok(Rootless::Yes),
        Some(false) => Ok(Rootless::No),
        None if value.eq_ignore_ascii_case("auto") || value.is_empty() => Ok(Rootless::Auto),
        None => Err(invalid(format!("invalid value {value:?} for flag -rootless: it is true, false or auto"))),
    }
}

/// `path` from the root, without asking the file system.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|e| host(&format!("make {} absolute", path.display()), e))
}

/// Where a caller who is not the host's root keeps states: below its runtime directory (XDG Base Directory
/// Specification), or where a login would have made that one.
fn own_root() -> Option<PathBuf> {
    let named = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let euid = geteuid();
    if euid.is_root() {
        // Root of a user namespace is an unprivileged user of the host, unless it calls itself otherwise.
        let is_user = !Facts::in_initial_user_namespace() && std::env::var_os("USER").is_none_or(|user| user != "root");
        return named.filter(|_| is_user).map(|dir| dir.join("planc"));
    }
    let usual = || {
        let dir = PathBuf::from(format!("/run/user/{euid}"));
        let is_own = dir.symlink_metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == euid.as_raw());
        is_own.then_some(dir)
    };
    named.or_else(usual).map(|dir| dir.join("planc"))
}

/// Whether an absolute path is `/`, also by way of `..` or of a link.
fn is_root_directory(path: &Path) -> bool {
    let mut depth = 0_usize;
    for component in path.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::ParentDir => depth = depth.saturating_sub(1),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    depth == 0 || path.canonicalize().is_ok_and(|real| real == Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Until, Words};

    fn context(line: &str) -> Result<Context, Error> {
        let mut words = Words::new(line.split_whitespace().map(OsString::from));
        let program = Program { path: "/usr/bin/planc".into(), name: "planc".into() };
        Context::new(program, &words.read(&FLAGS, Until::FirstWord).unwrap())
    }

    #[test]
    fn the_state_directory_is_absolute_and_not_the_root() {
        assert_eq!(context("--root /x/y").unwrap().runtime.root(), Path::new("/x/y"));
        assert_eq!(context("-root=x").unwrap().runtime.root(), std::env::current_dir().unwrap().join("x"));
        for root in ["/", "//", "/.", "/nosuch/..", "/proc/self/root"] {
            let error = context(&format!("--root {root} list")).unwrap_err();
            assert_eq!(error.message(), "option --root argument should not be set to /", "{root}");
        }
    }

    #[test]
    fn what_engines_pass() {
        let context = context("--root /r --debug --log /l --log-format json --systemd-cgroup --rootless=true list");
        assert_eq!(context.unwrap().cgroup_driver, CgroupDriver::Systemd);
    }

    #[test]
    fn who_makes_the_cgroups_is_one_of_three() {
        for (line, wanted) in [
            ("list", CgroupDriver::Cgroupfs),
            ("--systemd-cgroup", CgroupDriver::Systemd),
            ("--systemd-cgroup --cgroup-manager=systemd", CgroupDriver::Systemd),
            ("--cgroup-manager systemd", CgroupDriver::Systemd),
            ("--cgroup-manager=cgroupfs", CgroupDriver::Cgroupfs),
            ("--cgroup-manager=disabled", CgroupDriver::Disabled),
        ] {
            assert_eq!(context(line).unwrap().cgroup_driver, wanted, "{line}");
        }
        for (line, wanted) in [
            ("--cgroup-manager=x", "invalid value \"x\" for flag -cgroup-manager: it is cgroupfs, systemd or disabled"),
            (
                "--systemd-cgroup --cgroup-manager disabled",
                "--systemd-cgroup and --cgroup-manager disabled exclude each other",
            ),
        ] {
            assert_eq!(context(line).unwrap_err().message(), wanted, "{line}");
        }
    }

    #[test]
    fn rootless_is_one_of_three() {
        for (line, wanted) in [
            ("list", Rootless::Auto),
            ("--rootless auto", Rootless::Auto),
            ("--rootless=AUTO", Rootless::Auto),
            ("--rootless=", Rootless::Auto),
            ("--rootless=true", Rootless::Yes),
            ("--rootless 0", Rootless::No),
        ] {
            assert_eq!(context(line).unwrap().rootless, wanted, "{line}");
        }
        assert_eq!(
            context("--rootless=x").unwrap_err().message(),
            "invalid value \"x\" for flag -rootless: it is true, false or auto"
        );
    }
}
