//! Create: the root filesystem is mounted, the streams are opened, and the container is made; or nothing of it is left.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use nix::sys::epoll::EpollFlags;
use runtime_core::oci_spec::runtime::LinuxNamespaceType;
use runtime_core::{Bundle, CreateOptions, Deletion, Id, Runtime, Stdio, Watch};

use crate::api::events::{TaskCreate, TaskIO};
use crate::api::task::{CreateTaskRequest, CreateTaskResponse};
use crate::container::{Container, Freezer, Process};
use crate::options::Options;
use crate::poller::Token;
use crate::rootfs;
use crate::server::{Server, Ticket};
use crate::status::{Answer, Code, Failure};
use crate::stdio::{Paths, Reader, Streams, owner};

/// What a thread makes, and the loop then keeps.
pub(super) struct Made {
    container: runtime_core::Container,
    streams: Streams,
    init: runtime_core::Process,
    terminal: Option<OwnedFd>,
}

/// What a thread needs to make a container, or to restore one.
#[derive(Clone, Debug)]
pub(super) struct Making {
    pub(super) id: String,
    pub(super) bundle: PathBuf,
    pub(super) namespace: String,
    pub(super) paths: Paths,
    pub(super) runtime: Runtime,
    pub(super) options: Options,
    pub(super) input_is_closed: bool,
}

/// What a create has found out, before anything is made or after all is.
struct Created {
    making: Making,
    shares_pids: bool,
    made: Option<Made>,
}

impl Server {
    pub(super) fn create(&mut self, request: CreateTaskRequest, ticket: Ticket) -> Answer<()> {
        let id = request.id.clone();
        if self.containers.contains_key(&id) || self.promised.contains(&id) {
            return Err(Failure::new(Code::AlreadyExists, format!("container {id} already exists")));
        }
        if self.is_ending() {
            return Err(Failure::precondition("the shim is about to end"));
        }
        self.promised.push(id);
        let namespace = self.settings.namespace.clone();
        let asked = request.clone();
        self.work(
            move || make(&asked, namespace),
            move |server, created| {
                // A shim that is told to end before its first container is made will hear no more of that one.
                let is_first = request.id == server.settings.id;
                match created {
                    Ok(created) if ticket.is_late() || (server.wants_end && is_first) => {
                        server.undo(request.id, created, ticket);
                    }
                    created => {
                        server.promised.retain(|id| *id != request.id);
                        let answer = created.map(|created| server.created(&request, created));
                        server.reply(ticket, answer);
                        server.end_if_asked();
                    }
                }
            },
        );
        Ok(())
    }

    /// Deletes a container that nobody waits for any more: who asked for it has given up.
    fn undo(&mut self, id: String, created: Created, ticket: Ticket) {
        let work = move || {
            let Created { making, made, .. } = created;
            if let Some(made) = made {
                made.streams.abandon();
            }
            making.undo().unwrap_or_else(|failure| log::warn!("cannot undo a create that took too long: {failure}"));
        };
        self.work(work, move |server, ()| {
            server.promised.retain(|other| *other != id);
            let late = Failure::new(Code::DeadlineExceeded, "the container was made too late, and is deleted");
            server.reply::<CreateTaskResponse>(ticket, Err(late));
            server.end_if_asked();
        });
    }

    /// Keeps a container that was made, and tells of it.
    fn created(&mut self, request: &CreateTaskRequest, created: Created) -> CreateTaskResponse {
        let Created { making, shares_pids, made } = created;
        self.wants_end = false;
        let init = self.key();
        let checkpoint = Some(&request.checkpoint).filter(|path| !path.is_empty()).map(PathBuf::from);
        let container = Container {
            bundle: making.bundle,
            options: making.options,
            runtime: making.runtime,
            made: None,
            checkpoint,
            init,
            execs: std::collections::BTreeMap::new(),
            watch: None,
            meter: None,
            freezer: Freezer::Thawed,
            shares_pids,
            held: None,
        };
        self.containers.insert(request.id.clone(), container);
        self.processes.insert(init, Process::new(&request.id, "", making.paths));
        let pid = made.map_or(0, |made| self.keep(&request.id, init, made));
        let io = TaskIO {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
            terminal: request.terminal,
        };
        let event = TaskCreate {
            container_id: request.id.clone(),
            bundle: request.bundle.clone(),
            rootfs: request.rootfs.clone(),
            io: Some(io),
            checkpoint: request.checkpoint.clone(),
            pid,
        };
        self.publisher.tell(&self.poller, "/tasks/create", "containerd.events.TaskCreate", &event);
        CreateTaskResponse { pid }
    }

