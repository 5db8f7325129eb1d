//! Everything that the shim waits for, behind one epoll(7).

use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// What is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// Somebody connects.
    Listener,
    /// A signal has come.
    Signals,
    /// A thread has finished its work.
    Work,
    /// The connection on which events go to containerd.
    Containerd,
    /// A client's connection.
    Connection(u32),
    /// A process has ended.
    Process(u32),
    /// A process was killed for want of memory.
    Memory(u32),
    /// A flow can read, or write.
    Flow(u32),
    /// A logging program has ended.
    Logger(u32),
}

impl Token {
    fn encode(self) -> u64 {
        let (kind, key) = match self {
            Self::Listener => (0, 0),
            Self::Signals => (1, 0),
            Self::Work => (2, 0),
            Self::Containerd => (3, 0),
            Self::Connection(key) => (4, key),
            Self::Process(key) => (5, key),
            Self::Memory(key) => (6, key),
            Self::Flow(key) => (7, key),
            Self::Logger(key) => (8, key),
        };
        u64::from(key) | kind << 32
    }

    fn decode(data: u64) -> Self {
        let key = data as u32;
        match data >> 32 {
            0 => Self::Listener,
            1 => Self::Signals,
            2 => Self::Work,
            3 => Self::Containerd,
            4 => Self::Connection(key),
            5 => Self::Process(key),
            6 => Self::Memory(key),
            7 => Self::Flow(key),
            _ => Self::Logger(key),
        }
    }
}

/// How many events one wait brings.
const AT_ONCE: usize = 64;

/// What is waited for.
#[derive(Debug)]
pub(crate) struct Poller(Epoll);

impl Poller {
    pub(crate) fn new() -> nix::Result<Self> {
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map(Self)
    }

    /// Waits for `flags` of `fd` from now on, again and again.
    pub(crate) fn add(&self, fd: impl AsFd, flags: EpollFlags, token: Token) -> nix::Result<()> {
        self.0.add(fd, EpollEvent::new(flags, token.encode()))
    }

    /// Waits for other flags.
    pub(crate) fn change(&self, fd: impl AsFd, flags: EpollFlags, token: Token) -> nix::Result<()> {
        self.0.modify(fd, &mut EpollEvent::new(flags, token.encode()))
    }

    /// Waits for it no longer; by the number by which it was added. A descriptor that is closed without it, and was copied
    /// before, would be waited for for ever.
    pub(crate) fn remove(&self, fd: impl AsFd) {
        // It fails only where it is not waited for.
        let _ = self.0.delete(fd);
    }

    /// Waits until something is ready, or `limit` is over.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> nix::Result<Vec<Token>> {
        // Rounded up: a moment that is not there yet would be asked for again and again.
        let up = |limit: Duration| EpollTimeout::try_from(limit.saturating_add(Duration::from_micros(999)));
        let limit = limit.map_or(EpollTimeout::NONE, |limit| up(limit).unwrap_or(EpollTimeout::MAX));
        let mut events = [EpollEvent::empty(); AT_ONCE];
        let count = match self.0.wait(&mut events, limit) {
            Err(Errno::EINTR) => 0,
            count => count?,
        };
        Ok(events.iter().take(count).map(|event| Token::decode(event.data())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back() {
        let keyed = [Token::Connection, Token::Process, Token::Memory, Token::Flow, Token::Logger];
        let keyed = keyed.into_iter().flat_map(|of| [of(0), of(1), of(u32::MAX)]);
        let all = [Token::Listener, Token::Signals, Token::Work, Token::Containerd].into_iter().chain(keyed);
        for token in all {
            assert_eq!(Token::decode(token.encode()), token);
        }
    }

    #[test]
    fn what_is_removed_is_not_waited_for() {
        let poller = Poller::new().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        poller.add(&reader, EpollFlags::EPOLLIN, Token::Flow(7)).unwrap();
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), []);
        drop(writer);
        assert_eq!(poller.wait(None).unwrap(), [Token::Flow(7)]);
        poller.remove(&reader);
        assert_eq!(poller.wait(Some(Duration::from_millis(1))).unwrap(), []);
    }
}
