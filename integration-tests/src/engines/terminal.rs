//! A command at a terminal, and whoever sits there.

use std::process::{Child, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::session::Session;
use crate::lane::Lane;
use crate::process;
use crate::terminal::Pty;

/// How long a command may take to end, before the lane's patience.
const SOON: Duration = Duration::from_secs(20);

/// A script whose three streams are a terminal of 33 rows and 77 columns.
#[derive(Debug)]
pub struct Terminal {
    pty: Pty,
    child: Child,
}

impl Terminal {
    /// Runs it, one command, in the shell's place.
    #[track_caller]
    pub fn run(session: &Session, command: &str) -> Self {
        let pty = Pty::new();
        let mut bash = session.command(&format!("exec {command}"));
        bash.stdin(pty.slave()).stdout(pty.slave()).stderr(pty.slave());
        let child = bash.spawn().unwrap();
        Self { pty, child }
    }

    /// Types this.
    pub fn type_in(&mut self, text: &str) {
        self.pty.master.type_in(text);
    }

    /// Types a line.
    pub fn enter(&mut self, line: &str) {
        self.type_in(&format!("{line}\n"));
    }

    /// Waits until this was printed. What is typed is printed too.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        self.pty.master.expect(text);
    }

    /// Pulls the window to another size. The terminal is nobody's controlling one, so that the kernel tells nobody.
    #[track_caller]
    pub fn resize(&self, rows: u16, columns: u16) {
        self.pty.master.set_window(rows, columns);
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGWINCH).unwrap();
    }

    /// Waits until the command ends with this status.
    #[track_caller]
    pub fn ends(self, status: i32) {
        let (seen, ended) = self.end();
        assert_eq!(ended.code(), Some(status), "{seen}");
    }

    /// Waits until the command ends, however.
    #[track_caller]
    pub fn leaves(self) {
        self.end();
    }

    #[track_caller]
    fn end(mut self) -> (String, ExitStatus) {
        let mut ended = None;
        process::wait_until(SOON * Lane::current().patience(), "the command at the terminal ends", || {
            // It would wait for room to print.
            self.pty.master.read_what_is_there();
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        (self.pty.master.seen(), ended.unwrap())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