    /// Keeps what was made of a container: its pid.
    pub(super) fn keep(&mut self, id: &str, key: u32, made: Made) -> u32 {
        let Made { container, streams, init, terminal } = made;
        let pid = init.pid;
        if let Some(process) = self.processes.get_mut(&key) {
            process.terminal = terminal;
            process.open_input(streams.input);
        }
        self.await_end(key, init);
        self.serve_lines(key, streams.lines);
        self.keep_logger(key, streams.logger);
        let watch = container.watch().ok();
        if let Some(memory) = watch.as_ref().and_then(Watch::memory)
            && let Err(errno) = self.poller.add(memory, EpollFlags::EPOLLPRI, Token::Memory(key))
        {
            log::error!("cannot watch the memory of {id}: {}", errno.desc());
        }
        if let Some(kept) = self.containers.get_mut(id) {
            kept.watch = watch;
            kept.meter = container.meter().ok();
            kept.made = Some(Arc::new(container));
        }
        pid
    }
}

/// Makes a container up to *created*; of a checkpoint nothing yet but its root filesystem.
fn make(request: &CreateTaskRequest, namespace: String) -> Answer<Created> {
    let options = Options::read(request.options.as_ref())?;
    let bundle = PathBuf::from(&request.bundle);
    let paths = Paths {
        stdin: request.stdin.clone(),
        stdout: request.stdout.clone(),
        stderr: request.stderr.clone(),
        terminal: request.terminal,
    };
    let runtime = options.runtime(&namespace);
    let making = Making { id: request.id.clone(), bundle, namespace, paths, runtime, options, input_is_closed: false };
    let loaded = Bundle::load(&making.bundle).map_err(refused)?;
    // Before anything is made: who cleans up after a shim that was killed finds what belongs to the container.
    let unsaved = |error| Failure::host("keep the options in the bundle", error);
    making.options.save(&making.bundle).map_err(unsaved)?;
    let root = rootfs::of(&making.bundle);
    if !request.rootfs.is_empty() {
        rootfs::mount_all(&request.rootfs, &root)?;
    }
    let shares_pids = shares_pids(&loaded);
    if !request.checkpoint.is_empty() {
        return Ok(Created { making, shares_pids, made: None });
    }
    let made =
        making.make(&loaded, |options, id, stdio| making.runtime.create(id, &loaded, options, stdio).map_err(refused));
    match made {
        Ok(made) => Ok(Created { making, shares_pids, made: Some(made) }),
        Err(failure) => {
            let unmounted = if request.rootfs.is_empty() { Ok(()) } else { rootfs::unmount_all(&root) };
            match unmounted {
                Ok(()) => Err(failure),
                Err(error) => {
                    Err(Failure { message: format!("{failure}; {} stays mounted: {error}", root.display()), ..failure })
                }
            }
        }
    }
}

impl Making {
    /// Removes what was made of a container.
    fn undo(&self) -> Answer<()> {
        self.runtime.delete(&Id::new(&self.id)?, Deletion::Force)?;
        let root = rootfs::of(&self.bundle);
        rootfs::unmount_all(&root).map_err(|error| Failure::host(&format!("unmount {}", root.display()), error))
    }

    /// Opens the streams, has `create` make the container with them, and takes its terminal.
    pub(super) fn make(
        &self,
        bundle: &Bundle,
        create: impl FnOnce(&CreateOptions, &Id, Stdio) -> Answer<runtime_core::Container>,
    ) -> Answer<Made> {
        let id = Id::new(&self.id)?;
        let process = bundle.spec().process().clone().unwrap_or_default();
        let owner = owner((self.options.io_uid, self.options.io_gid), bundle.spec(), &process);
        let reader = Reader { id: &self.id, namespace: &self.namespace, owner, input_is_closed: self.input_is_closed };
        let mut streams = Streams::open(&self.paths, process.terminal() == Some(true), &reader)?;
        let created = create(&self.options.create_options(), &id, std::mem::take(&mut streams.given));
        let mut container = match created {
            Ok(container) => container,
            Err(failure) => {
                streams.abandon();
                return Err(failure);
            }
        };
        let terminal = container.terminal();
        let attached = terminal.as_ref().map_or(Ok(()), |master| streams.attach(master));
        let init = attached.and_then(|()| Ok(container.init()?));
        let init = init.and_then(|init| init.ok_or_else(|| Failure::not_found("its init is gone")));
        match init {
            Ok(init) => Ok(Made { container, streams, init, terminal }),
            Err(failure) => {
                streams.abandon();
                match self.runtime.delete(&id, Deletion::Force) {
                    Ok(()) => Err(failure),
                    Err(left) => Err(Failure { message: format!("{failure}; {left}"), ..failure }),
                }
            }
        }
    }
}

/// What runtime-core refuses, in the words that engines look for.
fn refused(error: runtime_core::Error) -> Failure {
    Failure::from(error).during("OCI runtime create failed")
}

/// Whether a container has the pid namespace of the host, or of another container.
fn shares_pids(bundle: &Bundle) -> bool {
    let namespaces = bundle.spec().linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let own = |namespace: &runtime_core::oci_spec::runtime::LinuxNamespace| {
        namespace.typ() == LinuxNamespaceType::Pid && namespace.path().is_none()
    };
    !namespaces.is_some_and(|namespaces| namespaces.iter().any(own))
}
