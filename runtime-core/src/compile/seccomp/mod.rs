//! Seccomp (runtime-spec config-linux.md#seccomp): a profile compiled to classic BPF, and where in the plan it is installed.

mod arch;
mod assemble;
mod filter;
mod graph;
mod profile;
#[rustfmt::skip]
mod table;

use std::ffi::CString;

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag, LinuxSeccompOperator};

pub use self::arch::Machine;
pub(crate) use self::arch::name_of;
use self::assemble::{MOST_INSTRUCTIONS, assemble};
use self::graph::Graph;
use self::profile::{ORIGIN, Profile};
use super::capabilities::Sets;
use super::plan::Draft;
use super::text::{below, path_text};
use super::{Invalid, Request, hooks};
use crate::state::Status;
use crate::wire::{HostOp, InitOp, Slot, Text};

/// Compiles a profile to the program that a kernel of this machine is given (seccomp(2)): `struct sock_filter`s of 8 bytes,
/// in the machine's byte order. `planc` installs the same.
///
/// # Errors
/// What the profile cannot have, with its place in config.json.
pub fn program(seccomp: &LinuxSeccomp, machine: Machine) -> Result<Vec<u8>, Invalid> {
    compile(&Profile::read(seccomp, machine)?)
}

fn compile(profile: &Profile) -> Result<Vec<u8>, Invalid> {
    let mut graph = Graph::default();
    let start = filter::decide(&mut graph, profile)?;
    let too_long = || format!("the filter has more than the {MOST_INSTRUCTIONS} instructions that the kernel takes");
    assemble(&graph, start).ok_or_else(|| Invalid::new(ORIGIN, too_long()))
}

/// The filter of a container's processes, where config.json asks for one.
#[derive(Debug)]
pub(super) struct Filter(Option<Asked>);

#[derive(Debug)]
struct Asked {
    program: Vec<u8>,
    flags: u32,
    /// Who is notified.
    agent: Option<Agent>,
}

#[derive(Debug)]
struct Agent {
    path: CString,
    /// The container process state up to the pid, which init has to add.
    state: Vec<u8>,
}

impl Filter {
    /// `status`: of the container when a process gets its filter.
    pub(super) fn read(request: &Request<'_>, status: Status, plan: &mut Draft) -> Result<Self, Invalid> {
        let Some(seccomp) = request.linux.seccomp() else { return Ok(Self(None)) };
        let profile = Profile::read(seccomp, Machine::OWN)?;
        note_unknown(seccomp, plan);
        if profile.waits_killable() && request.facts.kernel < (5, 19) {
            let why = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs Linux 5.19";
            return Err(Invalid::unsupported(below(ORIGIN, "flags"), why));
        }
        let agent = if profile.notifies() { Some(Agent::read(request, seccomp, status)?) } else { None };
        Ok(Self(Some(Asked { program: compile(&profile)?, flags: profile.flags, agent })))
    }

    /// Connects to who is notified, once for each process that will be filtered: a message more on a connection would be
    /// against the specification. `hooks`: how many come before the program, whose connection is the last.
    pub(super) fn connect(&self, hooks: usize, plan: &mut Draft) -> Result<Vec<Slot>, Invalid> {
        let Some(Asked { agent: Some(agent), .. }) = &self.0 else { return Ok(Vec::new()) };
        let mut slots = Vec::new();
        for _ in 0..=hooks {
            let slot = plan.slot()?;
            plan.host(&below(ORIGIN, "listenerPath"), HostOp::ConnectSeccompAgent { path: Text(&agent.path), slot });
            slots.push(slot);
        }
        Ok(slots)
    }

    /// Whether installing it takes a capability: a process that can gain no privileges needs none (seccomp(2)).
    pub(super) fn is_privileged(&self, request: &Request<'_>) -> bool {
        self.0.is_some() && request.process.no_new_privileges() != Some(true)
    }

    /// Init has it by now, for hooks of the container's and for itself.
    pub(super) fn hold(&self, request: &Request<'_>, sets: &Sets, plan: &mut Draft) {
        let Some(Asked { program, flags, .. }) = &self.0 else { return };
        let raised = if self.is_privileged(request) { sets.raised() } else { None };
        plan.init(ORIGIN, InitOp::HoldSeccomp { flags: *flags, program, raised });
    }

    /// The next process that is filtered has this connection.
    pub(super) fn hold_agent(&self, socket: Option<&Slot>, plan: &mut Draft) {
        if let (Some(Asked { agent: Some(agent), .. }), Some(socket)) = (&self.0, socket) {
            let held = InitOp::HoldSeccompAgent { socket: *socket, state: &agent.state };
            plan.init(&below(ORIGIN, "listenerPath"), held);
        }
    }

    /// Right before the program is executed: no profile can then stop what comes before it.
    pub(super) fn install(&self, agents: &[Slot], plan: &mut Draft) {
        if self.0.is_some() {
            self.hold_agent(agents.last(), plan);
            plan.init(ORIGIN, InitOp::InstallSeccomp {});
        }
    }
}

