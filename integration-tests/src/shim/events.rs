//! A server of `containerd.services.events.ttrpc.v1.Events`, as containerd has it: it keeps what is sent, in order, and can
//! be gone, or mute, for a while.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use containerd_shim_protos::events::task as sent;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::shim::events::ForwardRequest;
use containerd_shim_protos::ttrpc;

/// The service and its one method.
const SERVICE: &str = "containerd.services.events.ttrpc.v1.Events";
/// Bytes of a ttrpc frame's header: length, stream, type, flags.
const HEADER: usize = 10;
const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;

/// One event, as it came.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// When it came.
    pub came: Option<Instant>,
    /// `/tasks/start` …
    pub topic: String,
    /// The namespace on the envelope.
    pub namespace: String,
    /// The time on the envelope, in nanoseconds since the epoch.
    pub stamp: i128,
    /// The type of the message, as the Any names it.
    pub type_url: String,
    /// Which container it is of.
    pub container: String,
    /// Which of its processes it names: empty for the first one.
    pub exec: String,
    /// The pid it names.
    pub pid: u32,
    /// The exit status it names.
    pub status: u32,
    /// When that process ended, in nanoseconds since the epoch; 0 when the event does not say.
    pub exited_at: i128,
    /// The message itself.
    pub message: Vec<u8>,
}

impl Event {
    /// The event in a few words: `start`, `exec-added e1`, `exit e1 137` …
    pub fn words(&self) -> String {
        let topic = self.topic.strip_prefix("/tasks/").unwrap_or(&self.topic);
        let mut words = topic.to_owned();
        if !self.exec.is_empty() {
            words = format!("{words} {}", self.exec);
        }
        if matches!(topic, "exit" | "delete") {
            words = format!("{words} {}", self.status);
        }
        words
    }

    /// The message as one of `M`'s type.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn decode<M: Message>(&self) -> M {
        M::parse_from_bytes(&self.message).unwrap()
    }

    fn take(request: &ForwardRequest) -> Result<Self, String> {
        let envelope = request.envelope.as_ref().ok_or("a Forward without an envelope")?;
        let any = envelope.event.as_ref().ok_or("an envelope without an event")?;
        let mut event = Self {
            came: Some(Instant::now()),
            topic: envelope.topic.clone(),
            namespace: envelope.namespace.clone(),
            stamp: nanoseconds(&envelope.timestamp),
            type_url: any.type_url.clone(),
            message: any.value.clone(),
            ..Self::default()
        };
        event.fill().map_err(|why| format!("{}: {why}", any.type_url))?;
        Ok(event)
    }

    fn fill(&mut self) -> Result<(), String> {
        let bytes = self.message.clone();
        let name = self.type_url.rsplit(['/', '.']).next().unwrap_or_default().to_owned();
        match name.as_str() {
            "TaskCreate" => {
                let sent::TaskCreate { container_id, pid, .. } = parse(&bytes)?;
                (self.container, self.pid) = (container_id, pid);
            }
            "TaskStart" => {
                let sent::TaskStart { container_id, pid, .. } = parse(&bytes)?;
                (self.container, self.pid) = (container_id, pid);
            }
            "TaskDelete" => {
                let it: sent::TaskDelete = parse(&bytes)?;
                (self.container, self.exec, self.pid, self.status) = (it.container_id, it.id, it.pid, it.exit_status);
                self.exited_at = nanoseconds(&it.exited_at);
            }
            "TaskExit" => {
                let it: sent::TaskExit = parse(&bytes)?;
                (self.container, self.exec, self.pid, self.status) = (it.container_id, it.id, it.pid, it.exit_status);
                self.exited_at = nanoseconds(&it.exited_at);
                // An exit of the first process names the container.
                if self.exec == self.container {
                    self.exec.clear();
                }
            }
            "TaskExecAdded" => {
                let sent::TaskExecAdded { container_id, exec_id, .. } = parse(&bytes)?;
                (self.container, self.exec) = (container_id, exec_id);
            }
            "TaskExecStarted" => {
                let sent::TaskExecStarted { container_id, exec_id, pid, .. } = parse(&bytes)?;
                (self.container, self.exec, self.pid) = (container_id, exec_id, pid);
            }
            "TaskOOM" => self.container = parse::<sent::TaskOOM>(&bytes)?.container_id,
            "TaskPaused" => self.container = parse::<sent::TaskPaused>(&bytes)?.container_id,
            "TaskResumed" => self.container = parse::<sent::TaskResumed>(&bytes)?.container_id,
            "TaskCheckpointed" => self.container = parse::<sent::TaskCheckpointed>(&bytes)?.container_id,
            _ => return Err("no event of a task".to_owned()),
        }
        Ok(())
    }
}

fn parse<M: Message>(bytes: &[u8]) -> Result<M, String> {
    let message = M::parse_from_bytes(bytes).map_err(|why| why.to_string())?;
    // Fields that containerd's own files do not have are read by nobody.
    match message.special_fields().unknown_fields().iter().next() {
        None => Ok(message),
        Some((number, _)) => Err(format!("there is no field {number}")),
    }
}

fn nanoseconds(
    stamp: &containerd_shim_protos::protobuf::MessageField<
        containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp,
    >,
) -> i128 {
    stamp.as_ref().map_or(0, |stamp| i128::from(stamp.seconds) * 1_000_000_000 + i128::from(stamp.nanos))
}

