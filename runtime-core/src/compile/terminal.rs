//! The terminal of the process (runtime-spec config.md#process): where it comes from, its size, and who gets its master.

use std::ffi::CString;

use oci_spec::runtime::Process;

use super::mounts::{Attached, Mounts};
use super::plan::Draft;
use super::text::path_text;
use super::{Invalid, Request, devices};
use crate::wire::{HostOp, InitOp, Place, Slot, Text, WindowSize};

const ORIGIN: &str = "/process/terminal";
const SIZE: &str = "/process/consoleSize";

/// The terminal, where one is asked for.
#[derive(Debug)]
pub(super) struct Terminal(Option<Asked>);

#[derive(Debug)]
struct Asked {
    uid: u32,
    size: Option<WindowSize>,
    /// Whether the kernel turns a new line into a carriage return and a new line.
    onlcr: bool,
    /// The socket that gets its master.
    socket: Option<CString>,
}

impl Terminal {
    /// The terminal of a process that runs as `uid`.
    pub(super) fn read(request: &Request<'_>, uid: u32) -> Result<Self, Invalid> {
        let options = request.launch.options;
        if request.process.terminal() != Some(true) {
            return match options.console_socket {
                None => Ok(Self(None)),
                Some(_) => Err(Invalid::new(ORIGIN, "there is a console socket, and no terminal to send to it")),
            };
        }
        let is_known = |window: &WindowSize| window.rows != 0 && window.columns != 0;
        let configured = configured_size(request.process)?;
        let size = options.window.filter(is_known).or(configured.filter(is_known));
        let socket = options.console_socket.as_deref().map(|path| path_text("", path)).transpose()?;
        Ok(Self(Some(Asked { uid, size, onlcr: options.window.is_none(), socket })))
    }

    /// Whether its pty has a devpts to come from.
    pub(super) fn check(&self, mounts: &Mounts) -> Result<(), Invalid> {
        if self.0.is_some() && !mounts.may_have_devpts() {
            return Err(Invalid::new(ORIGIN, "a terminal needs a devpts mounted at /dev/pts"));
        }
        Ok(())
    }

    /// Init opens it on the devpts at /dev/pts: of the container that is made, or that was joined.
    pub(super) fn open(&self, plan: &mut Draft) -> Result<Option<Slot>, Invalid> {
        let Some(Asked { uid, size, onlcr, .. }) = self.0 else { return Ok(None) };
        let slot = plan.slot()?;
        let pts = Place { base: Slot::ROOT, skip: 0, path: Text(c"/dev/pts") };
        plan.init(ORIGIN, InitOp::OpenTerminal { pts, uid, size, onlcr, slot });
        Ok(Some(slot))
    }

    /// /dev/console is the terminal.
    pub(super) fn bind(terminal: Option<Slot>, attached: &Attached, plan: &mut Draft) {
        let Some(terminal) = terminal else { return };
        if attached.dev_is_shared {
            plan.warn("/dev is shared with the host, so that /dev/console stays the host's");
            return;
        }
        let place = devices::place(attached.dev, Text(c"/dev/console"));
        plan.init(ORIGIN, InitOp::BindConsole { place, terminal });
    }

    /// The process, which leads its session by now, has it for its own.
    pub(super) fn take(terminal: Option<Slot>, plan: &mut Draft) {
        if let Some(terminal) = terminal {
            plan.init(ORIGIN, InitOp::TakeTerminal { terminal });
        }
    }

    /// The host has its master since init's last turn.
    pub(super) fn hand_over(&self, plan: &mut Draft) {
        match &self.0 {
            None => {}
            Some(Asked { socket: Some(path), .. }) => plan.host(ORIGIN, HostOp::SendTerminal { path: Text(path) }),
            Some(Asked { socket: None, .. }) => plan.host(ORIGIN, HostOp::KeepTerminal {}),
        }
    }
}

/// `consoleSize`, which counts only where there is a terminal.
fn configured_size(process: &Process) -> Result<Option<WindowSize>, Invalid> {
    let Some(size) = process.console_size() else { return Ok(None) };
    let number = |name: &str, value: u64| {
        let why = || format!("{value} is more than a terminal has (TIOCSWINSZ)");
        u16::try_from(value).map_err(|_| Invalid::new(super::below(SIZE, name), why()))
    };
    Ok(Some(WindowSize { rows: number("height", size.height())?, columns: number("width", size.width())? }))
}
