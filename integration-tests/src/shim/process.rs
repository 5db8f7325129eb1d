//! A shim's command, run as containerd runs it: over pipes, which must close when it has ended.

use std::fmt;
use std::io::{Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::lane::Lane;

/// How long a command may take, its pipes included, before the lane's patience.
const LIMIT: Duration = Duration::from_secs(20);

/// What a command printed, and how it ended.
#[derive(Clone)]
pub struct Printed {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// How long that took.
    pub took: Duration,
}

/// As text: it is what a failed test shows.
impl fmt::Debug for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {:?}, out {:?}, err {:?}", self.status, self.took, self.out(), self.err())
    }
}

impl Printed {
    /// Asserts success.
    #[track_caller]
    pub fn ok(&self) -> &Self {
        assert!(self.status.success(), "{}, {:?} {:?}", self.status, self.out(), self.err());
        self
    }

    /// Asserts that it refused in one line, with status 1 and nothing on standard output.
    #[track_caller]
    pub fn refuses(&self) -> &Self {
        assert_eq!(self.status.code(), Some(1), "{:?} {:?}", self.out(), self.err());
        assert_eq!(self.out(), "");
        let err = self.err();
        assert!(err.trim_end().lines().count() == 1 && !err.trim().is_empty(), "not one line: {err:?}");
        self
    }

    /// Its standard output, as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its standard error, as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Runs a command to its end, and to that of its streams.
///
/// # Panics
/// When either does not come in time.
#[track_caller]
pub fn run(command: Command, stdin: &[u8]) -> Printed {
    run_within(LIMIT, command, stdin)
}

/// The same, for a command that may take this long, before the lane's patience.
///
/// # Panics
/// As [`run`].
#[track_caller]
pub fn run_within(limit: Duration, mut command: Command, stdin: &[u8]) -> Printed {
    let begin = Instant::now();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    let mut pipe = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // A shim may end without having read it.
    thread::spawn(move || pipe.write_all(&stdin));
    let (stdout, stderr) = (collect(child.stdout.take().unwrap()), collect(child.stderr.take().unwrap()));
    let limit = limit * Lane::current().patience();
    let read = [stdout, stderr].map(|stream| stream.recv_timeout(limit.saturating_sub(begin.elapsed())).ok());
    let [Some(stdout), Some(stderr)] = read else {
        let _ = child.kill();
        let _ = child.wait();
        panic!("{command:?} or what it started had its streams open for {limit:?}");
    };
    let status = child.wait().unwrap();
    Printed { status, stdout, stderr, took: begin.elapsed() }
}

fn collect(mut stream: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        let _ = sender.send(all);
    });
    receiver
}
