//! A bus that misbehaves as a test wants it, and a door to the real one that can be shut.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the bus does; where it is not about a call, the call is answered as systemd would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Never says a word.
    Mute,
    /// Answers all calls but this one.
    MuteAt(&'static str),
    /// Jobs never end.
    EndlessJob,
    /// The job of a start ends with this result.
    Job(&'static str),
    /// Closes each connection at this call.
    HangUpAt(&'static str),
    /// Answers this call with this error.
    Refuse(&'static str, &'static str),
    /// A unit of each name is there, in this state.
    Exists(&'static str),
    /// Answers the call with what is no message.
    Garbage(&'static str),
    /// Refuses every caller.
    Reject,
}

/// A bus with its socket, which serves as long as the test lives.
#[derive(Debug)]
pub struct Bus {
    path: PathBuf,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Bus {
    /// Listens at `path`.
    pub fn listen(path: PathBuf, behaviour: Behaviour) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let calls = Arc::default();
        let noted = Arc::clone(&calls);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let calls = Arc::clone(&noted);
                thread::spawn(move || serve(stream.unwrap(), behaviour, &calls));
            }
        });
        Self { path, calls }
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.path.display())
    }

    /// The methods that were called.
    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

/// One connection, to its end.
fn serve(mut stream: UnixStream, behaviour: Behaviour, calls: &Mutex<Vec<String>>) {
    if behaviour == Behaviour::Mute {
        // The other side hangs up.
        let _ = stream.read_to_end(&mut Vec::new());
        return;
    }
    let mut input = Vec::new();
    while !input.ends_with(b"DATA\r\n") {
        if !more(&mut stream, &mut input) {
            return;
        }
    }
    if behaviour == Behaviour::Reject {
        let _ = stream.write_all(b"REJECTED EXTERNAL\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
        return;
    }
    stream.write_all(b"DATA\r\nOK 0123456789abcdef\r\n").unwrap();
    input.clear();
    while !input.starts_with(b"BEGIN\r\n") {
        if !more(&mut stream, &mut input) {
            return;
        }
    }
    input.drain(..7);
    loop {
        let number = |at: usize| input.get(at..at + 4).map(|n| u32::from_le_bytes(n.try_into().unwrap()) as usize);
        if let (Some(body), Some(serial), Some(fields)) = (number(4), number(8), number(12)) {
            let length = (16 + fields).next_multiple_of(8) + body;
            if input.len() >= length {
                let call: Vec<u8> = input.drain(..length).collect();
                let member = member(&call);
                calls.lock().unwrap().push(member.clone());
                if !answer(&mut stream, behaviour, &member, serial as u32) {
                    return;
                }
                continue;
            }
        }
        if !more(&mut stream, &mut input) {
            return;
        }
    }
}

fn more(stream: &mut UnixStream, input: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer).unwrap_or(0);
    input.extend_from_slice(&buffer[..count]);
    count > 0
}

/// The method that is called: the field with code 3, a string.
fn member(call: &[u8]) -> String {
    let at = call.windows(4).position(|field| field == b"\x03\x01s\0").unwrap() + 4;
    let length = u32::from_le_bytes(call[at..at + 4].try_into().unwrap()) as usize;
    String::from_utf8(call[at + 4..at + 4 + length].to_vec()).unwrap()
}

const JOB: &str = "/org/freedesktop/systemd1/job/7";

/// Answers a call; whether the connection goes on.
fn answer(stream: &mut UnixStream, behaviour: Behaviour, member: &str, serial: u32) -> bool {
    let unit = "/org/freedesktop/systemd1/unit/x";
    match behaviour {
        Behaviour::MuteAt(at) if at == member => return true,
        Behaviour::HangUpAt(at) if at == member => return false,
        Behaviour::Garbage(at) if at == member => return stream.write_all(&[0xee; 64]).is_ok(),
        Behaviour::Refuse(at, name) if at == member => {
            return stream.write_all(&refusal(serial, name, &text("it will not"))).is_ok();
        }
        Behaviour::Exists(_) if member == "StartTransientUnit" => {
            let name = "org.freedesktop.systemd1.UnitExists";
            return stream.write_all(&refusal(serial, name, &text("it is there already"))).is_ok();
        }
        _ => {}
    }
    let reply = |signature: &str, body: &[u8]| message(2, Some(serial), signature, body);
    let bytes = match member {
        "Hello" => reply("s", &text(":1.7")),
        "GetUnit" => reply("o", &text(unit)),
        "Get" => {
            let state = if let Behaviour::Exists(state) = behaviour { state } else { "active" };
            reply("v", &[&b"\x01s\0\0"[..], &text(state)].concat())
        }
        "StartTransientUnit" | "StopUnit" => {
            let mut bytes = reply("o", &text(JOB));
            let result =
                if let (Behaviour::Job(result), "StartTransientUnit") = (behaviour, member) { result } else { "done" };
            if behaviour != Behaviour::EndlessJob {
                bytes.extend(job_removed(result));
            }
            bytes
        }
        _ => reply("", &[]),
    };
    stream.write_all(&bytes).is_ok()
}

fn job_removed(result: &str) -> Vec<u8> {
    let mut body = 7_u32.to_le_bytes().to_vec();
    for part in [JOB, "x.scope", result] {
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(text(part));
    }
    message(4, None, "uoss", &body)
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes()[..], text.as_bytes(), b"\0"].concat()
}

