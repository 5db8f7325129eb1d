//! Events on their way to containerd: in order, one at a time, each kept until containerd has said that it has it. A daemon
//! that is away (it restarts, say) gets all of them when it is back; one whose answer was lost it gets again.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::epoll::EpollFlags;
use prost::Message;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::api::events::{Envelope, ForwardRequest};
use crate::api::ttrpc::{Request, Response};
use crate::api::{Any, Timestamp};
use crate::frames::{Frames, Kind, Stream};
use crate::poller::{Poller, Token};

/// How long containerd may take for one event before the connection is made anew.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// The first pause before another attempt, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];
/// How many events wait at most: of a daemon that is away for good the oldest are given up.
const KEPT_MAX: usize = 100_000;

/// Sends events.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// The path of containerd's socket; `None` where nobody is to be told.
    address: Option<String>,
    namespace: String,
    waiting: VecDeque<ForwardRequest>,
    connection: Option<Frames>,
    /// The call that is not answered yet, for the first of those that wait.
    asked: Option<u32>,
    next_stream: u32,
    /// Until when containerd may answer, or when to try again.
    pub(crate) deadline: Option<Instant>,
    pause: Duration,
}

impl Publisher {
    /// Events of `namespace` go to `address`: a path, with or without `unix://`.
    pub(crate) fn new(address: Option<&str>, namespace: &str) -> Self {
        let address = address.filter(|address| !address.is_empty());
        Self {
            address: address.map(|address| address.strip_prefix("unix://").unwrap_or(address).to_owned()),
            namespace: namespace.to_owned(),
            waiting: VecDeque::new(),
            connection: None,
            asked: None,
            next_stream: 1,
            deadline: None,
            pause: PAUSES[0],
        }
    }

    /// Whether containerd has all of them.
    pub(crate) fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Tells `event`, whose type has this name, after all that were told before.
    pub(crate) fn tell(&mut self, poller: &Poller, topic: &str, name: &str, event: &impl Message) {
        if self.address.is_none() {
            return;
        }
        if self.waiting.len() == KEPT_MAX {
            log::warn!("containerd is away: the oldest event is given up");
            // The first one may be on its way.
            self.waiting.remove(1);
        }
        let envelope = Envelope {
            timestamp: Some(Timestamp::from(SystemTime::now())),
            namespace: self.namespace.clone(),
            topic: topic.to_owned(),
            event: Some(Any::of(name, event)),
        };
        self.waiting.push_back(ForwardRequest { envelope: Some(envelope) });
        if self.asked.is_none() && self.deadline.is_none() {
            self.send(poller);
        }
    }

    /// Sends the first one that waits.
    fn send(&mut self, poller: &Poller) {
        let Some(event) = self.waiting.front() else { return };
        let payload = event.encode_to_vec();
        if self.connection.is_none() {
            self.connection = match self.connect(poller) {
                Ok(connection) => Some(connection),
                Err(error) => return self.give_up(poller, &error.to_string()),
            };
        }
        let Some(connection) = &mut self.connection else { return };
        let request = Request {
            service: "containerd.services.events.ttrpc.v1.Events".to_owned(),
            method: "Forward".to_owned(),
            payload,
            timeout_nano: ANSWER_LIMIT.as_nanos() as i64,
        };
        let stream = self.next_stream;
        if connection.send(stream, Kind::Request, &request) == Stream::Closed {
            return self.give_up(poller, "it closed the connection");
        }
        watch(poller, connection);
        self.asked = Some(stream);
        // A client's are odd.
        self.next_stream = self.next_stream.checked_add(2).unwrap_or(1);
        self.deadline = Some(Instant::now() + ANSWER_LIMIT);
    }

