//! Calls that change what runs: Kill, Pause, Resume, Update, Checkpoint.

use std::path::Path;
use std::sync::Arc;

use prost::Message;
use runtime_core::oci_spec::runtime::LinuxResources;
use runtime_core::{ErrorKind, Signal, Target};

use crate::api::events::{TaskCheckpointed, TaskPaused, TaskResumed};
use crate::api::options::CheckpointOptions;
use crate::api::task::{CheckpointTaskRequest, KillRequest, PauseRequest, ResumeRequest, UpdateTaskRequest};
use serde_json::Value;

use crate::api::{Any, Empty};
use crate::container::{Freezer, Stage};
use crate::options::Options;
use crate::server::{Server, Ticket};
use crate::status::{Answer, Failure};

impl Server {
    /// Sends a signal: to a process, or to all of a container's.
    pub(super) fn kill(&mut self, request: KillRequest) -> Answer<Empty> {
        let key = self.find(&request.id, &request.exec_id)?;
        let signal = Signal(i32::try_from(request.signal).unwrap_or(-1));
        let finished = || Failure::not_found("process already finished");
        let process = self.process(key)?;
        if process.exit.is_some() {
            return Err(finished());
        }
        let sent = if request.exec_id.is_empty() {
            let target = if request.all { Target::All } else { Target::Init };
            self.made(&request.id)?.kill(signal, target)
        } else if process.pid == 0 {
            return Err(Failure::precondition("process not created"));
        } else {
            process.child.as_ref().ok_or_else(finished)?.kill(signal)
        };
        match sent {
            Err(error) if error.kind() == ErrorKind::WrongStatus => Err(finished()),
            sent => Ok(sent.map(|()| Empty {})?),
        }
    }

    pub(super) fn pause(&mut self, request: PauseRequest, ticket: Ticket) -> Answer<()> {
        let made = self.made(&request.id)?;
        let init = self.find(&request.id, "")?;
        if self.process(init)?.stage != Stage::Running {
            return Err(Failure::precondition("cannot pause a container that does not run"));
        }
        let container = self.container(&request.id)?;
        if container.freezer != Freezer::Thawed {
            return Err(Failure::precondition("cannot pause a container that is paused, or being paused"));
        }
        container.freezer = Freezer::Pausing;
        let id = request.id;
        self.work(
            move || made.pause().map_err(Failure::from),
            move |server, paused| {
                let is_over = server.process(init).map_or(true, |process| process.exit.is_some());
                if let (false, Ok(container)) = (is_over, server.container(&id)) {
                    container.freezer = if paused.is_ok() { Freezer::Paused } else { Freezer::Thawed };
                }
                if paused.is_ok() && !is_over {
                    let event = TaskPaused { container_id: id };
                    server.publisher.tell(&server.poller, "/tasks/paused", "containerd.events.TaskPaused", &event);
                }
                server.reply(ticket, paused.map(|()| Empty {}));
            },
        );
        Ok(())
    }

    pub(super) fn resume(&mut self, request: ResumeRequest, ticket: Ticket) -> Answer<()> {
        let made = self.made(&request.id)?;
        let id = request.id;
        self.work(
            move || made.resume().map_err(Failure::from),
            move |server, resumed| {
                if resumed.is_ok() {
                    if let Ok(container) = server.container(&id) {
                        container.freezer = Freezer::Thawed;
                    }
                    let event = TaskResumed { container_id: id };
                    server.publisher.tell(&server.poller, "/tasks/resumed", "containerd.events.TaskResumed", &event);
                }
                server.reply(ticket, resumed.map(|()| Empty {}));
            },
        );
        Ok(())
    }

