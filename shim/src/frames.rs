//! ttrpc on a stream: frames of ten bytes and a message (github.com/containerd/ttrpc, PROTOCOL.md), read and written without
//! ever waiting.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use prost::Message;

/// What is in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
    /// Of a stream, which no method here has.
    Data,
    /// No frame of ttrpc's: whatever comes behind it cannot be understood.
    Unknown,
}

/// A frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Which call it is of.
    pub(crate) stream: u32,
    pub(crate) kind: Kind,
    /// `None` of one that is larger than a frame may be.
    pub(crate) message: Option<Vec<u8>>,
}

const HEADER: usize = 10;
/// The largest message, in bytes.
pub(crate) const MESSAGE_MAX: usize = 4 << 20;
/// How much may wait for a reader that does not read: then its connection is given up.
const UNREAD_MAX: usize = 16 << 20;
/// What is read at once.
const CHUNK: usize = 16 << 10;

/// A stream of frames.
#[derive(Debug)]
pub(crate) struct Frames {
    stream: UnixStream,
    /// Bytes that are no whole frame yet.
    inbound: Vec<u8>,
    /// How much of a message that is too large is still to come.
    skipped: usize,
    /// Bytes that the other end has not taken yet.
    outbound: Vec<u8>,
}

/// What has become of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Open,
    Closed,
}

