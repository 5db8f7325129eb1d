//! Terminals as a test has them: the pty a command is called from, and the socket that a container's master is sent to.

use std::fs::File;
use std::io::{ErrorKind, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcgetwinsize, tcsetwinsize};

use crate::lane::Lane;

/// How long what is expected may take, before the lane's patience.
const SOON: Duration = Duration::from_secs(20);

/// The end of a pty that a person would sit at.
#[derive(Debug)]
pub struct Master {
    file: File,
    seen: Vec<u8>,
}

impl Master {
    /// From a descriptor, which no longer makes anybody wait.
    pub fn new(master: OwnedFd) -> Self {
        let flags = fcntl_getfl(&master).unwrap();
        fcntl_setfl(&master, flags | OFlags::NONBLOCK).unwrap();
        Self { file: File::from(master), seen: Vec::new() }
    }

    /// The descriptor itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// All that was printed so far.
    pub fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Reads until `text` was printed.
    ///
    /// # Panics
    /// When it is not in time, or when the terminal is closed before.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let is_there = |seen: &[u8]| seen.windows(text.len()).any(|window| window == text.as_bytes());
        // A long output is not searched again from its begin.
        let mut searched = 0;
        self.read_while(&format!("until it says {text:?}"), |seen| {
            let from = searched;
            searched = seen.len().saturating_sub(text.len());
            !is_there(&seen[from..])
        });
        assert!(is_there(&self.seen), "it closed the terminal, and never said {text:?}: {:?}", self.seen());
    }

    /// Reads until no process has the terminal open any more; all that was printed.
    #[track_caller]
    pub fn to_the_end(&mut self) -> String {
        self.read_while("until the terminal is closed", |_| true);
        self.seen()
    }

    /// Reads until `goes_on` says no, or until nobody has the other end open.
    #[track_caller]
    fn read_while(&mut self, what: &str, mut goes_on: impl FnMut(&[u8]) -> bool) {
        let end = Instant::now() + SOON * Lane::current().patience();
        while goes_on(&self.seen) {
            assert!(Instant::now() < end, "waited in vain {what}: {:?}", self.seen());
            let mut buffer = [0; 65_536];
            match self.file.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => self.seen.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)], PollTimeout::from(50_u8)).unwrap();
                }
                // EIO: the other end is closed.
                Err(_) => return,
            }
        }
    }

    /// Reads what was printed until now.
    pub fn read_what_is_there(&mut self) {
        let mut buffer = [0; 65_536];
        // WouldBlock, or EIO: the other end is closed.
        while let Ok(count @ 1..) = self.file.read(&mut buffer) {
            self.seen.extend(&buffer[..count]);
        }
    }

    /// Types.
    pub fn type_in(&mut self, text: &str) {
        self.file.write_all(text.as_bytes()).unwrap();
    }

    /// Rows and columns.
    pub fn window(&self) -> (u16, u16) {
        let size = tcgetwinsize(&self.file).unwrap();
        (size.ws_row, size.ws_col)
    }

    /// Changes them, as a window that is pulled larger does.
    pub fn set_window(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.file, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    /// The modes of the terminal, in words.
    pub fn modes(&self) -> String {
        let Termios { input_modes, output_modes, control_modes, local_modes, .. } = tcgetattr(&self.file).unwrap();
        format!("{input_modes:?} / {output_modes:?} / {control_modes:?} / {local_modes:?}")
    }
}

/// A pty that commands are called from.
#[derive(Debug)]
pub struct Pty {
    /// The end a person would sit at.
    pub master: Master,
    slave: OwnedFd,
}

impl Pty {
    /// A new one of 33 rows and 77 columns.
    pub fn new() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(name.as_c_str(), flags, rustix::fs::Mode::empty()).unwrap();
        let master = Master::new(master);
        master.set_window(33, 77);
        Self { master, slave }
    }

    /// The end that a command has, for one of its streams.
    pub fn slave(&self) -> Stdio {
        self.slave_file().into()
    }

    /// The same, as a descriptor.
    pub fn slave_file(&self) -> OwnedFd {
        self.slave.try_clone().unwrap()
    }
}

impl Default for Pty {
    fn default() -> Self {
        Self::new()
    }
}

/// A socket that waits for a container's master.
#[derive(Debug)]
pub struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ConsoleSocket {
    /// A new one at `path`.
    pub fn listen(path: PathBuf) -> Self {
        Self { listener: UnixListener::bind(&path).unwrap(), path }
    }

    /// Its path, as an argument.
    pub fn arg(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was sent: the name, and the master. It must have been sent already.
    ///
    /// # Panics
    /// When nothing was sent, or something else.
    #[track_caller]
    pub fn receive(&self) -> (String, Master) {
        self.listener.set_nonblocking(true).unwrap();
        let (connection, _) = self.listener.accept().expect("nobody has connected");
        let mut name = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(&connection, &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
        let mut masters = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                masters.extend(descriptors);
            }
        }
        assert_eq!(masters.len(), 1, "one descriptor, no more");
        let name = String::from_utf8_lossy(&name[..received.bytes]).into_owned();
        (name, Master::new(masters.remove(0)))
    }
}
