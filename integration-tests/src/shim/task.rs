//! A container as containerd has it: a shim, a client, and what is asked of both.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use containerd_shim_protos::api::{CreateTaskRequest, DeleteResponse, ExecProcessRequest, Status, WaitResponse};
use containerd_shim_protos::protobuf::MessageField;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use rustix::fs::OFlags;
use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::events::Event;
use super::{Engine, any};
use crate::process;

/// SIGKILL, as `Kill` wants it.
pub const SIGKILL: u32 = 9;

/// A container of a shim.
#[derive(Debug)]
pub struct Task<'e, 's> {
    pub(super) engine: &'e Engine<'s>,
    /// The connection.
    pub client: Client,
    /// Its id.
    pub id: String,
    /// Its bundle.
    pub bundle: PathBuf,
    /// Where its shim listens.
    pub address: String,
    /// The pid of its shim.
    pub shim: u32,
}

/// The streams of a process: three paths or URIs, and whether they are a terminal's.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    /// Where its standard input comes from.
    pub stdin: String,
    /// Where its standard output goes.
    pub stdout: String,
    /// Where its standard error goes.
    pub stderr: String,
    /// Whether it is to have a terminal.
    pub terminal: bool,
}

impl Task<'_, '_> {
    /// What `Create` is asked for, without streams.
    pub fn request(&self) -> CreateTaskRequest {
        let bundle = self.bundle.to_str().unwrap().to_owned();
        CreateTaskRequest { id: self.id.clone(), bundle, ..Default::default() }
    }

    /// `Create` without streams; the pid.
    #[track_caller]
    pub fn create(&self) -> u32 {
        self.client.create(&self.request()).unwrap()
    }

    /// `Create` with these streams; the pid.
    #[track_caller]
    pub fn create_with(&self, streams: &Streams) -> u32 {
        self.try_create_with(streams).unwrap()
    }

    /// `Create` with these streams, which may fail.
    ///
    /// # Errors
    /// The service's.
    pub fn try_create_with(&self, streams: &Streams) -> Answer<u32> {
        let Streams { stdin, stdout, stderr, terminal } = streams.clone();
        self.client.create(&CreateTaskRequest { stdin, stdout, stderr, terminal, ..self.request() })
    }

    /// `Start`; the pid.
    #[track_caller]
    pub fn start(&self) -> u32 {
        self.client.start(&self.id, "").unwrap()
    }

    /// `Exec` of a command by a shell.
    #[track_caller]
    pub fn add(&self, exec: &str, script: &str) {
        self.add_with(exec, script, &Streams::default()).unwrap();
    }

    /// `Exec` of a command by a shell, with streams.
    ///
    /// # Errors
    /// The service's.
    pub fn add_with(&self, exec: &str, script: &str, streams: &Streams) -> Answer<()> {
        self.add_process(exec, &shell(script, streams.terminal), streams)
    }

    /// `Exec` of a process.
    ///
    /// # Errors
    /// The service's.
    pub fn add_process(&self, exec: &str, process: &Value, streams: &Streams) -> Answer<()> {
        let Streams { stdin, stdout, stderr, terminal } = streams.clone();
        let spec = any("types.containerd.io/opencontainers/runtime-spec/1/Process", process.to_string().into());
        let (id, exec_id) = (self.id.clone(), exec.to_owned());
        let spec = MessageField::some(spec);
        self.client.exec(&ExecProcessRequest {
            id,
            exec_id,
            stdin,
            stdout,
            stderr,
            terminal,
            spec,
            ..Default::default()
        })
    }

    /// Adds, starts, awaits and deletes a process; its exit status.
    #[track_caller]
    pub fn run(&self, exec: &str, script: &str) -> u32 {
        self.add(exec, script);
        self.client.start(&self.id, exec).unwrap();
        let status = self.wait(exec).exit_status;
        self.client.delete(&self.id, exec).unwrap();
        status
    }

    /// `Wait` for the container's first process, or for one of `Exec`.
    #[track_caller]
    pub fn wait(&self, exec: &str) -> WaitResponse {
        self.client.wait(&self.id, exec).unwrap()
    }