/// How it treats its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// It answers.
    Up,
    /// It takes connections and requests, and neither keeps nor answers any.
    Mute,
    /// It is gone: no socket, no connections.
    Down,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    events: Vec<Event>,
    complaints: Vec<String>,
    connections: Vec<UnixStream>,
}

/// The server.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    shared: Arc<Shared>,
}

impl Events {
    /// Serves at this path.
    pub fn serve(path: PathBuf) -> Self {
        let state = State { mood: Mood::Down, events: Vec::new(), complaints: Vec::new(), connections: Vec::new() };
        let events = Self { path, shared: Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }) };
        events.come_back();
        events
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends it, as the end of containerd does: connections are closed, and there is no socket.
    pub fn go_away(&self) {
        self.turn(Mood::Down);
        let _ = UnixStream::connect(&self.path);
        fs::remove_file(&self.path).unwrap();
    }

    /// It takes what comes, and says nothing.
    pub fn fall_silent(&self) {
        self.turn(Mood::Mute);
    }

    /// Starts it again after [`Self::go_away`] or [`Self::fall_silent`].
    pub fn come_back(&self) {
        let before = self.turn(Mood::Up);
        if before == Mood::Mute {
            // Who waits for an answer would wait on: containerd that hangs is restarted.
            self.hang_up();
        }
        if before == Mood::Down {
            let listener = UnixListener::bind(&self.path).unwrap();
            let shared = Arc::clone(&self.shared);
            thread::spawn(move || accept(&listener, &shared));
        }
    }

    fn turn(&self, mood: Mood) -> Mood {
        let before = std::mem::replace(&mut self.shared.state.lock().unwrap().mood, mood);
        if mood == Mood::Down {
            self.hang_up();
        }
        before
    }

    fn hang_up(&self) {
        for connection in self.shared.state.lock().unwrap().connections.drain(..) {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
    }

    /// All that came, of all containers.
    ///
    /// # Panics
    /// When something came that is no event of a task.
    #[track_caller]
    pub fn all(&self) -> Vec<Event> {
        let state = self.shared.state.lock().unwrap();
        assert!(state.complaints.is_empty(), "{}", state.complaints.join("; "));
        state.events.clone()
    }

    /// What came of one container.
    #[track_caller]
    pub fn of(&self, container: &str) -> Vec<Event> {
        let mut events = self.all();
        events.retain(|event| event.container == container);
        events
    }

    /// What came of one container, in words.
    #[track_caller]
    pub fn words(&self, container: &str) -> Vec<String> {
        self.of(container).iter().map(Event::words).collect()
    }

    /// Waits for an event, by its words; it must come.
    ///
    /// # Panics
    /// When it does not within `limit`.
    #[track_caller]
    pub fn expect(&self, limit: Duration, container: &str, words: &str) -> Event {
        let found = self.wait(limit, |events| events.iter().any(|e| e.container == container && e.words() == words));
        assert!(found, "waited {limit:?} in vain for {words:?} of {container}: {:?}", self.words(container));
        self.of(container).into_iter().find(|event| event.words() == words).unwrap()
    }

    /// Waits until the events are as they must be; whether that was in time.
    pub fn wait(&self, limit: Duration, mut condition: impl FnMut(&[Event]) -> bool) -> bool {
        let state = self.shared.state.lock().unwrap();
        let waited = self.shared.changed.wait_timeout_while(state, limit, |state| !condition(&state.events)).unwrap();
        !waited.1.timed_out()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if self.turn(Mood::Down) != Mood::Down {
            let _ = UnixStream::connect(&self.path);
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        let Ok(connection) = connection else { return };
        let mut state = shared.state.lock().unwrap();
        if state.mood == Mood::Down {
            return;
        }
        state.connections.push(connection.try_clone().unwrap());
        let shared = Arc::clone(shared);
        thread::spawn(move || serve(connection, &shared));
    }
}

fn serve(mut connection: UnixStream, shared: &Shared) {
    let mut header = [0; HEADER];
    while connection.read_exact(&mut header).is_ok() {
        let length = u32::from_be_bytes(header[..4].try_into().unwrap()) as usize;
        let mut payload = vec![0; length];
        if connection.read_exact(&mut payload).is_err() {
            return;
        }
        let mut state = shared.state.lock().unwrap();
        if state.mood != Mood::Up {
            continue;
        }
        match judge(&header, &payload) {
            Ok(event) => state.events.push(event),
            Err(why) => state.complaints.push(why),
        }
        let mut answer = ttrpc::Response::new();
        answer.status = Some(ttrpc::Status::new()).into();
        let answer = answer.write_to_bytes().unwrap();
        let mut frame = (answer.len() as u32).to_be_bytes().to_vec();
        frame.extend(&header[4..8]);
        frame.extend([RESPONSE, 0]);
        frame.extend(answer);
        // Before somebody may learn of it and hang up: what was not answered is sent once more.
        let answered = connection.write_all(&frame);
        drop(state);
        shared.changed.notify_all();
        if answered.is_err() {
            return;
        }
    }
}

fn judge(header: &[u8; HEADER], payload: &[u8]) -> Result<Event, String> {
    if header[8] != REQUEST || header[7].is_multiple_of(2) {
        return Err(format!("no request on a stream of a client: {header:?}"));
    }
    let request = ttrpc::Request::parse_from_bytes(payload).map_err(|why| format!("no ttrpc request: {why}"))?;
    if (request.service.as_str(), request.method.as_str()) != (SERVICE, "Forward") {
        return Err(format!("containerd has no {}/{}", request.service, request.method));
    }
    Event::take(&parse(&request.payload)?)
}