impl Agent {
    fn read(request: &Request<'_>, seccomp: &LinuxSeccomp, status: Status) -> Result<Self, Invalid> {
        let origin = below(ORIGIN, "listenerPath");
        let path = seccomp.listener_path().as_deref().filter(|path| !path.as_os_str().is_empty());
        let Some(path) = path else { return Err(Invalid::new(origin, "SCMP_ACT_NOTIFY needs a listenerPath")) };
        if !path.is_absolute() {
            return Err(Invalid::new(origin, format!("the path {} is not absolute", path.display())));
        }
        let state = process_state(request, seccomp, status)?;
        Ok(Self { path: path_text(&origin, path)?, state })
    }
}

/// The container process state (runtime-spec config-linux.md#containerprocessstate) up to the first of its two pids. Behind
/// it come that, `},"pid":`, the pid again and `}`.
fn process_state(request: &Request<'_>, seccomp: &LinuxSeccomp, status: Status) -> Result<Vec<u8>, Invalid> {
    let failed = |error| Invalid::new("", format!("cannot write the container process state: {error}"));
    let mut json = serde_json::to_vec(&serde_json::json!({
        "ociVersion": request.spec.version(),
        "fds": ["seccompFd"],
        "metadata": seccomp.listener_metadata().as_deref().unwrap_or_default(),
    }))
    .map_err(failed)?;
    // The brace.
    json.pop();
    json.extend_from_slice(b",\"state\":");
    json.extend_from_slice(&hooks::state(request)?);
    json.extend_from_slice(format!(",\"status\":\"{}\",\"pid\":", status.name()).as_bytes());
    Ok(json)
}

/// runtime-spec: what no architecture has may be newer than this version, and is ignored.
fn note_unknown(seccomp: &LinuxSeccomp, plan: &mut Draft) {
    let names = seccomp.syscalls().iter().flatten().flat_map(|call| call.names());
    let unknown: Vec<&str> =
        names.map(String::as_str).filter(|name| arch::row(name).is_none() && !arch::is_foreign(name)).collect();
    if !unknown.is_empty() {
        plan.note(format!("ignoring unknown system calls: [{}] ({ORIGIN}/syscalls)", unknown.join(" ")));
    }
}

/// What a profile may name (runtime-spec features-linux.md#seccomp).
pub(super) mod known {
    use super::*;

    pub(in super::super) const ACTIONS: [LinuxSeccompAction; 9] = [
        LinuxSeccompAction::ScmpActAllow,
        LinuxSeccompAction::ScmpActErrno,
        LinuxSeccompAction::ScmpActKill,
        LinuxSeccompAction::ScmpActKillProcess,
        LinuxSeccompAction::ScmpActKillThread,
        LinuxSeccompAction::ScmpActLog,
        LinuxSeccompAction::ScmpActNotify,
        LinuxSeccompAction::ScmpActTrace,
        LinuxSeccompAction::ScmpActTrap,
    ];

    pub(in super::super) const OPERATORS: [LinuxSeccompOperator; 7] = [
        LinuxSeccompOperator::ScmpCmpEq,
        LinuxSeccompOperator::ScmpCmpGe,
        LinuxSeccompOperator::ScmpCmpGt,
        LinuxSeccompOperator::ScmpCmpLe,
        LinuxSeccompOperator::ScmpCmpLt,
        LinuxSeccompOperator::ScmpCmpMaskedEq,
        LinuxSeccompOperator::ScmpCmpNe,
    ];

    /// All that the specification has. Those that the machine does not run change nothing.
    #[rustfmt::skip]
    pub(in super::super) const ARCHS: [Arch; 24] = [
        Arch::ScmpArchNative, Arch::ScmpArchAarch64, Arch::ScmpArchArm, Arch::ScmpArchLoongarch64, Arch::ScmpArchM68k,
        Arch::ScmpArchMips, Arch::ScmpArchMips64, Arch::ScmpArchMips64n32, Arch::ScmpArchMipsel, Arch::ScmpArchMipsel64,
        Arch::ScmpArchMipsel64n32, Arch::ScmpArchParisc, Arch::ScmpArchParisc64, Arch::ScmpArchPpc, Arch::ScmpArchPpc64,
        Arch::ScmpArchPpc64le, Arch::ScmpArchRiscv64, Arch::ScmpArchS390, Arch::ScmpArchS390x, Arch::ScmpArchSh,
        Arch::ScmpArchSheb, Arch::ScmpArchX32, Arch::ScmpArchX86, Arch::ScmpArchX86_64,
    ];

    pub(in super::super) const FLAGS: [LinuxSeccompFilterFlag; 4] = [
        LinuxSeccompFilterFlag::SeccompFilterFlagLog,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow,
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv,
    ];
}
