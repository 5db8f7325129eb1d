//! The host's ops, each performed.

use std::ffi::{CStr, CString, OsStr};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen};
use nix::sys::stat::Mode;
use nix::sys::wait::WaitStatus;

use super::failure;
use super::walk::Walk;
use crate::compile::{Acts, Step};
use crate::error::{Error, Result};
use crate::facts::unified_mount;
use crate::host::cgroup::{Cgroup, hand_down, not_set, remove_parents};
use crate::host::child;
use crate::host::file::read_small_text;
use crate::host::process::{Identity, has_ended};
use crate::host::record::CgroupRecord;
use crate::host::socket;
use crate::host::state::{START, StateDir};
use crate::process::Process;
use crate::sys::page::errno_of;
use crate::sys::{clone, process, terminal};
use crate::wire::{HostOp, IdMap, List, Missing, Ns, Slot, Text};

impl Walk<'_> {
    /// Performs one step of the host's.
    pub(super) fn host_step(&mut self, step: &Step<'_>, op: &HostOp<'_>) -> Result<()> {
        let done = match *op {
            // The caller claimed it, to be sure of the id before anything else.
            HostOp::ClaimId { .. } => Ok(()),
            HostOp::CheckRootfs { path } => check_directory(path),
            HostOp::CreateCgroup { root, path, controllers } => {
                return self.create_cgroup(step, Path::new(os(root)), path, controllers);
            }
            HostOp::SetCgroup { file, value, missing } => return self.set_cgroup(step, file, value, missing),
            // Of the unit that is started next, with all that were asked for.
            HostOp::SetProperty { .. } => Ok(()),
            HostOp::StartUnit { .. } => return self.start_unit(step, op),
            HostOp::ChangeUnit { property } => return self.change_unit(step, property),
            HostOp::EnterUnit { below, .. } => return self.enter_unit(step, below),
            HostOp::FilterDevices { program } => self.filter_devices(program),
            HostOp::OwnCgroup { uid } => self.own_cgroup(uid),
            HostOp::OpenNamespace { ns, path, slot } => return self.open_namespace(step, ns, path, slot),
            HostOp::MakeUserNamespace { ref uids, ref gids, slot } => {
                idle_user_namespace(&lines(uids), &lines(gids)).and_then(|namespace| self.fill(slot, namespace))
            }
            HostOp::MapCopy { ids, deep } => self.map_copy(ids, deep),
            HostOp::ListenForStart { slot } => self.listen(slot),
            HostOp::SpawnInit { spaces, into_cgroup } => {
                return self.spawn(spaces, into_cgroup).map_err(|errno| self.unborn(step, errno));
            }
            HostOp::WriteIdMaps { ref uids, ref gids, deny_setgroups } => self.write_maps(uids, gids, deny_setgroups),
            HostOp::LimitInit { resource, soft, hard, .. } => {
                self.pid().and_then(|pid| process::set_limit(pid, resource, soft, hard))
            }
            HostOp::RecordState {} | HostOp::RecordBirth {} => return self.record_state(step),
            HostOp::HaveUidsMapped { ref maps } => return self.have_mapped(step, "uid", maps),
            HostOp::HaveGidsMapped { ref maps } => return self.have_mapped(step, "gid", maps),
            HostOp::OpenCgroup { below, .. } => self.open_cgroup(below),
            HostOp::OpenRoot { pid, slot } => self.open_root(pid, slot),
            HostOp::OpenInit { slot, .. } => self.open_init(slot),
            HostOp::CheckInit {} => return self.check_init(step),
            HostOp::WritePidFile { path } => self.write_pid_file(Path::new(os(path))),
            HostOp::SendPidfd { socket } => self.send_pidfd(Path::new(os(socket))),
            HostOp::OwePoststop {} => return self.owe_poststop(step),
            HostOp::RunHook { ref hook } => return self.run_hook(step, hook),
            HostOp::ConnectSeccompAgent { path, slot } => {
                socket::connect_to(Path::new(os(path))).and_then(|agent| self.fill(slot, agent))
            }
            HostOp::SendTerminal { path } => self.send_terminal(path),
            HostOp::FindNetDevice { name } => return self.find_net_device(step, name),
            HostOp::MoveNetDevice { name, inside, joined } => {
                return self.move_net_device(step, [name, inside], joined);
            }
            HostOp::MakeClos { root, name, own, ref schemata } => {
                return self.make_clos(step, [root, name], own, schemata);
            }
            HostOp::SetSchemata { lines } => return self.set_schemata(step, lines),
            HostOp::MakeMonitoringGroup { path } => return self.make_monitoring_group(step, path),
            HostOp::EnterGroup { path } => return self.enter_group(step, path),
            HostOp::KeepTerminal {} => self.terminal.as_ref().map(drop).ok_or(Errno::ENOTTY),
        };
        done.map_err(|errno| failure::refused(self.plan, step, errno))
    }

    /// What init copied came with its turn; it is dissolved when init closes it, not here.
    fn map_copy(&mut self, ids: Slot, deep: bool) -> nix::Result<()> {
        let copy = self.terminal.take().ok_or(Errno::EBADF)?;
        let (_, by) = self.id_maps.iter().find(|(slot, _)| *slot == ids).ok_or(Errno::EBADF)?;
        match crate::sys::mount::map_ids(copy.as_fd(), by.as_fd(), deep) {
            // What the kernel says of a filesystem that cannot do it.
            Err(Errno::EINVAL) => Err(Errno::EOPNOTSUPP),
            mapped => mapped,
        }
    }

    pub(super) fn pid(&self) -> nix::Result<u32> {
        self.init.as_ref().map(|init| init.process.pid).or(self.stand_in).ok_or(Errno::ESRCH)
    }

    /// The directory of the container that is made; an exec makes none.
    pub(super) fn state(&self) -> nix::Result<&StateDir> {
        self.state.as_ref().ok_or(Errno::ENOTDIR)
    }

    /// Receivers know by the text, which is runc's, what they are sent: the pidfd of an init, or of a process that joined.
    fn send_pidfd(&self, path: &Path) -> nix::Result<()> {
        let payload: &[u8] = if self.joined.is_none() { b"standard" } else { b"setns" };
        let send = |pidfd: BorrowedFd<'_>| socket::send(path, payload, pidfd);
        match &self.init {
            Some(init) => send(init.process.pidfd.as_fd()),
            None => send(process::pidfd_open(self.pid()?)?.as_fd()),
        }
    }

    fn write_pid_file(&mut self, path: &Path) -> nix::Result<()> {
        write_pid(path, self.pid()?)?;
        self.pid_file = Some(path.to_owned());
        Ok(())
    }

    /// What is not a pty's master is nothing to send.
    fn send_terminal(&mut self, path: Text<'_>) -> nix::Result<()> {
        let master = self.terminal.take().ok_or(Errno::ENOTTY)?;
        let name = format!("/dev/pts/{}", terminal::number(master.as_fd())?);
        socket::send(Path::new(os(path)), name.as_bytes(), master.as_fd())
    }

    /// The journal says whose the cgroup is before it is made. One that is there already must be idle, and stays.
    fn create_cgroup(&mut self, step: &Step<'_>, root: &Path, path: Text<'_>, controllers: Text<'_>) -> Result<()> {
        let refused = |errno| failure::refused(self.plan, step, errno);
        let relative = os(path).as_bytes();
        let slashes = relative.iter().take_while(|byte| **byte == b'/').count();
        let full = root.join(OsStr::from_bytes(&relative[slashes..]));
        let before = match Cgroup::open(&full) {
            Ok(cgroup) => Some(cgroup),
            Err(Errno::ENOENT) => None,
            Err(errno) => return Err(refused(errno)),
        };
        if let Some(cgroup) = &before {
            let count = cgroup.processes().map_err(refused)?.len();
            if count != 0 {
                let why = format!("container's cgroup is not empty: {count} process(es) found");
                return Err(failure::failed(self.plan, step, &why));
            }
            if cgroup.is_frozen().map_err(refused)? {
                return Err(failure::failed(self.plan, step, "container's cgroup unexpectedly frozen"));
            }
        }
        let own = before.is_none();
        self.record.cgroup = Some(CgroupRecord { path: full.clone(), own, inode: None, unit: None });
        self.state().map_err(refused)?.save(&self.record)?;
        let mark = self.state().map_err(refused)?.mark().clone();
        let cgroup = match before {
            Some(cgroup) => cgroup,
            None => Cgroup::make(&full, &mark).map_err(refused).inspect_err(|_| {
                remove_parents(&full, &mark);
                self.record.cgroup = None;
            })?,
        };
        if own {
            // Where it cannot be marked, all that is lost is the way to it from a record that is lost as well.
            let _ = cgroup.mark(&mark);
        }
        hand_down(root, &full, &cgroup, &String::from_utf8_lossy(controllers.bytes()));
        let inode = cgroup.inode().map_err(refused)?;
        if let Some(record) = &mut self.record.cgroup {
            record.inode = Some(inode);
        }
        self.cgroup = Some(cgroup);
        Ok(())
    }

    fn set_cgroup(&self, step: &Step<'_>, file: Text<'_>, value: &[u8], missing: Missing<'_>) -> Result<()> {
        let done = self.cgroup.as_ref().ok_or(Errno::ENOENT).and_then(|cgroup| cgroup.set(file.0, value, missing));
        done.map_err(|errno| {
            let path = self.record.cgroup.as_ref().map(|record| record.path.as_path());
            let why = path.and_then(|path| not_set(path, file.0, errno));
            match why {
                Some(why) => failure::failed(self.plan, step, &why),
                None => failure::refused(self.plan, step, errno),
            }
        })
    }

    /// A cgroup below is the container's matter, and may be anything: it is reached without a link, and not from outside.
    /// The container's own is the one with the recorded inode, not whatever has its name by now. Where that is gone, init
    /// has left it, for one of the host's that it may write to: the process goes where it went.
    fn open_cgroup(&mut self, below: Option<Text<'_>>) -> nix::Result<()> {
        let record = self.record.cgroup.as_ref().ok_or(Errno::ENOENT)?;
        let own = record.open()?;
        self.may_evade = below.is_none();
        self.cgroup = Some(match (own, below) {
            (Some(own), None) => own,
            (Some(own), Some(below)) => own.open_below(below.0)?,
            (None, None) => self.joined.ok_or(Errno::ENOENT).and_then(cgroup_of_process)?,
            (None, Some(_)) => return Err(Errno::ENOENT),
        });
        Ok(())
    }

    fn open_init(&mut self, slot: Slot) -> nix::Result<()> {
        let joined = self.joined.ok_or(Errno::ESRCH)?;
        let pidfd = joined.pidfd.try_clone().map_err(errno_of)?;
        self.fill(slot, pidfd)
    }

    /// By its pid, which is its own as long as it has not ended.
    fn open_root(&mut self, pid: u32, slot: Slot) -> nix::Result<()> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = open(format!("/proc/{pid}/root").as_str(), flags, Mode::empty())?;
        match self.joined.map_or(Err(Errno::ESRCH), |joined| has_ended(&joined.pidfd))? {
            true => Err(Errno::ESRCH),
            false => self.fill(slot, root),
        }
    }

    fn check_init(&self, step: &Step<'_>) -> Result<()> {
        match self.joined.map_or(Err(Errno::ESRCH), |joined| has_ended(&joined.pidfd)) {
            Ok(false) => Ok(()),
            Ok(true) => Err(failure::failed(self.plan, step, "container not running")),
            Err(errno) => Err(failure::refused(self.plan, step, errno)),
        }
    }

    fn filter_devices(&self, program: &[u8]) -> nix::Result<()> {
        self.cgroup.as_ref().ok_or(Errno::ENOENT)?.replace_device_filter(program)
    }

    /// Who made one that was there before is the one to say whose it is.
    fn own_cgroup(&self, uid: u32) -> nix::Result<()> {
        let is_own = self.record.cgroup.as_ref().is_some_and(|record| record.own);
        let cgroup = self.cgroup.as_ref().ok_or(Errno::ENOENT)?;
        if is_own { cgroup.give(uid) } else { Ok(()) }
    }

    fn open_namespace(&mut self, step: &Step<'_>, ns: Ns, path: Text<'_>, slot: Slot) -> Result<()> {
        let refused = |errno| failure::refused(self.plan, step, errno);
        let fd = open(os(path), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).map_err(refused)?;
        match process::namespace_type(fd.as_fd()) {
            Ok(kind) if kind == ns.flag() => self.fill(slot, fd).map_err(refused),
            Ok(kind) => {
                let is = Ns::ALL.iter().find(|ns| ns.flag() == kind).map_or("another", |ns| ns.name());
                Err(failure::failed(self.plan, step, &format!("it is a namespace of type {is}")))
            }
            Err(_) => Err(failure::failed(self.plan, step, "it is no namespace")),
        }
    }

    /// Puts a descriptor into an inherited slot: they are numbered from 1, in the plan's order.
    fn fill(&mut self, slot: Slot, fd: OwnedFd) -> nix::Result<()> {
        self.slots.push(fd);
        if usize::from(slot.0) == self.slots.len() { Ok(()) } else { Err(Errno::EBADSLT) }
    }

    fn listen(&mut self, slot: Slot) -> nix::Result<()> {
        let listener =
            nix::sys::socket::socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
        bind(listener.as_raw_fd(), &start_address(self.state()?)?)?;
        listen(&listener, Backlog::new(1)?)?;
        self.fill(slot, listener)
    }

    /// setgroups is denied first: without a privilege the kernel takes a gid map only then (user_namespaces(7)).
    fn write_maps(&self, uids: &List<'_, IdMap>, gids: &List<'_, IdMap>, deny_setgroups: bool) -> nix::Result<()> {
        let pid = self.pid()?;
        if deny_setgroups {
            write_proc(pid, "setgroups", "deny")?;
        }
        for (name, maps) in [("uid_map", uids), ("gid_map", gids)] {
            if !maps.is_empty() {
                write_proc(pid, name, &lines(maps))?;
            }
        }
        Ok(())
    }

    /// newuidmap(1) or newgidmap(1) writes a map for a caller who may not.
    fn have_mapped(&self, step: &Step<'_>, kind: &str, maps: &List<'_, IdMap>) -> Result<()> {
        let refused = |errno| failure::refused(self.plan, step, errno);
        let name = format!("new{kind}map");
        let Some(program) = child::find(&name) else {
            let directories = child::DIRECTORIES.join(", ");
            let why = format!(
                "there is no {name} in {directories}: install it (package uidmap or shadow-utils), or map the caller's own id only"
            );
            return Err(failure::failed(self.plan, step, &why));
        };
        let pid = self.pid().map_err(refused)?;
        let numbers = maps.iter().flat_map(|map| [map.inside, map.outside, map.count]);
        let words = [name.clone()].into_iter().chain([pid].into_iter().chain(numbers).map(|number| number.to_string()));
        let args: Vec<_> = words.filter_map(|word| CString::new(word).ok()).collect();
        let args: Vec<_> = args.iter().map(CString::as_c_str).collect();
        let ended = child::run(&program, &args, &[], MAP_LIMIT).map_err(refused)?;
        let is_mapped = match ended.status {
            Some(status) => matches!(status, WaitStatus::Exited(_, 0)),
            None => std::fs::read(format!("/proc/{pid}/{kind}_map")).is_ok_and(|map| !map.is_empty()),
        };
        if is_mapped {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&ended.said).trim().replace('\n', "; ");
        let why = unmapped(&program.to_string_lossy(), kind, &said);
        Err(failure::failed(self.plan, step, &why).with_note((!said.is_empty()).then_some(said)))
    }

    /// From here on the container can be found, started and deleted.
    fn record_state(&mut self, step: &Step<'_>) -> Result<()> {
        let refused = |errno| failure::refused(self.plan, step, errno);
        let identity = self.pid().and_then(Identity::of).map_err(refused)?;
        self.record.init = Some(identity);
        self.record.net_devices = None;
        let state = self.state().map_err(refused)?;
        if self.acts == Acts::Create {
            state.save_plan(self.plan.as_bytes())?;
        }
        state.save(&self.record)
    }
}

