//! rtnetlink(7), as much of it as moving a network device takes. Messages are built and read by pure functions.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::sys::netlink::be_explicit;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
pub(super) const NLM_F_CREATE_EXCL: u16 = 0x600;
const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_ACK: u16 = 0x04;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// nlmsghdr, and what everything in a message is aligned to.
const HEADER: usize = 16;
const ALIGN: usize = 4;

/// The kernel fills no datagram beyond this one (netlink_dump, NLMSG_GOODSIZE).
const BUFFER: usize = 64 * 1024;

/// Seconds that an answer may take.
const ANSWER_LIMIT: i64 = 10;

/// What the kernel refused, and its own words where it had some (NETLINK_EXT_ACK).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) errno: Errno,
    pub(crate) said: Option<String>,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self { errno, said: None }
    }
}

/// One request: a header of its family, then attributes.
#[derive(Clone, Debug)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn new(kind: u16, header: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(header);
        Self(bytes)
    }

    /// Appends an attribute (rtnetlink(7), struct rtattr).
    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = (4 + value.len()) as u16;
        self.0.resize(self.0.len().next_multiple_of(ALIGN), 0);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self
    }

    /// Appends a string with its NUL.
    pub(super) fn with_text(self, kind: u16, text: &str) -> Self {
        self.with(kind, &[text.as_bytes(), b"\0"].concat())
    }

    fn finish(mut self, flags: u16) -> Vec<u8> {
        self.0.resize(self.0.len().next_multiple_of(ALIGN), 0);
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[6..8].copy_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        self.0
    }
}

/// What one datagram told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    /// The bodies of the messages that answer.
    answers: Vec<Vec<u8>>,
    /// The end of the answer, where it is in this datagram.
    end: Option<Result<(), Refusal>>,
    /// What was dumped changed meanwhile.
    interrupted: bool,
}

/// Reads a datagram. What is cut short ends it.
fn hear(mut bytes: &[u8]) -> Heard {
    let mut heard = Heard::default();
    while let (Some(length), Some(kind), Some(flags)) = (number(bytes, 0), short(bytes, 4), short(bytes, 6)) {
        let Some(body) = bytes.get(HEADER..length as usize) else { break };
        heard.interrupted |= flags & NLM_F_DUMP_INTR != 0;
        match kind {
            NLMSG_DONE | NLMSG_ERROR => heard.end = Some(verdict(kind, flags, body)),
            _ => heard.answers.push(body.to_vec()),
        }
        bytes = bytes.get((length as usize).next_multiple_of(ALIGN)..).unwrap_or_default();
    }
    heard
}

/// An acknowledgment, or why there is none. The request is not repeated in it (NETLINK_CAP_ACK), but for its header.
fn verdict(kind: u16, flags: u16, body: &[u8]) -> Result<(), Refusal> {
    let answer = number(body, 0).map_or(0, |number| number as i32);
    if answer >= 0 {
        return Ok(());
    }
    let tlvs = if kind == NLMSG_ERROR { 4 + HEADER } else { 4 };
    let said = body.get(tlvs..).filter(|_| flags & NLM_F_ACK_TLVS != 0).and_then(|tlvs| {
        let (_, text) = attributes(tlvs).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)?;
        Some(String::from_utf8_lossy(text.split(|byte| *byte == 0).next()?).into_owned())
    });
    Err(Refusal { errno: Errno::from_raw(-answer), said })
}

