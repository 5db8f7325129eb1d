//! Start: of a container's init, of one more process, or of what a checkpoint saved. That it runs is told before its end,
//! however fast that comes.

use std::path::PathBuf;
use std::sync::Arc;

use runtime_core::{Bundle, ExecOptions, Id, Joined, Runtime, Signal, spec};

use super::create::{Made, Making};
use crate::api::events::{TaskExecStarted, TaskStart};
use crate::api::task::{StartRequest, StartResponse};
use crate::container::{Exit, Input, Stage};
use crate::options::Options;
use crate::server::{Server, Ticket};
use crate::status::{Answer, Failure};
use crate::stdio::{Paths, Reader, Streams, owner};

impl Server {
    pub(super) fn start(&mut self, request: StartRequest, ticket: Ticket) -> Answer<()> {
        let key = self.find(&request.id, &request.exec_id)?;
        let name = if request.exec_id.is_empty() { "container" } else { "process" };
        match self.process(key)?.stage {
            Stage::Created => {}
            Stage::Starting | Stage::Running => {
                return Err(Failure::precondition(format!("cannot start an already running {name}")));
            }
            Stage::Ended | Stage::Deleting => {
                return Err(Failure::precondition(format!("cannot start a {name} that has stopped")));
            }
        }
        if !request.exec_id.is_empty() {
            self.start_exec(key, request, ticket)
        } else if self.container(&request.id)?.made.is_none() {
            self.start_restored(key, request.id, ticket)
        } else {
            self.start_init(key, request.id, ticket)
        }
    }

    fn start_init(&mut self, key: u32, id: String, ticket: Ticket) -> Answer<()> {
        let container = self.container(&id)?;
        let made = container.made.as_ref().map(Arc::clone).ok_or_else(|| Failure::precondition("it was never made"))?;
        self.process(key)?.stage = Stage::Starting;
        self.work(
            move || made.start().map_err(failed_to_start),
            move |server, started| server.started(key, &id, ticket, started),
        );
        Ok(())
    }

    /// A container's init was started, or was not; only now can it have ended.
    fn started(&mut self, key: u32, id: &str, ticket: Ticket, started: Answer<()>) {
        let Ok(process) = self.process(key) else { return };
        let (pid, early) = (process.pid, process.early.take());
        // Where it could not be started its end is told like any other's, if that is what came of it.
        process.stage = if started.is_ok() { Stage::Running } else { Stage::Created };
        if started.is_ok() {
            let event = TaskStart { container_id: id.to_owned(), pid };
            self.publisher.tell(&self.poller, "/tasks/start", "containerd.events.TaskStart", &event);
        }
        self.reply(ticket, started.map(|()| StartResponse { pid }));
        if let Some(exit) = early {
            self.exited(key, exit);
        }
    }

    fn start_exec(&mut self, key: u32, request: StartRequest, ticket: Ticket) -> Answer<()> {
        let namespace = self.settings.namespace.clone();
        let container = self.container(&request.id)?;
        let (runtime, options, init) = (container.runtime.clone(), container.options.clone(), container.init);
        if self.process(init)?.child.is_none() {
            let why = format!("container {} init process is not running", request.id);
            return Err(Failure::precondition(why));
        }
        let process = self.process(key)?;
        process.stage = Stage::Starting;
        let joining = Joining {
            id: request.id.clone(),
            namespace,
            paths: process.paths.clone(),
            spec: std::mem::take(&mut process.spec),
            input_is_closed: matches!(process.input, Input::Closed),
            runtime,
            options,
        };
        self.work(move || joining.join(), move |server, joined| server.joined(key, &request, ticket, joined));
        Ok(())
    }

    /// One more process has joined a container, or has not.
    fn joined(&mut self, key: u32, request: &StartRequest, ticket: Ticket, joined: Answer<(Joined, Streams)>) {
        let Ok(process) = self.process(key) else {
            // Its container was deleted meanwhile.
            if let Ok((joined, streams)) = joined {
                self.work(move || end(&joined.process), |_, ()| {});
                streams.abandon();
            }
            return self.reply::<StartResponse>(ticket, Err(Failure::not_found("process does not exist")));
        };
        let answer = match joined {
            Err(failure) => {
                // It can be deleted, and no more: what it was to be was used up.
                process.stage = Stage::Ended;
                let exit = Exit::never_started();
                process.exit = Some(exit);
                let waiters = std::mem::take(&mut process.waiters);
                waiters.into_iter().for_each(|waiter| self.reply(waiter, Ok(exit.response())));
                Err(failure)
            }
            Ok((Joined { process: child, terminal, warnings }, streams)) => {
                warnings.iter().for_each(|warning| log::warn!("{}: {warning}", request.exec_id));
                process.stage = Stage::Running;
                process.terminal = terminal;
                process.open_input(streams.input);
                let (container_id, exec_id, pid) = (request.id.clone(), request.exec_id.clone(), child.pid);
                self.serve_lines(key, streams.lines);
                self.keep_logger(key, streams.logger);
                let event = TaskExecStarted { container_id, exec_id, pid };
                let name = "containerd.events.TaskExecStarted";
                self.publisher.tell(&self.poller, "/tasks/exec-started", name, &event);
                // From here on its end can be told.
                self.await_end(key, child);
                Ok(StartResponse { pid })
            }
        };
        self.reply(ticket, answer);
        self.release(&request.id);
    }

