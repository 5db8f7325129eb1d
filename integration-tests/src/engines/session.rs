//! An engine that runs: its commands, as people type them, and its end.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::panic::{self, UnwindSafe};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lane::Lane;
use crate::process;
use crate::runtime::Runtime;
use crate::shim::process::{Printed, run_within};

/// How long a script may take, before the lane's patience.
const LIMIT: Duration = Duration::from_secs(60);
/// How long an engine may take until it serves, or has ended.
const SOON: Duration = Duration::from_secs(30);

/// A running engine.
pub struct Session {
    /// Who runs the containers.
    pub runtime: Runtime,
    /// Where everything is that the engine keeps.
    pub home: PathBuf,
    /// Variables of every script.
    variables: Vec<(String, String)>,
    /// The words of a command that executes every script.
    by: Vec<String>,
    daemons: Mutex<Vec<(&'static str, Child)>>,
    /// Removes every container, network and volume.
    cleaning: &'static str,
    /// What must not be there at the end: cgroups and state of containers that are gone.
    rests: &'static str,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("runtime", &self.runtime.path).field("home", &self.home).finish()
    }
}

impl Session {
    /// A session without a daemon. `cleaning` is a script that removes what a scenario left; `rests` one that prints what
    /// is left when all is removed, and nothing otherwise.
    pub fn new(runtime: &Runtime, home: &Path, cleaning: &'static str, rests: &'static str) -> Self {
        fs::create_dir_all(home.join("bin")).unwrap();
        let path = format!(
            "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            home.join("bin").to_str().unwrap()
        );
        let variables = vec![
            ("PATH".to_owned(), path),
            ("HOME".to_owned(), home.to_str().unwrap().to_owned()),
            ("RUNTIME".to_owned(), runtime.path.to_str().unwrap().to_owned()),
            ("ENGINE_IMAGES".to_owned(), Self::images().to_str().unwrap().to_owned()),
        ];
        let home = home.to_owned();
        Self { runtime: runtime.clone(), home, variables, by: Vec::new(), daemons: Mutex::default(), cleaning, rests }
    }

    /// The folder with the images.
    ///
    /// # Panics
    /// Without `ENGINE_IMAGES`.
    pub fn images() -> PathBuf {
        PathBuf::from(std::env::var_os("ENGINE_IMAGES").expect("ENGINE_IMAGES: cargo xtask engines sets it"))
    }

    /// A variable of every script and daemon from now on.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// What removes everything from now on.
    pub fn cleaned_by(&mut self, cleaning: &'static str) {
        self.cleaning = cleaning;
    }

    /// Who executes every script from now on: `setpriv --reuid …`, say.
    pub fn by(&mut self, words: &[&str]) {
        self.by = words.iter().map(|&word| word.to_owned()).collect();
    }

    /// A program that is found by this name before any other.
    pub fn program(&self, name: &str, path: impl AsRef<Path>) {
        symlink(path, self.home.join("bin").join(name)).unwrap();
    }

