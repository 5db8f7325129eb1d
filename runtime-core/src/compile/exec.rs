//! exec: *join*, *confine* and *run* of the same list, in one act, for one more process of a container.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Process, Spec};

use super::plan::Draft;
use super::text::{path_text, text};
use super::{Acts, CreateOptions, Invalid, Launch, LaunchPlan, Request, Rootless};
use super::{
    capabilities, cgroup, lsm, namespaces, own_proc, process, program, rdt, rlimits, scheduling, seccomp, terminal,
};
use crate::facts::Facts;
use crate::id::Id;
use crate::state::Status;
use crate::wire::{HostOp, InitOp, Spaces, Text, WindowSize};

/// What becomes of an exec while the container is paused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenPaused {
    /// It is refused.
    #[default]
    Refuse,
    /// It waits until the container is resumed, and the caller with it.
    Wait,
}

/// What the caller of an exec asks for beside the process.
#[derive(Clone, Debug, Default)]
pub struct ExecOptions {
    /// Where to write the process's pid, absolute.
    pub pid_file: Option<PathBuf>,
    /// The SOCK_STREAM socket that the process's pidfd is sent to by SCM_RIGHTS (unix(7)), absolute, of any length. With it
    /// comes the text `setns`.
    pub pidfd_socket: Option<PathBuf>,
    /// As [`CreateOptions::console_socket`], for the terminal of this process.
    pub console_socket: Option<PathBuf>,
    /// As [`CreateOptions::window`].
    pub window: Option<WindowSize>,
    /// A cgroup below the container's, which must exist; `None` for the container's own.
    pub cgroup: Option<String>,
    /// What becomes of it while the container is paused.
    pub when_paused: WhenPaused,
}

/// One exec: what is compiled into a plan beside config.json and the host's facts.
#[derive(Clone, Copy, Debug)]
pub struct Joining<'a> {
    /// The container's id.
    pub id: &'a Id,
    /// The bundle's directory, absolute.
    pub bundle: &'a Path,
    /// The container's state directory, absolute.
    pub state_dir: &'a Path,
    /// The process that joins it.
    pub process: &'a Process,
    /// The container's init, by its pid in the caller's pid namespace.
    pub init: u32,
    /// The container's cgroup, where it has one.
    pub cgroup: Option<&'a Path>,
    /// The unit that its cgroup is of, where systemd made it.
    pub unit: Option<&'a str>,
    /// The groups of resctrl that its processes are in, in the order in which they are entered.
    pub groups: &'a [PathBuf],
    /// What the caller asks for.
    pub options: &'a ExecOptions,
}

