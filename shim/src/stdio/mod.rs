//! The standard streams of a process, as containerd names them: FIFOs, files, a program that logs, or nothing.

pub(crate) mod flow;
mod logger;
mod owner;
mod uri;

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{Gid, Uid, fchown, pipe2};
use runtime_core::Stdio;

pub(crate) use logger::{LAST_LINES, Logger};
pub(crate) use owner::owner;

use self::flow::Line;
use self::uri::Place;
use crate::container::Input;
use crate::status::{Answer, Failure};

/// What containerd says of a process's streams. Empty: there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paths {
    pub(crate) stdin: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) terminal: bool,
}

/// For whom streams are opened.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) id: &'a str,
    pub(crate) namespace: &'a str,
    /// Who is to own the pipes, so that a process that is not root can open /dev/stdout.
    pub(crate) owner: (u32, u32),
    /// Whether the client has closed the input before it was opened.
    pub(crate) input_is_closed: bool,
}

/// The open streams of a process that is about to be made.
#[derive(Debug)]
pub(crate) struct Streams {
    /// What the process gets; none of them where it has a terminal.
    pub(crate) given: Stdio,
    /// What is to be passed on.
    pub(crate) lines: Vec<Line>,
    /// With a terminal: where its input comes from, and where its output goes.
    terminal: Option<(Option<OwnedFd>, Option<Sink>)>,
    pub(crate) input: Input,
    pub(crate) logger: Option<Logger>,
}

/// Where output goes.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) to: OwnedFd,
    /// The shim's own reader of a FIFO: it holds what was written when its readers have gone.
    pub(crate) hold: Option<OwnedFd>,
}

impl Streams {
    /// Opens the streams. Nobody is waited for, but a logging program until it is ready. With a terminal there is no stderr,
    /// whatever is named.
    pub(crate) fn open(paths: &Paths, has_terminal: bool, reader: &Reader<'_>) -> Answer<Self> {
        let mut streams =
            Self { given: Stdio::default(), lines: Vec::new(), terminal: None, input: Input::Closed, logger: None };
        if paths.terminal != has_terminal {
            let why = if has_terminal { "config.json asks for a terminal" } else { "config.json asks for no terminal" };
            return Err(Failure::invalid(format!("{why} (process.terminal), and the request for the opposite")));
        }
        let stdin = streams.open_input(&paths.stdin, reader)?;
        let stdout = Place::read("stdout", &paths.stdout)?;
        if paths.terminal {
            // containerd's CRI names a stderr for every exec, makes none for a terminal, and expects nothing on it.
            let sink = match stdout {
                Place::Program(program) => {
                    let (from, to) = pipe(reader)?;
                    streams.logger = Some(Logger::start(&program, [Some(from), None], reader)?);
                    set_nonblocking(&to)?;
                    Some(Sink { to, hold: None })
                }
                place => place.open("stdout")?,
            };
            streams.terminal = Some((stdin, sink));
            return Ok(streams);
        }
        if let Some(fifo) = stdin {
            let (given, to) = pipe(reader)?;
            set_nonblocking(&to)?;
            streams.given.stdin = Some(given);
            streams.lines.push(Line::input(fifo, to));
        }
        streams.open_outputs([stdout, Place::read("stderr", &paths.stderr)?], reader)?;
        Ok(streams)
    }

    /// The FIFO that input comes from, and the shim's own writer of it.
    fn open_input(&mut self, path: &str, reader: &Reader<'_>) -> Answer<Option<OwnedFd>> {
        let path = match Place::read("stdin", path)? {
            Place::Nothing => return Ok(None),
            Place::Fifo(path) => path,
            Place::File(_) | Place::Program(_) => {
                return Err(Failure::invalid(format!("stdin {path:?} is no FIFO: nothing else can be read")));
            }
        };
        let fifo = open_fifo("stdin", &path, OpenOptions::new().read(true))?;
        if !reader.input_is_closed {
            self.input = Input::Open(open_fifo("stdin", &path, OpenOptions::new().write(true))?);
        }
        Ok(Some(fifo))
    }