    fn connect(&self, poller: &Poller) -> std::io::Result<Frames> {
        let path = self.address.as_deref().unwrap_or_default();
        let address = match path.strip_prefix('@') {
            Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes())?,
            None => SocketAddrUnix::new(path)?,
        };
        // A containerd that is too busy to take it (EAGAIN) is not waited for.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &address)?;
        let frames = Frames::new(socket.into())?;
        poller.add(frames.fd(), EpollFlags::EPOLLIN, Token::Containerd)?;
        Ok(frames)
    }

    /// The connection is ready.
    pub(crate) fn ready(&mut self, poller: &Poller) {
        let Some(connection) = &mut self.connection else { return };
        let flushed = connection.flush();
        let (frames, state) = connection.read();
        watch(poller, connection);
        for frame in frames {
            if frame.kind == Kind::Response && Some(frame.stream) == self.asked {
                self.answered(frame.message.as_deref().unwrap_or_default());
            }
        }
        if state == Stream::Closed || flushed == Stream::Closed {
            return self.give_up(poller, "it closed the connection");
        }
        if self.asked.is_none() {
            self.send(poller);
        }
    }

    /// Containerd has the first one, or does not want it.
    fn answered(&mut self, response: &[u8]) {
        let status = Response::decode(response).ok().and_then(|response| response.status);
        if let Some(status) = status.filter(|status| status.code != 0) {
            log::warn!("containerd refuses an event: {}", status.message);
        }
        self.waiting.pop_front();
        self.asked = None;
        self.deadline = None;
        self.pause = PAUSES[0];
        if self.waiting.is_empty() {
            // What a long absence made large.
            self.waiting.shrink_to(16);
        }
    }

    /// The deadline has passed: that of an answer, or of a pause.
    pub(crate) fn late(&mut self, poller: &Poller) {
        if self.asked.is_some() {
            return self.give_up(poller, "it does not answer");
        }
        self.deadline = None;
        self.send(poller);
    }

    fn give_up(&mut self, poller: &Poller, why: &str) {
        log::debug!("cannot tell containerd of an event: {why}; again in {:?}", self.pause);
        if let Some(connection) = self.connection.take() {
            poller.remove(connection.fd());
        }
        self.asked = None;
        self.deadline = (!self.waiting.is_empty()).then(|| Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSES[1]);
    }
}

