//! ROOM 2, pure: config.json, this host's facts and the caller's options in, a plan out.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod capabilities;
pub(crate) mod cgroup;
mod check;
pub(crate) mod departure;
pub(crate) mod device_filter;
mod devices;
mod exec;
#[cfg(feature = "criu")]
pub(crate) mod external;
mod features;
pub(crate) mod hooks;
mod idmap;
mod lsm;
mod mount_ids;
mod mount_options;
mod mounts;
mod namespaces;
mod net_devices;
mod own_proc;
mod plan;
mod process;
mod program;
pub(crate) mod rdt;
mod rlimits;
mod rootfs;
mod scheduling;
pub mod seccomp;
mod sysctl;
mod terminal;
mod text;
mod time_offsets;
pub(crate) mod update;
mod verify;

use std::ffi::CString;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, Process, Spec};

pub use exec::{ExecOptions, Joining, WhenPaused};
pub use features::{features, features_json};
pub use plan::{LaunchPlan, Step};
pub(crate) use text::below;

use self::idmap::IdMaps;
use self::namespaces::Namespaces;
use self::plan::Draft;
use crate::facts::Facts;
use crate::id::Id;
use crate::state::Status;
use crate::wire::{HookKind, Propagation, Slot, WindowSize};

/// What config.json cannot have: where it says so, and why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}{}{origin}{}", if origin.is_empty() { "" } else { " (" }, if origin.is_empty() { "" } else { ")" })]
pub struct Invalid {
    /// The JSON pointer (RFC 6901) into config.json; empty where the whole of it is meant.
    pub origin: String,
    /// Lower case, one line.
    pub why: String,
    /// Whether it is this host or this version that cannot, rather than config.json that is wrong.
    pub unsupported: bool,
}

/// How the container's root becomes the root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RootSwitch {
    /// pivot_root(2).
    #[default]
    Pivot,
    /// MS_MOVE and chroot(2), for a host whose root is an initramfs.
    Move,
}

/// Which session keyring the container has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keyring {
    /// One of its own.
    #[default]
    New,
    /// The caller's.
    Keep,
}

/// Who makes the container's cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupDriver {
    /// The runtime itself, in the cgroup file system; `cgroupsPath` is a path.
    #[default]
    Cgroupfs,
    /// systemd, asked over D-Bus for a transient unit; `cgroupsPath` is `slice:prefix:name`. An unprivileged caller asks
    /// the systemd of its own user.
    Systemd,
    /// Nobody: the container is where its caller is, has no device filter, and may have no limits. `cgroupsPath` is not
    /// looked at.
    Disabled,
}

/// Which acts of the plan are performed in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acts {
    /// Up to *created*; init then waits for start.
    Create,
    /// Both: nobody waits for a start.
    Run,
}

/// Whether the time of each step is kept ([`crate::Container::times`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// It is not.
    #[default]
    None,
    /// It is: one clock_gettime(2) a step.
    Steps,
}

/// Whether the caller is taken for one who may not do to this host what root may. Such a one goes without a cgroup
/// where it may make none and none is needed, and without a lower oom_score_adj where that is denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rootless {
    /// Where its effective uid is not 0, or it is in another user namespace than the first.
    #[default]
    Auto,
    /// It is. Root of the host is not let off the cgroup even so: its containers need the device filter.
    Yes,
    /// It is not: what is not permitted is an error.
    No,
}

/// What the caller asks for beside config.json.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// Where to write init's pid, absolute.
    pub pid_file: Option<PathBuf>,
    /// The SOCK_STREAM socket that init's pidfd is sent to by SCM_RIGHTS (unix(7)), absolute, of any length. With it comes
    /// the text `standard`.
    pub pidfd_socket: Option<PathBuf>,
    /// How many of [`crate::Stdio::others`], from the first, the program is told of by LISTEN_FDS and LISTEN_PID
    /// (sd_listen_fds(3)).
    pub listen_fds: u32,
    /// How the container's root becomes the root.
    pub root_switch: RootSwitch,
    /// Which session keyring the container has.
    pub keyring: Keyring,
    /// The AF_UNIX stream socket that gets the master of the terminal, absolute; `None` leaves it to the caller
    /// ([`crate::Container::terminal`]).
    pub console_socket: Option<PathBuf>,
    /// The size of the caller's own terminal, where the caller will pass bytes between it and the container's. It counts
    /// instead of `consoleSize`, unless it is 0; and the carriage is returned once, by the caller's (ONLCR is cleared).
    pub window: Option<WindowSize>,
    /// Whether the time of each step is kept.
    pub timing: Timing,
    /// Whether the caller is taken for one who may not do what root may.
    pub rootless: Rootless,
    /// Who makes the cgroup.
    pub cgroup_driver: CgroupDriver,
}

