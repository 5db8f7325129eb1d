//! The shim's loop: one thread waits for everything, and answers what can be answered at once. What may take long (a hook, a
//! mount, systemd) is done by a thread of its own, which ends with it; what it found is brought back into the loop.

use std::collections::{BTreeMap, VecDeque};
use std::os::unix::net::UnixListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::epoll::EpollFlags;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{getsockopt, sockopt};
use prost::Message;
use rustix::process::Signal;

use crate::api::ttrpc::{Request, Response, Status};
use crate::bootstrap::{self, Settings};
use crate::container::{Container, Process};
use crate::frames::{Frame, Frames, Kind, Stream};
use crate::poller::{Poller, Token};
use crate::publisher::Publisher;
use crate::status::{Answer, Failure};
use crate::stdio::flow::Flow;
use crate::stdio::{LAST_LINES, Logger};

/// How long a shim that was told to end goes on, for its last answers and events.
const LAST_WORDS: Duration = Duration::from_millis(2500);
/// How long it rests when it cannot take a client.
const BREATH: Duration = Duration::from_millis(20);
/// How long nothing may have been made until the shim is made small.
const QUIET: Duration = Duration::from_millis(500);
/// How much stack a thread that works has. Only what is used of it is memory.
const STACK: usize = 1 << 20;
/// How many threads work at the same time; what comes then waits for one of them to end.
const THREADS_MAX: usize = 64;

/// Who waits for an answer: a connection, and the call on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    connection: u32,
    stream: u32,
    /// Until when; `None`: for as long as it takes.
    until: Option<Instant>,
}

impl Ticket {
    /// Whether nobody waits any more.
    pub(crate) fn is_late(self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }
}

/// What is left to do in the loop when a thread has finished its work.
type Rest = Box<dyn FnOnce(&mut Server) + Send>;
/// What a thread does.
type Job = Box<dyn FnOnce() + Send>;

/// Work that waits for a thread.
#[derive(Default)]
struct Jobs(VecDeque<Job>);

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Jobs({})", self.0.len())
    }
}

/// A running shim.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) settings: Settings,
    pub(crate) poller: Poller,
    pub(crate) publisher: Publisher,
    pub(crate) containers: BTreeMap<String, Container>,
    /// Every process of every container, by a number that is never used again.
    pub(crate) processes: BTreeMap<u32, Process>,
    pub(crate) flows: BTreeMap<u32, Flow>,
    /// Logging programs whose processes are deleted: until when each may go on, and the signal it gets then.
    pub(crate) leaving: BTreeMap<u32, (Logger, Instant, Signal)>,
    /// Ids whose create is on its way.
    pub(crate) promised: Vec<String>,
    connections: BTreeMap<u32, Frames>,
    /// `None` once it is told to end.
    listener: Option<UnixListener>,
    signals: SignalFd,
    next_key: u32,
    results: (Sender<Rest>, Receiver<Rest>),
    woken: Arc<EventFd>,
    /// How many threads work.
    busy: usize,
    jobs: Jobs,
    /// Whether it was told to end while a container was being made.
    pub(crate) wants_end: bool,
    /// When to end.
    end: Option<Instant>,
    /// When to be small: some time after work was done.
    shrink: Option<Instant>,
}

impl Server {
    /// A server that listens; signals are those that were held back.
    pub(crate) fn new(listener: UnixListener, signals: SignalFd, settings: Settings) -> std::io::Result<Self> {
        let poller = Poller::new()?;
        listener.set_nonblocking(true)?;
        let woken = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        poller.add(&listener, EpollFlags::EPOLLIN, Token::Listener)?;
        poller.add(&signals, EpollFlags::EPOLLIN, Token::Signals)?;
        poller.add(&*woken, EpollFlags::EPOLLIN, Token::Work)?;
        Ok(Self {
            publisher: Publisher::new(settings.ttrpc_address.as_deref(), &settings.namespace),
            settings,
            poller,
            containers: BTreeMap::new(),
            processes: BTreeMap::new(),
            flows: BTreeMap::new(),
            leaving: BTreeMap::new(),
            promised: Vec::new(),
            connections: BTreeMap::new(),
            listener: Some(listener),
            signals,
            next_key: 0,
            results: channel(),
            woken,
            busy: 0,
            jobs: Jobs::default(),
            wants_end: false,
            end: None,
            shrink: None,
        })
    }

    /// Serves until it is told to end.
    pub(crate) fn run(&mut self) -> nix::Result<()> {
        while !self.is_over() {
            let next = self.next_deadline();
            let limit = next.map(|at| at.saturating_duration_since(Instant::now()));
            for token in self.poller.wait(limit)? {
                self.ready(token);
            }
            self.overdue();
        }
        self.end_loggers();
        Ok(())
    }