    pub(super) fn update(&mut self, request: UpdateTaskRequest, ticket: Ticket) -> Answer<()> {
        let made = self.made(&request.id)?;
        let given = request.resources.ok_or_else(|| Failure::invalid("an update without resources"))?;
        if !given.name().ends_with("LinuxResources") {
            return Err(Failure::invalid(format!("an update takes LinuxResources, not {}", given.type_url)));
        }
        let wrong = |error| Failure::invalid(format!("the resources cannot be read: {error}"));
        let value: Value = serde_json::from_slice(&given.value).map_err(wrong)?;
        if !value.is_object() {
            // An array would do, as a list of the members.
            return Err(Failure::invalid("the resources are no JSON object"));
        }
        let resources: LinuxResources = serde_json::from_value(value).map_err(wrong)?;
        let id = request.id;
        self.work(
            move || made.update(&resources).map_err(Failure::from),
            move |server, updated| {
                updated.iter().flatten().for_each(|warning| log::warn!("{id}: {warning}"));
                server.reply(ticket, updated.map(|_| Empty {}));
            },
        );
        Ok(())
    }

    pub(super) fn checkpoint(&mut self, request: CheckpointTaskRequest, ticket: Ticket) -> Answer<()> {
        let made = self.made(&request.id)?;
        let container = self.container(&request.id)?;
        let (init, bundle, asked) = (container.init, container.bundle.clone(), container.options.clone());
        if self.process(init)?.stage != Stage::Running {
            return Err(Failure::precondition("cannot checkpoint a container that does not run"));
        }
        let options = match &request.options {
            Some(options) => read(options)?,
            None => CheckpointOptions::default(),
        };
        let path = if options.image_path.is_empty() { request.path } else { options.image_path.clone() };
        let (id, images) = (request.id, path.clone());
        self.work(
            move || save(&made, &asked, &options, &images, &bundle),
            move |server, saved| {
                if saved.is_ok() {
                    let event = TaskCheckpointed { container_id: id, checkpoint: path };
                    let name = "containerd.events.TaskCheckpointed";
                    server.publisher.tell(&server.poller, "/tasks/checkpointed", name, &event);
                }
                server.reply(ticket, saved.map(|()| Empty {}));
            },
        );
        Ok(())
    }

    /// A container that was made, which one that is to be restored was not yet.
    fn made(&mut self, id: &str) -> Answer<Arc<runtime_core::Container>> {
        let made = self.container(id)?.made.as_ref().map(Arc::clone);
        made.ok_or_else(|| Failure::precondition("process not created"))
    }
}

fn read(options: &Any) -> Answer<CheckpointOptions> {
    if options.name() != "containerd.runc.v1.CheckpointOptions" {
        return Err(Failure::invalid(format!("unknown type of options {:?}", options.type_url)));
    }
    let wrong = |error| Failure::invalid(format!("the options cannot be read: {error}"));
    CheckpointOptions::decode(&options.value[..]).map_err(wrong)
}

#[cfg(feature = "criu")]
fn save(
    made: &runtime_core::Container,
    asked: &Options,
    options: &CheckpointOptions,
    images: &str,
    bundle: &Path,
) -> Answer<()> {
    let manage_cgroups = match options.cgroups_mode.as_str() {
        "" | "soft" => runtime_core::ManageCgroups::Soft,
        "full" => runtime_core::ManageCgroups::Full,
        "strict" => runtime_core::ManageCgroups::Strict,
        "ignore" => runtime_core::ManageCgroups::Ignore,
        other => return Err(Failure::invalid(format!("unknown cgroups mode {other:?}"))),
    };
    let criu = runtime_core::Criu {
        tcp_established: options.open_tcp,
        ext_unix_sk: options.external_unix_sockets,
        shell_job: options.terminal,
        file_locks: options.file_locks,
        manage_cgroups,
        ..super::start::in_bundle(asked.criu(images, &options.work_path), bundle)
    };
    let how = runtime_core::CheckpointOptions {
        criu,
        leave_running: !options.exit,
        ..runtime_core::CheckpointOptions::default()
    };
    made.checkpoint(how).map_err(|error| Failure::from(error).during("checkpoint failed"))
}

#[cfg(not(feature = "criu"))]
fn save(_: &runtime_core::Container, _: &Options, _: &CheckpointOptions, _: &str, _: &Path) -> Answer<()> {
    Err(Failure::precondition("this build has no checkpoint and restore"))
}
