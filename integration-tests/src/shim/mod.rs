//! What containerd is to a shim: it starts one for a bundle, speaks to it, listens to its events, and cleans up after it.
//!
//! `SHIM=/path` says which shim is judged; without it, the containerd-shim-planc-v2 that cargo built beside the tests is.

pub mod client;
pub mod events;
pub mod process;
pub mod task;

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use nix::sys::stat::Mode;
use rustix::fs::OFlags;
use serde_json::Value;

use self::client::{Client, V2};
use self::events::Events;
use self::process::{Printed, run};
use self::task::Task;
use crate::bundle::Bundle;
use crate::runtime::{Kind, Runtime, built_beside};
use crate::scene::Scene;

/// The namespace of all tests.
pub const NAMESPACE: &str = "planc-tests";

/// Where containerd's shims have their sockets.
pub const SOCKETS: &str = "/run/containerd/s";

/// The shim that is judged, in the harness's words.
///
/// # Errors
/// When there is none.
pub fn judged() -> Result<Runtime, String> {
    let path = match std::env::var_os("SHIM") {
        Some(path) => PathBuf::from(path),
        None => built_beside("containerd-shim-planc-v2")?,
    };
    if !path.is_absolute() || !path.is_file() {
        return Err(format!("SHIM={} is not the absolute path of a file", path.display()));
    }
    let kind = match path.file_name().and_then(|name| name.to_str()) {
        Some("containerd-shim-planc-v2") => Kind::Planc,
        Some("containerd-shim-runc-v2") => Kind::Runc,
        _ => Kind::Other,
    };
    if crate::lane::Lane::current() != crate::lane::Lane::Outside {
        // What outlives all shims is nobody's leak.
        DirBuilder::new().recursive(true).mode(0o711).create("/run/containerd").map_err(|why| why.to_string())?;
        for path in [Path::new(SOCKETS), &root(kind).join(NAMESPACE)] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|why| format!("{}: {why}", path.display()))?;
        }
    }
    Ok(Runtime { path, kind, spec: (1, 0) })
}

/// Where a shim has its namespaces' containers unless it is told otherwise. No runtime reads another one's.
pub fn root(kind: Kind) -> &'static Path {
    Path::new(if kind == Kind::Planc { "/run/containerd/planc" } else { "/run/containerd/runc" })
}

/// How a generation of containerd starts a shim.
#[derive(Clone, Debug)]
pub enum Dialect {
    /// 1.6: nothing on stdin; takes an address and nothing else.
    V1_6,
    /// 1.7: options, or nothing, on stdin; takes an address, or JSON of a version up to 2.
    V1_7(Vec<u8>),
    /// 2.0 to 2.2: options, or nothing, on stdin; takes an address, or JSON of a version up to 3.
    V2_0(Vec<u8>),
    /// From 2.3: a `BootstrapParams` on stdin; takes a `BootstrapResult`, and what the older ones took.
    V2_3(Box<BootstrapParams>),
}

/// What a shim answered to `start`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// `unix://…`.
    pub address: String,
    /// Of the task service; 2 where nothing was said.
    pub version: i64,
    /// Whether a `BootstrapResult` said it.
    pub by_message: bool,
}

impl Dialect {
    fn stdin(&self) -> Vec<u8> {
        match self {
            Self::V1_6 => Vec::new(),
            Self::V1_7(options) | Self::V2_0(options) => options.clone(),
            Self::V2_3(params) => params.write_to_bytes().unwrap(),
        }
    }

    /// Takes an answer as this generation does.
    ///
    /// # Errors
    /// When it does not understand it.
    pub fn understand(&self, answer: &[u8]) -> Result<Started, String> {
        let no = || format!("{self:?} does not understand {:?}", String::from_utf8_lossy(answer));
        let newest = match self {
            Self::V1_6 => None,
            Self::V1_7(_) => Some(2),
            Self::V2_0(_) | Self::V2_3(_) => Some(3),
        };
        if matches!(self, Self::V2_3(_))
            && let Ok(BootstrapResult { version, address, protocol, .. }) = BootstrapResult::parse_from_bytes(answer)
            && address.starts_with("unix://")
        {
            let good = protocol == "ttrpc" && (2..=3).contains(&version);
            return good.then_some(Started { address, version: version.into(), by_message: true }).ok_or_else(no);
        }
        let text = std::str::from_utf8(answer).map_err(|_| no())?.trim();
        if let (Some(newest), Ok(Value::Object(json))) = (newest, serde_json::from_str(text)) {
            let (version, address) = (json["version"].as_i64().ok_or_else(no)?, json["address"].as_str());
            let good = json["protocol"] == "ttrpc" && (2..=newest).contains(&version);
            let address = address.filter(|_| good).ok_or_else(no)?.to_owned();
            return Ok(Started { address, version, by_message: false });
        }
        let address = text.starts_with("unix:///") && !text.contains(char::is_whitespace);
        address.then(|| Started { address: text.to_owned(), version: 2, by_message: false }).ok_or_else(no)
    }
}

/// An Any of runc's options, as containerd marshals it.
pub fn options(fill: impl FnOnce(&mut containerd_shim_protos::shim::oci::Options)) -> Any {
    let mut options = containerd_shim_protos::shim::oci::Options::new();
    fill(&mut options);
    any("containerd.runc.v1.Options", options.write_to_bytes().unwrap())
}

