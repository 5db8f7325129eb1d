//! The host's side of a restore: the steps of a create's plan that are the host's alone, with criu in the place of init.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use serde_json::{Value, json};

use super::checkpoint::{Directories, EXTERNAL, SILENCE, file_of};
use super::walk::{Launched, Launching, Walk};
use super::{mountpoints, restored};
use crate::bundle::Bundle;
use crate::checkpoint::{ManageCgroups, RestoreOptions, config_of, text};
use crate::compile::external::{External, covered, externals};
use crate::compile::{CreateOptions, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::host::cgroup::Cgroup;
use crate::host::criu::message::{CgroupRoot, InheritFd, JoinNamespace, Kind, Options, Request};
use crate::host::criu::{Birth, Criu, Failure, Limits, Notified, Swrk, null};
use crate::host::file::read_small_text;
use crate::host::process::wait_for_end;
use crate::host::socket;
use crate::process::Process;
use crate::sys::clone::Setting;
use crate::sys::process::{is_child, namespace_type, pidfd_open, pidfd_send_signal, try_wait};
use crate::sys::terminal;
use crate::wire::{HostOp, InitOp, Ns, Op};

/// Which of a plan's steps are performed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Before there is a process.
    Prepare,
    /// With criu as the process: what it makes is where it is.
    Place,
    /// When the namespaces are there.
    Hooks,
    /// When the processes are there.
    Record,
}

/// What is restored, and how.
struct Restoring<'a> {
    bundle: &'a Bundle,
    create: &'a CreateOptions,
    from: &'a RestoreOptions,
    rootfs: PathBuf,
    externals: Vec<External>,
    criu: Criu,
    directories: Directories,
}

/// Makes a container of images. Where that fails, everything that was made is undone.
pub(crate) fn restore(
    launching: Launching<'_>,
    bundle: &Bundle,
    create: &CreateOptions,
    from: &RestoreOptions,
) -> Result<Launched> {
    let mut walk = Walk::new(launching)?;
    let mut made = None;
    let done = Restoring::read(bundle, create, from).and_then(|restoring| walk.restore(&restoring, &mut made));
    match (done, made) {
        (Ok(()), Some(process)) => Ok(walk.end(process)),
        (done, made) => {
            made.as_ref().into_iter().for_each(end);
            let nothing = || Error::new(ErrorKind::Host, "cannot restore the container: criu did not say what it made");
            Err(walk.undo(done.err().unwrap_or_else(nothing)))
        }
    }
}

/// Ends what was restored; all else that was is in the cgroup, or in its pid namespace.
fn end(process: &Process) {
    // It may have ended already.
    let _ = pidfd_send_signal(process.pidfd.as_fd(), libc::SIGKILL);
    let _ = wait_for_end(&process.pidfd, super::end::deadline().saturating_duration_since(std::time::Instant::now()));
    try_wait(&process.pidfd);
}

impl<'a> Restoring<'a> {
    /// What can be refused before anything is made.
    fn read(bundle: &'a Bundle, create: &'a CreateOptions, from: &'a RestoreOptions) -> Result<Self> {
        let criu = Criu::find(from.criu.program.as_deref(), &from.criu.environment)?;
        if from.lsm_profile.is_some() {
            criu.needs(31_600, "--lsm-profile")?;
        }
        if from.lsm_mount_context.is_some() {
            criu.needs(31_600, "--lsm-mount-context")?;
        }
        let directories = Directories::open(&from.criu, "restore.log")?;
        let rootfs = bundle.rootfs();
        let failed = |error| Error::new(ErrorKind::Host, format!("cannot find {}: {error}", rootfs.display()));
        let rootfs = rootfs.canonicalize().map_err(failed)?;
        let externals = externals(bundle.spec(), bundle.path())?;
        Ok(Self { bundle, create, from, rootfs, externals, criu, directories })
    }

    fn failed(&self, failure: Failure) -> Error {
        self.directories.failed("restore", failure, None)
    }

    fn has_terminal(&self) -> bool {
        self.bundle.spec().process().as_ref().is_some_and(|process| process.terminal() == Some(true))
    }