    /// A `Wait` that goes on.
    pub fn waiting(&self, exec: &str) -> mpsc::Receiver<Answer<WaitResponse>> {
        let (client, id, exec) = (self.client.clone(), self.id.clone(), exec.to_owned());
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(client.wait(&id, &exec)));
        receiver
    }

    /// The status of `State`.
    #[track_caller]
    pub fn status(&self, exec: &str) -> Status {
        self.client.state(&self.id, exec).unwrap().status.unwrap()
    }

    /// `Kill` with SIGKILL, `Wait`.
    #[track_caller]
    pub fn kill(&self) {
        self.client.kill(&self.id, "", SIGKILL, false).unwrap();
        assert_eq!(self.wait("").exit_status, 137);
    }

    /// `Delete` of the container.
    #[track_caller]
    pub fn delete(&self) -> DeleteResponse {
        self.client.delete(&self.id, "").unwrap()
    }

    /// `Shutdown`; the shim must end.
    #[track_caller]
    pub fn shutdown(&self) {
        // The shim may be gone before its answer is.
        let _ = self.client.shutdown(&self.id);
        self.wait_shim_end();
    }

    /// Waits until the shim has ended.
    #[track_caller]
    pub fn wait_shim_end(&self) {
        let shim = self.shim;
        self.engine.scene.wait_until("the shim has ended", || !process::runs(shim));
    }

    /// Kills what runs, deletes the container, and ends the shim.
    #[track_caller]
    pub fn end(&self) {
        self.kill();
        self.delete();
        self.shutdown();
    }

    /// Deletes a container that has ended by itself, and ends the shim.
    #[track_caller]
    pub fn ended(&self) {
        self.wait("");
        self.delete();
        self.shutdown();
    }

    /// Waits for an event of this container, by its words.
    #[track_caller]
    pub fn expect(&self, words: &str) -> Event {
        self.engine.events.expect(self.engine.scene.soon(), &self.id, words)
    }

    /// All events of this container, in words.
    #[track_caller]
    pub fn words(&self) -> Vec<String> {
        self.engine.events.words(&self.id)
    }
}

/// A process that is a shell's script.
pub fn shell(script: &str, terminal: bool) -> Value {
    json!({
        "terminal": terminal,
        "user": {"uid": 0, "gid": 0},
        "args": ["/bin/sh", "-c", script],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
        "cwd": "/",
        "noNewPrivileges": true
    })
}

/// A fifo of which the tests have the other end.
#[derive(Debug)]
pub struct Fifo {
    path: PathBuf,
    seen: Vec<u8>,
    end: Option<File>,
}

impl Fifo {
    /// A new one; nobody has it open.
    pub fn new(path: PathBuf) -> Self {
        nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o700)).unwrap();
        Self { path, seen: Vec::new(), end: None }
    }

    /// Its path, for a request.
    pub fn arg(&self) -> String {
        self.path.to_str().unwrap().to_owned()
    }

    /// Opens it for reading.
    pub fn reads(&mut self) -> &mut Self {
        self.end = Some(open(&self.path, OFlags::RDONLY));
        self
    }

    /// Opens it for writing; who reads must be there.
    pub fn writes(&mut self, limit: Duration) -> &mut Self {
        let path = self.path.clone();
        let mut end = None;
        process::wait_until(limit, "somebody reads the fifo", || {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            end = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).ok();
            end.is_some()
        });
        self.end = end.map(File::from);
        self
    }

    /// Closes this end.
    pub fn close(&mut self) {
        self.end = None;
    }

    /// Writes.
    #[track_caller]
    pub fn write(&mut self, text: &str) {
        self.end.as_ref().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// All that was read so far.
    pub fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// How many bytes were read so far.
    pub fn count(&self) -> usize {
        self.seen.len()
    }

    /// Reads until `text` came.
    ///
    /// # Panics
    /// When it does not in time.
    #[track_caller]
    pub fn expect(&mut self, limit: Duration, text: &str) {
        let found = self.read_while(limit, |seen| !seen.windows(text.len()).any(|window| window == text.as_bytes()));
        assert!(found, "{text:?} did not come: {:?}", self.seen());
    }

    /// Reads until `count` bytes came in all; whether they came in time.
    pub fn read_to(&mut self, limit: Duration, count: usize) -> bool {
        self.read_while(limit, |seen| seen.len() < count)
    }

    /// Reads until nobody can write to it any more; whether that was in time.
    pub fn to_the_end(&mut self, limit: Duration) -> bool {
        let ended = std::cell::Cell::new(false);
        self.read(limit, |_| true, &ended);
        ended.get()
    }

    fn read_while(&mut self, limit: Duration, goes_on: impl FnMut(&[u8]) -> bool) -> bool {
        self.read(limit, goes_on, &std::cell::Cell::new(false))
    }

    fn read(&mut self, limit: Duration, mut goes_on: impl FnMut(&[u8]) -> bool, ended: &std::cell::Cell<bool>) -> bool {
        let until = Instant::now() + limit;
        let mut buffer = vec![0; 65_536];
        while goes_on(&self.seen) {
            if Instant::now() >= until {
                return false;
            }
            let end = self.end.as_mut().unwrap();
            match end.read(&mut buffer) {
                // Nobody has ever opened the other end, or all have closed it.
                Ok(0) => {
                    let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(end), PollFlags::POLLIN)];
                    poll(&mut fds, PollTimeout::from(20_u8)).unwrap();
                    if fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)) {
                        ended.set(true);
                        return false;
                    }
                }
                Ok(count) => self.seen.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let fd = std::os::fd::AsFd::as_fd(end);
                    poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::from(20_u8)).unwrap();
                }
                Err(error) => panic!("{error}"),
            }
        }
        true
    }
}

fn open(path: &Path, mode: OFlags) -> File {
    let flags = mode | OFlags::NONBLOCK | OFlags::CLOEXEC;
    File::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty()).unwrap())
}