    /// Until when it goes on, once it was told to end: longer for logging programs, each of which has its own limit.
    fn last_moment(&self) -> Option<Instant> {
        let limit = if self.leaving.is_empty() { Duration::ZERO } else { LAST_LINES.iter().sum() };
        self.end.map(|end| end + limit)
    }

    fn is_over(&self) -> bool {
        let Some(end) = self.last_moment() else { return false };
        let is_behind = self.connections.values().any(Frames::is_behind);
        let is_busy = self.busy > 0 || !self.leaving.is_empty();
        Instant::now() >= end || !(is_behind || is_busy || !self.publisher.is_done())
    }

    /// Whether it takes no more containers.
    pub(crate) fn is_ending(&self) -> bool {
        self.end.is_some()
    }

    /// Ends, if it was asked to and has no container.
    pub(crate) fn end_if_asked(&mut self) {
        if self.wants_end && self.containers.is_empty() && self.promised.is_empty() {
            self.finish();
        }
    }

    /// Ends, as soon as the last answer and the last event are out.
    pub(crate) fn finish(&mut self) {
        self.end = self.end.or_else(|| Some(Instant::now() + LAST_WORDS));
        // At once: nobody is to be sent here by a `start` any more.
        if let Some(Err(error)) = self.listener.take().map(bootstrap::retire) {
            log::warn!("cannot remove the shim's socket: {error}");
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let draining = self.processes.values().filter_map(Process::deadline);
        let leaving = self.leaving.values().map(|(_, until, _)| *until);
        draining.chain(leaving).chain(self.publisher.deadline).chain(self.last_moment()).chain(self.shrink).min()
    }

    fn overdue(&mut self) {
        let now = Instant::now();
        if self.publisher.deadline.is_some_and(|at| at <= now) {
            self.publisher.late(&self.poller);
        }
        self.hurry_loggers(now);
        if self.shrink.is_some_and(|at| at <= now) {
            self.shrink();
        }
        let late = |process: &Process| process.deadline().is_some_and(|at| at <= now);
        let keys: Vec<u32> = self.processes.iter().filter(|(_, process)| late(process)).map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.process_late(key, now));
    }

    fn ready(&mut self, token: Token) {
        match token {
            Token::Listener => self.accept(),
            Token::Signals => self.signalled(),
            Token::Work => {
                self.finish_work();
                // A thread's own children are this one's when it has ended, and nothing tells so.
                if self.busy == 0 {
                    self.reap();
                }
            }
            Token::Containerd => self.publisher.ready(&self.poller),
            Token::Connection(key) => self.serve(key),
            Token::Process(key) => self.ended(key),
            Token::Memory(key) => self.out_of_memory(key),
            Token::Flow(key) => self.pass(key),
            Token::Logger(key) => self.logger_ended(key),
        }
    }

    /// A number for something that will be waited for.
    pub(crate) fn key(&mut self) -> u32 {
        self.next_key = self.next_key.wrapping_add(1);
        self.next_key
    }

