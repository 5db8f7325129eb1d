//! The process around the program: how init is hardened, what the kernel knows it by, and whose rights it ends with.

use std::ffi::CString;
use std::path::PathBuf;

use oci_spec::runtime::{Process, Spec};

use super::cgroup::Limits;
use super::idmap::Setgroups;
use super::namespaces::Namespaces;
use super::plan::Draft;
use super::text::{below, path_text, text};
use super::{Acts, CreateOptions, Invalid, Keyring, Request, Rootless, cgroup};
use crate::wire::{HostOp, InitOp, List, Ns, Slot, Text};

const USER: &str = "/process/user";
const GROUPS: &str = "/process/user/additionalGids";

/// What init lays a list of groups out in; the kernel takes 65,536 (NGROUPS_MAX).
const GROUPS_MAX: usize = 32_000;

/// The longest name of uname(2).
const NAME_MAX: usize = 64;

/// config.json leaves it open; engines count on this one.
const UMASK: u32 = 0o022;

/// `process`, whose absence the spec allows only until start.
pub(super) fn of(spec: &Spec) -> Result<&Process, Invalid> {
    spec.process().as_ref().ok_or_else(|| Invalid::new("/process", "process property must not be empty"))
}

/// Init's first steps shed what it was born with.
pub(super) fn harden(plan: &mut Draft) {
    plan.init("", InitOp::Harden {});
    plan.init("", InitOp::ResetSignals {});
    plan.init("", InitOp::CloseOthers {});
}

/// Only where it is asked for: otherwise the caller's is inherited.
pub(super) fn set_oom_score(request: &Request<'_>, plan: &mut Draft) {
    /// Lowering it takes this one, in the first user namespace (proc_pid_oom_score_adj(5)).
    const CAP_SYS_RESOURCE: u8 = 24;
    let facts = request.facts;
    if let Some(score) = request.process.oom_score_adj() {
        let may_lower = facts.has(CAP_SYS_RESOURCE) && facts.initial_user_namespace;
        let op = if may_lower || !facts.is_rootless(request.launch.options.rootless) {
            InitOp::SetOomScore { score }
        } else {
            InitOp::TryOomScore { score }
        };
        plan.init("/process/oomScoreAdj", op);
    }
}

/// The host listens for start, where there will be one.
pub(super) fn listen(request: &Request<'_>, plan: &mut Draft) -> Result<Option<Slot>, Invalid> {
    if request.launch.acts == Acts::Run {
        return Ok(None);
    }
    let slot = plan.slot()?;
    plan.host("", HostOp::ListenForStart { slot });
    Ok(Some(slot))
}

/// The names of uname(2), which belong to the uts namespace.
pub(super) struct Names<'a>([(&'static str, &'a str); 2]);

impl<'a> Names<'a> {
    pub(super) fn read(spec: &'a Spec, spaces: &Namespaces) -> Result<Self, Invalid> {
        let names = [
            ("hostname", spec.hostname().as_deref().unwrap_or_default()),
            ("domainname", spec.domainname().as_deref().unwrap_or_default()),
        ];
        for (what, name) in names.into_iter().filter(|(_, name)| !name.is_empty()) {
            let origin = below("", what);
            if !spaces.is_private(Ns::Uts) {
                return Err(Invalid::new(origin, format!("unable to set {what} without a private UTS namespace")));
            }
            if name.len() > NAME_MAX {
                return Err(Invalid::new(origin, format!("{} bytes are more than {NAME_MAX}", name.len())));
            }
            if name.contains('\0') {
                return Err(Invalid::new(origin, "it contains a NUL character"));
            }
        }
        Ok(Self(names))
    }

    /// Sets those that are asked for.
    pub(super) fn set(&self, plan: &mut Draft) {
        let [(_, host), (_, domain)] = self.0;
        if !host.is_empty() {
            plan.init("/hostname", InitOp::SetHostname { name: host.as_bytes() });
        }
        if !domain.is_empty() {
            plan.init("/domainname", InitOp::SetDomainname { name: domain.as_bytes() });
        }
    }
}