    fn open_outputs(&mut self, places: [Place; 2], reader: &Reader<'_>) -> Answer<()> {
        let mut ends = [None, None];
        let mut program = None;
        for ((place, end), name) in places.into_iter().zip(&mut ends).zip(["stdout", "stderr"]) {
            let given = match place {
                Place::Nothing => None,
                Place::Program(asked) => {
                    if program.as_ref().is_some_and(|other| *other != asked) {
                        return Err(Failure::invalid("stdout and stderr go to two different programs"));
                    }
                    program = Some(asked);
                    let (from, given) = pipe(reader)?;
                    *end = Some(from);
                    Some(given)
                }
                place => {
                    let sink = place.open(name)?;
                    let (from, given) = pipe(reader)?;
                    set_nonblocking(&from)?;
                    self.lines.extend(sink.map(|sink| Line::output(from, sink)));
                    Some(given)
                }
            };
            *(if name == "stdout" { &mut self.given.stdout } else { &mut self.given.stderr }) = given;
        }
        if let Some(program) = program {
            self.logger = Some(Logger::start(&program, ends, reader)?);
        }
        Ok(())
    }

    /// Nobody will write to them: a logging program is told to end.
    pub(crate) fn abandon(self) {
        if let Some(logger) = self.logger {
            logger.signal(rustix::process::Signal::TERM);
        }
    }

    /// The lines to and from a terminal, whose master this is.
    pub(crate) fn attach(&mut self, master: &OwnedFd) -> Answer<()> {
        let failed = |error: std::io::Error| Failure::host("copy the terminal's descriptor", error);
        set_nonblocking(master)?;
        let Some((stdin, sink)) = self.terminal.take() else { return Ok(()) };
        let copy = || master.try_clone().map_err(failed);
        if let Some(fifo) = stdin {
            self.lines.push(Line::input(fifo, copy()?));
        }
        // Where nobody wants the output it is read all the same: the terminal would be full soon.
        let sink = match sink {
            Some(sink) => sink,
            None => Sink { to: OpenOptions::new().write(true).open("/dev/null").map_err(failed)?.into(), hold: None },
        };
        self.lines.push(Line::output(copy()?, sink).of_terminal());
        Ok(())
    }
}

impl Place {
    /// Opens where output goes to; nothing where there is none.
    fn open(self, name: &str) -> Answer<Option<Sink>> {
        match self {
            Self::Nothing | Self::Program(_) => Ok(None),
            // What is no FIFO is written to as it is: /dev/null, a log.
            Self::Fifo(path) if std::fs::metadata(&path).is_ok_and(|there| !there.file_type().is_fifo()) => {
                let failed = |error| Failure::host(&format!("open {} for {name}", path.display()), error);
                let file = OpenOptions::new().append(true).open(&path).map_err(failed)?;
                Ok(Some(Sink { to: file.into(), hold: None }))
            }
            Self::Fifo(path) => {
                // The reader first: without one the writer cannot be opened without waiting (fifo(7)).
                let hold = open_fifo(name, &path, OpenOptions::new().read(true))?;
                let to = open_fifo(name, &path, OpenOptions::new().write(true))?;
                Ok(Some(Sink { to, hold: Some(hold) }))
            }
            Self::File(path) => {
                let failed = |error| Failure::host(&format!("open the file {} for {name}", path.display()), error);
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent).map_err(failed)?;
                }
                let mut options = OpenOptions::new();
                let file = options.append(true).create(true).mode(0o644).open(&path).map_err(failed)?;
                Ok(Some(Sink { to: file.into(), hold: None }))
            }
        }
    }
}

/// Opens a FIFO without waiting for its other end. Nothing else is taken for one.
fn open_fifo(name: &str, path: &Path, options: &mut OpenOptions) -> Answer<OwnedFd> {
    let failed =
        |why: &dyn std::fmt::Display| Failure::host(&format!("open the FIFO {} for {name}", path.display()), why);
    let file: File = options.custom_flags(nix::libc::O_NONBLOCK).open(path).map_err(|error| failed(&error))?;
    let kind = file.metadata().map_err(|error| failed(&error))?.file_type();
    if kind.is_fifo() { Ok(file.into()) } else { Err(failed(&"it is no FIFO")) }
}

/// A pipe, both of whose ends belong to the process's user.
fn pipe(reader: &Reader<'_>) -> Answer<(OwnedFd, OwnedFd)> {
    let (from, to) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| Failure::host("make a pipe", errno.desc()))?;
    let (uid, gid) = reader.owner;
    if (uid, gid) != (0, 0) {
        let owned = fchown(&from, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        owned.map_err(|errno| Failure::host("give a pipe to the process's user", errno.desc()))?;
    }
    Ok((from, to))
}

fn set_nonblocking(fd: impl AsFd) -> Answer<()> {
    let failed = |errno: nix::errno::Errno| Failure::host("make a stream non-blocking", errno.desc());
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL).map_err(failed)?) | OFlag::O_NONBLOCK;
    fcntl(&fd, FcntlArg::F_SETFL(flags)).map(drop).map_err(failed)
}

#[cfg(test)]
mod tests;
