//! The second act from the host's side: connect to the waiting init, become its host, and see it become the program.

use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, connect, socket};

use super::failure::{self, End};
use super::hooks;
use super::host::start_address;
use super::oom::Kills;
use super::told::Told;
use super::turn::{Received, Turn};
use super::walk::executed;
use crate::compile::LaunchPlan;
use crate::error::{Error, ErrorKind, Result};
use crate::host::record::Record;
use crate::host::state::StateDir;
use crate::sys::page::Page;
use crate::wire::{InitOp, Op};

/// Starts the container whose state directory is locked and whose init was seen waiting.
pub(crate) fn start(state: &StateDir, record: &Record) -> Result<()> {
    let plan = state.plan().and_then(LaunchPlan::from_bytes).ok_or_else(|| {
        let path = state.path().join("plan");
        Error::new(ErrorKind::Host, format!("cannot read {}: it is no plan of this version", path.display()))
    })?;
    let kills = Kills::until_now(record);
    let turn = connect_to_init(state).map_err(|errno| match errno {
        Errno::ECONNREFUSED | Errno::ENOENT => {
            Error::new(ErrorKind::WrongStatus, "container init does not wait for start")
        }
        errno => host_error("connect to init", errno),
    })?;
    #[cfg(feature = "failpoints")]
    super::failpoint::started(&plan);
    let page = match turn.receive() {
        Ok(Received::Turn(Some(page))) => {
            Page::received(page).map_err(|errno| host_error("map the recorder", errno))?
        }
        Ok(_) => {
            let why = kills.reason().unwrap_or_else(|| "init ended while it waited for start".to_owned());
            return Err(Error::new(ErrorKind::Step, why));
        }
        Err(errno) => return Err(host_error("hear from init", errno)),
    };
    #[cfg(feature = "failpoints")]
    super::failpoint::watch(page.recorder(), std::os::fd::AsFd::as_fd(&turn));
    turn.allow(time_of_hooks(&plan)).map_err(|errno| host_error("wait for init", errno))?;
    let heard = turn.receive();
    let waited = plan.steps().find(|step| matches!(step.op, Op::Init(InitOp::AwaitStart { .. })));
    Told::from(waited.map_or(0, |step| step.number)).tell(&plan, page.recorder());
    let killed = match heard {
        Ok(_) if executed(&plan, &page) => match kills.reason_of_end(record) {
            None => {
                state.remove_start();
                return hooks::run_poststart(&plan, record);
            }
            killed => killed,
        },
        Ok(_) => kills.reason(),
        Err(errno) => return Err(host_error("hear from init", errno)),
    };
    Err(failure::init_ended(&plan, page.recorder(), killed.map_or(End::Unseen, End::OutOfMemory)))
}

/// How long the hooks between AwaitStart and Execute may take.
fn time_of_hooks(plan: &LaunchPlan) -> i64 {
    let act = plan.steps().skip_while(|step| !matches!(step.op, Op::Init(InitOp::AwaitStart { .. })));
    act.map(|step| if let Op::Init(op) = &step.op { hooks::time_of(op) } else { 0 }).sum()
}

fn connect_to_init(state: &StateDir) -> nix::Result<Turn> {
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    connect(socket.as_raw_fd(), &start_address(state)?)?;
    Turn::new(socket)
}

fn host_error(what: &str, errno: Errno) -> Error {
    Error::new(ErrorKind::Host, format!("cannot {what}: {}", errno.desc()))
}
