//! The host's side of a checkpoint: criu is told what of a container is the host's, and saves the rest.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, SFlag, fstat};
use oci_spec::runtime::Spec;

use super::images::{Descriptors, Directory};
use crate::checkpoint::{CheckpointOptions, Criu as Asked, ManageCgroups, config_of, text};
use crate::compile::external::{External, externals};
use crate::error::{Error, ErrorKind, Result};
use crate::host::criu::message::{CgroupMode, Features, Kind, Options, PageServer, Request};
use crate::host::criu::{Birth, Criu, Failure, Limits, first_error, first_error_in, null, said};
use crate::host::mountinfo::{Mounted, is_nameable, mount_of, mounts};
use crate::host::record::Record;
use crate::process::Process;
use crate::state::Status;
use crate::wire::Ns;

/// How long criu, and who works for it, may do nothing at all.
pub(super) const SILENCE: Duration = Duration::from_secs(120);

/// How long a container that criu left frozen may take to thaw.
const THAW_LIMIT: Duration = Duration::from_secs(10);

/// How much criu writes into its log.
const LOG_LEVEL: i32 = 4;

/// The namespaces that criu leaves alone where they are joined by path: which versions can, and the key in the images.
pub(super) const EXTERNAL: [(Ns, i32, &str); 2] =
    [(Ns::Network, 31_100, "extRootNetNS"), (Ns::Pid, 31_500, "extRootPidNS")];

/// Saves a container whose state directory is locked.
pub(crate) fn checkpoint(
    record: &Record,
    spec: &Spec,
    init: &Process,
    status: Status,
    mut options: CheckpointOptions,
) -> Result<()> {
    let criu = Criu::find(options.criu.program.as_deref(), &options.criu.environment)?;
    let directories = Directories::make(&options.criu, "dump.log")?;
    let mut asked = directories.options(&options.criu);
    asked.pid = Some(init.pid as i32);
    asked.root = Some(text("the root filesystem's path", &record.rootfs)?);
    asked.leave_running = Some(options.leave_running);
    asked.tcp_skip_in_flight = Some(options.tcp_skip_in_flight);
    asked.link_remap = Some(options.link_remap);
    asked.config_file = config_of(spec);
    if let Some(parent) = &options.parent {
        asked.parent_img = Some(text("the parent's path", parent)?);
        asked.track_mem = Some(true);
    }
    if let Some((address, port)) = &options.page_server {
        asked.page_server = Some(PageServer { address: Some(address.clone()), port: Some((*port).into()) });
    }
    // From 3.14 on it knows the freezer of version 2.
    let frozen = record.cgroup.as_ref().filter(|_| criu.is_of(31_400));
    asked.freeze_cgroup = frozen.map(|cgroup| text("the cgroup", &cgroup.path)).transpose()?;
    asked.external = joined(&criu, spec, init)?;
    if options.pre_dump {
        criu.check(Features { mem_track: Some(true), lazy_pages: None }, "memory tracking")?;
    } else {
        let mounts = mounts(&init.pid.to_string()).map_err(|errno| unseen("its mounts", errno))?;
        asked.external.extend(mounted(externals(spec, &record.bundle)?, init, &mounts)?);
        let cgroup = record.cgroup.as_ref().and_then(|cgroup| cgroup.open().ok().flatten());
        let processes = cgroup.and_then(|cgroup| cgroup.processes().ok()).unwrap_or_default();
        let descriptors = Descriptors::of(init.pid, &processes, &mounts);
        asked.external.extend(descriptors.files().cloned());
        directories.images.save(&descriptors)?;
    }
    if options.criu.lazy_pages {
        criu.check(Features { mem_track: None, lazy_pages: Some(true) }, "lazy pages")?;
        // From 3.15 on it notifies.
        let status = options.status.as_ref().filter(|_| !criu.is_of(31_500));
        asked.status_fd = status.map(AsRawFd::as_raw_fd);
    }
    let kind = if options.pre_dump { Kind::PreDump } else { Kind::Dump };
    let request = Request { options: Some(asked), ..Request::of(kind) };
    dump(&criu, &request, &directories, &mut options).inspect_err(|_| thaw(record, status))
}