/// What Podman asks by for its caller's supplementary groups, instead of any that config.json has (podman-run(1),
/// `--group-add keep-groups`). An image may have annotations too: a caller with privilege, whose groups are worth something,
/// is not asked.
const KEEP_GROUPS: &str = "run.oci.keep_original_groups";

/// Who the program runs as.
#[derive(Debug)]
pub(super) struct User<'a> {
    uid: u32,
    gid: u32,
    groups: Groups<'a>,
    umask: u32,
}

/// What becomes of the caller's supplementary groups.
#[derive(Debug)]
enum Groups<'a> {
    /// These take their place.
    Set(&'a [u32]),
    /// They are left where that is permitted.
    Leave,
    /// They stay.
    Keep,
}

impl<'a> User<'a> {
    pub(super) fn read(request: &Request<'a>) -> Result<Self, Invalid> {
        let user = request.process.user();
        let groups = user.additional_gids().as_deref().unwrap_or_default();
        let ids = [(below(USER, "uid"), user.uid()), (below(USER, "gid"), user.gid())];
        let listed = groups.iter().enumerate().map(|(index, gid)| (below(GROUPS, index), *gid));
        for (origin, id) in ids.into_iter().chain(listed) {
            if id == u32::MAX {
                return Err(Invalid::new(origin, "this id means none (setuid(2), CVE-2024-40635)"));
            }
            let is_uid = origin.ends_with("uid");
            if is_uid && !request.ids.has_uid(id) {
                return Err(Invalid::new(origin, format!("cannot setuid to unmapped uid {id} in user namespace")));
            }
            if !is_uid && !request.ids.has_gid(id) {
                return Err(Invalid::new(origin, format!("cannot setgid to unmapped gid {id} in user namespace")));
            }
        }
        if groups.len() > GROUPS_MAX {
            return Err(Invalid::new(GROUPS, format!("more than {GROUPS_MAX} groups")));
        }
        let umask = user.umask().unwrap_or(UMASK);
        if umask > 0o777 {
            return Err(Invalid::new(below(USER, "umask"), format!("{umask} (octal {umask:o}) is no umask")));
        }
        let groups = Self::settable(request, groups)?;
        Ok(Self { uid: user.uid(), gid: user.gid(), groups, umask })
    }

    /// Always set, even to none, or the caller's would leak (CVE-2023-25173), unless it says that they shall; but a user
    /// namespace may deny setgroups(2).
    fn settable(request: &Request<'a>, groups: &'a [u32]) -> Result<Groups<'a>, Invalid> {
        let annotations = request.spec.annotations().as_ref().filter(|_| request.facts.is_rootless(Rootless::Auto));
        if annotations.and_then(|all| all.get(KEEP_GROUPS)).is_some_and(|value| value == "1") {
            return Ok(Groups::Keep);
        }
        match request.ids.setgroups() {
            Setgroups::Allowed => Ok(Groups::Set(groups)),
            Setgroups::Unknown if groups.is_empty() => Ok(Groups::Leave),
            Setgroups::Unknown => Ok(Groups::Set(groups)),
            Setgroups::Denied if groups.is_empty() => Ok(Groups::Keep),
            Setgroups::Denied => Err(Invalid::new(GROUPS, "cannot set any additional groups in a rootless container")),
        }
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    /// Who is not root may open /dev/stdout again only where the pipe behind it is theirs. A terminal is theirs already.
    pub(super) fn own_streams(&self, terminal: Option<Slot>, plan: &mut Draft) {
        if self.uid != 0 && terminal.is_none() {
            plan.init(USER, InitOp::OwnStreams { uid: self.uid });
        }
    }

    /// Becomes the user.
    pub(super) fn set(&self, plan: &mut Draft) {
        let groups = match self.groups {
            Groups::Set(groups) => Some(List::new(groups)),
            Groups::Leave => {
                plan.init(USER, InitOp::LeaveGroups {});
                None
            }
            Groups::Keep => None,
        };
        plan.init(USER, InitOp::SetUser { uid: self.uid, gid: self.gid, groups });
    }

    /// What the user's files will be made without.
    pub(super) fn set_umask(&self, request: &Request<'_>, plan: &mut Draft) {
        let is_asked_for = request.process.user().umask().is_some();
        plan.init(if is_asked_for { "/process/user/umask" } else { "" }, InitOp::SetUmask { mask: self.umask });
    }
}

