//! Bytes on their way from one descriptor to another: read when the other has taken what was read before. Nobody is waited
//! for, and a stream that cannot be written holds up nothing but itself.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::EpollFlags;
use nix::unistd::{read, write};

use super::Sink;
use crate::container::Input;
use crate::poller::{Poller, Token};
use crate::server::Server;

/// How much is read at once.
const CHUNK: usize = 32 << 10;
/// How often one flow reads before others have their turn.
const TURNS: usize = 4;
/// How long a terminal that nobody has open is left alone.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What passes from one descriptor to another.
#[derive(Debug)]
pub(crate) struct Line {
    from: OwnedFd,
    to: OwnedFd,
    hold: Option<OwnedFd>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Input,
    Output,
    /// Output whose other end may be opened again: EIO is no end while the process lives.
    Terminal,
}

impl Line {
    pub(crate) fn input(from: OwnedFd, to: OwnedFd) -> Self {
        Self { from, to, hold: None, kind: Kind::Input }
    }

    pub(crate) fn output(from: OwnedFd, sink: Sink) -> Self {
        Self { from, to: sink.to, hold: sink.hold, kind: Kind::Output }
    }

    pub(crate) fn of_terminal(self) -> Self {
        Self { kind: Kind::Terminal, ..self }
    }
}

/// A line that is being served.
#[derive(Debug)]
pub(crate) struct Flow {
    line: Line,
    process: u32,
    /// What was read, and not taken yet.
    held: Vec<u8>,
    /// Whether output was lost, which is told once.
    is_lost: bool,
    waits_for: End,
}

/// Which end of a line is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    From,
    To,
    /// Neither: a terminal that nobody has open.
    None,
}

/// How far a flow has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// There is nothing to read for now.
    Drained,
    /// The other end takes no more for now.
    Blocked,
    /// There may be more to read.
    More,
    /// The terminal is open nowhere.
    Hung,
    Finished,
}

impl Flow {
    /// Passes on what there is, a few reads of it.
    fn pass(&mut self) -> Progress {
        let mut chunk = [0; CHUNK];
        for _ in 0..TURNS {
            if !self.held.is_empty() {
                match self.write_held() {
                    Progress::More => {}
                    other => return other,
                }
            }
            let count = match read(&self.line.from, &mut chunk) {
                Ok(0) => return Progress::Finished,
                Ok(count) => count,
                Err(Errno::EAGAIN) => return Progress::Drained,
                Err(Errno::EINTR) => continue,
                Err(Errno::EIO) if self.line.kind == Kind::Terminal => return Progress::Hung,
                Err(_) => return Progress::Finished,
            };
            let chunk = chunk.get(..count).unwrap_or_default();
            match write(&self.line.to, chunk) {
                Ok(written) => self.held.extend_from_slice(chunk.get(written..).unwrap_or_default()),
                Err(Errno::EAGAIN | Errno::EINTR) => self.held.extend_from_slice(chunk),
                Err(errno) => return self.lost(errno),
            }
        }
        // A program that now waits for an answer writes no more: what is held must not wait for it.
        if self.held.is_empty() { Progress::More } else { Progress::Blocked }
    }

    fn write_held(&mut self) -> Progress {
        match write(&self.line.to, &self.held) {
            Ok(written) if written == self.held.len() => {
                self.held = Vec::new();
                Progress::More
            }
            Ok(written) => {
                self.held.drain(..written);
                Progress::Blocked
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Progress::Blocked,
            Err(errno) => self.lost(errno),
        }
    }

    /// The other end will take no more. Of output what comes is read all the same: the program is not to end for it.
    fn lost(&mut self, errno: Errno) -> Progress {
        self.held = Vec::new();
        if self.line.kind == Kind::Input {
            // The program has closed its input.
            return Progress::Finished;
        }
        if !self.is_lost {
            log::warn!("output is lost from here on: {}", errno.desc());
        }
        self.is_lost = true;
        Progress::More
    }

    fn wait_for(&mut self, poller: &Poller, key: u32, end: End) {
        if self.waits_for == end {
            return;
        }
        self.forget(poller);
        let (fd, flags) = match end {
            End::From => (self.line.from.as_fd(), EpollFlags::EPOLLIN),
            End::To => (self.line.to.as_fd(), EpollFlags::EPOLLOUT),
            End::None => return,
        };
        match poller.add(fd, flags, Token::Flow(key)) {
            Ok(()) => self.waits_for = end,
            // A regular file takes more at any time, or says why not.
            Err(Errno::EPERM) if end == End::To => self.wait_for(poller, key, End::From),
            Err(errno) => log::error!("cannot wait for a stream: {}", errno.desc()),
        }
    }

    fn forget(&mut self, poller: &Poller) {
        match self.waits_for {
            End::From => poller.remove(&self.line.from),
            End::To => poller.remove(&self.line.to),
            End::None => {}
        }
        self.waits_for = End::None;
    }
}

impl Server {
    /// Serves the lines of a process from now on.
    pub(crate) fn serve_lines(&mut self, process: u32, lines: Vec<Line>) {
        for line in lines {
            let key = self.key();
            let mut flow = Flow { line, process, held: Vec::new(), is_lost: false, waits_for: End::None };
            flow.wait_for(&self.poller, key, End::From);
            self.flows.insert(key, flow);
            if let Some(process) = self.processes.get_mut(&process) {
                process.flows.push(key);
            }
        }
    }

