//! One connection to a bus: the address, the handshake, calls and signals, each with a deadline.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::message::{Call, Kind, Malformed, Message, Writer, length};

/// How long the bus, and who is called there, may leave a caller without an answer.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// How many signals may wait: whoever sends more than were asked for is no systemd.
const MOST_SIGNALS: usize = 64;

/// What went wrong with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Which call.
    pub(super) call: String,
    /// At which bus.
    pub(super) address: String,
    pub(super) why: Why,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The address, or the variable that should say it, is of no use.
    Address(String),
    /// Nobody is there.
    Unreachable(Errno),
    /// Whoever is there does not let this caller in.
    Rejected,
    /// No answer within the limit.
    Silent,
    /// The connection ended.
    Gone,
    /// What came is no D-Bus message, or not the one that answers.
    Malformed,
    /// The answer is an error: its name, and what it says.
    Refused { name: String, said: String },
}

impl Failure {
    /// Of a bus that gave no answer before.
    pub(crate) fn lost(address: &str) -> Self {
        Self { call: "connect".to_owned(), address: address.to_owned(), why: Why::Silent }
    }

    /// Whether the answer was this error.
    pub(super) fn is(&self, error: &str) -> bool {
        matches!(&self.why, Why::Refused { name, .. } if name == error)
    }

    /// Whether it is unknown what came of the call.
    pub(crate) fn is_of_bus(&self) -> bool {
        !matches!(self.why, Why::Refused { .. })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, address, why } = self;
        match why {
            Why::Address(why) => f.write_str(why),
            Why::Unreachable(errno) => write!(f, "cannot reach the bus at {address}: {}", errno.desc()),
            Why::Rejected => write!(f, "the bus at {address} lets this caller not in"),
            Why::Silent => write!(f, "{call}: no answer from the bus at {address} in {} s", LIMIT.as_secs()),
            Why::Gone => write!(f, "{call}: the bus at {address} closed the connection"),
            Why::Malformed => write!(f, "{call}: what the bus at {address} answers is not understood"),
            Why::Refused { name, said } => write!(f, "{call}: {said} ({name})"),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Bus {
    socket: OwnedFd,
    address: String,
    input: Vec<u8>,
    serial: u32,
    signals: VecDeque<Message>,
}

impl Bus {
    /// Connects to the first of `addresses` (D-Bus Specification, "Server Addresses") that can be reached.
    pub(super) fn connect(addresses: &str) -> Result<Self, Failure> {
        let end = Instant::now() + LIMIT;
        let failed = |why| Failure { call: "connect".to_owned(), address: addresses.to_owned(), why };
        let mut last =
            Why::Address(format!("the bus address {addresses:?} has no unix:path and no unix:abstract in it"));
        for address in addresses.split(';').filter_map(unix) {
            match address.and_then(|address| reach(&address)) {
                Ok(socket) => {
                    let (input, signals) = (Vec::new(), VecDeque::new());
                    let mut bus = Self { socket, address: addresses.to_owned(), input, serial: 0, signals };
                    bus.shake_hands(end).map_err(failed)?;
                    return Ok(bus);
                }
                Err(errno) => last = if errno == Errno::ETIMEDOUT { Why::Silent } else { Why::Unreachable(errno) },
            }
        }
        Err(failed(last))
    }

    /// EXTERNAL without a name: the bus looks up whose the connection is. In a user namespace the caller does not know
    /// its uid as the bus sees it (D-Bus Specification, "Authentication Protocol").
    fn shake_hands(&mut self, end: Instant) -> Result<(), Why> {
        self.send(b"\0AUTH EXTERNAL\r\nDATA\r\n", end)?;
        for wanted in ["DATA", "OK"] {
            let line = self.line(end)?;
            if line.split(' ').next() != Some(wanted) {
                return Err(if line.starts_with("REJECTED") { Why::Rejected } else { Why::Malformed });
            }
        }
        self.send(b"BEGIN\r\n", end)?;
        let hello = of_bus("Hello", "", Writer::default());
        let serial = self.post(&hello, end)?;
        match self.answer(serial, end)? {
            Message { kind: Kind::Return, .. } => Ok(()),
            _ => Err(Why::Rejected),
        }
    }

    /// A line of the handshake.
    fn line(&mut self, end: Instant) -> Result<String, Why> {
        loop {
            if let Some(at) = self.input.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.input.drain(..at + 2).take(at).collect();
                return String::from_utf8(line).map_err(|_| Why::Malformed);
            }
            if self.input.len() > 4096 {
                return Err(Why::Malformed);
            }
            self.more(end)?;
        }
    }

    /// Calls, and waits for what is returned. `rule`: signals that are to come as well, from before the call on.
    pub(super) fn call(&mut self, rule: Option<&str>, call: &Call<'_>) -> Result<Message, Failure> {
        let end = Instant::now() + LIMIT;
        let failed = |bus: &Self, why| Failure { call: call.member.to_owned(), address: bus.address.clone(), why };
        let asked = rule.map(|rule| {
            let mut body = Writer::default();
            body.text(rule.as_bytes());
            self.post(&of_bus("AddMatch", "s", body), end)
        });
        let asked = asked.transpose().map_err(|why| failed(self, why))?;
        let serial = self.post(call, end).map_err(|why| failed(self, why))?;
        for serial in asked.into_iter().chain([serial]) {
            let answer = self.answer(serial, end).map_err(|why| failed(self, why))?;
            if answer.kind == Kind::Error {
                let why = Why::Refused { said: answer.said(), name: answer.error };
                return Err(failed(self, why));
            }
            if answer.reply_to == serial && Some(serial) != asked {
                return Ok(answer);
            }
        }
        Err(failed(self, Why::Malformed))
    }

    /// Waits for the end of a job, which may have come before its name was known.
    pub(super) fn end_of_job(&mut self, call: &str, job: &str) -> Result<String, Failure> {
        let end = Instant::now() + LIMIT;
        let failed = |bus: &Self, why| Failure {
            call: format!("{call}, the end of its job"),
            address: bus.address.clone(),
            why,
        };
        loop {
            let message = match self.signals.pop_front() {
                Some(signal) => signal,
                None => self.message(end).map_err(|why| failed(self, why))?,
            };
            if message.kind == Kind::Signal && message.member == "JobRemoved" {
                match message.removed_job() {
                    Ok((removed, result)) if removed == job => return Ok(result),
                    Ok(_) => {}
                    Err(Malformed) => return Err(failed(self, Why::Malformed)),
                }
            }
        }
    }

    /// What a call that was answered otherwise than it can be says.
    pub(super) fn misunderstood(&self, call: &str) -> Failure {
        Failure { call: call.to_owned(), address: self.address.clone(), why: Why::Malformed }
    }

    fn post(&mut self, call: &Call<'_>, end: Instant) -> Result<u32, Why> {
        self.serial += 1;
        self.send(&call.bytes(self.serial), end)?;
        Ok(self.serial)
    }

    /// The answer to a call; signals that come meanwhile are kept.
    fn answer(&mut self, serial: u32, end: Instant) -> Result<Message, Why> {
        loop {
            let message = self.message(end)?;
            match message.kind {
                Kind::Return | Kind::Error if message.reply_to == serial => return Ok(message),
                Kind::Signal if self.signals.len() >= MOST_SIGNALS => return Err(Why::Malformed),
                Kind::Signal => self.signals.push_back(message),
                Kind::Return | Kind::Error | Kind::Call => {}
            }
        }
    }

    fn message(&mut self, end: Instant) -> Result<Message, Why> {
        loop {
            if let Some(length) = length(&self.input).map_err(|Malformed| Why::Malformed)?
                && self.input.len() >= length
            {
                let bytes: Vec<u8> = self.input.drain(..length).collect();
                return Message::read(&bytes).map_err(|Malformed| Why::Malformed);
            }
            self.more(end)?;
        }
    }

    fn more(&mut self, end: Instant) -> Result<(), Why> {
        let mut buffer = [0; 4096];
        loop {
            self.wait(PollFlags::POLLIN, end)?;
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return Err(Why::Gone),
                Ok(count) => {
                    self.input.extend_from_slice(&buffer[..count]);
                    return Ok(());
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(_) => return Err(Why::Gone),
            }
        }
    }

    fn send(&self, mut bytes: &[u8], end: Instant) -> Result<(), Why> {
        while !bytes.is_empty() {
            match send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLOUT, end)?,
                Err(Errno::EINTR) => {}
                Err(_) => return Err(Why::Gone),
            }
        }
        Ok(())
    }

    fn wait(&self, events: PollFlags, end: Instant) -> Result<(), Why> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.socket.as_fd(), events)], timeout) {
                Ok(0) if left.is_zero() => return Err(Why::Silent),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(_) => return Err(Why::Gone),
            }
        }
    }
}

