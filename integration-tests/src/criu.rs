//! A swrk peer: a program called `criu` whose end of the conversation a test holds, with a reader of its own for the protocol
//! buffers of CRIU's RPC (criu.org/RPC, protobuf.dev/programming-guides/encoding).

use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, accept_with, bind, listen, recv, recvmsg, send, socket_with,
};

use crate::harness::Need;
use crate::scene::Scene;

/// A criu that can save and restore a plain process of this kernel: one without descriptors of the lane's.
pub const WORKS: Need = Need::Works(
    "criu check && d=$(mktemp -d) && bash -c 'for f in /proc/self/fd/*; do n=${f##*/}; \
     [ $n -le 2 ] || eval \"exec $n>&-\"; done; setsid sleep 1000 & p=$!; sleep 0.5; \
     criu dump -t $p -D $0 && criu restore -d -D $0; ok=$?; kill -9 $p; exit $ok' $d; ok=$?; rm -r $d; exit $ok",
);

/// How long whoever is tested may take for one message.
const LIMIT: Duration = Duration::from_secs(20);

/// The kinds of requests and answers.
pub mod kind {
    /// DUMP
    pub const DUMP: u64 = 1;
    /// RESTORE
    pub const RESTORE: u64 = 2;
    /// PRE_DUMP
    pub const PRE_DUMP: u64 = 4;
    /// NOTIFY
    pub const NOTIFY: u64 = 6;
    /// FEATURE_CHECK
    pub const FEATURE_CHECK: u64 = 9;
    /// VERSION
    pub const VERSION: u64 = 10;
}

/// One message: its fields in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message(Vec<(u64, Field)>);

/// One field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Message {
    /// Takes a message apart.
    ///
    /// # Panics
    /// Where it is none.
    pub fn read(mut bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let field = match key & 7 {
                0 => Field::Number(varint(&mut bytes)),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    let (value, rest) = bytes.split_at(length);
                    bytes = rest;
                    Field::Bytes(value.to_owned())
                }
                other => panic!("a field of wire type {other}"),
            };
            fields.push((key >> 3, field));
        }
        Self(fields)
    }

    /// A number, where it is there.
    pub fn number(&self, tag: u64) -> Option<u64> {
        self.0
            .iter()
            .find_map(|(at, field)| if let (true, Field::Number(it)) = (*at == tag, field) { Some(*it) } else { None })
    }

    fn bytes(&self, tag: u64) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |(at, _)| *at == tag).filter_map(|(_, field)| match field {
            Field::Bytes(bytes) => Some(bytes.as_slice()),
            Field::Number(_) => None,
        })
    }

    /// Every text of a tag.
    pub fn texts(&self, tag: u64) -> Vec<String> {
        self.bytes(tag).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
    }

    /// The text of a tag.
    pub fn text(&self, tag: u64) -> Option<String> {
        self.texts(tag).into_iter().next()
    }

    /// Every message of a tag.
    pub fn messages(&self, tag: u64) -> Vec<Self> {
        self.bytes(tag).map(Self::read).collect()
    }

    /// The same with one number more.
    pub fn with(mut self, tag: u64, number: u64) -> Self {
        self.0.push((tag, Field::Number(number)));
        self
    }

    /// The same with one text, or message, more.
    pub fn with_bytes(mut self, tag: u64, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.push((tag, Field::Bytes(bytes.into())));
        self
    }

    /// Its bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (tag, field) in &self.0 {
            match field {
                Field::Number(number) => {
                    put(&mut bytes, tag << 3);
                    put(&mut bytes, *number);
                }
                Field::Bytes(value) => {
                    put(&mut bytes, tag << 3 | 2);
                    put(&mut bytes, value.len() as u64);
                    bytes.extend(value);
                }
            }
        }
        bytes
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a number that is cut");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return value;
        }
    }
    panic!("a number that is too long");
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// An answer of this kind.
pub fn answer(kind: u64, success: bool) -> Message {
    Message::default().with(1, kind).with(2, success.into())
}

/// The program, and where its conversations come in.
#[derive(Debug)]
pub struct Peer {
    listener: OwnedFd,
    directory: PathBuf,
    socket: PathBuf,
}