/// One launch: what is compiled into a plan beside config.json and the host's facts.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The container's id.
    pub id: &'a Id,
    /// The bundle's directory, absolute.
    pub bundle: &'a Path,
    /// The container's state directory, absolute.
    pub state_dir: &'a Path,
    /// What the caller asks for.
    pub options: &'a CreateOptions,
    /// Which acts are performed in one go.
    pub acts: Acts,
}

/// What is to be launched, and what was decided about it before the first step.
struct Request<'a> {
    spec: &'a Spec,
    process: &'a Process,
    linux: &'a Linux,
    facts: &'a Facts,
    launch: &'a Launch<'a>,
    spaces: Namespaces,
    ids: IdMaps,
    /// How the container gets its cgroup; of a process that joins one, not at all.
    cgroup: cgroup::Way,
    state_dir: CString,
    rootfs: CString,
    propagation: Option<Propagation>,
    hooks: hooks::Hooks,
}

/// The oldest kernel that has all that a plan is made of: cgroup.kill, mount_setattr(2), openat2(2), clone3(2).
pub(crate) const OLDEST_KERNEL: (u32, u32) = (5, 14);

impl<'a> Request<'a> {
    fn read(
        spec: &'a Spec,
        process: &'a Process,
        facts: &'a Facts,
        launch: &'a Launch<'a>,
        plan: &mut Draft,
    ) -> Result<Self, Invalid> {
        if facts.kernel < OLDEST_KERNEL {
            let ((major, minor), (least, of)) = (facts.kernel, OLDEST_KERNEL);
            let why = format!("the kernel is Linux {major}.{minor}, at least {least}.{of} is needed");
            return Err(Invalid::unsupported("", why));
        }
        check::absolute("bundle", launch.bundle)?;
        check::absolute("state directory", launch.state_dir)?;
        let rootfs = rootfs::path(spec.root().as_ref(), launch.bundle)?;
        let linux = spec.linux().as_ref().ok_or_else(|| {
            Invalid::unsupported("/linux", "without the property linux a container would have no namespace of its own")
        })?;
        let hooks = hooks::Hooks::read(spec)?;
        let spaces = Namespaces::read(linux.namespaces().as_ref(), facts, plan)?;
        let ids = IdMaps::read(linux, &spaces, facts)?;
        let propagation = rootfs::propagation(linux, &spaces)?;
        let state_dir = text::path_text("", launch.state_dir)?;
        Ok(Self {
            spec,
            process,
            linux,
            facts,
            launch,
            spaces,
            ids,
            cgroup: cgroup::Way::Directory(None),
            state_dir,
            rootfs,
            propagation,
            hooks,
        })
    }
}

/// All that config.json asks for, each chapter read and checked: what cannot be is said before any step is written.
struct Chapters<'a> {
    mounts: mounts::Mounts,
    devices: devices::Devices,
    resources: cgroup::Limits,
    covered: rootfs::Covered,
    sysctls: sysctl::Sysctls<'a>,
    labels: lsm::Labels,
    names: process::Names<'a>,
    net_devices: net_devices::NetDevices,
    rdt: rdt::Rdt,
    limits: rlimits::Limits,
    scheduling: scheduling::Scheduling,
    offsets: time_offsets::TimeOffsets,
    sets: capabilities::Sets,
    user: process::User<'a>,
    program: program::Program,
    terminal: terminal::Terminal,
    told: process::Told,
    filter: seccomp::Filter,
}

impl<'a> Chapters<'a> {
    fn read(request: &'a Request<'a>, plan: &mut Draft) -> Result<Self, Invalid> {
        let mounts = mounts::Mounts::read(request, plan)?;
        let user = process::User::read(request)?;
        let terminal = terminal::Terminal::read(request, user.uid())?;
        terminal.check(&mounts)?;
        Ok(Self {
            devices: devices::Devices::read(request)?,
            resources: cgroup::Limits::read(request, plan)?,
            covered: rootfs::Covered::read(request)?,
            sysctls: sysctl::Sysctls::read(request)?,
            labels: lsm::Labels::read(request)?,
            names: process::Names::read(request.spec, &request.spaces)?,
            net_devices: net_devices::NetDevices::read(request)?,
            rdt: rdt::Rdt::read(request, plan)?,
            limits: rlimits::Limits::read(request.process.rlimits().as_ref())?,
            scheduling: scheduling::Scheduling::read(request.process, request.linux, plan)?,
            offsets: time_offsets::TimeOffsets::read(request)?,
            sets: capabilities::Sets::read(request, plan),
            program: program::Program::read(request.process, request.launch.options.listen_fds)?,
            told: process::Told::read(request.launch.options)?,
            filter: seccomp::Filter::read(request, Status::Created, plan)?,
            mounts,
            user,
            terminal,
        })
    }

    /// Whether parameters or labels are written to a procfs.
    fn needs_proc(&self) -> bool {
        !self.sysctls.is_empty() || self.labels.are_asked_for()
    }