fn watch(poller: &Poller, connection: &Frames) {
    let mut flags = EpollFlags::EPOLLIN;
    flags.set(EpollFlags::EPOLLOUT, connection.is_behind());
    // It is waited for already; then nothing can fail.
    let _ = poller.change(connection.fd(), flags, Token::Containerd);
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use super::*;
    use crate::api::Empty;
    use crate::api::ttrpc::Status;

    /// A containerd that is there from time to time.
    struct Daemon {
        directory: PathBuf,
        listener: Option<UnixListener>,
        client: Option<Frames>,
        got: Vec<String>,
    }

    impl Daemon {
        fn new(name: &str) -> Self {
            let directory = std::env::temp_dir().join(format!("planc-publisher-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&directory).unwrap();
            Self { directory, listener: None, client: None, got: Vec::new() }
        }

        fn address(&self) -> String {
            format!("unix://{}", self.directory.join("s").display())
        }

        fn come(&mut self) {
            let listener = UnixListener::bind(self.directory.join("s")).unwrap();
            listener.set_nonblocking(true).unwrap();
            self.listener = Some(listener);
        }

        fn go(&mut self) {
            (self.listener, self.client) = (None, None);
            std::fs::remove_file(self.directory.join("s")).unwrap();
        }

        /// Takes what has come; answers it with this status.
        fn answer(&mut self, status: Option<&Status>) {
            if let Some(Ok((stream, _))) = self.listener.as_ref().map(UnixListener::accept) {
                self.client = Some(Frames::new(stream).unwrap());
            }
            let Some(client) = &mut self.client else { return };
            for frame in client.read().0 {
                let request = Request::decode(&frame.message.unwrap()[..]).unwrap();
                assert_eq!(request.service, "containerd.services.events.ttrpc.v1.Events");
                assert_eq!(request.method, "Forward");
                let envelope = ForwardRequest::decode(&request.payload[..]).unwrap().envelope.unwrap();
                assert_eq!(envelope.namespace, "n");
                self.got.push(envelope.topic);
                client.send(frame.stream, Kind::Response, &Response { status: status.cloned(), payload: Vec::new() });
            }
        }
    }

    impl Drop for Daemon {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.directory).unwrap();
        }
    }

    /// Lets the publisher do what it can at once.
    fn turn(publisher: &mut Publisher, poller: &Poller) {
        for token in poller.wait(Some(Duration::ZERO)).unwrap() {
            assert_eq!(token, Token::Containerd);
            publisher.ready(poller);
        }
    }

    fn tell(publisher: &mut Publisher, poller: &Poller, topics: &[&str]) {
        topics.iter().for_each(|topic| publisher.tell(poller, topic, "x", &Empty {}));
    }

    #[test]
    fn events_come_in_order_and_none_twice() {
        let poller = Poller::new().unwrap();
        let mut daemon = Daemon::new("order");
        daemon.come();
        let mut publisher = Publisher::new(Some(&daemon.address()), "n");
        tell(&mut publisher, &poller, &["a", "b", "c"]);
        for _ in 0..3 {
            assert!(!publisher.is_done());
            daemon.answer(None);
            turn(&mut publisher, &poller);
        }
        assert!(publisher.is_done());
        assert_eq!(publisher.deadline, None);
        assert_eq!(daemon.got, ["a", "b", "c"]);
    }

    #[test]
    fn a_daemon_that_was_away_gets_all_of_them() {
        let poller = Poller::new().unwrap();
        let mut daemon = Daemon::new("away");
        let mut publisher = Publisher::new(Some(&daemon.address()), "n");
        tell(&mut publisher, &poller, &["a", "b"]);
        assert!(publisher.deadline.is_some());
        publisher.late(&poller);
        daemon.come();
        publisher.late(&poller);
        daemon.answer(None);
        // It goes when it has the first one, and before it has the second.
        daemon.go();
        turn(&mut publisher, &poller);
        tell(&mut publisher, &poller, &["c"]);
        daemon.come();
        while !publisher.is_done() {
            if publisher.deadline.is_some() && publisher.asked.is_none() {
                publisher.late(&poller);
            }
            daemon.answer(None);
            turn(&mut publisher, &poller);
        }
        assert_eq!(daemon.got, ["a", "b", "c"]);
    }

    #[test]
    fn one_that_does_not_answer_is_asked_again() {
        let poller = Poller::new().unwrap();
        let mut daemon = Daemon::new("silent");
        daemon.come();
        let mut publisher = Publisher::new(Some(&daemon.address()), "n");
        tell(&mut publisher, &poller, &["a"]);
        assert!(publisher.deadline.unwrap() > Instant::now());
        // Its time is over; and then the pause is.
        publisher.late(&poller);
        publisher.late(&poller);
        daemon.answer(None);
        daemon.answer(None);
        turn(&mut publisher, &poller);
        assert!(publisher.is_done());
    }

    #[test]
    fn what_containerd_does_not_want_is_not_told_again() {
        let poller = Poller::new().unwrap();
        let mut daemon = Daemon::new("refused");
        daemon.come();
        let mut publisher = Publisher::new(Some(&daemon.address()), "n");
        tell(&mut publisher, &poller, &["a", "b"]);
        daemon.answer(Some(&Status { code: 3, message: "no".into(), details: Vec::new() }));
        turn(&mut publisher, &poller);
        daemon.answer(None);
        turn(&mut publisher, &poller);
        assert_eq!(daemon.got, ["a", "b"]);
        assert!(publisher.is_done());
    }

    #[test]
    fn without_an_address_there_is_nobody_to_tell() {
        let poller = Poller::new().unwrap();
        let mut publisher = Publisher::new(Some(""), "n");
        tell(&mut publisher, &poller, &["a"]);
        assert!(publisher.is_done() && publisher.deadline.is_none());
    }
}