impl Peer {
    /// Compiles the program.
    ///
    /// # Panics
    /// Where there is no C compiler.
    pub fn new(scene: &Scene) -> Self {
        let directory = scene.path("peer");
        fs::create_dir(&directory).unwrap();
        let (source, socket) = (directory.join("criu.c"), directory.join("socket"));
        fs::write(&source, include_str!("criu.c")).unwrap();
        let mut cc = Command::new("cc");
        let done = cc.args(["-O1", "-w", "-static", "-o"]).args([&directory.join("criu"), &source]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        bind(&listener, &SocketAddrUnix::new(&socket).unwrap()).unwrap();
        listen(&listener, 8).unwrap();
        Self { listener, directory, socket }
    }

    /// The same scene, on which the runtime finds this criu before any other.
    pub fn on(&self, scene: &Scene) -> Scene {
        let path = std::env::var("PATH").unwrap_or_default();
        let scene = scene.with_variable("PATH", format!("{}:{path}", self.directory.display()));
        scene.with_variable("PEER_SOCKET", self.socket.to_str().unwrap())
    }

    /// The next conversation.
    ///
    /// # Panics
    /// Where none comes.
    #[track_caller]
    pub fn accept(&self) -> Swrk {
        wait(&self.listener);
        let control = accept_with(&self.listener, SocketFlags::CLOEXEC).unwrap();
        let (_, socket) = receive(&control);
        Swrk { socket: socket.expect("it gives its socket"), control }
    }

    /// Answers the question for the version, which comes first.
    #[track_caller]
    pub fn tell_version(&self, major: u64, minor: u64) {
        let swrk = self.accept();
        assert_eq!(swrk.request(), Message::default().with(1, kind::VERSION));
        let version = Message::default().with(1, major).with(2, minor);
        swrk.say(&answer(kind::VERSION, true).with_bytes(10, version.write()));
    }
}

/// One conversation, from criu's end. The program ends with it.
#[derive(Debug)]
pub struct Swrk {
    socket: OwnedFd,
    control: OwnedFd,
}

impl Swrk {
    /// What is asked.
    ///
    /// # Panics
    /// Where nothing is.
    #[track_caller]
    pub fn request(&self) -> Message {
        let (bytes, none) = receive(&self.socket);
        assert!(none.is_none(), "no descriptor comes with a request");
        Message::read(&bytes)
    }

    /// What is asked, which is of this kind, and its options.
    #[track_caller]
    pub fn options(&self, kind: u64) -> Message {
        let request = self.request();
        assert_eq!(request.number(1), Some(kind), "{request:?}");
        request.messages(2).remove(0)
    }

    /// Says something.
    #[track_caller]
    pub fn say(&self, message: &Message) {
        send(&self.socket, &message.write(), SendFlags::NOSIGNAL).unwrap();
    }

    /// Notifies, of a process where it is about one (0: none); whether to go on.
    #[track_caller]
    pub fn notify(&self, script: &str, pid: u32) -> bool {
        self.begin_to_notify(script, pid);
        let answer = self.request();
        assert_eq!(answer.number(1), Some(kind::NOTIFY), "{answer:?}");
        answer.number(3) == Some(1)
    }

    /// Notifies, and does not wait.
    #[track_caller]
    pub fn begin_to_notify(&self, script: &str, pid: u32) {
        let mut notification = Message::default().with_bytes(1, script);
        if pid != 0 {
            notification = notification.with(2, pid.into());
        }
        self.say(&answer(kind::NOTIFY, true).with_bytes(5, notification.write()));
    }

    /// A process that the runtime has as a child, as what criu restores.
    #[track_caller]
    pub fn sibling(&self) -> u32 {
        self.made("s")
    }

    /// As [`Self::sibling`], in mounts of its own, where `source` is mounted at `target`, `ro` or `rw`.
    #[track_caller]
    pub fn sibling_with(&self, source: &Path, target: &Path, mode: &str) -> u32 {
        self.made(&format!("m{}:{}:{mode}", source.display(), target.display()))
    }

    #[track_caller]
    fn made(&self, command: &str) -> u32 {
        send(&self.control, command.as_bytes(), SendFlags::NOSIGNAL).unwrap();
        wait(&self.control);
        let mut pid = [0; 4];
        recv(&self.control, &mut pid, RecvFlags::empty()).unwrap();
        i32::from_ne_bytes(pid).try_into().expect("no process was made")
    }

    /// Ends the program without another word.
    pub fn exit(self, code: u8) {
        send(&self.control, format!("x{code}").as_bytes(), SendFlags::NOSIGNAL).unwrap();
        // Not before it has: the end of this one would be told it as well.
        let end = Instant::now() + LIMIT;
        let mut byte = [0];
        while recv(&self.control, &mut byte, RecvFlags::DONTWAIT).is_err() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[track_caller]
fn wait(socket: &OwnedFd) {
    let limit = PollTimeout::try_from(LIMIT).unwrap();
    let ready = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], limit).unwrap();
    assert!(ready > 0, "nothing came within {LIMIT:?}");
}

#[track_caller]
fn receive(socket: &OwnedFd) -> (Vec<u8>, Option<OwnedFd>) {
    wait(socket);
    let mut bytes = vec![0; 65_536];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut descriptor = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            descriptor = descriptors.last();
        }
    }
    bytes.truncate(received.bytes);
    (bytes, descriptor)
}
