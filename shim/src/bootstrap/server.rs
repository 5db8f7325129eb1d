//! What the server finds when it is started: its socket, its log, its settings.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use log::LevelFilter;
use nix::sys::socket::{getsockopt, sockopt};

use crate::flags::Flags;
use crate::log::Log;
use crate::status::{Answer, Failure};

/// What the server is called, for people who look at processes.
pub(super) const NAME: &str = "containerd-shim-planc-v2";

/// What the server was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) namespace: String,
    /// The container, or the sandbox, that it was started for.
    pub(crate) id: String,
    /// containerd's own address.
    pub(crate) address: String,
    /// Where events go; `None`: nowhere.
    pub(crate) ttrpc_address: Option<String>,
    /// The bundle of that container, absolute.
    pub(crate) bundle: PathBuf,
    pub(crate) debug: bool,
}

impl Settings {
    /// Reads them, and begins the log.
    pub(crate) fn new(flags: &Flags) -> Answer<Self> {
        let bundle = std::env::current_dir().map_err(|error| Failure::host("find the working directory", error))?;
        if let Some(log) = Log::of(&bundle) {
            log.install(if flags.debug { LevelFilter::Debug } else { LevelFilter::Info });
        }
        // By /proc/self/exe it would be called "exe". Where it cannot be set, it is.
        let _ = nix::sys::prctl::set_name(c"containerd-shim");
        Ok(Self {
            namespace: flags.namespace.clone(),
            id: flags.id.clone(),
            address: flags.address.clone(),
            ttrpc_address: std::env::var("TTRPC_ADDRESS").ok().filter(|address| !address.is_empty()),
            bundle,
            debug: flags.debug,
        })
    }
}

/// The socket to serve at: the one at this path, which is made, or the standard input, in whose place /dev/null comes.
pub(crate) fn listener(flags: &Flags) -> Answer<UnixListener> {
    let path = flags.socket.strip_prefix("unix://").unwrap_or(&flags.socket);
    if !path.is_empty() {
        let (Some(directory), Some(name)) = (Path::new(path).parent(), Path::new(path).file_name()) else {
            return Err(Failure::invalid(format!("-socket {path}: no path of a socket")));
        };
        let taken = || Failure::invalid(format!("-socket {path}: another shim serves there"));
        let place = super::Place::lock(Some(directory), &name.to_string_lossy())?;
        return place.bind()?.ok_or_else(taken);
    }
    let input = std::io::stdin();
    if getsockopt(&input, sockopt::AcceptConn) != Ok(true) {
        let why = "the standard input is no socket that listens: the action start makes one, -socket names one";
        return Err(Failure::invalid(why));
    }
    let failed = |error| Failure::host("take over the socket", error);
    let listener = UnixListener::from(runtime_core::inherited(0)?);
    let null = std::fs::File::open("/dev/null").map_err(failed)?;
    nix::unistd::dup2_stdin(&null).map_err(|errno| failed(errno.into()))?;
    Ok(listener)
}