    /// Passes on what a flow has.
    pub(crate) fn pass(&mut self, key: u32) {
        let Some(flow) = self.flows.get_mut(&key) else { return };
        let process = flow.process;
        let progress = flow.pass();
        match progress {
            Progress::More | Progress::Drained => flow.wait_for(&self.poller, key, End::From),
            Progress::Blocked => flow.wait_for(&self.poller, key, End::To),
            Progress::Hung => {
                flow.wait_for(&self.poller, key, End::None);
                self.hung(process, key);
            }
            Progress::Finished => self.finish_flow(key),
        }
        if progress != Progress::More {
            self.drained(process);
        }
    }

    /// A terminal is open nowhere: its output is at its end if the process is, or else may go on.
    fn hung(&mut self, process: u32, key: u32) {
        match self.processes.get_mut(&process) {
            Some(process) if process.exit.is_none() && process.draining.is_none() => {
                process.look_again = Some(Instant::now() + LOOK_AGAIN);
            }
            _ => self.finish_flow(key),
        }
    }

    /// A flow is at its end: its writer is closed, so that its readers learn of it. Where there is no reader yet the writer is
    /// kept, and with it what was written.
    fn finish_flow(&mut self, key: u32) {
        let Some(mut flow) = self.flows.remove(&key) else { return };
        flow.forget(&self.poller);
        let Some(process) = self.processes.get_mut(&flow.process) else { return };
        process.flows.retain(|other| *other != key);
        if flow.line.hold.take().is_some() && has_no_reader(&flow.line.to) {
            process.unread.push(flow.line.to);
        }
    }

    /// Whether all that a process wrote was passed on; asks its streams once more.
    fn is_drained(&mut self, key: u32) -> bool {
        let flows = self.processes.get(&key).map(|process| process.flows.clone()).unwrap_or_default();
        let mut is_drained = true;
        for key in flows {
            let Some(flow) = self.flows.get_mut(&key) else { continue };
            if flow.line.kind == Kind::Input {
                continue;
            }
            match flow.pass() {
                Progress::Drained | Progress::Hung => {}
                Progress::Finished => self.finish_flow(key),
                Progress::More => {
                    flow.wait_for(&self.poller, key, End::From);
                    is_drained = false;
                }
                Progress::Blocked => {
                    flow.wait_for(&self.poller, key, End::To);
                    is_drained = false;
                }
            }
        }
        is_drained
    }

    /// Goes on with what waits for the output of a process, if that was passed on.
    pub(crate) fn drained(&mut self, key: u32) {
        let waits = self.processes.get(&key).is_some_and(|process| process.draining.is_some());
        if waits && self.is_drained(key) {
            self.go_on(key);
        }
    }

    fn go_on(&mut self, key: u32) {
        if let Some(draining) = self.processes.get_mut(&key).and_then(|process| process.draining.take()) {
            (draining.then)(self);
        }
    }

    /// A moment has come for which a process waits.
    pub(crate) fn process_late(&mut self, key: u32, now: Instant) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        if process.look_again.is_some_and(|at| at <= now) {
            process.look_again = None;
            process.flows.clone().into_iter().for_each(|flow| self.pass(flow));
        }
        let draining = self.processes.get(&key).and_then(|process| process.draining.as_ref());
        if draining.is_some_and(|draining| draining.until <= now) {
            log::warn!("output of a deleted process is given up: nobody reads it");
            self.go_on(key);
        }
    }