/// The address of the start socket: through the descriptor of its directory, so that no path is too long.
pub(super) fn start_address(state: &StateDir) -> nix::Result<UnixAddr> {
    let directory = state.fd().as_raw_fd();
    UnixAddr::new(format!("/proc/self/fd/{directory}/{START}").as_str())
}

fn os<'a>(text: Text<'a>) -> &'a OsStr {
    OsStr::from_bytes(CStr::to_bytes(text.0))
}

/// The cgroup that a process is in, wherever it is below the caller's root of the hierarchy.
fn cgroup_of_process(process: &Process) -> nix::Result<Cgroup> {
    let text = read_small_text(format!("/proc/{}/cgroup", process.pid)).map_err(errno_of)?;
    // Until here its pid may have become another's.
    if has_ended(&process.pidfd)? {
        return Err(Errno::ESRCH);
    }
    let path = text.lines().find_map(|line| line.strip_prefix("0::/")).ok_or(Errno::ENOENT)?;
    // One outside of the caller's root begins with ".." (cgroup_namespaces(7)).
    let root = Cgroup::open(unified_mount().ok_or(Errno::ENOENT)?)?;
    if path.is_empty() { Ok(root) } else { root.open_below(&CString::new(path).map_err(|_| Errno::EINVAL)?) }
}