    /// The same, for a program that is this script.
    pub fn script(&self, name: &str, text: &str) {
        let path = self.home.join("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    /// Has iptables be the one that works on this kernel: not every kernel has nftables, which Debian's usual one wants.
    #[track_caller]
    pub fn with_iptables(&self) {
        // A list is printed where nothing can be made.
        self.ok("iptables -t nat -N lane && iptables -t nat -X lane || for table in iptables ip6tables; do
             for program in $table $table-save $table-restore; do
                 ln -s $(command -v $table-legacy${program#$table}) $HOME/bin/$program
             done
         done");
    }

    /// A path in the engine's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Starts a daemon, which logs to `NAME.log`, and waits until `ready` succeeds.
    #[track_caller]
    pub fn daemon(&self, name: &'static str, words: &[&str], ready: &str) {
        let log = File::create(self.path(&format!("{name}.log"))).unwrap();
        let mut command = Command::new("env");
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).args(words).current_dir(&self.home);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut daemon = command.spawn().unwrap_or_else(|why| panic!("{}: {why}", words[0]));
        process::wait_until(SOON * Lane::current().patience(), &format!("{name} serves"), || {
            if let Some(ended) = daemon.try_wait().unwrap() {
                panic!("{name}: {ended}: {}", self.log(name));
            }
            self.sh(ready).status.success()
        });
        self.daemons.lock().unwrap().push((name, daemon));
    }

    /// Kills a daemon, and waits for its end.
    pub fn stop(&self, name: &str, signal: Signal) {
        let mut daemons = self.daemons.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = daemons.iter().position(|(other, _)| *other == name) else { return };
        let (_, mut daemon) = daemons.remove(at);
        let _ = kill(Pid::from_raw(daemon.id() as i32), signal);
        process::wait_until(SOON * Lane::current().patience(), &format!("{name} ends"), || {
            daemon.try_wait().is_ok_and(|status| status.is_some())
        });
    }

    /// The last lines of a daemon's log.
    pub fn log(&self, name: &str) -> String {
        let log = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// A command line with the environment that scripts have.
    pub fn words(&self, words: &[&str]) -> Vec<String> {
        let variables = self.variables.iter().map(|(name, value)| format!("{name}={value}"));
        let own = self.by.iter().cloned().chain(["env".to_owned()]).chain(variables);
        own.chain(words.iter().map(|&word| word.to_owned())).collect()
    }

    /// Runs a script of bash to its end, whatever it is. A part of it that fails ends it.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Printed {
        self.typed(script, "")
    }

    /// The same, with this on its standard input.
    #[track_caller]
    pub fn typed(&self, script: &str, stdin: &str) -> Printed {
        run_within(LIMIT, self.command(script), stdin.as_bytes())
    }

    /// The command that runs a script of bash.
    pub fn command(&self, script: &str) -> Command {
        let mut words = self.by.iter().map(String::as_str).chain(["bash", "-euo", "pipefail", "-c", script]);
        let mut bash = Command::new(words.next().unwrap());
        bash.args(words).current_dir(&self.home);
        bash.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        bash
    }

    /// A script that must succeed; what it printed on its standard output, without the last newline.
    #[track_caller]
    pub fn ok(&self, script: &str) -> String {
        let printed = self.sh(script);
        assert!(printed.status.success(), "{script}: {printed:?}");
        printed.out().trim_end_matches(['\r', '\n']).to_owned()
    }

    /// A script that must succeed and print this, without the last newline.
    #[track_caller]
    pub fn prints(&self, script: &str, expected: &str) {
        let printed = self.sh(script);
        let out = printed.out();
        let same = printed.status.success() && out.trim_end_matches(['\r', '\n']) == expected;
        assert!(same, "{script}: {printed:?} and not {expected:?}");
    }

    /// A script that must succeed and have this among what it prints.
    #[track_caller]
    pub fn says(&self, script: &str, part: &str) {
        let printed = self.sh(script);
        let said = printed.status.success() && (printed.out() + &printed.err()).contains(part);
        assert!(said, "{script}: {printed:?} without {part:?}");
    }

    /// A script that must end with this status, and have this among what it prints.
    #[track_caller]
    pub fn fails(&self, script: &str, status: i32, part: &str) {
        let printed = self.sh(script);
        let failed = printed.status.code() == Some(status) && (printed.out() + &printed.err()).contains(part);
        assert!(failed, "{script}: {printed:?} and not {status} with {part:?}");
    }

    /// Waits until a script succeeds.
    #[track_caller]
    pub fn wait(&self, script: &str) {
        let mut last = None;
        process::wait_until(SOON * Lane::current().patience(), script, || {
            let printed = self.sh(script);
            let success = printed.status.success();
            last = Some(printed);
            success
        });
    }

    /// Removes every container, network and volume.
    pub fn clean(&self) {
        self.ok(self.cleaning);
    }

    /// Ends the engine: its daemons last to first.
    ///
    /// # Errors
    /// What is left of its containers.
    pub fn end(&self) -> Result<(), String> {
        let rests = self.sh(self.rests).out();
        loop {
            let last = self.daemons.lock().unwrap_or_else(PoisonError::into_inner).last().map(|(name, _)| *name);
            let Some(name) = last else { break };
            self.stop(name, Signal::SIGTERM);
        }
        if rests.trim().is_empty() { Ok(()) } else { Err(format!("left behind: {rests}")) }
    }
}

/// What it returns, or with what it panicked.
pub(super) fn caught<T>(body: impl FnOnce() -> T + UnwindSafe) -> Result<T, String> {
    panic::catch_unwind(body).map_err(|cause| match cause.downcast::<String>() {
        Ok(text) => *text,
        Err(cause) => cause.downcast_ref::<&str>().copied().unwrap_or_default().to_owned(),
    })
}
