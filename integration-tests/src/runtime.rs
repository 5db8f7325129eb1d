//! The runtime under test: which one it is, and its commands, each with captured output and an end in sight.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lane::Lane;
use crate::terminal::Pty;

/// How long one command may take, before the lane's patience.
const LIMIT: Duration = Duration::from_secs(30);

/// Whose binary it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This project's.
    Planc,
    /// runc: what it fails is listed in [`crate::exceptions`].
    Runc,
    /// Any other.
    Other,
}

/// The runtime under test.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// Its binary.
    pub path: PathBuf,
    /// Whose it is.
    pub kind: Kind,
    /// The major and minor version of the runtime-spec it says it complies with.
    pub spec: (u32, u32),
}

impl Runtime {
    /// The runtime `RUNTIME` names, or the planc that cargo built beside these tests.
    ///
    /// # Errors
    /// When there is none, or it does not say its version.
    pub fn from_env() -> Result<Self, String> {
        let path = match env::var_os("RUNTIME") {
            Some(path) => PathBuf::from(path),
            None => built_beside("planc")?,
        };
        if !path.is_absolute() || !path.is_file() {
            return Err(format!("RUNTIME={} is not the absolute path of a file", path.display()));
        }
        Self::identify(path)
    }

    /// The runtime at `path`, which is asked for its version.
    ///
    /// # Errors
    /// When it cannot be executed, or does not say its version.
    pub fn identify(path: PathBuf) -> Result<Self, String> {
        let version = Command::new(&path).arg("--version").output().map_err(|e| format!("{}: {e}", path.display()))?;
        let text = String::from_utf8_lossy(&version.stdout).into_owned();
        let kind = match text.split_whitespace().next() {
            Some("planc") => Kind::Planc,
            Some("runc") => Kind::Runc,
            Some(_) => Kind::Other,
            None => return Err(format!("{} --version says nothing", path.display())),
        };
        let spec = text.lines().find_map(|line| line.strip_prefix("spec: ")).and_then(major_and_minor);
        let spec = spec.ok_or_else(|| format!("{} --version names no spec version: {text:?}", path.display()))?;
        Ok(Self { path, kind, spec })
    }
}

/// A binary of this workspace, from the same profile as the tests: cargo puts those into its `deps` directory.
///
/// # Errors
/// When it is not built.
pub fn built_beside(name: &str) -> Result<PathBuf, String> {
    let tests = env::current_exe().map_err(|error| error.to_string())?;
    let path = tests.parent().and_then(Path::parent).map(|profile| profile.join(name)).unwrap_or_default();
    let missing = || format!("{} is missing: `cargo build --bin {name}`, or set RUNTIME", path.display());
    path.is_file().then_some(path.clone()).ok_or_else(missing)
}

fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// One command line. Its output goes to files, not pipes: a container that outlives it holds them open.
#[derive(Debug)]
pub struct Call {
    command: Command,
    line: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Call {
    /// `words` is the whole command line; what it prints goes to `output`.out and `output`.err.
    pub fn new<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>, output: &Path) -> Self {
        let words: Vec<OsString> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        let mut command = Command::new(&words[0]);
        let (stdout, stderr) = (output.with_extension("out"), output.with_extension("err"));
        command.args(&words[1..]).stdin(Stdio::null());
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        let line = words.join(OsStr::new(" ")).to_string_lossy().into_owned();
        Self { command, line, stdout, stderr }
    }

    /// Its standard input, else /dev/null.
    pub fn stdin(mut self, file: impl Into<Stdio>) -> Self {
        self.command.stdin(file);
        self
    }

    /// Its standard output, else captured.
    pub fn stdout(mut self, file: impl Into<Stdio>) -> Self {
        self.command.stdout(file);
        self
    }

    /// Its standard streams: all three are this terminal.
    pub fn terminal(mut self, terminal: &Pty) -> Self {
        self.command.stdin(terminal.slave()).stdout(terminal.slave()).stderr(terminal.slave());
        self
    }

    /// Its working directory, else the test's.
    pub fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it.
    #[track_caller]
    pub fn spawn(mut self) -> Running {
        let child = self.command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.line));
        Running { child, line: self.line, stdout: self.stdout, stderr: self.stderr }
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn done(self) -> Done {
        self.spawn().wait()
    }
}

/// A command that was started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    line: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has printed so far.
    pub fn printed(&self) -> String {
        read(&self.stdout)
    }

    /// Kills it, and only it, and reaps it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time; it is killed then.
    #[track_caller]
    pub fn wait(mut self) -> Done {
        let limit = LIMIT * Lane::current().patience();
        let end = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() >= end {
                self.kill();
                panic!("`{}` did not end within {limit:?}; stderr: {}", self.line, read(&self.stderr));
            }
            sleep(Duration::from_millis(2));
        };
        let (stdout, stderr) = (read(&self.stdout), read(&self.stderr));
        Done { line: self.line, status, stdout, stderr, file: self.stdout }
    }
}

/// A command that has ended.
#[derive(Clone, Debug)]
pub struct Done {
    line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it, and what it runs, printed to standard error.
    pub stderr: String,
    file: PathBuf,
}

impl Done {
    /// Its exit code; a signal's end counts as a shell counts it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap())
    }

    /// Asserts success.
    #[track_caller]
    pub fn ok(&self) -> &Self {
        self.exits(0)
    }

    /// Asserts an exit code.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }

    /// Asserts that it refused in words: an exit code that is not 0, no signal, no panic, something on stderr.
    #[track_caller]
    pub fn fails(&self) -> &Self {
        assert!(self.status.code().is_some_and(|code| code != 0), "it was to fail: {self}");
        assert!(!self.stderr.trim().is_empty(), "it failed without a word: {self}");
        assert!(!self.stderr.contains("panicked at") && !self.stderr.contains("goroutine "), "it crashed: {self}");
        self
    }

    /// Asserts that it printed `text` to standard error.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "no {text:?} in what it says: {self}");
        self
    }

    /// What it printed, as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }

    /// What it printed until now: a container that it left running may have added to it.
    pub fn printed_since(&self) -> String {
        read(&self.file)
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`: {}\nstdout: {:?}\nstderr: {:?}", self.line, self.status, self.stdout, self.stderr)
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