fn refusal(serial: u32, name: &str, said: &[u8]) -> Vec<u8> {
    let fields = [field(5, "u", &serial.to_le_bytes()), field(4, "s", &text(name)), signature("s")];
    whole(3, &fields, said)
}

/// A return of the call with this number, or the signal JobRemoved.
fn message(kind: u8, reply_to: Option<u32>, types: &str, body: &[u8]) -> Vec<u8> {
    let first = match reply_to {
        Some(serial) => field(5, "u", &serial.to_le_bytes()),
        None => field(3, "s", &text("JobRemoved")),
    };
    let second = if types.is_empty() { Vec::new() } else { signature(types) };
    whole(kind, &[first, second], body)
}

fn field(code: u8, kind: &str, value: &[u8]) -> Vec<u8> {
    [&[code, 1], kind.as_bytes(), b"\0", value].concat()
}

fn signature(types: &str) -> Vec<u8> {
    field(8, "g", &[&[types.len() as u8], types.as_bytes(), b"\0"].concat())
}

/// A little-endian message.
fn whole(kind: u8, parts: &[Vec<u8>], body: &[u8]) -> Vec<u8> {
    let mut fields = Vec::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        fields.resize(fields.len().next_multiple_of(8), 0);
        fields.extend(part);
    }
    let mut bytes = vec![b'l', kind, 0, 1];
    for number in [body.len() as u32, 1, fields.len() as u32] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(fields);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(body);
    bytes
}

/// A door to the system bus: while it is shut, whoever comes in gets no answer.
#[derive(Debug)]
pub struct Door {
    path: PathBuf,
    shut: Arc<AtomicBool>,
}

impl Door {
    /// Opens it at `path`.
    pub fn open(path: PathBuf) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let shut = Arc::new(AtomicBool::new(false));
        let is_shut = Arc::clone(&shut);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, is_shut) = (stream.unwrap(), Arc::clone(&is_shut));
                thread::spawn(move || pass(stream, &is_shut));
            }
        });
        Self { path, shut }
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.path.display())
    }

    /// Shuts it, or opens it again.
    pub fn shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::SeqCst);
    }
}

fn pass(mut inside: UnixStream, shut: &AtomicBool) {
    if shut.load(Ordering::SeqCst) {
        let _ = inside.read_to_end(&mut Vec::new());
        return;
    }
    let mut bus = UnixStream::connect(Path::new("/run/dbus/system_bus_socket")).unwrap();
    let (mut back, mut to) = (bus.try_clone().unwrap(), inside.try_clone().unwrap());
    let backwards = thread::spawn(move || {
        let _ = std::io::copy(&mut back, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    let _ = std::io::copy(&mut inside, &mut bus);
    let _ = bus.shutdown(std::net::Shutdown::Both);
    let _ = backwards.join();
}

/// How long planc waits for a bus.
pub const LIMIT: Duration = Duration::from_secs(10);
