//! System calls of each command, for the default bundle with /bin/true, counted in the native lane.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::lane::Lane;
use crate::run::{Result, bounded, succeed};

/// The commands of [`totals`]. Strace follows what `create` makes to its end, which is not create's.
pub(super) const COMMANDS: [&str; 8] = ["run", "exec", "start", "delete", "state", "kill", "list", "features"];

/// Which bundle is run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bundle {
    /// That of `planc spec`.
    Default,
    /// The same without `linux.resources`: crun 1.8 cannot filter devices where RLIMIT_MEMLOCK cannot be raised.
    WithoutResources,
}

/// System calls of one log, by who made them.
#[derive(Debug, PartialEq, Eq)]
struct Calls {
    /// planc's, and those of its child until that is init.
    host: u64,
    /// init's, from its exec to that of the container's program.
    init: u64,
    /// Everybody's, to the end of the container's program.
    all: u64,
}

/// What planc itself makes, command by command, and init.
pub(super) fn of_planc(planc: &Path) -> Result<Vec<(String, u64)>> {
    let folder = Folder::new("planc")?;
    trace(planc, planc, Bundle::Default, &folder.0)?;
    let log = |name: &str| calls_of(&folder.0, name);
    let run = log("run")?;
    let exec = log("exec")?;
    let mut figures = vec![
        ("create", log("create")?.host),
        ("start", log("start")?.host),
        ("delete", log("delete")?.host),
        ("run", run.host),
        // Both halves: a process that joins a pid namespace is born again, and /bin/true's own calls are among them.
        ("exec", exec.host + exec.init),
        ("init", run.init),
    ];
    for name in ["state", "kill", "list", "features"] {
        figures.push((name, log(name)?.host));
    }
    Ok(figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect())
}

/// What all processes of a command of any runtime make, in the order of [`COMMANDS`]; `None` where it lacks the command. The
/// bundle is planc's.
pub(super) fn totals(runtime: &Path, planc: &Path, bundle: Bundle) -> Result<Vec<Option<u64>>> {
    let folder = Folder::new("beside")?;
    trace(runtime, planc, bundle, &folder.0)?;
    Ok(COMMANDS.iter().map(|name| calls_of(&folder.0, name).ok().map(|calls| calls.all)).collect())
}

fn trace(runtime: &Path, planc: &Path, which: Bundle, folder: &Path) -> Result<()> {
    let path = folder.join("bundle");
    bundle(planc, &path, which)?;
    let mut lane = Lane::Native.command()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/counts/syscalls.sh");
    succeed(lane.env("LANE_TIMEOUT", "120").arg("bash").args([&script, folder, runtime, &path]))
}

fn calls_of(folder: &Path, name: &str) -> Result<Calls> {
    let path = folder.join(name).with_extension("log");
    let text = std::fs::read(&path).map_err(|why| format!("{}: {why}", path.display()))?;
    calls(&String::from_utf8_lossy(&text)).ok_or_else(|| format!("{}: no system call in it", path.display()))
}

/// A temporary folder, removed when it is dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(what: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("planc-counts-{what}-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing depends on it: at worst a small folder stays in the temporary one.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The bundle of `planc spec` with a busybox, no terminal, and /bin/true.
pub(crate) fn bundle(planc: &Path, folder: &Path, which: Bundle) -> Result<()> {
    let io = |why: std::io::Error| format!("{}: {why}", folder.display());
    let bin = folder.join("rootfs/bin");
    std::fs::create_dir_all(&bin).map_err(io)?;
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).is_file());
    std::fs::copy(busybox.ok_or("there is no /bin/busybox")?, bin.join("busybox")).map_err(io)?;
    symlink("busybox", bin.join("true")).map_err(io)?;
    succeed(bounded(1, planc, &["spec"]).current_dir(folder))?;
    let path = folder.join("config.json");
    let mut config: Value =
        serde_json::from_slice(&std::fs::read(&path).map_err(io)?).map_err(|why| why.to_string())?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/bin/true"]);
    if which == Bundle::WithoutResources {
        config["linux"]["resources"] = Value::Null;
        let linux = config["linux"].as_object_mut();
        linux.map(|linux| linux.remove("resources"));
    }
    std::fs::write(&path, config.to_string()).map_err(io)
}

/// Counts the calls of a log of `strace -f -o`: one line each, `PID CALL(…) = …`.
fn calls(log: &str) -> Option<Calls> {
    // "<... resumed>" ends a call that is counted where it began; "+++" and "---" are exits and signals.
    let lines = log.lines().filter_map(|line| line.split_once(' ')).map(|(pid, call)| (pid, call.trim_start()));
    let lines: Vec<(&str, &str)> = lines.filter(|(_, call)| !call.starts_with(['<', '+', '-'])).collect();
    let planc = lines.first()?.0;
    // The one other process that execs itself by descriptor is init.
    let init = lines.iter().find(|(pid, call)| *pid != planc && call.starts_with("execveat(")).map(|(pid, _)| *pid);
    let of_init: Vec<&str> = lines.iter().filter(|(pid, _)| Some(*pid) == init).map(|(_, call)| *call).collect();
    let born = of_init.iter().position(|call| call.starts_with("execveat(")).map_or(0, |at| at + 1);
    let gone = of_init.iter().rposition(|call| call.starts_with("execve")).map_or(0, |at| at + 1);
    let host = (lines.len() - of_init.len() + born) as u64;
    Some(Calls { host, init: gone.saturating_sub(born) as u64, all: lines.len() as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_go_to_who_made_them() {
        let log = "10    execve(\"planc\", …) = 0\n\
                   10    clone3({…} <unfinished ...>\n\
                   11    dup3(3, 4, 0) = 4\n\
                   11    execveat(5, \"\", …) = 0\n\
                   10    <... clone3 resumed>) = 11\n\
                   11    prctl(PR_SET_DUMPABLE, 0) = 0\n\
                   11    read(3, …) = 1\n\
                   11    execve(\"/bin/true\", …) = 0\n\
                   11    brk(NULL) = 0\n\
                   11    +++ exited with 0 +++\n\
                   10    --- SIGCHLD {…} ---\n\
                   10    exit_group(0) = ?\n";
        assert_eq!(calls(log), Some(Calls { host: 5, init: 3, all: 9 }));
    }

    #[test]
    fn a_command_without_init_is_all_its_own() {
        let log = "9     read(0, …) = 1\n9     exit_group(0) = ?\n";
        assert_eq!(calls(log), Some(Calls { host: 2, init: 0, all: 2 }));
        assert_eq!(calls(""), None);
    }
}
