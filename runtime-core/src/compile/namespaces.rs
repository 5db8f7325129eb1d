//! Which namespaces are new, joined or the caller's, and in which order init gets into them.

use std::ffi::{CStr, CString};

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};

use super::cgroup::Way;
use super::departure::{self, Carried};
use super::mounts;
use super::plan::Draft;
use super::text::{below, listed, path_text, text};
use super::time_offsets::TimeOffsets;
use super::{Chapters, Invalid, Request, idmap, process, rootfs};
use crate::facts::Facts;
use crate::wire::{HostOp, InitOp, Ns, Slot, Spaces, Text};

/// Where config.json lists them.
pub(super) const LIST: &str = "/linux/namespaces";

/// From here on execve(2) enters the time namespace that unshare(2) made; before, only a child is born into it.
const EXECVE_ENTERS_TIME: (u32, u32) = (6, 3);

/// What config.json says of one kind of namespace.
#[derive(Debug)]
enum Space {
    /// Nothing: it stays the caller's.
    Inherited,
    New {
        origin: String,
    },
    Joined {
        origin: String,
        path: CString,
        slot: Slot,
    },
}

/// When init enters the container's user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UserEntry {
    /// There is none.
    Never,
    /// After all that takes the host's privileges: other namespaces are joined, the host's trees are staged.
    Late,
    /// At once: an unprivileged caller has privileges nowhere else.
    First,
}

/// The container's namespaces.
#[derive(Debug)]
pub(super) struct Namespaces {
    spaces: [Space; 8],
    entry: UserEntry,
    execve_enters_time: bool,
    /// What is inherited and belongs to another user namespace than the caller's.
    foreign: Spaces,
    /// The caller's mount namespace, for a container that shares it: to put its filesystem together, init leaves it.
    home: Option<Slot>,
}

impl Namespaces {
    /// Reads `linux.namespaces`; a slot is taken for each that is joined.
    pub(super) fn read(list: Option<&Vec<LinuxNamespace>>, facts: &Facts, plan: &mut Draft) -> Result<Self, Invalid> {
        let mut spaces = [const { Space::Inherited }; 8];
        for (origin, namespace) in listed(LIST, list) {
            let ns = kind(namespace.typ());
            let space = &mut spaces[ns as usize];
            if !matches!(space, Space::Inherited) {
                return Err(Invalid::new(origin, format!("malformed spec file: duplicated ns {:?}", ns.name())));
            }
            let path = namespace.path().as_deref().filter(|path| !path.as_os_str().is_empty());
            *space = match path {
                None => Space::New { origin },
                Some(path) => {
                    let origin = below(&origin, "path");
                    if !path.is_absolute() {
                        return Err(Invalid::new(origin, format!("the namespace path {path:?} is not absolute")));
                    }
                    Space::Joined { path: path_text(&origin, path)?, origin, slot: plan.slot()? }
                }
            };
        }
        let entry = match spaces[Ns::User as usize] {
            Space::Inherited => UserEntry::Never,
            _ if facts.is_privileged() => UserEntry::Late,
            _ => UserEntry::First,
        };
        let foreign = Spaces(facts.foreign_namespaces);
        let is_shared = matches!(spaces[Ns::Mount as usize], Space::Inherited);
        let home = is_shared.then(|| plan.slot()).transpose()?;
        let namespaces = Self { spaces, entry, execve_enters_time: facts.kernel >= EXECVE_ENTERS_TIME, foreign, home };
        namespaces.check(facts)?;
        Ok(namespaces)
    }

    fn check(&self, facts: &Facts) -> Result<(), Invalid> {
        if self.entry == UserEntry::Never && !facts.is_privileged() {
            return Err(Invalid::new(LIST, "rootless container requires user namespaces"));
        }
        if self.is_private(Ns::Time) && !facts.time_namespaces {
            return Err(Invalid::unsupported(self.origin(Ns::Time), "the kernel has no time namespaces"));
        }
        if !self.is_private(Ns::Mount) && self.has_user() {
            return Err(Invalid::new(LIST, "a container with a user namespace needs a mount namespace"));
        }
        Ok(())
    }