/// The attributes that follow each other in `bytes`: their kinds without flags, and their values.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const KIND: u16 = 0x3fff;
    std::iter::from_fn(move || {
        let (length, kind) = (usize::from(short(bytes, 0)?), short(bytes, 2)? & KIND);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// A number of 32 bits.
pub(super) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A socket of one network namespace: that in which it was made, whoever holds it.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

impl Socket {
    /// Of the calling thread's network namespace.
    pub(super) fn open() -> nix::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        be_explicit(fd.as_fd())?;
        // The kernel answers within the call that asks; an answer that is lost is not waited for.
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_LIMIT))?;
        Ok(Self(fd))
    }

    /// Of the network namespace `namespace`. It is made by a thread of its own, the only one that is ever there: the
    /// caller's stays where it is. And it is made by who made the namespace's container, not by its init: what the
    /// kernel lets a netlink socket do, it asks its maker's rights (netlink(7)), and to give a device back to the host
    /// takes the host's.
    pub(super) fn open_in(namespace: BorrowedFd<'_>) -> nix::Result<Self> {
        let old = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let enter = || setns(namespace, CloneFlags::CLONE_NEWNET).and_then(|()| Self::open());
        let opened = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("planc-netns".to_owned()).spawn_scoped(scope, enter);
            match thread {
                Ok(thread) => thread.join().unwrap_or(Err(Errno::EIO)),
                Err(_) => Err(Errno::EAGAIN),
            }
        });
        old.thread_set_mask()?;
        opened
    }

    /// Performs a request; what the kernel answers beside its acknowledgment.
    pub(super) fn ask(&self, message: Message, flags: u16) -> Result<Vec<Vec<u8>>, Refusal> {
        self.exchange(&message.finish(flags | NLM_F_ACK)).map(|(answers, _)| answers)
    }

    /// All that there is of what the message asks for; again, where that changed meanwhile.
    pub(super) fn dump(&self, message: Message) -> Result<Vec<Vec<u8>>, Refusal> {
        const TRIES: usize = 10;
        let message = message.finish(NLM_F_DUMP);
        for _ in 0..TRIES {
            let (answers, interrupted) = self.exchange(&message)?;
            if !interrupted {
                return Ok(answers);
            }
        }
        Err(Errno::EBUSY.into())
    }

    fn exchange(&self, message: &[u8]) -> Result<(Vec<Vec<u8>>, bool), Refusal> {
        send(self.0.as_raw_fd(), message, MsgFlags::empty())?;
        let mut buffer = vec![0; BUFFER];
        let (mut answers, mut interrupted) = (Vec::new(), false);
        loop {
            let length = match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                received => received?,
            };
            let heard = hear(buffer.get(..length).unwrap_or_default());
            answers.extend(heard.answers);
            interrupted |= heard.interrupted;
            if let Some(end) = heard.end {
                return end.map(|()| (answers, interrupted));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_laid_out_as_the_kernel_reads_it() {
        let message = Message::new(16, &[1; 16]).with_text(3, "eth0").with(28, &7u32.to_ne_bytes());
        let bytes = message.finish(NLM_F_ACK);
        assert_eq!(bytes.len(), 16 + 16 + 12 + 8);
        assert_eq!((number(&bytes, 0), short(&bytes, 4), short(&bytes, 6)), (Some(52), Some(16), Some(5)));
        assert_eq!(&bytes[32..44], [&[9, 0, 3, 0], &b"eth0\0\0\0\0"[..]].concat());
        let read: Vec<_> = attributes(&bytes[32..]).collect();
        assert_eq!(read, [(3, &b"eth0\0"[..]), (28, &[7, 0, 0, 0][..])]);
    }

    fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = Message::new(kind, body).finish(flags);
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes
    }

    #[test]
    fn the_kernels_own_words_are_heard() {
        let tlv = Message(vec![]).with_text(NLMSGERR_ATTR_MSG, "netns is immutable").0;
        let body = [&(-22i32).to_ne_bytes()[..], &[0; HEADER], &tlv].concat();
        let refusal = Refusal { errno: Errno::EINVAL, said: Some("netns is immutable".to_owned()) };
        assert_eq!(hear(&message(NLMSG_ERROR, 0x300, &body)).end, Some(Err(refusal)));
        assert_eq!(hear(&message(NLMSG_ERROR, 0x100, &body)).end, Some(Err(Errno::EINVAL.into())));
        assert_eq!(hear(&message(NLMSG_ERROR, 0, &[0; 20])).end, Some(Ok(())));
    }

    #[test]
    fn answers_end_with_the_last_one() {
        let bytes = [message(20, 2, &[1; 8]), message(20, 2, &[2; 8]), message(NLMSG_DONE, 2, &[0; 4])].concat();
        let heard = hear(&bytes);
        assert_eq!(heard.answers, [vec![1; 8], vec![2; 8]]);
        assert_eq!((heard.end, heard.interrupted), (Some(Ok(())), false));
        assert!(hear(&message(20, NLM_F_DUMP_INTR, &[])).interrupted);
    }

    #[test]
    fn no_cut_datagram_is_more_than_its_whole_messages() {
        let bytes = [message(20, 2, &[1; 8]), message(NLMSG_DONE, 2, &[0; 4])].concat();
        for length in 0..bytes.len() {
            let heard = hear(&bytes[..length]);
            assert_eq!(heard.answers.len(), usize::from(length >= HEADER + 8), "{length} bytes");
            assert_eq!(heard.end, None, "{length} bytes");
        }
    }
}
