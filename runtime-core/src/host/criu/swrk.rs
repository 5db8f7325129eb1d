//! One conversation with criu: `criu swrk FD` is a child on a SOCK_SEQPACKET socket, is asked once, notifies, and answers.

use std::ffi::CStr;
use std::fmt;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, Shutdown, SockFlag, SockType, recvmsg, sendmsg, shutdown, socketpair,
};
use nix::sys::wait::WaitStatus;
use prost::Message;

use super::log::shown;
use super::message::{Kind, Notification, Request, Response};
use crate::error::Error;
use crate::host::cgroup::Cgroup;
use crate::host::child::copy_behind;
use crate::host::file::read_small;
use crate::host::process::wait_for_end;
use crate::sys::clone::{self, Setting};
use crate::sys::process::{own, pidfd_send_signal, try_wait};

/// How long a criu that was told that it is over may take to end.
const END_LIMIT: Duration = Duration::from_secs(3);

/// The longest message that is taken. The longest that criu sends is a notification, of some ten bytes.
const LONGEST: usize = 64 << 10;

/// How often, within its limit, a silent criu is looked at.
const LOOKS: u32 = 8;

/// What criu is born with.
#[derive(Clone, Copy)]
pub(crate) struct Birth<'a> {
    /// Its standard streams: in a restore they are the container's.
    pub(crate) streams: [BorrowedFd<'a>; 3],
    /// Its descriptors behind the socket: [`Birth::FIRST_INHERITED`] and those that follow.
    pub(crate) inherited: &'a [OwnedFd],
    /// How it is executed otherwise.
    pub(crate) setting: Setting<'a>,
}

impl<'a> Birth<'a> {
    /// The number of criu's socket.
    const SOCKET: RawFd = 3;
    /// The number of the first descriptor that it inherits beside.
    pub(crate) const FIRST_INHERITED: RawFd = Self::SOCKET + 1;

    /// A criu all of whose streams are this one.
    pub(crate) const fn of(stream: BorrowedFd<'a>) -> Self {
        let setting = Setting { cgroup: None, leads: true };
        Self { streams: [stream; 3], inherited: &[], setting }
    }
}

/// How long a conversation may take.
pub(crate) struct Limits<'a> {
    /// How long criu may neither say nor do anything.
    pub(crate) silence: Duration,
    /// The cgroup in which others work for it.
    pub(crate) watched: Option<&'a Cgroup>,
}

/// What criu notifies of.
pub(crate) struct Notified {
    /// How far it is: `post-dump`, `setup-namespaces` …
    pub(crate) script: String,
    /// The process that it is about; 0 where it is about none.
    pub(crate) pid: u32,
    /// The descriptor that came with it.
    pub(crate) descriptor: Option<OwnedFd>,
}

/// Why a conversation came to nothing. Its `Display` is what users of engines know.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A system call.
    Host(Errno),
    /// criu ended in the middle of it.
    Ended(Option<WaitStatus>),
    /// It neither said nor did anything for as long.
    Silent(Duration),
    /// It said something that is no answer.
    Garbled,
    /// It answered no.
    Refused(Box<Response>),
    /// What was notified could not be done here.
    Own(Box<Error>),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Host(errno)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(errno) => f.write_str(errno.desc()),
            Self::Ended(status) => {
                f.write_str("criu failed: it ended without an answer")?;
                match status {
                    Some(WaitStatus::Exited(_, code)) => write!(f, ": exit status {code}"),
                    Some(WaitStatus::Signaled(_, signal, _)) => write!(f, ": {signal}"),
                    _ => Ok(()),
                }
            }
            Self::Silent(limit) => write!(f, "criu failed: it did nothing for {} s", limit.as_secs()),
            Self::Garbled => f.write_str("criu failed: its answer is none of the RPC's"),
            Self::Refused(answer) => {
                write!(f, "criu failed: type {} errno {}", answer.kind().name(), answer.errno())
            }
            Self::Own(error) => write!(f, "{error}"),
        }
    }
}

impl Failure {
    /// What criu says in its answer: its first error, where it is new enough for that.
    pub(crate) fn said(&self) -> Option<String> {
        let Self::Refused(answer) = self else { return None };
        answer.message.as_deref().map(shown).filter(|why| !why.is_empty())
    }
}

/// A `criu swrk`: it ends when this goes away.
#[derive(Debug)]
pub(crate) struct Swrk {
    socket: OwnedFd,
    pid: u32,
    pidfd: OwnedFd,
    /// Whether it was collected.
    collected: bool,
}

