//! Delete: of a process that has ended, when its output was passed on; with init goes the container.

use std::time::{Duration, Instant};

use runtime_core::{Deletion, ErrorKind, Id, Signal};

use crate::api::events::TaskDelete;
use crate::api::task::{DeleteRequest, DeleteResponse};
use crate::container::{DRAIN_LIMIT, Draining, Freezer, Stage};
use crate::rootfs;
use crate::server::{Server, Ticket};
use crate::status::{Answer, Failure};

impl Server {
    pub(super) fn delete(&mut self, request: DeleteRequest, ticket: Ticket) -> Answer<()> {
        let key = self.find(&request.id, &request.exec_id)?;
        let freezer = self.container(&request.id)?.freezer;
        let process = self.process(key)?;
        let is_init = request.exec_id.is_empty();
        match process.stage {
            Stage::Created | Stage::Ended => {}
            Stage::Deleting => return Err(Failure::precondition("it is being deleted")),
            Stage::Starting | Stage::Running if is_init && freezer == Freezer::Paused => {
                return Err(Failure::precondition("cannot delete a paused process"));
            }
            Stage::Starting | Stage::Running => {
                return Err(Failure::precondition("cannot delete a running process"));
            }
        }
        let before = process.stage;
        process.stage = Stage::Deleting;
        let limit = if before == Stage::Created { Duration::ZERO } else { DRAIN_LIMIT };
        let then = move |server: &mut Self| {
            if is_init {
                server.delete_container(key, &request.id, before, ticket);
            } else {
                server.forget(key, Some(ticket));
            }
        };
        process.draining = Some(Draining { until: Instant::now() + limit, then: Box::new(then) });
        self.drained(key);
        Ok(())
    }

    /// Forgets a process, and answers what it was.
    fn forget(&mut self, key: u32, ticket: Option<Ticket>) {
        self.drop_streams(key);
        self.dismiss_logger(key);
        let Some(process) = self.processes.remove(&key) else { return };
        if let Some(container) = self.containers.get_mut(&process.container) {
            container.execs.remove(&process.exec_id);
        }
        // Who still waits for one that was never started.
        for waiter in process.waiters {
            self.reply::<DeleteResponse>(waiter, Err(Failure::not_found("the process was deleted")));
        }
        let exit_status = process.exit.map_or(0, |exit| exit.status);
        let exited_at = process.exit.map(|exit| exit.at);
        if let Some(ticket) = ticket {
            self.reply(ticket, Ok(DeleteResponse { pid: process.pid, exit_status, exited_at }));
        }
    }

    fn delete_container(&mut self, key: u32, id: &str, before: Stage, ticket: Ticket) {
        let Some(container) = self.containers.get(id) else { return };
        let (runtime, bundle) = (container.runtime.clone(), container.bundle.clone());
        let name = id.to_owned();
        let work = move || -> Answer<()> {
            // What was checkpointed and ended with that is deleted already.
            match runtime.delete(&Id::new(&name)?, Deletion::Stopped) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                deleted => deleted?,
            }
            let root = rootfs::of(&bundle);
            rootfs::unmount_all(&root).map_err(|error| Failure::host(&format!("unmount {}", root.display()), error))
        };
        let id = id.to_owned();
        self.work(work, move |server, deleted| match deleted {
            Ok(()) => server.deleted(key, &id, ticket),
            Err(failure) => {
                if let Ok(process) = server.process(key) {
                    process.stage = if process.exit.is_some() { Stage::Ended } else { before };
                }
                server.reply::<DeleteResponse>(ticket, Err(failure));
            }
        });
    }

    /// A container is gone: what is left is to tell it.
    fn deleted(&mut self, key: u32, id: &str, ticket: Ticket) {
        let execs = self.containers.get(id).map(|container| container.execs.values().copied().collect());
        let execs: Vec<u32> = execs.unwrap_or_default();
        for exec in execs {
            self.ended_by_force(exec);
            let draining = self.processes.get_mut(&exec).and_then(|process| process.draining.take());
            match draining {
                Some(draining) => (draining.then)(self),
                None => self.forget(exec, None),
            }
        }
        // An init that was never started ended just now; one whose state somebody else has removed may live still.
        if let Some(child) = self.processes.get(&key).and_then(|process| process.child.as_ref()) {
            let _ = child.kill(Signal(nix::libc::SIGKILL));
        }
        self.ended_by_force(key);
        self.release(id);
        if let Some(process) = self.processes.get(&key) {
            let event = TaskDelete {
                container_id: id.to_owned(),
                pid: process.pid,
                exit_status: process.exit.map_or(0, |exit| exit.status),
                exited_at: process.exit.map(|exit| exit.at),
                id: String::new(),
            };
            self.publisher.tell(&self.poller, "/tasks/delete", "containerd.events.TaskDelete", &event);
        }
        self.forget(key, Some(ticket));
        self.containers.remove(id);
        self.end_if_asked();
    }
}