fn check_directory(path: Text<'_>) -> nix::Result<()> {
    let kind = std::fs::metadata(os(path)).map_err(errno_of)?.file_type();
    if kind.is_dir() { Ok(()) } else { Err(Errno::ENOTDIR) }
}

/// A user namespace with these maps (user_namespaces(7)) in which nothing runs any more. A child lives in it for as long as
/// they are written.
pub(crate) fn idle_user_namespace(uids: &str, gids: &str) -> nix::Result<OwnedFd> {
    let old = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let idler = clone::Idler::new(libc::CLONE_NEWUSER as u64);
    old.thread_set_mask()?;
    let idler = idler?;
    write_proc(idler.pid(), "uid_map", uids)?;
    write_proc(idler.pid(), "gid_map", gids)?;
    let path = format!("/proc/{}/ns/user", idler.pid());
    open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
}

fn lines(maps: &List<'_, IdMap>) -> String {
    maps.iter().map(|map| format!("{} {} {}\n", map.inside, map.outside, map.count)).collect()
}

/// How long newuidmap may take: it may ask a directory service.
const MAP_LIMIT: Duration = Duration::from_secs(10);

/// Why newuidmap or newgidmap did not write a map, as far as its words tell.
fn unmapped(program: &str, kind: &str, said: &str) -> String {
    if said.contains("not allowed") {
        let caller = nix::unistd::getuid();
        format!("the ids are neither the caller's own nor among those that /etc/sub{kind} has for uid {caller}")
    } else if said.contains("not permitted") || said.contains("Permission denied") {
        format!(
            "has {program} its privileges? it is to be set-uid root or to have cap_set{kind}, on a mount without nosuid, \
             for a caller without no_new_privs"
        )
    } else {
        format!("{program} failed")
    }
}

/// One write: the kernel takes a map in one or not at all.
fn write_proc(pid: u32, name: &str, text: &str) -> nix::Result<()> {
    let file = OpenOptions::new().write(true).open(format!("/proc/{pid}/{name}"));
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(errno_of)
}

/// Under another name first: a reader sees the whole pid or no file.
fn write_pid(path: &Path, pid: u32) -> nix::Result<()> {
    let name = path.file_name().ok_or(Errno::EISDIR)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    let new = path.with_file_name(hidden);
    let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&new);
    let renamed = written
        .and_then(|mut file| file.write_all(pid.to_string().as_bytes()))
        .and_then(|()| std::fs::rename(&new, path));
    renamed.map_err(|error| {
        // What could not be put in its place is of no use.
        let _ = std::fs::remove_file(&new);
        errno_of(error)
    })
}

impl Error {
    /// Adds what could not be undone after the failure.
    pub(crate) fn and_left(self, what: &str) -> Self {
        let note = self.note().map_or_else(String::new, |note| format!("{note}; "));
        self.with_note(Some(format!("{note}left behind for `delete --force`: {what}")))
    }
}