impl Swrk {
    /// Starts it. It hears of this process's end by the socket, and then undoes what it has begun.
    pub(super) fn begin(path: &CStr, environment: &[&CStr], birth: &Birth<'_>) -> nix::Result<Self> {
        let (socket, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let own = birth.streams.iter().copied().chain([other.as_fd()]);
        let given: Vec<_> = own.chain(birth.inherited.iter().map(AsFd::as_fd)).collect();
        let least = given.len() as RawFd;
        let copies = given.iter().map(|fd| copy_behind(*fd, least)).collect::<nix::Result<Vec<_>>>()?;
        let descriptors: Vec<_> = copies.iter().map(AsFd::as_fd).collect();
        let old = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let words = [c"criu", c"swrk", c"3"];
        let spawned = clone::execute_in(&birth.setting, path, &words, environment, &descriptors);
        old.thread_set_mask()?;
        let (pid, pidfd) = spawned?;
        Ok(Self { socket, pid, pidfd, collected: false })
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks, and does what is notified of, until the answer. What cannot be done is told to criu, which undoes its work.
    pub(crate) fn converse(
        &mut self,
        request: &Request,
        limits: &Limits<'_>,
        notified: &mut dyn FnMut(Notified) -> Result<(), Error>,
    ) -> Result<Response, Failure> {
        self.send(request)?;
        let mut own = None;
        loop {
            let answered = self.receive(limits);
            let (answer, descriptor) = match (answered, own.take()) {
                // Whatever criu says of it: this is why.
                (Ok((answer, _)), Some(error)) if answer.kind() != Kind::Notify || !answer.success => {
                    return Err(error);
                }
                (Err(_), Some(error)) => return Err(error),
                (answered, none) => {
                    own = none;
                    answered?
                }
            };
            if !answer.success {
                return Err(Failure::Refused(Box::new(answer)));
            }
            if answer.kind() != Kind::Notify {
                let is_answer = answer.kind == request.kind;
                return if is_answer { Ok(answer) } else { Err(Failure::Garbled) };
            }
            let Notification { script, pid } = answer.notify.unwrap_or_default();
            let (script, pid) = (script.unwrap_or_default(), u32::try_from(pid.unwrap_or_default()).unwrap_or(0));
            ::log::debug!("criu notifies of {}", script.escape_debug());
            let done = match own.is_some() {
                true => Ok(()),
                false => notified(Notified { script, pid, descriptor }),
            };
            own = own.or(done.err().map(|error| Failure::Own(Box::new(error))));
            self.send(&Request { notify_success: Some(own.is_none()), ..Request::of(Kind::Notify) })?;
        }
    }

    fn send(&mut self, request: &Request) -> Result<(), Failure> {
        let bytes = request.encode_to_vec();
        match sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(&bytes)], &[], MsgFlags::MSG_NOSIGNAL, None) {
            Err(Errno::EPIPE | Errno::ECONNRESET) => Err(self.ended()),
            sent => Ok(sent.map(drop)?),
        }
    }

    fn receive(&mut self, limits: &Limits<'_>) -> Result<(Response, Option<OwnedFd>), Failure> {
        self.wait(limits)?;
        let mut bytes = vec![0; LONGEST];
        let (length, flags, descriptor) = {
            let mut vector = [IoSliceMut::new(&mut bytes)];
            let mut space = cmsg_space!([RawFd; 1]);
            let message =
                match recvmsg::<()>(self.socket.as_raw_fd(), &mut vector, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
                {
                    Err(Errno::ECONNRESET) => return Err(self.ended()),
                    received => received?,
                };
            let mut descriptor = None;
            for control in message.cmsgs()? {
                if let ControlMessageOwned::ScmRights(received) = control {
                    descriptor = own(&received).or(descriptor);
                }
            }
            (message.bytes, message.flags, descriptor)
        };
        if length == 0 {
            return Err(self.ended());
        }
        if flags.contains(MsgFlags::MSG_TRUNC) {
            return Err(Failure::Garbled);
        }
        let answer = Response::decode(bytes.get(..length).unwrap_or_default()).map_err(|_| Failure::Garbled)?;
        Ok((answer, descriptor))
    }

    /// Waits for a message, for as long as criu does anything.
    fn wait(&self, limits: &Limits<'_>) -> Result<(), Failure> {
        let (mut since, mut doing) = (Instant::now(), self.doing(limits));
        loop {
            let look = PollTimeout::try_from(limits.silence / LOOKS).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], look) {
                Ok(0) | Err(Errno::EINTR) => {}
                ready => return ready.map(drop).map_err(Failure::Host),
            }
            let now = self.doing(limits);
            if now != doing {
                (since, doing) = (Instant::now(), now);
            } else if since.elapsed() >= limits.silence {
                return Err(Failure::Silent(limits.silence));
            }
        }
    }

    /// What changes as long as criu works: what it has read and written, its time on a processor, and that of those who
    /// work for it.
    fn doing(&self, limits: &Limits<'_>) -> [Vec<u8>; 3] {
        let of_criu = |name: &str| read_small(format!("/proc/{}/{name}", self.pid)).unwrap_or_default();
        let of_others = limits.watched.and_then(|cgroup| cgroup.read("cpu.stat").ok()).unwrap_or_default();
        [of_criu("io"), of_criu("schedstat"), of_others.into()]
    }

    /// The failure of a criu that hung up, or is about to end.
    fn ended(&mut self) -> Failure {
        let _ = wait_for_end(&self.pidfd, END_LIMIT);
        let status = try_wait(&self.pidfd);
        self.collected |= status.is_some();
        Failure::Ended(status)
    }

    /// The conversation is over: criu has nobody to talk to any more. One that does not end by that is killed.
    pub(crate) fn end(&mut self) {
        if std::mem::replace(&mut self.collected, true) {
            return;
        }
        // It may have hung up already.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
        if !wait_for_end(&self.pidfd, END_LIMIT).unwrap_or(false) {
            let _ = pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
            let _ = wait_for_end(&self.pidfd, END_LIMIT);
        }
        try_wait(&self.pidfd);
    }
}

impl Drop for Swrk {
    fn drop(&mut self) {
        self.end();
    }
}
