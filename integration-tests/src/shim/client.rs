//! A client of the task service, by either of its names.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use containerd_shim_protos::api::{
    CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest, CreateTaskResponse,
    DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest, PauseRequest, PidsRequest, PidsResponse,
    ProcessInfo, ResizePtyRequest, ResumeRequest, ShutdownRequest, StartRequest, StartResponse, StateRequest,
    StateResponse, StatsRequest, StatsResponse, UpdateTaskRequest, WaitRequest, WaitResponse,
};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::ttrpc;
pub use containerd_shim_protos::ttrpc::Code;

use crate::lane::Lane;

/// The task service as containerd 1.x calls it.
pub const V2: &str = "containerd.task.v2.Task";
/// The task service as containerd 2.x calls it.
pub const V3: &str = "containerd.task.v3.Task";

/// How long an answer may take, before the lane's patience.
const LIMIT: Duration = Duration::from_secs(30);

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The status; [`Code::UNAVAILABLE`] where no answer came.
    pub code: Code,
    /// What it says.
    pub message: String,
}

impl Failure {
    /// Asserts the code and a part of the message.
    #[track_caller]
    pub fn is(&self, code: Code, text: &str) -> &Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.message.contains(text), "no {text:?} in {self:?}");
        self
    }
}

/// What an answer is.
pub type Answer<T> = Result<T, Failure>;

/// One connection.
#[derive(Clone)]
pub struct Client {
    connection: ttrpc::Client,
    service: &'static str,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.service)
    }
}

impl Client {
    /// Connects to `unix://…`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(address: &str, service: &'static str) -> Answer<Self> {
        let connection = ttrpc::Client::connect(address).map_err(|error| failure(&error))?;
        Ok(Self { connection, service })
    }

    /// The same connection, and the other name of the service.
    pub fn service(&self, service: &'static str) -> Self {
        Self { service, ..self.clone() }
    }

    /// Any method of any service.
    ///
    /// # Errors
    /// When it fails, or does not answer in time.
    pub fn call<Q: Message, A: Message>(&self, method: &str, request: &Q) -> Answer<A> {
        self.call_within(LIMIT * Lane::current().patience(), method, request)
    }

    /// As [`Self::call`], with less time.
    ///
    /// # Errors
    /// As there.
    pub fn call_within<Q: Message, A: Message>(&self, limit: Duration, method: &str, request: &Q) -> Answer<A> {
        let mut message = ttrpc::Request::new();
        message.service = self.service.to_owned();
        message.method = method.to_owned();
        message.payload = request.write_to_bytes().unwrap();
        message.timeout_nano = limit.as_nanos() as i64;
        let response = self.connection.request(message).map_err(|error| failure(&error))?;
        Ok(A::parse_from_bytes(&response.payload).unwrap())
    }

    fn order<Q: Message>(&self, method: &str, request: &Q) -> Answer<()> {
        self.call::<Q, Empty>(method, request).map(|_| ())
    }

    /// `Create`; the pid.
    ///
    /// # Errors
    /// The service's.
    pub fn create(&self, request: &CreateTaskRequest) -> Answer<u32> {
        self.call::<_, CreateTaskResponse>("Create", request).map(|answer| answer.pid)
    }

    /// `Start` of a container, or of a process that `Exec` added; the pid.
    ///
    /// # Errors
    /// The service's.
    pub fn start(&self, id: &str, exec: &str) -> Answer<u32> {
        let request = StartRequest { id: id.to_owned(), exec_id: exec.to_owned(), ..Default::default() };
        self.call::<_, StartResponse>("Start", &request).map(|answer| answer.pid)
    }

    /// `Exec`.
    ///
    /// # Errors
    /// The service's.
    pub fn exec(&self, request: &ExecProcessRequest) -> Answer<()> {
        self.order("Exec", request)
    }

    /// `State`.
    ///
    /// # Errors
    /// The service's.
    pub fn state(&self, id: &str, exec: &str) -> Answer<StateResponse> {
        self.call("State", &StateRequest { id: id.to_owned(), exec_id: exec.to_owned(), ..Default::default() })
    }

    /// `Wait`.
    ///
    /// # Errors
    /// The service's.
    pub fn wait(&self, id: &str, exec: &str) -> Answer<WaitResponse> {
        self.call("Wait", &WaitRequest { id: id.to_owned(), exec_id: exec.to_owned(), ..Default::default() })
    }

    /// `Kill`.
    ///
    /// # Errors
    /// The service's.
    pub fn kill(&self, id: &str, exec: &str, signal: u32, all: bool) -> Answer<()> {
        let (id, exec_id) = (id.to_owned(), exec.to_owned());
        self.order("Kill", &KillRequest { id, exec_id, signal, all, ..Default::default() })
    }

    /// `Delete`.
    ///
    /// # Errors
    /// The service's.
    pub fn delete(&self, id: &str, exec: &str) -> Answer<DeleteResponse> {
        self.call("Delete", &DeleteRequest { id: id.to_owned(), exec_id: exec.to_owned(), ..Default::default() })
    }

    /// `Pids`.
    ///
    /// # Errors
    /// The service's.
    pub fn pids(&self, id: &str) -> Answer<Vec<ProcessInfo>> {
        let request = PidsRequest { id: id.to_owned(), ..Default::default() };
        self.call::<_, PidsResponse>("Pids", &request).map(|answer| answer.processes)
    }

    /// `Pause`.
    ///
    /// # Errors
    /// The service's.
    pub fn pause(&self, id: &str) -> Answer<()> {
        self.order("Pause", &PauseRequest { id: id.to_owned(), ..Default::default() })
    }

    /// `Resume`.
    ///
    /// # Errors
    /// The service's.
    pub fn resume(&self, id: &str) -> Answer<()> {
        self.order("Resume", &ResumeRequest { id: id.to_owned(), ..Default::default() })
    }

    /// `Checkpoint`.
    ///
    /// # Errors
    /// The service's.
    pub fn checkpoint(&self, id: &str, path: &str) -> Answer<()> {
        let (id, path) = (id.to_owned(), path.to_owned());
        self.order("Checkpoint", &CheckpointTaskRequest { id, path, ..Default::default() })
    }

    /// `ResizePty`.
    ///
    /// # Errors
    /// The service's.
    pub fn resize(&self, id: &str, exec: &str, width: u32, height: u32) -> Answer<()> {
        let (id, exec_id) = (id.to_owned(), exec.to_owned());
        self.order("ResizePty", &ResizePtyRequest { id, exec_id, width, height, ..Default::default() })
    }

    /// `CloseIO` of stdin.
    ///
    /// # Errors
    /// The service's.
    pub fn close_stdin(&self, id: &str, exec: &str) -> Answer<()> {
        let (id, exec_id) = (id.to_owned(), exec.to_owned());
        self.order("CloseIO", &CloseIORequest { id, exec_id, stdin: true, ..Default::default() })
    }

    /// `Update` with the resources of a config.json, as text.
    ///
    /// # Errors
    /// The service's.
    pub fn update(&self, id: &str, resources: &str) -> Answer<()> {
        let resources = Any {
            type_url: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources".to_owned(),
            value: resources.as_bytes().to_vec(),
            ..Default::default()
        };
        let resources = MessageField::some(resources);
        self.order("Update", &UpdateTaskRequest { id: id.to_owned(), resources, ..Default::default() })
    }

    /// `Stats`.
    ///
    /// # Errors
    /// The service's.
    pub fn stats(&self, id: &str) -> Answer<Any> {
        let request = StatsRequest { id: id.to_owned(), ..Default::default() };
        self.call::<_, StatsResponse>("Stats", &request).map(|answer| answer.stats.unwrap())
    }

    /// `Connect`.
    ///
    /// # Errors
    /// The service's.
    pub fn connection_of(&self, id: &str) -> Answer<ConnectResponse> {
        self.call("Connect", &ConnectRequest { id: id.to_owned(), ..Default::default() })
    }

    /// `Shutdown`.
    ///
    /// # Errors
    /// The service's.
    pub fn shutdown(&self, id: &str) -> Answer<()> {
        self.order("Shutdown", &ShutdownRequest { id: id.to_owned(), ..Default::default() })
    }
}

