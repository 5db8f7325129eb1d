//! The server's process: what it is before it serves, and how it ends.

use std::os::unix::net::UnixListener;
use std::process::ExitCode;

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::bootstrap::Settings;
use crate::server::Server;

/// Serves on `listener` until the last container is gone and containerd says so.
pub(crate) fn serve(listener: UnixListener, settings: Settings) -> ExitCode {
    match begin(listener, settings).and_then(|mut server| Ok(server.run()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("cannot serve: {error}");
            ExitCode::FAILURE
        }
    }
}

fn begin(listener: UnixListener, settings: Settings) -> std::io::Result<Server> {
    // Processes that a container's leave behind come here, and not to the host's first process.
    prctl::set_child_subreaper(true)?;
    let mut held = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1] {
        held.add(signal);
    }
    held.thread_block()?;
    let signals = SignalFd::with_flags(&held, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    Server::new(listener, signals, settings)
}