/// A call of the bus itself.
fn of_bus(member: &'static str, signature: &'static str, body: Writer) -> Call<'static> {
    let (destination, path) = ("org.freedesktop.DBus", "/org/freedesktop/DBus");
    Call { destination, path, interface: destination, member, signature, body }
}

/// The socket that one address means; `None` where it is of another transport.
fn unix(address: &str) -> Option<nix::Result<UnixAddr>> {
    address.strip_prefix("unix:")?.split(',').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = unescaped(value)?;
        match key {
            "path" => Some(UnixAddr::new(value.as_slice())),
            "abstract" => Some(UnixAddr::new_abstract(&value)),
            _ => None,
        }
    })
}

/// `%2f` is `/` (D-Bus Specification, "Server Addresses").
fn unescaped(value: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = behind;
    }
    Some(bytes)
}

/// A connection, or ETIMEDOUT where others wait in line and nobody lets them in (unix(7), SO_SNDTIMEO).
fn reach(address: &UnixAddr) -> nix::Result<OwnedFd> {
    let end = Instant::now() + LIMIT;
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::seconds(LIMIT.as_secs() as i64))?;
    loop {
        match connect(socket.as_raw_fd(), address) {
            Ok(()) => return Ok(socket),
            Err(Errno::EINTR) if Instant::now() < end => {}
            Err(Errno::EAGAIN | Errno::EINTR) => return Err(Errno::ETIMEDOUT),
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let path = |address| unix(address).and_then(Result::ok).and_then(|addr| addr.path().map(ToOwned::to_owned));
        assert_eq!(path("unix:path=/run/a%20b,guid=77").unwrap().to_str(), Some("/run/a b"));
        assert_eq!(unix("unix:abstract=x").unwrap().unwrap().as_abstract(), Some(&b"x"[..]));
        for odd in ["tcp:host=localhost,port=1", "unix:tmpdir=/tmp", "unix:path=%zz", "unix:path=%2", ""] {
            assert!(unix(odd).is_none(), "{odd}");
        }
        assert!(matches!(Bus::connect("tcp:host=x").unwrap_err().why, Why::Address(_)));
        let nobody = Bus::connect("unix:path=/nowhere;unix:abstract=planc-test-nobody").unwrap_err();
        assert_eq!(nobody.why, Why::Unreachable(Errno::ECONNREFUSED));
    }
}