    fn get(&self, ns: Ns) -> &Space {
        &self.spaces[ns as usize]
    }

    /// Whether the container has a user namespace, new or joined.
    pub(super) fn has_user(&self) -> bool {
        self.entry != UserEntry::Never
    }

    /// Whether it is made for the container.
    pub(super) fn is_new(&self, ns: Ns) -> bool {
        matches!(self.get(ns), Space::New { .. })
    }

    /// The slot of the namespace that is joined.
    pub(super) fn joined(&self, ns: Ns) -> Option<Slot> {
        match self.get(ns) {
            Space::Joined { slot, .. } => Some(*slot),
            _ => None,
        }
    }

    /// The slot of the host's mount namespace, where the container is in that.
    pub(super) fn home(&self) -> Option<Slot> {
        self.home
    }

    /// The path of the namespace that is joined.
    pub(super) fn path(&self, ns: Ns) -> Option<&CStr> {
        match self.get(ns) {
            Space::Joined { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Whether it is another one than the caller's, as far as config.json tells.
    pub(super) fn is_private(&self, ns: Ns) -> bool {
        !matches!(self.get(ns), Space::Inherited)
    }

    /// Whether it belongs to the container's user namespace (user_namespaces(7)), so that its filesystem can be mounted
    /// there. What is joined together with the user namespace is taken to belong to it, as a pod's namespaces do.
    pub(super) fn owns(&self, ns: Ns) -> bool {
        match self.get(ns) {
            Space::New { .. } => true,
            Space::Joined { .. } => !self.has_user() || self.joined(Ns::User).is_some(),
            Space::Inherited => self.keeps(ns),
        }
    }

    /// Whether the caller's namespace of this kind belongs to the user namespace that init stays in.
    pub(super) fn keeps(&self, ns: Ns) -> bool {
        !self.has_user() && self.foreign.0 & ns.flag() == 0
    }

    /// Whether the host's trees go over a stage: the locks of a copy made by a less privileged mount namespace
    /// (mount_namespaces(7)) are what keeps root of the user namespace from taking a `ro` off, or a cover.
    pub(super) fn is_staged(&self) -> bool {
        self.entry == UserEntry::Late && self.is_new(Ns::Mount)
    }

    /// Whether init must be dumpable for the caller to see its namespaces. It may be, before it joins others: in a user
    /// namespace of its own nobody but the caller has a privilege over it (ptrace(2), CVE-2016-9962).
    pub(super) fn hides_from_caller(&self) -> bool {
        self.entry == UserEntry::First && self.is_new(Ns::User)
    }

    /// Where config.json asks for it.
    pub(super) fn origin(&self, ns: Ns) -> &str {
        match self.get(ns) {
            Space::Inherited => "",
            Space::New { origin } | Space::Joined { origin, .. } => origin,
        }
    }

    /// The new ones, without `except`.
    fn new_ones(&self, except: &[Ns]) -> Spaces {
        let new = Ns::ALL.iter().filter(|ns| self.is_new(**ns) && !except.contains(ns));
        new.fold(Spaces::default(), |spaces, ns| spaces.with(*ns))
    }

    /// What init is born into. A process cannot move itself into a new pid namespace, so this is the cheapest way; but
    /// the pid namespace must belong to the user namespace, and pid 1 cannot be born again (clone(2), CLONE_PARENT).
    fn at_birth(&self) -> Spaces {
        let pid = self.is_new(Ns::Pid) && !self.has_user() && !self.needs_child_for_time();
        if pid { Spaces::default().with(Ns::Pid) } else { Spaces::default() }
    }

    fn needs_child_for_time(&self) -> bool {
        self.is_new(Ns::Time) && !self.execve_enters_time
    }

    /// Whether init goes on in a child.
    pub(super) fn reforks(&self) -> bool {
        self.reforks_early() || self.reforks_late()
    }

    /// Whether init goes on in a child right after it made its namespaces.
    fn reforks_early(&self) -> bool {
        let pid = self.is_new(Ns::Pid) && self.at_birth().is_empty();
        !self.reforks_late() && (pid || self.needs_child_for_time())
    }

    /// Whether init goes on in a child once its root is the container's.
    fn reforks_late(&self) -> bool {
        self.joined(Ns::Pid).is_some()
    }

    /// A joined pid namespace is entered in two moves. The first, setns(2), only says where children are born; it needs
    /// privileges over that namespace, which root of another user namespace would not have.
    fn joins_pid_early(&self) -> bool {
        self.entry == UserEntry::Late
    }
}

impl Facts {
    /// Whether the caller may do in its user namespace what root may: mount, and write any id map.
    pub fn is_privileged(&self) -> bool {
        const CAP_SETGID: u8 = 6;
        const CAP_SETUID: u8 = 7;
        const CAP_SYS_ADMIN: u8 = 21;
        [CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN].into_iter().all(|capability| self.has(capability))
    }
}

fn kind(typ: LinuxNamespaceType) -> Ns {
    match typ {
        LinuxNamespaceType::User => Ns::User,
        LinuxNamespaceType::Pid => Ns::Pid,
        LinuxNamespaceType::Network => Ns::Network,
        LinuxNamespaceType::Ipc => Ns::Ipc,
        LinuxNamespaceType::Uts => Ns::Uts,
        LinuxNamespaceType::Cgroup => Ns::Cgroup,
        LinuxNamespaceType::Time => Ns::Time,
        LinuxNamespaceType::Mount => Ns::Mount,
    }
}

/// The host opens those that are joined: their paths lead through the host's /proc.
pub(super) fn open(request: &Request<'_>, plan: &mut Draft) {
    let mut joined: Vec<_> = Ns::ALL
        .into_iter()
        .filter_map(|ns| match request.spaces.get(ns) {
            Space::Joined { origin, path, slot } => Some((*slot, ns, origin.as_str(), path.as_c_str())),
            _ => None,
        })
        .chain(request.spaces.home.map(|slot| (slot, Ns::Mount, LIST, c"/proc/thread-self/ns/mnt")))
        .collect();
    joined.sort_unstable_by_key(|(slot, ..)| slot.0);
    for (slot, ns, origin, path) in joined {
        plan.host(origin, HostOp::OpenNamespace { ns, path: Text(path), slot });
    }
}

/// Init is born, in its cgroup where the host made one.
pub(super) fn spawn(request: &Request<'_>, plan: &mut Draft) {
    let spaces = request.spaces.at_birth();
    let origin = if spaces.is_empty() { "" } else { request.spaces.origin(Ns::Pid) };
    let into_cgroup = matches!(request.cgroup, Way::Directory(Some(_)));
    plan.host(origin, HostOp::SpawnInit { spaces, into_cgroup });
}

/// The host opens what a pidfd does not lead to: until it executes the program, init is not yet in its time namespace
/// (time_namespaces(7)).
pub(super) fn open_time(request: &Request<'_>, init: u32, plan: &mut Draft) -> Result<Option<Slot>, Invalid> {
    if !request.spaces.is_private(Ns::Time) {
        return Ok(None);
    }
    let (slot, origin) = (plan.slot()?, request.spaces.origin(Ns::Time));
    let path = text(origin, format!("/proc/{init}/ns/time_for_children"))?;
    plan.host(origin, HostOp::OpenNamespace { ns: Ns::Time, path: Text(&path), slot });
    Ok(Some(slot))
}

/// Where the mount namespace is the host's, it leads to the host's root.
pub(super) fn open_root(request: &Request<'_>, init: u32, plan: &mut Draft) -> Result<Option<Slot>, Invalid> {
    if request.spaces.is_private(Ns::Mount) {
        return Ok(None);
    }
    let slot = plan.slot()?;
    plan.host(LIST, HostOp::OpenRoot { pid: init, slot });
    Ok(Some(slot))
}

/// A process that joins the container enters the namespaces of the container's init: those that belong to the host's user
/// namespace while it has the host's privileges, the rest together with the user namespace.
pub(super) fn join_all(request: &Request<'_>, init: Slot, time: Option<Slot>, root: Option<Slot>, plan: &mut Draft) {
    let spaces = &request.spaces;
    let first = spaces.entry == UserEntry::First;
    if first && request.process.oom_score_adj().is_some() {
        plan.init("", InitOp::AllowMaps {});
        process::set_oom_score(request, plan);
        plan.init("", InitOp::Undump {});
    } else {
        process::set_oom_score(request, plan);
    }
    let private = || Ns::ALL.into_iter().filter(|ns| spaces.is_private(*ns));
    let set = |foreign: bool| {
        let foreigners = private().filter(|ns| (!first && !spaces.owns(*ns)) == foreign);
        foreigners.fold(Spaces::default(), Spaces::with)
    };
    for foreign in [true, false] {
        let set = set(foreign);
        if !set.without(Ns::Time).is_empty() {
            plan.init(LIST, InitOp::JoinAll { spaces: set.without(Ns::Time), init });
        }
        if let Some(slot) = time.filter(|_| set.has(Ns::Time)) {
            plan.init(spaces.origin(Ns::Time), InitOp::Join { ns: Ns::Time, slot });
        }
    }
    if spaces.has_user() {
        plan.init(spaces.origin(Ns::User), InitOp::BecomeRoot {});
    }
    if spaces.is_private(Ns::Pid) {
        plan.init(spaces.origin(Ns::Pid), InitOp::Refork {});
    } else if spaces.has_user() {
        // Changing ids clears the parent's death signal (prctl(2), PR_SET_PDEATHSIG); a new child sets it anew.
        plan.init("", InitOp::Harden {});
    }
    plan.init("", InitOp::NewSession {});
    if let Some(slot) = root {
        plan.init(LIST, InitOp::JoinRoot { slot });
    }
    plan.init("", InitOp::TakeRoot {});
}

/// A network namespace that is joined is furnished by its maker; a new one has the container alone.
pub(super) fn raise_loopback(request: &Request<'_>, plan: &mut Draft) {
    if request.spaces.is_new(Ns::Network) {
        plan.init(request.spaces.origin(Ns::Network), InitOp::RaiseLoopback {});
    }
}

/// Init enters its namespaces, all but a joined pid namespace; `few`: by way of that one. What it carries over.
pub(super) fn enter(
    request: &Request<'_>,
    chapters: &Chapters<'_>,
    few: Option<Slot>,
    plan: &mut Draft,
) -> Result<Carried, Invalid> {
    let (spaces, offsets) = (&request.spaces, &chapters.offsets);
    let mut carried = Carried::default();
    match spaces.entry {
        UserEntry::Never => {
            process::set_oom_score(request, plan);
            join_others(spaces, plan);
            carried = departure::leave(request, chapters, few, plan)?;
            unshare(spaces, offsets, plan);
            if !carried.has_left() {
                rootfs::propagate(request, plan);
            }
        }
        UserEntry::Late => {
            process::set_oom_score(request, plan);
            join_others(spaces, plan);
            carried = departure::leave(request, chapters, few, plan)?;
            if spaces.is_staged() {
                plan.init(spaces.origin(Ns::Mount), InitOp::Unshare { spaces: Spaces::default().with(Ns::Mount) });
            }
            if !carried.has_left() {
                rootfs::propagate(request, plan);
            }
            if spaces.is_staged() {
                mounts::stage(request, &chapters.mounts, &carried, plan)?;
            }
            enter_user(request, plan);
            plan.init(spaces.origin(Ns::User), InitOp::BecomeRoot {});
            unshare(spaces, offsets, plan);
        }
        UserEntry::First => {
            // Below /proc the files of a process that is not dumpable belong to root (proc(5)), so that neither its id
            // maps nor its score could be written. Nothing is joined in that state (CVE-2016-9962).
            let is_new = spaces.is_new(Ns::User);
            let dumpable = is_new || request.process.oom_score_adj().is_some();
            if dumpable {
                plan.init(spaces.origin(Ns::User), InitOp::AllowMaps {});
            }
            process::set_oom_score(request, plan);
            if is_new {
                enter_user(request, plan);
            }
            if dumpable {
                plan.init("", InitOp::Undump {});
            }
            if !is_new {
                enter_user(request, plan);
            }
            plan.init(spaces.origin(Ns::User), InitOp::BecomeRoot {});
            join_others(spaces, plan);
            unshare(spaces, offsets, plan);
            rootfs::propagate(request, plan);
        }
    }
    Ok(carried)
}

fn join(spaces: &Namespaces, ns: Ns, plan: &mut Draft) {
    if let Some(slot) = spaces.joined(ns) {
        plan.init(spaces.origin(ns), InitOp::Join { ns, slot });
    }
}

/// The mount namespace comes last ([`Ns::ALL`] has it there): entering it changes the root directory.
fn join_others(spaces: &Namespaces, plan: &mut Draft) {
    for ns in Ns::ALL.into_iter().filter(|ns| *ns != Ns::User) {
        if ns != Ns::Pid || spaces.joins_pid_early() {
            join(spaces, ns, plan);
        }
    }
    if spaces.joined(Ns::Mount).is_some() {
        plan.warn("the root directory of the joined mount namespace is changed for every process in it");
    }
}

fn enter_user(request: &Request<'_>, plan: &mut Draft) {
    let spaces = &request.spaces;
    join(spaces, Ns::User, plan);
    if spaces.is_new(Ns::User) {
        let origin = spaces.origin(Ns::User);
        plan.init(origin, InitOp::Unshare { spaces: Spaces::default().with(Ns::User) });
        idmap::write(&request.ids, plan);
    }
}

/// One unshare(2) for all that is left to make; what it makes belongs to the user namespace init is in by now.
fn unshare(spaces: &Namespaces, offsets: &TimeOffsets, plan: &mut Draft) {
    let born = spaces.at_birth();
    let except: &[Ns] = if born.is_empty() { &[Ns::User] } else { &[Ns::User, Ns::Pid] };
    let rest = spaces.new_ones(except);
    let rest = if spaces.home.is_some() { rest.with(Ns::Mount) } else { rest };
    if !rest.is_empty() {
        plan.init(LIST, InitOp::Unshare { spaces: rest });
    }
    offsets.write(plan);
    if spaces.reforks_early() {
        let ns = if spaces.is_new(Ns::Pid) { Ns::Pid } else { Ns::Time };
        plan.init(spaces.origin(ns), InitOp::Refork {});
    } else if spaces.has_user() {
        // Changing ids clears the parent's death signal (prctl(2), PR_SET_PDEATHSIG); a new child sets it anew.
        plan.init("", InitOp::Harden {});
    }
    if !spaces.reforks_late() {
        plan.init("", InitOp::NewSession {});
    }
}

/// A shared pid namespace is entered when nothing of the host is within reach any more: a neighbour with CAP_SYS_PTRACE
/// could open init's root.
pub(super) fn enter_pid(request: &Request<'_>, plan: &mut Draft) {
    let spaces = &request.spaces;
    if spaces.reforks_late() {
        if !spaces.joins_pid_early() {
            join(spaces, Ns::Pid, plan);
        }
        plan.init(spaces.origin(Ns::Pid), InitOp::Refork {});
        plan.init("", InitOp::NewSession {});
    }
}