fn dump(criu: &Criu, request: &Request, directories: &Directories, options: &mut CheckpointOptions) -> Result<()> {
    let failed = |failure: Failure, said: Option<&OwnedFd>| directories.failed("checkpoint", failure, said);
    let null = null().map_err(|errno| failed(errno.into(), None))?;
    let said = said().map_err(|errno| failed(errno.into(), None))?;
    let birth = Birth { streams: [null.as_fd(), said.as_fd(), said.as_fd()], ..Birth::of(null.as_fd()) };
    let mut swrk = criu.begin(&birth).map_err(|errno| failed(errno.into(), None))?;
    // Whoever wants the pages comes when they are wanted.
    let silence = if options.criu.lazy_pages { Duration::MAX } else { SILENCE };
    let limits = Limits { silence, watched: None };
    super::stage("criu-began");
    let answer = swrk.converse(request, &limits, &mut |notified| {
        if notified.script == "status-ready"
            && let Some(status) = options.status.take()
        {
            // Nobody reads it any more: the dump goes on.
            let _ = File::from(status).write_all(&[0]);
        }
        Ok(())
    });
    // After a pre-dump criu waits for the next one, and would end badly: there is none.
    swrk.end();
    answer.map(drop).map_err(|failure| failed(failure, Some(&said)))
}

/// What criu has frozen and left so, because it was killed or did not answer.
fn thaw(record: &Record, before: Status) {
    if before == Status::Paused {
        return;
    }
    let cgroup = record.cgroup.as_ref().map_or(Ok(None), |cgroup| cgroup.open());
    if let Ok(Some(cgroup)) = cgroup
        && let Err(errno) = cgroup.thaw(THAW_LIMIT)
    {
        log::warn!("the container is left frozen: {}", errno.desc());
    }
}

/// The namespaces that the container has joined, of those that criu can leave alone.
fn joined(criu: &Criu, spec: &Spec, init: &Process) -> Result<Vec<String>> {
    let mut external = Vec::new();
    for (ns, since, key) in EXTERNAL {
        if super::restore::path_of(spec, ns).is_none() {
            continue;
        }
        criu.needs(since, &format!("an external {} namespace", ns.name()))?;
        let name = file_of(ns);
        let path = format!("/proc/{}/ns/{name}", init.pid);
        let namespace = nix::sys::stat::stat(path.as_str()).map_err(|errno| unseen(&path, errno))?;
        external.push(format!("{name}[{}]:{key}", namespace.st_ino));
    }
    Ok(external)
}

/// Which mount points of the container are the host's, by the mount points' own paths. The way there leads through the
/// container, which may change it meanwhile: what it could reach by that a restore refuses.
fn mounted(asked: Vec<External>, init: &Process, mounts: &[Mounted]) -> Result<Vec<String>> {
    let path = format!("/proc/{}/root", init.pid);
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open(path.as_str(), flags, Mode::empty()).map_err(|errno| unseen(&path, errno))?;
    let find = |path: &Path| {
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        openat2(&root, path, OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve))
    };
    let mut external: Vec<String> = Vec::new();
    for External { destination, key, source, origin, .. } in asked {
        let Ok(file) = find(Path::new(&destination)) else { continue };
        let id = mount_of(&file).map_err(|errno| unseen(&destination, errno))?;
        let Some(mounted) = mounts.iter().find(|mounted| mounted.id == id) else { continue };
        // A directory is masked by a filesystem of the container's own.
        let is_own = is_directory(&file) && !source.is_dir();
        if is_own || !find(&mounted.point).is_ok_and(|top| is_same(&top, &file)) {
            continue;
        }
        if !is_nameable(&mounted.point) {
            let point = mounted.point.display().to_string();
            let why = format!("cannot checkpoint: criu misreads the path of the mount point {point:?}");
            return Err(Error::new(ErrorKind::Unsupported, why).with_origin(origin));
        }
        let point = mounted.point.to_string_lossy();
        let key = format!("mnt[{point}]:{key}");
        if !external.contains(&key) {
            external.push(key);
        }
    }
    Ok(external)
}

