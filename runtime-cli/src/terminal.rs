//! The caller's terminal, and the bytes between it and the container's: raw as long as they pass, and then as it was.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use runtime_core::{Bundle, Error, WindowSize};
use rustix::termios::{OptionalActions, OutputModes, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use crate::failure::{host, invalid};

/// How much is on its way in one direction at most.
const HELD_MAX: usize = 4096;
/// More than what a pty holds (drivers/tty/tty_buffer.c has 64 KiB, drivers/tty/n_tty.c another 4).
const PTY_MAX: usize = 128 << 10;

/// What the command does once the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It passes bytes and signals, and waits for the end.
    Stay,
    /// It returns: whoever reads the console socket has the terminal.
    Return,
}

/// Whether the bundle's process has a terminal.
pub(crate) fn is_asked_for(bundle: &Bundle) -> bool {
    bundle.spec().process().as_ref().is_some_and(|process| process.terminal() == Some(true))
}

/// Refuses the combinations that leave a terminal without anybody at its other end, and the reverse, in words that are
/// known from runc.
pub(crate) fn check(program: &str, is_asked_for: bool, has_socket: bool, then: Then) -> Result<(), Error> {
    match (is_asked_for, has_socket, then) {
        (true, false, Then::Return) => {
            Err(invalid(format!("cannot allocate tty if {program} will detach without setting console socket")))
        }
        (false, true, _) | (_, true, Then::Stay) => {
            Err(invalid(format!("cannot use console socket if {program} will not detach or allocate tty")))
        }
        _ => Ok(()),
    }
}

/// The terminal that the command was called from.
#[derive(Debug)]
pub(crate) struct Caller {
    terminal: OwnedFd,
    /// How it was before it became raw.
    before: Option<Termios>,
}

impl Caller {
    /// A standard stream that is a terminal, or else the controlling terminal.
    pub(crate) fn find() -> Result<Self, Error> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let mut streams = [stderr.as_fd(), stdout.as_fd(), stdin.as_fd()].into_iter();
        let terminal = match streams.find(BorrowedFd::is_terminal) {
            Some(stream) => stream.try_clone_to_owned(),
            None => OpenOptions::new().read(true).write(true).open("/dev/tty").map(OwnedFd::from),
        };
        let terminal = terminal.map_err(|error| host("find the caller's terminal: open /dev/tty", error))?;
        Ok(Self { terminal, before: None })
    }

    /// Its size; 0 where it does not know.
    pub(crate) fn window(&self) -> WindowSize {
        let size = tcgetwinsize(&self.terminal).ok();
        size.map_or(WindowSize { rows: 0, columns: 0 }, |size| WindowSize { rows: size.ws_row, columns: size.ws_col })
    }

    /// Every byte passes as it is; only a new line that is printed still returns the carriage.
    fn make_raw(&mut self) -> io::Result<()> {
        let before = tcgetattr(&self.terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        raw.output_modes |= OutputModes::OPOST;
        tcsetattr(&self.terminal, OptionalActions::Now, &raw)?;
        self.before = Some(before);
        Ok(())
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(before) = &self.before
            && let Err(error) = tcsetattr(&self.terminal, OptionalActions::Now, before)
        {
            // Hung up, most likely: then nobody sits before it.
            log::debug!("cannot restore the terminal: {error}");
        }
    }
}

/// The container's terminal and the caller's, with bytes on their way between them. The caller's is restored when this
/// goes away, however that comes; but not by SIGKILL, nor by a panic of a build that aborts then.
#[derive(Debug)]
pub(crate) struct Proxy {
    input: Flow,
    output: Flow,
    master: OwnedFd,
    caller: Caller,
}

impl Proxy {
    /// Between the streams of this process and the terminal whose master this is.
    pub(crate) fn begin(master: OwnedFd, mut caller: Caller) -> Result<Self, Error> {
        let failed = |error: io::Error| host("pass bytes to the terminal", error);
        let flags = fcntl(&master, FcntlArg::F_GETFL).map_err(|error| failed(error.into()))?;
        let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
        fcntl(&master, FcntlArg::F_SETFL(flags)).map_err(|error| failed(error.into()))?;
        let end = || master.try_clone().map(File::from).map_err(failed);
        let stdin = own(io::stdin().as_fd(), OpenOptions::new().read(true)).map_err(failed)?;
        let stdout = own(io::stdout().as_fd(), OpenOptions::new().write(true)).map_err(failed)?;
        let (input, output) = (Flow::new(stdin, end()?), Flow::new(end()?, stdout));
        caller.make_raw().map_err(|error| host("make the terminal raw", error))?;
        Ok(Self { input, output, master, caller })
    }

    /// The container's terminal becomes as large as the caller's.
    pub(crate) fn resize(&self) {
        let resized = tcgetwinsize(&self.caller.terminal).and_then(|size| tcsetwinsize(&self.master, size));
        if let Err(error) = resized {
            log::debug!("cannot pass the window's size: {error}");
        }
    }

    /// What is waited for: of each direction its next move, if there is one.
    pub(crate) fn awaited(&self) -> [Option<PollFd<'_>>; 2] {
        [self.input.awaited(), self.output.awaited()]
    }

