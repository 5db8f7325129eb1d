//! The server.

use std::os::unix::net::UnixListener;
use std::process::ExitCode;

use crate::bootstrap::Settings;

/// Serves until it is shut down.
pub(crate) fn serve(listener: UnixListener, settings: Settings) -> ExitCode {
    log::info!("{} serves {} of {}", std::process::id(), settings.id, settings.namespace);
    listener.incoming().for_each(drop);
    ExitCode::FAILURE
}