/// An Any.
pub fn any(type_url: &str, value: Vec<u8>) -> Any {
    Any { type_url: type_url.to_owned(), value, ..Default::default() }
}

/// The id of the container that a bundle is for.
pub fn id(bundle: &Bundle) -> String {
    bundle.dir().file_name().unwrap().to_str().unwrap().to_owned()
}

/// containerd, as far as a shim sees it.
#[derive(Debug)]
pub struct Engine<'s> {
    /// The stage.
    pub scene: &'s Scene,
    /// Its service of events.
    pub events: Events,
    /// The ends of `<bundle>/log` that it reads.
    logs: Mutex<Vec<(PathBuf, File)>>,
}

impl<'s> Engine<'s> {
    /// Starts one, with sockets in the test's directory.
    pub fn new(scene: &'s Scene) -> Self {
        Self { scene, events: Events::serve(scene.path("c.sock.ttrpc")), logs: Mutex::default() }
    }

    /// A bundle whose program is `sleep`, with a cgroup of its own name. Its folder has the id's name, as containerd's
    /// have.
    pub fn bundle(&self) -> Bundle {
        let id = self.scene.id();
        let mut bundle = Bundle::new(self.scene.path(NAMESPACE).join(&id));
        bundle.sleep().set("/linux/cgroupsPath", format!("/{id}"));
        bundle
    }

    /// A bundle whose program is a shell script.
    pub fn sh(&self, script: &str) -> Bundle {
        let mut bundle = self.bundle();
        bundle.sh(script);
        bundle
    }

    /// The shim's command line, as containerd writes it; `action` is its last word.
    pub fn command(&self, bundle: &Path, id: &str, flags: &[&str], action: &str) -> Command {
        let mut words: Vec<OsString> = ["-namespace", NAMESPACE, "-id", id, "-address"].map(OsString::from).to_vec();
        words.extend([self.scene.path("c.sock").into(), "-publish-binary".into(), "/bin/false".into()]);
        words.extend(flags.iter().map(OsString::from));
        words.extend((!action.is_empty()).then(|| OsString::from(action)));
        self.bare(bundle, &words)
    }

    /// The shim with these words only, and containerd's environment.
    pub fn bare<S: AsRef<std::ffi::OsStr>>(&self, directory: &Path, words: &[S]) -> Command {
        let mut command = Command::new(&self.scene.runtime.path);
        command.args(words).current_dir(directory);
        command.env("TTRPC_ADDRESS", self.events.path()).env("GRPC_ADDRESS", self.scene.path("c.sock"));
        command.env("NAMESPACE", NAMESPACE).env("GOMAXPROCS", "4").env_remove("MAX_SHIM_VERSION");
        command
    }

    /// Makes the fifo `log` of a bundle, and holds it open for reading.
    pub fn open_log(&self, bundle: &Path) {
        let path = bundle.join("log");
        if !path.exists() {
            nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o700)).unwrap();
        }
        // Also for writing: so it is there at once, and does not end when a shim does.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let end = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap();
        self.logs.lock().unwrap().push((path, File::from(end)));
    }

    /// What shims wrote to the logs since it was last asked.
    pub fn log(&self) -> String {
        let mut text = Vec::new();
        for (_, end) in self.logs.lock().unwrap().iter_mut() {
            let _ = end.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// `start` in a dialect, whatever comes of it.
    pub fn try_start(&self, bundle: &Path, id: &str, dialect: &Dialect) -> Printed {
        self.open_log(bundle);
        let mut command = self.command(bundle, id, &[], "start");
        if matches!(dialect, Dialect::V1_7(_) | Dialect::V2_0(_) | Dialect::V2_3(_)) {
            command.env("MAX_SHIM_VERSION", "2");
        }
        run(command, &dialect.stdin())
    }

    /// `start`, which must succeed in silence.
    #[track_caller]
    pub fn start(&self, bundle: &Path, id: &str, dialect: &Dialect) -> Started {
        let printed = self.try_start(bundle, id, dialect);
        printed.ok();
        // containerd reads both streams as one.
        assert_eq!(printed.err(), "", "`start` that succeeds has nothing to say on standard error");
        dialect.understand(&printed.stdout).unwrap_or_else(|why| panic!("{why}"))
    }

    /// A container that is not created yet, with the shim for it.
    #[track_caller]
    pub fn task(&self, bundle: &Bundle) -> Task<'_, 's> {
        bundle.write();
        let id = id(bundle);
        let started = self.start(bundle.dir(), &id, &Dialect::V1_6);
        let client = Client::connect(&started.address, V2).unwrap();
        let shim = client.connection_of(&id).unwrap().shim_pid;
        Task { engine: self, client, id, bundle: bundle.dir().to_owned(), address: started.address, shim }
    }

    /// A task that runs.
    #[track_caller]
    pub fn running(&self, bundle: &Bundle) -> Task<'_, 's> {
        let task = self.task(bundle);
        task.create();
        task.start();
        task
    }

    /// The `delete` action, as containerd calls it for a shim that is dead.
    #[track_caller]
    pub fn clean_up(&self, bundle: &Path, id: &str) -> Printed {
        self.open_log(bundle);
        let printed = run(self.command(bundle, id, &["-bundle", bundle.to_str().unwrap()], "delete"), &[]);
        printed.ok();
        printed
    }
}