    fn start_restored(&mut self, key: u32, id: String, ticket: Ticket) -> Answer<()> {
        let namespace = self.settings.namespace.clone();
        let paths = self.process(key)?.paths.clone();
        let input_is_closed = matches!(self.process(key)?.input, Input::Closed);
        let container = self.container(&id)?;
        let images = container.checkpoint.clone().unwrap_or_default();
        let (runtime, options, bundle) =
            (container.runtime.clone(), container.options.clone(), container.bundle.clone());
        let making = Making { id: id.clone(), bundle, namespace, paths, runtime, options, input_is_closed };
        self.process(key)?.stage = Stage::Starting;
        self.work(
            move || restore(&making, images),
            move |server, restored| {
                let started = restored.map(|made| {
                    server.keep(&id, key, made);
                });
                if let (Err(_), Ok(process)) = (&started, server.process(key)) {
                    process.stage = Stage::Created;
                    return server.reply::<StartResponse>(ticket, started.map(|()| StartResponse { pid: 0 }));
                }
                server.started(key, &id, ticket, started);
            },
        );
        Ok(())
    }
}

fn failed_to_start(error: runtime_core::Error) -> Failure {
    Failure::from(error).during("OCI runtime start failed")
}

/// What a thread needs to have one more process join a container.
struct Joining {
    id: String,
    namespace: String,
    paths: Paths,
    /// JSON (config.md#process).
    spec: Vec<u8>,
    input_is_closed: bool,
    runtime: Runtime,
    options: Options,
}

impl Joining {
    fn join(self) -> Answer<(Joined, Streams)> {
        let (process, warnings) = spec::parse_process(&self.spec).map_err(|invalid| refused(invalid.into()))?;
        let container = self.runtime.load(&Id::new(&self.id)?).map_err(refused)?;
        let options = (self.options.io_uid, self.options.io_gid);
        let owner = owner(options, container.spec().map_err(refused)?, &process);
        let reader = Reader { id: &self.id, namespace: &self.namespace, owner, input_is_closed: self.input_is_closed };
        let mut streams = Streams::open(&self.paths, process.terminal() == Some(true), &reader)?;
        let given = std::mem::take(&mut streams.given);
        let mut joined = match container.exec(&process, &ExecOptions::default(), &given) {
            Ok(joined) => joined,
            Err(error) => {
                streams.abandon();
                return Err(refused(error));
            }
        };
        joined.warnings.extend(warnings);
        if let Some(master) = &joined.terminal {
            streams.attach(master).inspect_err(|_| end(&joined.process))?;
        }
        Ok((joined, streams))
    }
}

fn refused(error: runtime_core::Error) -> Failure {
    Failure::from(error).during("OCI runtime exec failed: exec failed")
}

/// Ends a process that nobody will know.
fn end(process: &runtime_core::Process) {
    // It has ended where it cannot be killed.
    let _ = process.kill(Signal(nix::libc::SIGKILL));
    let _ = process.wait();
}

/// criu's own files are in the bundle, where nothing else is said.
#[cfg(feature = "criu")]
pub(super) fn in_bundle(criu: runtime_core::Criu, bundle: &std::path::Path) -> runtime_core::Criu {
    let work = criu.work.or_else(|| Some(bundle.join("work")));
    runtime_core::Criu { work, ..criu }
}

#[cfg(feature = "criu")]
fn restore(making: &Making, images: PathBuf) -> Answer<Made> {
    let bundle = Bundle::load(&making.bundle)?;
    let criu = in_bundle(making.options.criu(&images.to_string_lossy(), ""), &making.bundle);
    let from = runtime_core::RestoreOptions { criu, ..runtime_core::RestoreOptions::default() };
    let refused = |error| Failure::from(error).during("OCI runtime restore failed");
    making
        .make(&bundle, |options, id, stdio| making.runtime.restore(id, &bundle, options, &from, stdio).map_err(refused))
}

#[cfg(not(feature = "criu"))]
fn restore(_: &Making, _: PathBuf) -> Answer<Made> {
    Err(Failure::precondition("this build has no checkpoint and restore"))
}