    /// Takes a client: of this process's own user, as the socket's mode says (SO_PEERCRED, unix(7)).
    fn accept(&mut self) {
        while let Some(accepted) = self.listener.as_ref().map(UnixListener::accept) {
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    log::warn!("cannot take a client: {error}");
                    // It goes on waiting, and would be asked for again and again where there are no descriptors left.
                    return std::thread::sleep(BREATH);
                }
            };
            let own = nix::unistd::geteuid().as_raw();
            match getsockopt(&stream, sockopt::PeerCredentials) {
                Ok(peer) if peer.uid() == own => {}
                Ok(peer) => {
                    log::warn!("a client with uid {} is refused", peer.uid());
                    continue;
                }
                Err(_) => continue,
            }
            let key = self.key();
            let Ok(frames) = Frames::new(stream) else { continue };
            if self.poller.add(frames.fd(), EpollFlags::EPOLLIN, Token::Connection(key)).is_ok() {
                self.connections.insert(key, frames);
            }
        }
    }

    /// A client's connection is ready.
    fn serve(&mut self, key: u32) {
        let Some(frames) = self.connections.get_mut(&key) else { return };
        let flushed = frames.flush();
        let (calls, state) = frames.read();
        let is_broken = calls.iter().any(|frame| frame.kind == Kind::Unknown);
        for frame in calls {
            self.call(key, frame);
        }
        if is_broken {
            log::warn!("a client that does not speak ttrpc is hung up on");
        }
        if is_broken || state == Stream::Closed || flushed == Stream::Closed {
            self.hang_up(key);
        } else {
            self.watch(key);
        }
    }

    fn call(&mut self, connection: u32, frame: Frame) {
        let mut ticket = Ticket { connection, stream: frame.stream, until: None };
        if frame.kind != Kind::Request {
            return;
        }
        let Some(message) = frame.message else {
            let max = crate::frames::MESSAGE_MAX;
            return self.answer(ticket, Err(Failure::invalid(format!("a message has at most {max} bytes"))));
        };
        match Request::decode(&message[..]) {
            Ok(request) => {
                let limit = u64::try_from(request.timeout_nano).ok().filter(|limit| *limit > 0);
                ticket.until = limit.and_then(|limit| Instant::now().checked_add(Duration::from_nanos(limit)));
                self.dispatch(ticket, &request);
            }
            Err(error) => self.answer(ticket, Err(Failure::invalid(format!("no request: {error}")))),
        }
    }

    /// Answers a call. Who has hung up meanwhile gets none.
    pub(crate) fn answer(&mut self, ticket: Ticket, answer: Answer<Vec<u8>>) {
        let Some(frames) = self.connections.get_mut(&ticket.connection) else { return };
        let response = match answer {
            Ok(payload) => Response { status: None, payload },
            Err(Failure { code, message }) => {
                let status = Status { code: code as i32, message, details: Vec::new() };
                Response { status: Some(status), payload: Vec::new() }
            }
        };
        match frames.send(ticket.stream, Kind::Response, &response) {
            Stream::Open => self.watch(ticket.connection),
            Stream::Closed => self.hang_up(ticket.connection),
        }
    }

    /// As [`Self::answer`], with a message.
    pub(crate) fn reply<M: Message>(&mut self, ticket: Ticket, answer: Answer<M>) {
        self.answer(ticket, answer.map(|message| message.encode_to_vec()));
    }

    fn watch(&mut self, key: u32) {
        let Some(frames) = self.connections.get(&key) else { return };
        let mut flags = EpollFlags::EPOLLIN;
        flags.set(EpollFlags::EPOLLOUT, frames.is_behind());
        if self.poller.change(frames.fd(), flags, Token::Connection(key)).is_err() {
            self.hang_up(key);
        }
    }

    fn hang_up(&mut self, key: u32) {
        if let Some(frames) = self.connections.remove(&key) {
            self.poller.remove(frames.fd());
        }
        for process in self.processes.values_mut() {
            process.waiters.retain(|ticket| ticket.connection != key);
        }
    }

    /// Has `work` done by a thread of its own, and `then` here when it is.
    pub(crate) fn work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(&mut Self, T) + Send + 'static,
    ) {
        let (sender, woken) = (self.results.0.clone(), Arc::clone(&self.woken));
        let job = move || {
            let found = work();
            // The loop outlives its threads' results, and the counter is far from full.
            let _ = sender.send(Box::new(move |server: &mut Self| then(server, found)));
            let _ = woken.write(1);
        };
        self.jobs.0.push_back(Box::new(job));
        self.begin_work();
    }

    /// Has threads made for what waits for one.
    fn begin_work(&mut self) {
        while self.busy < THREADS_MAX
            && let Some(job) = self.jobs.0.pop_front()
        {
            self.busy += 1;
            // Where there is no thread to be had the loop does it, and everybody waits.
            let job = Arc::new(Mutex::new(Some(job)));
            let taken = Arc::clone(&job);
            let take = |job: &Mutex<Option<Job>>| job.lock().unwrap_or_else(PoisonError::into_inner).take();
            let perform = move || take(&taken).into_iter().for_each(|job| job());
            if std::thread::Builder::new().stack_size(STACK).spawn(perform).is_err() {
                take(&job).into_iter().for_each(|job| job());
            }
        }
    }

    /// Brings back what threads have found.
    pub(crate) fn finish_work(&mut self) {
        let _ = self.woken.read();
        while let Ok(rest) = self.results.1.try_recv() {
            self.busy -= 1;
            rest(self);
            self.shrink = Some(Instant::now() + QUIET);
        }
        self.begin_work();
    }

    /// Gives back the memory that making a container took, and waiting for it does not. A debugger keeps its breakpoints.
    fn shrink(&mut self) {
        self.shrink = None;
        if !self.settings.debug
            && let Err(error) = runtime_core::give_back_code()
        {
            log::debug!("cannot give back what code takes: {error}");
        }
    }

    /// Signals: children that nobody waits for, and requests to end.
    fn signalled(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match signal.ssi_signo as i32 {
                nix::libc::SIGTERM | nix::libc::SIGINT if self.containers.is_empty() && self.promised.is_empty() => {
                    self.finish();
                }
                nix::libc::SIGUSR1 => self.describe(),
                _ => {}
            }
        }
        self.reap();
    }

    /// What it has, into the log.
    fn describe(&self) {
        let (containers, processes, flows) = (self.containers.len(), self.processes.len(), self.flows.len());
        let (clients, threads) = (self.connections.len(), self.busy);
        log::info!(
            "{containers} containers, {processes} processes, {flows} streams, {clients} clients, {threads} threads at work"
        );
    }
}