    fn options(&self) -> Result<Options> {
        let mut asked = self.directories.options(&self.from.criu);
        asked.restore_sibling = Some(true);
        asked.evasive_devices = Some(true);
        asked.config_file = config_of(self.bundle.spec());
        asked.lsm_profile.clone_from(&self.from.lsm_profile);
        asked.lsm_mount_context.clone_from(&self.from.lsm_mount_context);
        for External { key, source, .. } in &self.externals {
            let external = format!("mnt[{key}]:{}", text("what is mounted", source)?);
            if !asked.external.contains(&external) {
                asked.external.push(external);
            }
        }
        Ok(asked)
    }

    /// What takes the place of those of the container's descriptors that were the host's; what of it criu has not as a
    /// standard stream is opened.
    fn descriptors(&self, asked: &mut Options, opened: &mut Vec<OwnedFd>) -> Result<()> {
        let descriptors = self.directories.images.descriptors()?;
        if !self.has_terminal() {
            asked.inherit_fd.extend(descriptors.streams().map(|(fd, key)| InheritFd { key: key.clone(), fd }));
        }
        for key in descriptors.nulls() {
            let fd = Birth::FIRST_INHERITED + opened.len() as i32;
            opened.push(null().map_err(|errno| self.failed(errno.into()))?);
            asked.inherit_fd.push(InheritFd { key: key.clone(), fd });
        }
        Ok(())
    }

    /// The namespaces that are joined by path: what criu is to join, and those that it inherits, opened.
    fn namespaces(&self, asked: &mut Options, opened: &mut Vec<OwnedFd>) -> Result<()> {
        let spec = self.bundle.spec();
        for ns in Ns::ALL {
            let Some((origin, path)) = path_of(spec, ns) else { continue };
            let failed = |why: String| {
                Error::new(
                    ErrorKind::Host,
                    format!("cannot join the {} namespace {}: {why}", ns.name(), path.display()),
                )
                .with_origin(&*origin)
            };
            if let Some((_, since, key)) = EXTERNAL.into_iter().find(|(external, ..)| *external == ns) {
                self.criu.needs(since, &format!("an external {} namespace", ns.name()))?;
                let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
                let namespace = open(path, flags, Mode::empty()).map_err(|errno| failed(errno.desc().to_owned()))?;
                if namespace_type(namespace.as_fd()) != Ok(ns.flag()) {
                    return Err(failed("it is none".to_owned()));
                }
                let fd = Birth::FIRST_INHERITED + opened.len() as i32;
                asked.inherit_fd.push(InheritFd { key: key.to_owned(), fd });
                opened.push(namespace);
            } else if ns == Ns::Cgroup {
                return Err(failed("criu cannot".to_owned()).of_kind(ErrorKind::Unsupported));
            } else {
                let path = text("a namespace's path", path)?;
                asked.join_ns.push(JoinNamespace { kind: file_of(ns).to_owned(), path });
            }
        }
        Ok(())
    }
}

/// The path of a namespace that is joined, and where config.json has it.
pub(super) fn path_of(spec: &Spec, ns: Ns) -> Option<(String, &Path)> {
    let all = spec.linux().as_ref()?.namespaces().as_ref()?;
    let is_it = |kind: LinuxNamespaceType| serde_json::to_value(kind).is_ok_and(|kind| kind == ns.name());
    let (index, found) = all.iter().enumerate().find(|(_, namespace)| is_it(namespace.typ()))?;
    let path = found.path().as_deref().filter(|path| !path.as_os_str().is_empty())?;
    Some((format!("/linux/namespaces/{index}/path"), path))
}

/// Whether a step is performed here: what else the host does in a create is for an init.
const fn is_performed(op: &HostOp<'_>) -> bool {
    matches!(
        op,
        HostOp::CheckRootfs { .. }
            | HostOp::CreateCgroup { .. }
            | HostOp::SetCgroup { .. }
            | HostOp::SetProperty { .. }
            | HostOp::StartUnit { .. }
            | HostOp::ChangeUnit { .. }
            | HostOp::FilterDevices { .. }
            | HostOp::OwnCgroup { .. }
            | HostOp::MakeClos { .. }
            | HostOp::SetSchemata { .. }
            | HostOp::MakeMonitoringGroup { .. }
            | HostOp::EnterGroup { .. }
            | HostOp::SendPidfd { .. }
            | HostOp::RecordState {}
            | HostOp::WritePidFile { .. }
    )
}