fn is_directory(file: &OwnedFd) -> bool {
    fstat(file).is_ok_and(|status| SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR)
}

fn is_same(a: &OwnedFd, b: &OwnedFd) -> bool {
    let identity = |file: &OwnedFd| fstat(file).map(|status| (status.st_dev, status.st_ino));
    matches!((identity(a), identity(b), mount_of(a), mount_of(b)), (Ok(a), Ok(b), Ok(c), Ok(d)) if (a, c) == (b, d))
}

/// Its name in /proc/PID/ns (namespaces(7)), which criu calls it by.
pub(super) const fn file_of(ns: Ns) -> &'static str {
    match ns {
        Ns::Network => "net",
        Ns::Mount => "mnt",
        _ => ns.name(),
    }
}

fn unseen(what: &str, errno: Errno) -> Error {
    Error::new(ErrorKind::Host, format!("cannot look at the container: {what}: {}", errno.desc()))
}

/// Where criu reads and writes.
#[derive(Debug)]
pub(super) struct Directories {
    pub(super) images: Directory,
    work: Option<Directory>,
    /// The log's name.
    log: &'static str,
}

impl Directories {
    fn make(asked: &Asked, log: &'static str) -> Result<Self> {
        let images = Directory::make(&asked.images)?;
        Ok(Self { images, work: asked.work.as_deref().map(Directory::make).transpose()?, log })
    }

    /// Of images that are there.
    pub(super) fn open(asked: &Asked, log: &'static str) -> Result<Self> {
        let images = Directory::open(&asked.images)?;
        Ok(Self { images, work: asked.work.as_deref().map(Directory::make).transpose()?, log })
    }

    /// The options of criu's that say where it works, and those that a restore and a checkpoint share.
    pub(super) fn options(&self, asked: &Asked) -> Options {
        let mode = match asked.manage_cgroups {
            ManageCgroups::Soft => CgroupMode::Soft,
            ManageCgroups::Full => CgroupMode::Full,
            ManageCgroups::Strict => CgroupMode::Strict,
            ManageCgroups::Ignore => CgroupMode::Ignore,
        };
        Options {
            images_dir_fd: self.images.fd.as_raw_fd(),
            work_dir_fd: self.work.as_ref().map(|work| work.fd.as_raw_fd()),
            log_level: Some(LOG_LEVEL),
            log_file: Some(self.log.to_owned()),
            notify_scripts: Some(true),
            tcp_established: Some(asked.tcp_established),
            ext_unix_sk: Some(asked.ext_unix_sk),
            shell_job: Some(asked.shell_job),
            file_locks: Some(asked.file_locks),
            auto_dedup: Some(asked.auto_dedup),
            lazy_pages: Some(asked.lazy_pages),
            // What versions before 1.6 know of it.
            manage_cgroups: Some(true),
            manage_cgroups_mode: Some(mode.into()),
            // Network devices are the engine's matter (config-linux.md#network-devices).
            empty_ns: Some(Ns::Network.flag()),
            orphan_pts_master: Some(true),
            ..Options::default()
        }
    }

    /// The error of a conversation, with criu's own first error, from its log or from what it printed before it had one.
    pub(super) fn failed(&self, what: &str, failure: Failure, said: Option<&OwnedFd>) -> Error {
        let (answered, error) = match failure {
            Failure::Own(error) => return *error,
            failure => (failure.said(), Error::new(ErrorKind::Host, format!("cannot {what} the container: {failure}"))),
        };
        let work = self.work.as_ref().unwrap_or(&self.images);
        let log = work.path.join(self.log);
        let said = || said.and_then(first_error);
        let reason = first_error_in(&work.fd, self.log).or(answered).or_else(said);
        let log = log.exists().then(|| format!("log file: {}", log.display()));
        let note = reason.into_iter().chain(log).collect::<Vec<_>>().join("; ");
        error.with_note((!note.is_empty()).then_some(note))
    }
}
