//! `planc demo`: a container that needs no image and no network. It brings its own program, which tells what it sees.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::FsFlags;
use nix::unistd::{getegid, geteuid, mkdtemp};
use runtime_core::spec::default_config;
use runtime_core::{
    Acts, Bundle, Container, CreateOptions, Deletion, Error, ErrorKind, Id, LaunchPlan, Runtime, Stdio, Timing,
};

use super::{Command, launch, timing};
use crate::args::Given;
use crate::attached::{Orphans, Vigil};
use crate::failure::{Failure, Outcome, host, invalid};
use crate::globals::Context;
use crate::output::print;

/// demo/main.rs
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/demo"));

pub(super) const COMMAND: Command = Command {
    name: "demo",
    about: "run a container that brings its own program, which tells what it sees",
    words: &[],
    flags: &[],
    perform,
};

fn perform(context: &Context, _: &Given) -> Outcome {
    let ran = Place::make(context.runtime.root()).and_then(|place| {
        let ran = run(&place);
        let removed = place.remove();
        // The first error says more than what follows from it.
        ran.and_then(|code| removed.map(|()| code))
    });
    ran.map_err(|error| {
        // Only a failed step can be the host's refusal.
        for obstacle in error.step().map(|_| obstacles()).into_iter().flatten() {
            log::warn!("{obstacle}");
        }
        Failure::Launch { verb: COMMAND.name, error, advice: None }
    })
}

fn run(place: &Place) -> Result<u8, Error> {
    let bundle = place.furnish()?;
    let runtime = Runtime::new(place.state());
    let id = Id::new(&place.0.file_name().unwrap_or_default().to_string_lossy())?;
    let options = CreateOptions { timing: Timing::Steps, ..CreateOptions::default() };
    let plan = runtime.plan(&id, &bundle, &options, Acts::Run)?;
    print(&format!("The bundle is {}. Inside its container:\n", bundle.path().display()))?;
    let vigil = Vigil::begin(Orphans::Reap)?;
    let began = Instant::now();
    let container = runtime.run(&id, &bundle, &options, Stdio::default())?;
    let running = began.elapsed();
    let ended = vigil.until_container_ends(&container, None).map(|code| (code, began.elapsed()));
    runtime.delete(&id, Deletion::Force)?;
    let (code, ended) = ended?;
    launch::warn(container.warnings());
    print(&times(&plan, &container, [running, ended, began.elapsed()]))?;
    Ok(code)
}

/// A directory of the demo's own: the bundle, and the state of its container.
struct Place(PathBuf);

impl Place {
    /// Makes it, with a random name and mode 0700, on a tmpfs if there is one that programs can be executed from.
    fn make(root: &Path) -> Result<Self, Error> {
        let beside = root.parent().map(Path::to_owned);
        let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let tmpfs = beside.into_iter().chain(own).chain([PathBuf::from("/dev/shm")]);
        let fits = |dir: &Path, needs_tmpfs: bool| {
            statfs(dir).is_ok_and(|fs| {
                !fs.flags().contains(FsFlags::ST_NOEXEC) && (!needs_tmpfs || fs.filesystem_type() == TMPFS_MAGIC)
            })
        };
        let tmpfs = tmpfs.filter(|dir| dir.is_absolute() && fits(dir, true));
        let any = std::iter::once(std::env::temp_dir()).filter(|dir| fits(dir, false));
        let made = tmpfs.chain(any).find_map(|dir| mkdtemp(&dir.join("planc-demo-XXXXXX")).ok());
        made.map(Self).ok_or_else(|| invalid("there is no directory to make the bundle in: set TMPDIR"))
    }

    /// Writes the bundle.
    fn furnish(&self) -> Result<Bundle, Error> {
        let bundle = self.0.join("bundle");
        let write = || {
            fs::create_dir_all(bundle.join("rootfs"))?;
            fs::write(bundle.join("config.json"), config().to_string())?;
            let program = bundle.join("rootfs/demo");
            OpenOptions::new().write(true).create_new(true).mode(0o755).open(program)?.write_all(PROGRAM)
        };
        write().map_err(|e| host(&format!("write the bundle {}", bundle.display()), e))?;
        Bundle::load(bundle)
    }

    /// Where the state of its container is.
    fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    /// Removes it, unless the container could not be deleted: what is left of that is then found by its state.
    fn remove(self) -> Result<(), Error> {
        let left = fs::read_dir(self.state()).is_ok_and(|mut entries| entries.next().is_some());
        if left {
            let why = format!("the container is still there: delete it with --root {}", self.state().display());
            return Err(Error::new(ErrorKind::Host, why));
        }
        fs::remove_dir_all(&self.0).map_err(|e| host(&format!("remove {}", self.0.display()), e))
    }
}

/// What `planc spec` writes, for the demo's program.
fn config() -> serde_json::Value {
    let rootless = (!geteuid().is_root()).then(|| (geteuid().as_raw(), getegid().as_raw()));
    let mut config = serde_json::to_value(default_config(rootless)).unwrap_or_default();
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = ["/demo"].into();
    config["hostname"] = "planc-demo".into();
    config
}

/// The steps with the microseconds that each took, and how long it all took.
fn times(plan: &LaunchPlan, container: &Container, [running, ended, removed]: [Duration; 3]) -> String {
    let mut text = format!("\nIt was made in {} steps:\n\n{}\n", plan.len(), timing::steps(plan, container));
    let [running, ended, removed] = [running, ended, removed].map(|time| timing::micros(time.as_nanos() as u64));
    text += &format!("After {running} µs the program ran, after {ended} µs it had ended, ");
    text += &format!("after {removed} µs nothing was left of it.\n");
    text
}

/// Why this host may not let an unprivileged caller make a container (user_namespaces(7), and what distributions add).
fn obstacles() -> Vec<String> {
    if geteuid().is_root() {
        return Vec::new();
    }
    let settings = [
        ("kernel/unprivileged_userns_clone", "0", "user namespaces are for root only"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "a user namespace gives no privileges"),
        ("user/max_user_namespaces", "0", "there may be no user namespace"),
    ];
    let set = |path: &str, value: &str| {
        fs::read_to_string(Path::new("/proc/sys").join(path)).is_ok_and(|now| now.trim() == value)
    };
    let found = settings.into_iter().filter(|(path, value, _)| set(path, value));
    let mut said: Vec<_> =
        found.map(|(path, value, what)| format!("{} is {value} here: {what}", path.replace('/', "."))).collect();
    said.push("without root the demo needs a host that lets users make user namespaces; try it as root".to_owned());
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_private_and_goes() {
        use std::os::unix::fs::PermissionsExt;
        let place = Place::make(Path::new("/nosuch/planc")).unwrap();
        let path = place.0.clone();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
        let bundle = place.furnish().unwrap();
        assert_eq!(bundle.path(), path.join("bundle"));
        let program = fs::metadata(path.join("bundle/rootfs/demo")).unwrap();
        assert_eq!(program.permissions().mode() & 0o111, 0o111);
        place.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn the_program_is_small_and_static() {
        assert!(PROGRAM.starts_with(b"\x7fELF"));
        assert!(PROGRAM.len() < 64 << 10, "{}", PROGRAM.len());
    }
}