    /// Makes the next move in each direction that is ready for it.
    pub(crate) fn pass(&mut self, ready: [bool; 2]) {
        for (flow, is_ready) in [&mut self.input, &mut self.output].into_iter().zip(ready) {
            if is_ready {
                flow.pass();
            }
        }
    }

    /// The process has ended: what it wrote before is passed on. `wait` waits until the caller's end takes more, and says
    /// whether to go on.
    pub(crate) fn finish(mut self, mut wait: impl FnMut(PollFd<'_>) -> bool) {
        let output = &mut self.output;
        let mut passed = 0;
        loop {
            while !output.held.is_empty() {
                if !output.awaited().is_none_or(&mut wait) {
                    return;
                }
                output.write();
            }
            // Others may have it open, and never be done.
            if passed >= PTY_MAX || !output.read() {
                return;
            }
            passed += output.held.len();
        }
    }
}

/// Bytes in one direction: a piece is read, and written to its end, before the next one is read.
#[derive(Debug)]
struct Flow {
    /// `None` when it has ended.
    from: Option<File>,
    /// `None` when nobody takes more: the rest is dropped, so that whoever writes it is not held up.
    to: Option<File>,
    held: Vec<u8>,
}

impl Flow {
    fn new(from: File, to: File) -> Self {
        Self { from: Some(from), to: Some(to), held: Vec::with_capacity(HELD_MAX) }
    }

    fn awaited(&self) -> Option<PollFd<'_>> {
        let (file, event) =
            if self.held.is_empty() { (&self.from, PollFlags::POLLIN) } else { (&self.to, PollFlags::POLLOUT) };
        file.as_ref().map(|file| PollFd::new(file.as_fd(), event))
    }

    fn pass(&mut self) {
        if self.held.is_empty() {
            self.read();
        } else {
            self.write();
        }
    }

    /// Whether there was something. A pty that no process has open any more is EIO.
    fn read(&mut self) -> bool {
        let mut buffer = [0; HELD_MAX];
        let count = match self.from.as_mut().map(|from| from.read(&mut buffer)) {
            Some(Ok(count)) if count > 0 => count,
            Some(Err(error)) if is_temporary(&error) => return false,
            _ => {
                self.from = None;
                return false;
            }
        };
        if self.to.is_some() {
            self.held.extend_from_slice(&buffer[..count]);
        }
        true
    }

    fn write(&mut self) {
        match self.to.as_mut().map(|to| to.write(&self.held)) {
            Some(Ok(count)) => drop(self.held.drain(..count)),
            Some(Err(error)) if is_temporary(&error) => {}
            _ => {
                self.to = None;
                self.held.clear();
            }
        }
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// A stream that never makes this process wait, without a change to the one that the caller has too: a terminal or a pipe
/// can be opened once more. What cannot is used as it is, when poll(2) says that it is ready.
fn own(stream: BorrowedFd<'_>, options: &mut OpenOptions) -> io::Result<File> {
    let copy = File::from(stream.try_clone_to_owned()?);
    if !copy.is_terminal() && !copy.metadata()?.file_type().is_fifo() {
        return Ok(copy);
    }
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let again = options.custom_flags(flags.bits()).open(format!("/proc/self/fd/{}", stream.as_raw_fd()));
    Ok(again.unwrap_or(copy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_one_other_end() {
        for (is_asked_for, has_socket, then, text) in [
            (true, true, Then::Return, ""),
            (true, false, Then::Stay, ""),
            (false, false, Then::Return, ""),
            (false, false, Then::Stay, ""),
            (true, false, Then::Return, "cannot allocate tty if runc will detach without setting console socket"),
            (true, true, Then::Stay, "cannot use console socket if runc will not detach or allocate tty"),
            (false, true, Then::Return, "cannot use console socket if runc will not detach or allocate tty"),
            (false, true, Then::Stay, "cannot use console socket if runc will not detach or allocate tty"),
        ] {
            let checked = check("runc", is_asked_for, has_socket, then);
            assert_eq!(checked.map_or_else(|error| error.message().to_owned(), |()| String::new()), text);
        }
    }

    #[test]
    fn bytes_pass_in_pieces_and_are_dropped_where_nobody_takes_them() {
        let ((inner, mut source), (mut sink, outer)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let file = |fd: OwnedFd| File::from(fd);
        let mut flow = Flow::new(file(inner.into()), file(outer.into()));
        source.write_all(&[7; HELD_MAX + 1]).unwrap();
        for length in [HELD_MAX, 1] {
            assert!(flow.read());
            assert_eq!(flow.held.len(), length);
            assert!(flow.awaited().is_some_and(|fd| fd.events() == PollFlags::POLLOUT));
            flow.pass();
            let mut piece = vec![0; length];
            sink.read_exact(&mut piece).unwrap();
            assert_eq!(piece, vec![7; length]);
        }
        drop(sink);
        source.write_all(b"more").unwrap();
        flow.pass();
        flow.pass();
        assert!(flow.to.is_none() && flow.held.is_empty());
        source.write_all(b"more").unwrap();
        assert!(flow.read() && flow.held.is_empty());
        drop(source);
        assert!(!flow.read() && flow.awaited().is_none());
    }
}