impl<'a> Walk<'a> {
    fn restore(&mut self, restoring: &Restoring<'_>, made: &mut Option<Process>) -> Result<()> {
        let mut asked = restoring.options()?;
        let mut inherited = Vec::new();
        restoring.namespaces(&mut asked, &mut inherited)?;
        restoring.descriptors(&mut asked, &mut inherited)?;
        let state = self.state().map_err(|errno| restoring.failed(errno.into()))?;
        // Until criu has ended: who is killed meanwhile leaves it to a delete.
        let root = state.mount_root(&restoring.rootfs)?;
        asked.root = Some(text("the root filesystem's path", &root)?);
        mountpoints::make(&restoring.rootfs, &covered(restoring.bundle.spec(), restoring.bundle.path())?)?;
        self.part(Part::Prepare)?;
        let mut swrk = self.begin_criu(restoring, &inherited).map_err(|errno| restoring.failed(errno.into()))?;
        drop(inherited);
        self.stand_in = Some(swrk.pid());
        super::stage("criu-began");
        self.part(Part::Place)?;
        if restoring.from.criu.manage_cgroups != ManageCgroups::Ignore {
            asked.cgroup_roots = cgroup_roots(swrk.pid());
        }
        let watched = self.record.cgroup.as_ref().and_then(|cgroup| cgroup.open().ok().flatten());
        // A page server is asked when a page is wanted, not before.
        let limits = Limits { silence: SILENCE, watched: watched.as_ref() };
        let request = Request { options: Some(asked), ..Request::of(Kind::Restore) };
        let answer = swrk.converse(&request, &limits, &mut |notified| self.notified(notified, restoring, made));
        swrk.end();
        let answer = answer.map_err(|failure| restoring.failed(failure))?;
        let pid = answer.restore.map_or(0, |restored| restored.pid);
        if made.as_ref().is_none_or(|made| i64::from(made.pid) != i64::from(pid)) {
            return Err(restoring.failed(Failure::Garbled));
        }
        super::stage("criu-ended");
        self.state().map_err(|errno| restoring.failed(errno.into()))?.unmount_root()?;
        self.keep_time(restoring.bundle)?;
        self.part(Part::Record)
    }

    /// What criu waits for.
    fn notified(&mut self, notified: Notified, restoring: &Restoring<'_>, made: &mut Option<Process>) -> Result<()> {
        match notified.script.as_str() {
            "setup-namespaces" => {
                self.stand_in = Some(notified.pid);
                self.part(Part::Hooks)
            }
            "post-restore" => {
                let failed = |errno: Errno| restoring.failed(errno.into());
                let pidfd = pidfd_open(notified.pid).map_err(failed)?;
                // What criu says is data: only a child of this process can be what it made.
                is_child(&pidfd).map_err(failed)?;
                self.stand_in = Some(notified.pid);
                *made = Some(Process { pid: notified.pid, pidfd });
                restored::check(notified.pid, &restoring.externals)
            }
            "orphan-pts-master" if restoring.has_terminal() => {
                let Some(master) = notified.descriptor else { return Err(restoring.failed(Failure::Garbled)) };
                self.hand_over(master, restoring.create.console_socket.as_deref())
            }
            _ => Ok(()),
        }
    }

    /// What is not a pty's master is nothing to send.
    fn hand_over(&mut self, master: OwnedFd, socket: Option<&Path>) -> Result<()> {
        let failed = |errno: Errno| {
            Error::new(ErrorKind::Host, format!("cannot hand over the terminal's master: {}", errno.desc()))
        };
        let number = terminal::number(master.as_fd()).map_err(failed)?;
        match socket {
            Some(path) => socket::send(path, format!("/dev/pts/{number}").as_bytes(), master.as_fd()).map_err(failed),
            None => {
                self.terminal = Some(master);
                Ok(())
            }
        }
    }