impl Frames {
    pub(crate) fn new(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, inbound: Vec::new(), skipped: 0, outbound: Vec::new() })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Whether something waits until the other end reads.
    pub(crate) fn is_behind(&self) -> bool {
        !self.outbound.is_empty()
    }

    /// Reads what has come: whole frames, and whether more can.
    pub(crate) fn read(&mut self) -> (Vec<Frame>, Stream) {
        let mut frames = Vec::new();
        let mut chunk = [0; CHUNK];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return (frames, Stream::Closed),
                Ok(count) => {
                    self.inbound.extend_from_slice(chunk.get(..count).unwrap_or_default());
                    while let Some(frame) = self.next() {
                        frames.push(frame);
                    }
                    if count < CHUNK {
                        // What is large is rare, and not kept for the next one.
                        if self.inbound.is_empty() {
                            self.inbound = Vec::new();
                        }
                        return (frames, Stream::Open);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return (frames, Stream::Open),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return (frames, Stream::Closed),
            }
        }
    }

    /// The first whole frame of what has come.
    fn next(&mut self) -> Option<Frame> {
        let skip = self.skipped.min(self.inbound.len());
        self.inbound.drain(..skip);
        self.skipped -= skip;
        let (header, rest) = self.inbound.split_first_chunk::<HEADER>().filter(|_| self.skipped == 0)?;
        let [l0, l1, l2, l3, s0, s1, s2, s3, kind, _flags] = *header;
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        let kind = match kind {
            1 => Kind::Request,
            2 => Kind::Response,
            3 => Kind::Data,
            _ => {
                self.inbound.clear();
                return Some(Frame { stream, kind: Kind::Unknown, message: None });
            }
        };
        if length > MESSAGE_MAX {
            self.skipped = length;
            self.inbound.drain(..HEADER);
            return Some(Frame { stream, kind, message: None });
        }
        let message = rest.get(..length)?.to_vec();
        self.inbound.drain(..HEADER + length);
        Some(Frame { stream, kind, message: Some(message) })
    }

    /// Sends a message, or keeps what the other end does not take yet.
    pub(crate) fn send(&mut self, stream: u32, kind: Kind, message: &impl Message) -> Stream {
        let length = message.encoded_len();
        let number = match kind {
            Kind::Request => 1,
            Kind::Response => 2,
            Kind::Data | Kind::Unknown => 3,
        };
        self.outbound.extend_from_slice(&(length as u32).to_be_bytes());
        self.outbound.extend_from_slice(&stream.to_be_bytes());
        self.outbound.extend_from_slice(&[number, 0]);
        self.outbound.extend_from_slice(&message.encode_to_vec());
        self.flush()
    }

    /// Sends what is kept, as far as the other end takes it.
    pub(crate) fn flush(&mut self) -> Stream {
        if self.outbound.is_empty() {
            return Stream::Open;
        }
        let mut sent = 0;
        let state = loop {
            match self.stream.write(self.outbound.get(sent..).unwrap_or_default()) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Stream::Open,
                Err(_) => break Stream::Closed,
            }
            if sent == self.outbound.len() {
                break Stream::Open;
            }
        };
        self.outbound.drain(..sent);
        if self.outbound.is_empty() {
            self.outbound = Vec::new();
        }
        if self.outbound.len() > UNREAD_MAX { Stream::Closed } else { state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ttrpc::Request;

    fn pair() -> (Frames, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Frames::new(ours).unwrap(), theirs)
    }

    fn frame(stream: u32, kind: u8, message: &[u8]) -> Vec<u8> {
        let length = (message.len() as u32).to_be_bytes();
        [&length[..], &stream.to_be_bytes(), &[kind, 0], message].concat()
    }

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let bytes = [frame(1, 1, b"one"), frame(3, 2, b""), frame(5, 3, &[7; 40_000])].concat();
        for cut in [1, 9, 10, 11, 13, 14, 30, 20_000] {
            let (mut ours, mut theirs) = pair();
            let mut frames = Vec::new();
            for part in bytes.chunks(cut.max(bytes.len() / 100)) {
                theirs.write_all(part).unwrap();
                frames.extend(ours.read().0);
            }
            let kinds: Vec<_> = frames.iter().map(|frame| (frame.stream, frame.kind)).collect();
            assert_eq!(kinds, [(1, Kind::Request), (3, Kind::Response), (5, Kind::Data)], "cut at {cut}");
            assert_eq!(frames.iter().map(|f| f.message.as_ref().unwrap().len()).collect::<Vec<_>>(), [3, 0, 40_000]);
        }
    }

    #[test]
    fn what_is_too_large_is_skipped_and_told() {
        let (mut ours, mut theirs) = pair();
        let writer = std::thread::spawn(move || {
            let large = vec![1; MESSAGE_MAX + 1];
            theirs.write_all(&[frame(1, 1, &large), frame(3, 1, b"x")].concat()).unwrap();
            theirs
        });
        let mut frames = Vec::new();
        while frames.len() < 2 {
            frames.extend(ours.read().0);
        }
        drop(writer.join().unwrap());
        assert_eq!(frames[0], Frame { stream: 1, kind: Kind::Request, message: None });
        assert_eq!(frames[1], Frame { stream: 3, kind: Kind::Request, message: Some(b"x".to_vec()) });
        assert_eq!(ours.read(), (vec![], Stream::Closed));
    }

    #[test]
    fn what_is_no_frame_is_told() {
        let (mut ours, mut theirs) = pair();
        theirs.write_all(&[0xff; 30]).unwrap();
        let (frames, _) = ours.read();
        assert_eq!(frames.iter().map(|frame| frame.kind).collect::<Vec<_>>(), [Kind::Unknown]);
    }

    #[test]
    fn what_is_sent_is_a_frame_and_waits_for_a_reader() {
        let (mut ours, mut theirs) = pair();
        let request = Request { service: "s".into(), payload: vec![5; 1 << 20], ..Request::default() };
        assert_eq!(ours.send(7, Kind::Request, &request), Stream::Open);
        assert!(ours.is_behind());
        let message = request.encode_to_vec();
        let mut got = vec![0; HEADER + message.len()];
        let reader = std::thread::spawn(move || {
            theirs.read_exact(&mut got).unwrap();
            got
        });
        while ours.is_behind() {
            assert_eq!(ours.flush(), Stream::Open);
        }
        assert_eq!(reader.join().unwrap(), frame(7, 1, &message));
    }

    #[test]
    fn nobody_reads_for_ever() {
        let (mut ours, theirs) = pair();
        let request = Request { payload: vec![5; 1 << 20], ..Request::default() };
        let closed = (0..32).find(|_| ours.send(1, Kind::Request, &request) == Stream::Closed);
        assert!(closed.is_some_and(|count| count < 20));
        drop(theirs);
    }
}