fn failure(error: &ttrpc::Error) -> Failure {
    match error {
        ttrpc::Error::RpcStatus(status) => {
            Failure { code: status.code.enum_value().unwrap_or(Code::UNKNOWN), message: status.message.clone() }
        }
        other => Failure { code: Code::UNAVAILABLE, message: other.to_string() },
    }
}

/// A client that asks, and does not wait for an answer. It hangs up when it is dropped.
#[derive(Debug)]
pub struct Impatient {
    stream: UnixStream,
    service: &'static str,
    next: u32,
}

impl Impatient {
    /// Connects to `unix://…`.
    ///
    /// # Panics
    /// When nobody listens there.
    #[track_caller]
    pub fn connect(address: &str, service: &'static str) -> Self {
        let stream = UnixStream::connect(address.trim_start_matches("unix://")).unwrap();
        Self { stream, service, next: 1 }
    }

    /// Asks for a method whose request is an id and the id of an exec, or begins so.
    #[track_caller]
    pub fn ask(&mut self, method: &str, id: &str, exec: &str) {
        let asked = StartRequest { id: id.to_owned(), exec_id: exec.to_owned(), ..Default::default() };
        let mut message = ttrpc::Request::new();
        message.service = self.service.to_owned();
        message.method = method.to_owned();
        message.payload = asked.write_to_bytes().unwrap();
        let message = message.write_to_bytes().unwrap();
        // PROTOCOL.md of ttrpc: the length, the stream, a request, no flags.
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let frame = [&length[..], &self.next.to_be_bytes(), &[1, 0], &message].concat();
        self.stream.write_all(&frame).unwrap();
        self.next += 2;
    }
}