    /// criu, in the container's cgroup, with the container's streams.
    fn begin_criu(&self, restoring: &Restoring<'_>, inherited: &[OwnedFd]) -> nix::Result<Swrk> {
        let null = null()?;
        let own = [
            std::io::stdin().as_fd().try_clone_to_owned(),
            std::io::stdout().as_fd().try_clone_to_owned(),
            std::io::stderr().as_fd().try_clone_to_owned(),
        ];
        let given = [&self.stdio.stdin, &self.stdio.stdout, &self.stdio.stderr];
        let stream = |index: usize| -> BorrowedFd<'_> {
            match (given[index], &own[index]) {
                _ if restoring.has_terminal() => null.as_fd(),
                (Some(given), _) => given.as_fd(),
                (None, Ok(own)) => own.as_fd(),
                (None, Err(_)) => null.as_fd(),
            }
        };
        let into_cgroup = |step: Step<'_>| matches!(step.op, Op::Host(HostOp::SpawnInit { into_cgroup: true, .. }));
        let is_born_there = self.plan.steps().any(into_cgroup);
        let birth = Birth {
            streams: [stream(0), stream(1), stream(2)],
            inherited,
            setting: Setting {
                cgroup: self.cgroup.as_ref().filter(|_| is_born_there).map(Cgroup::fd),
                leads: !restoring.from.criu.shell_job,
            },
        };
        restoring.criu.begin(&birth)
    }

    /// The plan's steps of one part, in its order.
    fn part(&mut self, wanted: Part) -> Result<()> {
        let plan = self.plan;
        let mut part = Part::Prepare;
        let has_own_directory = plan.steps().any(|step| matches!(step.op, Op::Host(HostOp::CreateCgroup { .. })));
        for step in plan.steps() {
            let (is_now, op) = match &step.op {
                Op::Init(InitOp::Execute { .. }) => return Ok(()),
                Op::Init(InitOp::OutliveRuntime {}) => {
                    part = Part::Record;
                    continue;
                }
                Op::Init(_) => continue,
                Op::Host(HostOp::SpawnInit { .. }) => {
                    part = Part::Place;
                    continue;
                }
                // A restored process runs at once.
                Op::Host(op @ HostOp::FilterDevices { .. }) if has_own_directory => (wanted == Part::Prepare, op),
                Op::Host(op @ (HostOp::OwePoststop {} | HostOp::RunHook { .. })) => (wanted == Part::Hooks, op),
                Op::Host(op) => (wanted == part && is_performed(op), op),
            };
            if is_now {
                #[cfg(feature = "failpoints")]
                super::failpoint::at(step.number);
                self.host_step(&step, op)?;
            }
        }
        Ok(())
    }

    /// criu restores into a time namespace of its own, which a process that joins the container has to enter as well: else
    /// they could not be saved together again.
    fn keep_time(&self, bundle: &Bundle) -> Result<()> {
        let failed = |why: String| Error::new(ErrorKind::Host, format!("cannot note the time namespace: {why}"));
        let pid = self.pid().map_err(|errno| failed(errno.desc().to_owned()))?;
        let link = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/time")).ok();
        if link(&pid.to_string()) == link("self") {
            return Ok(());
        }
        let mut config: Value = serde_json::from_slice(bundle.json()).map_err(|error| failed(error.to_string()))?;
        let namespaces = config.pointer_mut("/linux/namespaces").and_then(Value::as_array_mut);
        let Some(namespaces) = namespaces.filter(|all| all.iter().all(|one| one["type"] != Ns::Time.name())) else {
            return Ok(());
        };
        namespaces.push(json!({ "type": Ns::Time.name() }));
        let json = serde_json::to_vec(&config).map_err(|error| failed(error.to_string()))?;
        self.state().map_err(|errno| failed(errno.desc().to_owned()))?.replace_config(&json)
    }
}

/// Below which cgroup those of the images are restored: the one that criu is in. The unified hierarchy has no name.
fn cgroup_roots(pid: u32) -> Vec<CgroupRoot> {
    let text = read_small_text(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    path.map(|path| CgroupRoot { controller: Some(String::new()), path: path.to_owned() }).into_iter().collect()
}
