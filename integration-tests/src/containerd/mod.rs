//! A containerd of one test: a daemon with everything it keeps in a folder of its own, and `ctr`, which drives it.
//!
//! Debian's is always judged with; `CONTAINERD=/path/to/containerd`, with `ctr` beside it, names another one.
//! `RUNTIME_TYPE` is the shim's name as containerd has it; without it, that which follows from `SHIM`.

pub mod events;
pub mod image;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::bundle::Bundle;
use crate::harness::{self, Test};
use crate::mountinfo;
use crate::oracle;
use crate::process;
use crate::runtime::{Kind, Runtime};
use crate::scene::Scene;
use crate::shim::process::{Printed, run};
use crate::shim::{self, NAMESPACE};

/// Debian's containerd.
pub const DEBIANS: &str = "/usr/bin/containerd";

/// Where `ctr` makes fifos, whatever containerd it speaks to.
const FIFOS: &str = "/run/containerd/fifo";

/// What is not asked of it: what needs more of the host than the tests do, or keeps files outside of its folder.
const DISABLED: [&str; 9] = [
    "io.containerd.grpc.v1.cri",
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
    "io.containerd.internal.v1.opt",
    "io.containerd.nri.v1.nri",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
];

/// The containerd that `CONTAINERD` names.
pub fn given() -> Option<PathBuf> {
    std::env::var_os("CONTAINERD").map(PathBuf::from)
}

/// One that runs.
#[derive(Debug)]
pub struct Containerd<'s> {
    /// The stage.
    pub scene: &'s Scene,
    /// The root filesystem of the containers that have no image.
    pub bundle: Bundle,
    /// Its path as a word.
    rootfs: String,
    home: PathBuf,
    program: PathBuf,
    /// What the shim is called.
    runtime_type: String,
    daemon: Mutex<Option<Child>>,
}

/// A line of `ctr task ls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Of its init.
    pub pid: u32,
    /// `RUNNING`, `STOPPED`, `PAUSED`, …
    pub status: String,
}

impl<'s> Containerd<'s> {
    /// Starts one that knows the shim by its own name.
    #[track_caller]
    pub fn start(scene: &'s Scene, program: &Path) -> Self {
        let directory = scene.runtime.path.parent().unwrap();
        let name = scene.runtime.path.file_name().unwrap().to_str().unwrap();
        let runtime_type = std::env::var("RUNTIME_TYPE").unwrap_or_else(|_| runtime_type(name));
        Self::start_with(scene, program, directory, runtime_type)
    }

    /// Starts one for which the shim is runc's: as on a host that has replaced it.
    #[track_caller]
    pub fn start_in_the_place_of_runc(scene: &'s Scene, program: &Path) -> Self {
        let directory = scene.path("replaced");
        fs::create_dir(&directory).unwrap();
        symlink(&scene.runtime.path, directory.join("containerd-shim-runc-v2")).unwrap();
        Self::start_with(scene, program, &directory, "io.containerd.runc.v2".to_owned())
    }