/// A session keyring of the container's own (session-keyring(7)), which its user may search.
pub(super) fn join_keyring(request: &Request<'_>, plan: &mut Draft) -> Result<(), Invalid> {
    /// What the kernel gives: all to the possessor; view, read and link to the user (keyctl_setperm(3)).
    const GIVEN: u32 = 0x3f13_0000;
    const USER_SEARCH: u32 = 0x0008_0000;
    /// In a user namespace the key's owner is somebody else than the container's user.
    const OTHERS_SEARCH: u32 = 0x0000_0008;
    if request.launch.options.keyring == Keyring::Keep {
        return Ok(());
    }
    let name = text("", format!("_ses.{}", request.launch.id))?;
    let search = if request.spaces.has_user() { OTHERS_SEARCH } else { USER_SEARCH };
    plan.init("", InitOp::JoinKeyring { name: Text(&name), permissions: GIVEN | search });
    Ok(())
}

/// Nothing that the program executes can give it more.
pub(super) fn gain_no_privileges(request: &Request<'_>, plan: &mut Draft) {
    if request.process.no_new_privileges() == Some(true) {
        plan.init("/process/noNewPrivileges", InitOp::NoNewPrivileges {});
    }
}

/// Who is told of init, or of a process that joins.
#[derive(Debug)]
pub(super) struct Told {
    pid_file: Option<CString>,
    pidfd_socket: Option<CString>,
}

impl Told {
    pub(super) fn read(options: &CreateOptions) -> Result<Self, Invalid> {
        let text = |path: &Option<PathBuf>| path.as_deref().map(|path| path_text("", path)).transpose();
        Ok(Self { pid_file: text(&options.pid_file)?, pidfd_socket: text(&options.pidfd_socket)? })
    }

    /// Before it is told that the process is there: this can still fail.
    pub(super) fn send_pidfd(&self, plan: &mut Draft) {
        if let Some(socket) = &self.pidfd_socket {
            plan.host("", HostOp::SendPidfd { socket: Text(socket) });
        }
    }

    /// The pid is written where the caller wants it.
    pub(super) fn write_pid_file(&self, plan: &mut Draft) {
        if let Some(path) = &self.pid_file {
            plan.host("", HostOp::WritePidFile { path: Text(path) });
        }
    }
}

/// Whether the state can be recorded as soon as init is born: nobody is to see the container as created before it runs, neither
/// another command nor a hook, and init stays who it is.
fn is_recorded_at_birth(request: &Request<'_>) -> bool {
    request.launch.acts == Acts::Run
        && !request.spaces.reforks()
        && !request.hooks.are_asked_for()
        && request.linux.net_devices().as_ref().is_none_or(|devices| devices.is_empty())
        && matches!(request.cgroup, cgroup::Way::Directory(_))
}

/// Init was just born: while it isolates itself, the host can write down who it is.
pub(super) fn record_beside_init(request: &Request<'_>, plan: &mut Draft) {
    if is_recorded_at_birth(request) {
        plan.host("", HostOp::RecordBirth {});
    }
}

/// The container is created: from here on its life is its own.
pub(super) fn record(
    request: &Request<'_>,
    listener: Option<Slot>,
    agents: &[Slot],
    resources: &Limits,
    told: &Told,
    plan: &mut Draft,
) -> Result<(), Invalid> {
    if let Some(listener) = listener {
        let keep = [&[listener], agents].concat();
        plan.init("", InitOp::CloseSlots { keep: List::new(&keep) });
    }
    plan.init("", InitOp::OutliveRuntime {});
    resources.set_late(plan)?;
    told.send_pidfd(plan);
    if !is_recorded_at_birth(request) {
        plan.host("", HostOp::RecordState {});
    }
    told.write_pid_file(plan);
    Ok(())
}

/// Init waits for start, where there will be one.
pub(super) fn await_start(listener: Option<Slot>, plan: &mut Draft) {
    if let Some(listener) = listener {
        plan.init("", InitOp::AwaitStart { listener });
    }
}