    /// The procfs that parameters and labels are written to.
    fn open_proc(&self, request: &Request<'_>, plan: &mut Draft) -> Result<Option<Slot>, Invalid> {
        match (self.sysctls.is_empty(), self.labels.are_asked_for()) {
            (false, _) => own_proc::open(request, sysctl::MAP, plan).map(Some),
            (true, true) => own_proc::open(request, self.labels.origin(), plan).map(Some),
            (true, false) => Ok(None),
        }
    }

    /// The canonical order: whatever is asked for, this is when.
    fn write(&self, request: &Request<'_>, plan: &mut Draft) -> Result<(), Invalid> {
        // Prepare: the host makes what outlives it, opens what init will need, and spawns init.
        rootfs::claim(request, plan);
        self.net_devices.find(plan);
        cgroup::make(request, &self.resources, &self.mounts, plan)?;
        namespaces::open(request, plan);
        self.mounts.make_id_maps(plan);
        let few = departure::open(request, self, plan)?;
        let listener = process::listen(request, plan)?;
        let agents = self.filter.connect(request.hooks.of(HookKind::StartContainer).count(), plan)?;
        self.rdt.make(plan);
        namespaces::spawn(request, plan);
        cgroup::finish_beside_init(request, &self.mounts, plan)?;
        process::record_beside_init(request, plan);

        // Isolate: init sheds what it was born with, and enters its namespaces.
        process::harden(plan);
        cgroup::start_unit(request, &self.resources, &self.mounts, plan)?;
        self.rdt.enter(plan);
        self.scheduling.begin(plan);
        let mut carried = namespaces::enter(request, self, few, plan)?;
        namespaces::raise_loopback(request, plan);
        self.net_devices.move_in(request, plan);

        // Furnish: the container's filesystem is put together, becomes the root, and is closed.
        rootfs::attach(request, &carried, plan);
        let attached = mounts::attach(request, &self.mounts, &carried, plan)?;
        devices::furnish(request, &self.devices, &attached, &carried, plan);
        let console = self.terminal.open(plan)?;
        terminal::Terminal::bind(console, &attached, plan);
        mounts::set_read_only(&attached, plan);
        let taken = carried.taken.take().map_or_else(|| rootfs::take(&self.covered, plan), Ok)?;
        let proc = if own_proc::opens_late(request) { None } else { self.open_proc(request, plan)? };
        request.hooks.before_switch(request, plan)?;
        rootfs::switch(request, plan)?;
        namespaces::enter_pid(request, plan);
        let proc = if own_proc::opens_late(request) { self.open_proc(request, plan)? } else { proc };
        rootfs::cover(request, &self.covered, &taken, plan)?;
        rootfs::propagate_on(request, plan);
        sysctl::write(&self.sysctls, proc, plan);
        self.names.set(plan);
        self.program.enter_directory(plan);
        rootfs::protect(request, plan);

        // Confine: init gives up what the program shall not have.
        terminal::Terminal::take(console, plan);
        self.user.own_streams(console, plan);
        rlimits::set(request, &self.limits, plan);
        self.labels.before_keyring(proc, plan);
        process::join_keyring(request, plan)?;
        self.labels.set(proc, plan);
        self.scheduling.set(plan);
        capabilities::bound(&self.sets, plan);
        self.user.set(plan);
        capabilities::set(&self.sets, self.filter.is_privileged(request), plan);
        self.user.set_umask(request, plan);
        process::gain_no_privileges(request, plan);
        self.program.find(self.user.uid(), plan);
        self.terminal.hand_over(plan);
        process::record(request, listener, &agents, &self.resources, &self.told, plan)?;

        // Act two, run.
        process::await_start(listener, plan);
        self.filter.hold(request, &self.sets, plan);
        request.hooks.before_program(&self.program, &self.filter, &agents, plan);
        rlimits::lower(&self.limits, plan);
        self.filter.install(&agents, plan);
        self.program.execute(plan);
        request.hooks.after_program(plan);
        Ok(())
    }
}

impl LaunchPlan {
    /// Compiles the plan of a new container. Pure: the same arguments always give the same plan.
    ///
    /// # Errors
    /// The first thing in config.json that cannot be had, with its place.
    pub fn create(spec: &Spec, facts: &Facts, launch: &Launch<'_>) -> Result<Self, Invalid> {
        let mut draft = Draft::default();
        let plan = &mut draft;

        let process = process::of(spec)?;
        let mut request = Request::read(spec, process, facts, launch, plan)?;
        request.cgroup = cgroup::way(spec, request.linux, facts, cgroup::hierarchy(facts)?, launch)?;
        let request = &request;
        let chapters = Chapters::read(request, plan)?;
        chapters.write(request, plan)?;
        Ok(draft.finish())
    }
}