    /// A process has ended: nobody reads its input, and what it wrote is passed on.
    pub(crate) fn end_streams(&mut self, key: u32) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        process.input = Input::Closed;
        process.look_again = None;
        for key in process.flows.clone() {
            match self.flows.get(&key).map(|flow| flow.line.kind) {
                Some(Kind::Input) => self.finish_flow(key),
                _ => self.pass(key),
            }
        }
    }

    /// Lets go of a process's streams: what was not passed on is lost.
    pub(crate) fn drop_streams(&mut self, key: u32) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        process.unread.clear();
        process.terminal = None;
        for flow in std::mem::take(&mut process.flows) {
            if let Some(mut flow) = self.flows.remove(&flow) {
                flow.forget(&self.poller);
            }
        }
    }
}

/// Whether nobody reads a pipe or FIFO: its writer is told by POLLERR (poll(2)).
fn has_no_reader(writer: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(writer.as_fd(), PollFlags::empty())];
    matches!(poll(&mut polled, PollTimeout::ZERO), Ok(1))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::thread;
    use std::time::{Duration, Instant};

    use nix::fcntl::OFlag;
    use nix::unistd::pipe2;

    use super::*;

    /// A flow between two pipes, with their other ends.
    fn flow(kind: Kind) -> (Flow, File, File) {
        let [(from, writer), (reader, to)] = [(); 2].map(|()| pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap());
        let line = Line { from, to, hold: None, kind };
        (
            Flow { line, process: 1, held: Vec::new(), is_lost: false, waits_for: End::None },
            writer.into(),
            reader.into(),
        )
    }

    /// Closes the last reader of a flow's other end. A child that another test is about to execute has a copy of it until then.
    fn close(reader: File, flow: &Flow) {
        drop(reader);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !has_no_reader(&flow.line.to) {
            assert!(Instant::now() < deadline, "somebody keeps the other end open");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn fill(writer: &mut File) -> usize {
        let mut count = 0;
        while let Ok(more) = writer.write(&[7; 4096]) {
            count += more;
        }
        count
    }

    #[test]
    fn what_is_not_taken_is_kept_and_passed_on_later() {
        let (mut flow, mut writer, mut reader) = flow(Kind::Output);
        let first = fill(&mut writer);
        assert_eq!(flow.pass(), Progress::Drained);
        let second = fill(&mut writer);
        assert_eq!(flow.pass(), Progress::Blocked);
        let held = flow.held.len();
        assert!(held > 0 && held <= CHUNK);
        drop(writer);
        let mut got = vec![0; first + second];
        let mut at = 0;
        while at < got.len() {
            at += reader.read(&mut got[at..]).unwrap();
            flow.pass();
        }
        assert!(got.iter().all(|byte| *byte == 7));
        assert_eq!(flow.pass(), Progress::Finished);
        assert!(flow.held.is_empty());
    }

    #[test]
    fn output_that_nobody_takes_is_read_all_the_same() {
        let (mut flow, mut writer, reader) = flow(Kind::Output);
        close(reader, &flow);
        let much = fill(&mut writer);
        while flow.pass() == Progress::More {}
        assert_eq!(fill(&mut writer), much);
    }

    #[test]
    fn input_that_the_program_does_not_take_ends() {
        let (mut flow, mut writer, reader) = flow(Kind::Input);
        assert_eq!(flow.pass(), Progress::Drained);
        close(reader, &flow);
        writer.write_all(b"x").unwrap();
        assert_eq!(flow.pass(), Progress::Finished);
    }

    #[test]
    fn one_that_always_has_more_lets_others_have_their_turn() {
        let (mut flow, mut writer, reader) = flow(Kind::Output);
        rustix::pipe::fcntl_setpipe_size(&flow.line.from, 1 << 20).unwrap();
        rustix::pipe::fcntl_setpipe_size(&reader, 1 << 20).unwrap();
        fill(&mut writer);
        assert_eq!(flow.pass(), Progress::More);
    }

    #[test]
    fn what_the_last_turn_holds_waits_for_the_other_end() {
        let (mut flow, mut writer, reader) = flow(Kind::Output);
        let room = TURNS * CHUNK;
        rustix::pipe::fcntl_setpipe_size(&flow.line.from, room).unwrap();
        rustix::pipe::fcntl_setpipe_size(&reader, room).unwrap();
        assert_eq!(write(&flow.line.to, &[7; 4096]), Ok(4096));
        assert_eq!(fill(&mut writer), room);
        assert_eq!(flow.pass(), Progress::Blocked);
        assert_eq!(flow.held.len(), 4096);
    }

    #[test]
    fn a_writer_knows_whether_there_are_readers() {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        assert!(!has_no_reader(&writer));
        drop(reader);
        assert!(has_no_reader(&writer));
    }
}