    #[track_caller]
    fn start_with(scene: &'s Scene, program: &Path, shims: &Path, runtime_type: String) -> Self {
        /// Its folder is new for every test: paths of sockets are short.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let home = PathBuf::from(format!("/run/c{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(home.join("bin")).unwrap();
        // Found in PATH by its name, and no other shim is.
        for entry in fs::read_dir(shims).unwrap().map(|entry| entry.unwrap()) {
            if entry.file_name().to_string_lossy().starts_with("containerd-shim-") {
                symlink(entry.path(), home.join("bin").join(entry.file_name())).unwrap();
            }
        }
        let disabled = DISABLED.map(|name| format!("{name:?}")).join(", ");
        let config = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\noom_score = 0\ndisabled_plugins = [{disabled}]\n\
             [grpc]\naddress = \"{0}/sock\"\n[debug]\nlevel = \"trace\"\n",
            home.display()
        );
        fs::write(home.join("config.toml"), config).unwrap();
        let bundle = scene.bundle();
        let rootfs = bundle.rootfs("").to_str().unwrap().to_owned();
        let daemon = Mutex::new(None);
        let containerd = Self { scene, bundle, rootfs, home, program: program.to_owned(), runtime_type, daemon };
        containerd.come();
        containerd
    }

    /// Starts the daemon, and waits until it serves.
    #[track_caller]
    pub fn come(&self) {
        let log = fs::File::options().create(true).append(true).open(self.home.join("log")).unwrap();
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.home.join("config.toml")).current_dir(&self.home).env("PATH", self.search());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut daemon = command.spawn().unwrap_or_else(|why| panic!("{}: {why}", self.program.display()));
        self.scene.wait_until("containerd serves", || {
            if let Some(ended) = daemon.try_wait().unwrap() {
                panic!("containerd: {ended}: {}", self.log());
            }
            UnixStream::connect(self.home.join("sock")).is_ok()
        });
        *self.daemon.lock().unwrap() = Some(daemon);
    }

    /// Kills the daemon, and it alone.
    pub fn go(&self, signal: Signal) {
        if let Some(mut daemon) = self.daemon.lock().unwrap().take() {
            let _ = kill(Pid::from_raw(daemon.id() as i32), signal);
            let _ = daemon.wait();
        }
    }

    /// Where it looks for shims, and they for programs.
    fn search(&self) -> OsString {
        let inherited = std::env::var("PATH").unwrap_or_default();
        format!("{}:{inherited}:/usr/local/sbin:/usr/sbin:/sbin", self.home.join("bin").display()).into()
    }

    /// The last lines that it logged.
    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains("level=debug")).collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    /// The major version.
    pub fn is_2(&self) -> bool {
        let mut command = Command::new(&self.program);
        command.arg("--version");
        let version = run(command, &[]).out();
        // `containerd PACKAGE VERSION COMMIT`
        let version = version.split_whitespace().nth(2).unwrap_or_default().trim_start_matches('v').to_owned();
        !version.starts_with("1.")
    }

    /// `ctr` with these words.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.program.with_file_name("ctr"));
        command.args(words).env("CONTAINERD_ADDRESS", self.home.join("sock")).env("CONTAINERD_NAMESPACE", NAMESPACE);
        command
    }

    /// `ctr` to its end, whatever it is, with nothing on its standard input.
    #[track_caller]
    pub fn try_ctr(&self, words: &[&str]) -> Printed {
        run(self.command(words), &[])
    }

    /// `ctr`, which must succeed; what it printed.
    #[track_caller]
    pub fn ctr(&self, words: &[&str]) -> String {
        let printed = self.try_ctr(words);
        assert!(printed.status.success(), "ctr {}: {printed:?}\n{}", words.join(" "), self.last_words());
        printed.out()
    }

    /// The words of `ctr run` for a container of this root filesystem. Without an image there is no PATH. ctr asks for
    /// shares of the processor unless it is told not to, and the native lane may have no controllers.
    pub fn run_words<'w>(&'w self, flags: &[&'w str], id: &'w str, program: &[&'w str]) -> Vec<&'w str> {
        let own = ["run", "--runtime", &self.runtime_type, "--cpu-shares", "0", "--env", "PATH=/bin"];
        [&own, flags, &["--rootfs", &self.rootfs, id], program].concat()
    }

    /// `ctr run --rm`, to the end of the container.
    #[track_caller]
    pub fn run(&self, flags: &[&str], program: &[&str]) -> Printed {
        let id = self.scene.id();
        self.try_ctr(&self.run_words(&[&["--rm"], flags].concat(), &id, program))
    }

    /// The same of a shell script, which must succeed; what it printed.
    #[track_caller]
    pub fn sh(&self, flags: &[&str], script: &str) -> String {
        let printed = self.run(flags, &["sh", "-c", script]);
        assert!(printed.status.success(), "{printed:?}\n{}", self.last_words());
        assert_eq!(printed.err(), "");
        printed.out()
    }

    /// `ctr run --detach`; the container's id.
    #[track_caller]
    pub fn detached(&self, flags: &[&str], program: &[&str]) -> String {
        let id = self.scene.id();
        self.ctr(&self.run_words(&[&["--detach"], flags].concat(), &id, program));
        id
    }

    /// A container that sleeps until it is killed.
    #[track_caller]
    pub fn sleeping(&self, flags: &[&str]) -> String {
        self.detached(flags, &["sleep", "1000"])
    }

    /// `ctr task exec`, to its end.
    #[track_caller]
    pub fn exec(&self, id: &str, flags: &[&str], program: &[&str]) -> Printed {
        let exec = self.scene.id();
        self.try_ctr(&[&["task", "exec", "--exec-id", &exec], flags, &[id], program].concat())
    }

    /// `ctr task ls`.
    #[track_caller]
    pub fn tasks(&self) -> BTreeMap<String, Listed> {
        let table = self.ctr(&["task", "ls"]);
        let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.map(|row| {
            let [id, pid, status] = row[..] else { panic!("ctr task ls: {table:?}") };
            (id.to_owned(), Listed { pid: pid.parse().unwrap(), status: status.to_owned() })
        })
        .collect()
    }

    /// What a command of `ctr` prints that repeats a line, after which its standard input ends, and not before: ctr may
    /// miss an end that comes before there is a process.
    #[track_caller]
    pub fn typed(&self, words: &[&str], line: &str) -> Printed {
        let script = r#"mkfifo "$0"; (exec 4<> "$0"; echo "$LINE"; read -r _ <&4) | "$@" | tee >(head -n 1 > "$0")
            exit ${PIPESTATUS[1]}"#;
        let ctr = self.command(words);
        let mut shell = Command::new("bash");
        shell.args(["-c", script]).arg(self.scene.path(&self.scene.id())).arg(ctr.get_program()).args(ctr.get_args());
        shell.envs(ctr.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("LINE", line);
        run(shell, &[])
    }

    /// What `ctr task ls` says of one task.
    #[track_caller]
    pub fn task(&self, id: &str) -> Option<Listed> {
        self.tasks().remove(id)
    }

    /// Waits until the task has this status.
    #[track_caller]
    pub fn wait_status(&self, id: &str, status: &str) {
        self.scene
            .wait_until(&format!("{id} is {status}"), || self.task(id).is_some_and(|listed| listed.status == status));
    }

    /// `ctr task delete` of one that has ended, and `ctr container delete`; what it ended with.
    #[track_caller]
    pub fn delete(&self, id: &str) -> i32 {
        let deleted = self.try_ctr(&["task", "delete", id]);
        let (code, err) = (deleted.status.code().unwrap(), deleted.err());
        // An older ctr says it as a warning, a newer one also ends with it.
        let told = err
            .lines()
            .find_map(|line| line.split_once("exit with non-zero exit code ")?.1.split('"').next()?.parse().ok());
        assert!(told.is_some() || code == 0 && err.is_empty(), "{deleted:?}\n{}", self.last_words());
        self.ctr(&["container", "delete", id]);
        told.unwrap_or(code)
    }

    /// Kills a container, and removes it; what it ended with.
    #[track_caller]
    pub fn stop(&self, id: &str) -> i32 {
        self.ctr(&["task", "kill", "--signal", "KILL", id]);
        self.wait_status(id, "STOPPED");
        self.delete(id)
    }

    /// What the shim is called here.
    pub fn runtime_type(&self) -> &str {
        &self.runtime_type
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Where the bundle of a container is.
    pub fn bundle_of(&self, id: &str) -> PathBuf {
        self.bundles().join(id)
    }

    /// The socket of a container's shim, by what containerd keeps of it.
    pub fn socket_of(&self, id: &str) -> PathBuf {
        let bundle = self.bundle_of(id);
        let address = match fs::read(bundle.join("bootstrap.json")) {
            Ok(json) => serde_json::from_slice::<Value>(&json).unwrap()["address"].as_str().unwrap().to_owned(),
            Err(_) => fs::read_to_string(bundle.join("address")).unwrap(),
        };
        PathBuf::from(address.strip_prefix("unix://").unwrap())
    }

    fn bundles(&self) -> PathBuf {
        self.home.join("state/io.containerd.runtime.v2.task").join(NAMESPACE)
    }

    /// Mounts below its folder.
    pub fn mounts(&self) -> Vec<PathBuf> {
        let mounts = mountinfo::parse(&fs::read_to_string("/proc/self/mountinfo").unwrap());
        mounts.into_iter().map(|mount| mount.point).filter(|point| point.starts_with(&self.home)).collect()
    }

    /// The daemon ends; no bundle, no mount, no shim is left. The oracle looks at the rest.
    #[track_caller]
    pub fn end(self) {
        self.scene.wait_until("the last shim is gone", || shims().is_empty());
        let bundles: Vec<_> =
            fs::read_dir(self.bundles()).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        assert!(bundles.is_empty(), "left behind: {bundles:?}");
        let mounts = self.mounts();
        assert!(mounts.is_empty(), "left behind: {mounts:?}");
        if self.scene.runtime.kind != Kind::Planc {
            // The shim of runc leaves its socket when it is killed, and that of 2.4 also those of groups.
            for socket in fs::read_dir(shim::SOCKETS).unwrap().filter_map(Result::ok) {
                let _ = fs::remove_file(socket.path());
            }
        }
    }
}

impl Drop for Containerd<'_> {
    fn drop(&mut self) {
        self.go(if std::thread::panicking() { Signal::SIGKILL } else { Signal::SIGTERM });
        if std::thread::panicking() {
            for shim in shims() {
                let _ = kill(Pid::from_raw(shim as i32), Signal::SIGKILL);
            }
        }
        // ctr's, of tasks that were not deleted by ctr.
        for fifos in fs::read_dir(FIFOS).into_iter().flatten().filter_map(Result::ok) {
            let _ = fs::remove_dir_all(fifos.path());
        }
        for mount in self.mounts().iter().rev() {
            let _ = umount2(mount, MntFlags::MNT_DETACH);
        }
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// The shims that run, by what they are called.
pub fn shims() -> Vec<u32> {
    let is_shim = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let name = words.split(|&byte| byte == 0).next().and_then(|path| path.rsplit(|&byte| byte == b'/').next());
        name.is_some_and(|name| name.starts_with(b"containerd-shim-"))
    };
    process::all().into_keys().filter(is_shim).collect()
}

/// What containerd calls a shim whose program has this name: the way back of `io.containerd.NAME.VERSION`.
pub fn runtime_type(program: &str) -> String {
    let (name, version) = program.trim_start_matches("containerd-shim-").rsplit_once('-').unwrap_or((program, "v2"));
    format!("io.containerd.{name}.{version}")
}

/// Who is judged, in the harness's words.
///
/// # Errors
/// When there is no shim.
pub fn judged() -> Result<Runtime, String> {
    let judged = shim::judged()?;
    if crate::lane::Lane::current() != crate::lane::Lane::Outside {
        // What outlives all containers is nobody's leak: so is the cgroup of a namespace.
        for path in [Path::new(FIFOS), &oracle::cgroup_root().join(NAMESPACE)] {
            fs::create_dir_all(path).map_err(|why| format!("{}: {why}", path.display()))?;
        }
    }
    Ok(judged)
}

/// Whether a shim can be judged by a test. runc's understands no generation of containerd but its own, beside which it is.
pub fn is_of(shim: &Runtime, test: &Test) -> bool {
    let program = if test.name.ends_with("::debians") { Some(PathBuf::from(DEBIANS)) } else { given() };
    let beside = program.is_some_and(|program| program.parent() == shim.path.parent());
    if shim.kind == Kind::Runc && !beside {
        harness::say(format_args!("NOT RUN: {}: the shim is of another generation of containerd", test.name));
        return false;
    }
    true
}

/// Lists a file's tests twice, as `TESTS`: with Debian's containerd, and with that which `CONTAINERD` names, if it does.
#[macro_export]
macro_rules! containerd_tests {
    ($($name:ident $([$($need:expr),+])?),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::harness::Test] = &[$(
            $crate::harness::Test {
                name: concat!(module_path!(), "::", stringify!($name), "::debians"),
                needs: &[$crate::harness::Need::Path($crate::containerd::DEBIANS), $($($need),+)?],
                body: |scene| $name(scene, std::path::Path::new($crate::containerd::DEBIANS)),
            },
            $crate::harness::Test {
                name: concat!(module_path!(), "::", stringify!($name), "::given"),
                needs: &[$crate::harness::Need::Given("CONTAINERD"), $($($need),+)?],
                body: |scene| $name(scene, &$crate::containerd::given().unwrap()),
            },
        )*];
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_a_runtime_type() {
        assert_eq!(runtime_type("containerd-shim-planc-v2"), "io.containerd.planc.v2");
        assert_eq!(runtime_type("containerd-shim-runc-v2"), "io.containerd.runc.v2");
    }
}