impl LaunchPlan {
    /// Compiles the plan of a process that joins a container, whose config.json `spec` was. Pure: the same arguments always
    /// give the same plan.
    ///
    /// # Errors
    /// The first thing that cannot be had, with its place in config.json where the process was `process`.
    pub fn exec(spec: &Spec, facts: &Facts, joining: &Joining<'_>) -> Result<Self, Invalid> {
        let Joining { id, bundle, state_dir, process, options, .. } = *joining;
        let mut draft = Draft::default();
        let plan = &mut draft;

        let process = &like_init(process, spec);
        let create = CreateOptions {
            pid_file: options.pid_file.clone(),
            pidfd_socket: options.pidfd_socket.clone(),
            console_socket: options.console_socket.clone(),
            window: options.window,
            ..CreateOptions::default()
        };
        let launch = &Launch { id, bundle, state_dir, options: &create, acts: Acts::Run };
        // The slots of namespaces that were joined by path are the container's init's, not this one's.
        let request = &Request::read(spec, process, facts, launch, &mut Draft::default())?;
        let labels = lsm::Labels::read(request)?;
        let limits = rlimits::Limits::read(process.rlimits().as_ref())?;
        let scheduling = scheduling::Scheduling::read_exec(process, request.linux, plan)?;
        let sets = capabilities::Sets::read(request, plan);
        let user = process::User::read(request)?;
        let program = program::Program::read(process, create.listen_fds)?;
        let terminal = terminal::Terminal::read(request, user.uid())?;
        let told = process::Told::read(&create)?;
        let filter = seccomp::Filter::read(request, Status::Running, plan)?;

        // Prepare.
        open_cgroup(joining, plan)?;
        let init = plan.slot()?;
        plan.host("", HostOp::OpenInit { pid: joining.init, slot: init });
        let time = namespaces::open_time(request, joining.init, plan)?;
        let root = namespaces::open_root(request, joining.init, plan)?;
        let agents = filter.connect(0, plan)?;
        plan.host("", HostOp::SpawnInit { spaces: Spaces::default(), into_cgroup: joining.cgroup.is_some() });

        // Join.
        process::harden(plan);
        enter_unit(joining, facts, plan)?;
        rdt::enter_all(joining.groups, plan)?;
        scheduling.begin(plan);
        namespaces::join_all(request, init, time, root, plan);
        let proc = labels.are_asked_for().then(|| own_proc::open_joined(request, labels.origin(), plan)).transpose()?;
        let console = terminal.open(plan)?;
        program.change_directory(plan);

        // Confine.
        terminal::Terminal::take(console, plan);
        user.own_streams(console, plan);
        rlimits::set(request, &limits, plan);
        labels.before_keyring(proc, plan);
        process::join_keyring(request, plan)?;
        labels.set(proc, plan);
        scheduling.set(plan);
        capabilities::bound(&sets, plan);
        user.set(plan);
        capabilities::set(&sets, filter.is_privileged(request), plan);
        user.set_umask(request, plan);
        process::gain_no_privileges(request, plan);
        program.find(user.uid(), plan);

        // Run.
        terminal.hand_over(plan);
        plan.init("", InitOp::OutliveRuntime {});
        told.send_pidfd(plan);
        plan.host("", HostOp::CheckInit {});
        told.write_pid_file(plan);
        filter.hold(request, &sets, plan);
        rlimits::lower(&limits, plan);
        filter.install(&agents, plan);
        program.execute(plan);
        Ok(draft.finish())
    }
}

/// What holds for every process of a container unless it says otherwise.
fn like_init(process: &Process, spec: &Spec) -> Process {
    let mut process = process.clone();
    if process.oom_score_adj().is_none() {
        process.set_oom_score_adj(spec.process().as_ref().and_then(Process::oom_score_adj));
    }
    process
}

/// In the unit of a user's systemd the process may not be born there; then it is moved before it has children.
fn enter_unit(joining: &Joining<'_>, facts: &Facts, plan: &mut Draft) -> Result<(), Invalid> {
    if let Some(unit) = joining.unit.filter(|_| facts.is_rootless(Rootless::Auto)) {
        let unit = text("", unit)?;
        let below = below(joining).map(|below| text("", below)).transpose()?;
        plan.host("", HostOp::EnterUnit { unit: Text(&unit), below: below.as_deref().map(Text) });
    }
    Ok(())
}

/// The cgroup below the container's that is asked for.
fn below<'a>(joining: &Joining<'a>) -> Option<&'a str> {
    joining.options.cgroup.as_deref().map(|path| path.trim_matches('/')).filter(|path| !path.is_empty())
}

/// The process is born in the container's cgroup, or below it.
fn open_cgroup(joining: &Joining<'_>, plan: &mut Draft) -> Result<(), Invalid> {
    let below = below(joining);
    let Some(path) = joining.cgroup else {
        return match below {
            None => Ok(()),
            Some(below) => {
                Err(Invalid::new("", format!("the container has no cgroup, so there is no {below:?} in it")))
            }
        };
    };
    if let Some(names) = below.map(|below| below.split('/').filter(|name| !name.is_empty()).collect::<Vec<_>>()) {
        let why = |odd| format!("bad sub cgroup path: no cgroup below the container's has the name {odd}");
        cgroup::check_names(&names).map_err(|odd| Invalid::new("", why(odd)))?;
    }
    let path = path_text("", path)?;
    // Who names the container's own means that one, and no other that there may be room in.
    let own = joining.options.cgroup.is_some().then_some(".");
    let below = below.or(own).map(|below| text("", below)).transpose()?;
    let below = below.as_deref().map(Text);
    plan.host("", HostOp::OpenCgroup { path: Text(&path), below, init: joining.init });
    Ok(())
}
