//! Calls that only look: State, Wait, Pids, Stats, Connect; and Shutdown, which is one where containers are left.

use runtime_core::ErrorKind;

use crate::api::options::ProcessDetails;
use crate::api::task::{
    ConnectRequest, ConnectResponse, PidsRequest, PidsResponse, ProcessInfo, ShutdownRequest, StateRequest,
    StateResponse, StatsRequest, StatsResponse, Status, WaitRequest,
};
use crate::api::{Any, Empty};
use crate::container::{Freezer, Process, Stage};
use crate::metrics::metrics;
use crate::server::{Server, Ticket};
use crate::status::{Answer, Failure};

impl Server {
    /// What a process is doing; known here, so that nothing is read.
    pub(super) fn state(&mut self, request: StateRequest) -> Answer<StateResponse> {
        let key = self.find(&request.id, &request.exec_id)?;
        let freezer = self.container(&request.id)?.freezer;
        let bundle = self.container(&request.id)?.bundle.display().to_string();
        let process = self.process(key)?;
        Ok(StateResponse {
            id: process.container.clone(),
            bundle,
            pid: process.pid,
            status: status(process, freezer) as i32,
            stdin: process.paths.stdin.clone(),
            stdout: process.paths.stdout.clone(),
            stderr: process.paths.stderr.clone(),
            terminal: process.paths.terminal,
            exit_status: process.exit.map_or(0, |exit| exit.status),
            exited_at: process.exit.map(|exit| exit.at),
            exec_id: process.exec_id.clone(),
        })
    }

    /// Answers when the process has ended.
    pub(super) fn wait(&mut self, request: WaitRequest, ticket: Ticket) -> Answer<()> {
        let key = self.find(&request.id, &request.exec_id)?;
        let process = self.process(key)?;
        match process.exit {
            Some(exit) => self.reply(ticket, Ok(exit.response())),
            None => process.waiters.push(ticket),
        }
        Ok(())
    }

    /// The processes of a container: those in its cgroup, and those that are surely its own, wherever they are.
    pub(super) fn pids(&mut self, request: PidsRequest) -> Answer<PidsResponse> {
        let container = self.container(&request.id)?;
        let mut pids = match container.made.as_ref().map(|made| made.processes()) {
            Some(Err(error)) if error.kind() != ErrorKind::Unsupported => return Err(error.into()),
            found => found.and_then(Result::ok).unwrap_or_default(),
        };
        let keys: Vec<u32> = container.execs.values().chain([&container.init]).copied().collect();
        let own: Vec<_> =
            keys.iter().filter_map(|key| self.processes.get(key)).filter(|own| own.child.is_some()).collect();
        pids.extend(own.iter().map(|process| process.pid));
        pids.sort_unstable();
        pids.dedup();
        let details = |pid: u32| {
            let process = own.iter().find(|process| process.pid == pid && !process.exec_id.is_empty())?;
            let details = ProcessDetails { exec_id: process.exec_id.clone() };
            Some(Any::of("containerd.runc.v1.ProcessDetails", &details))
        };
        Ok(PidsResponse { processes: pids.into_iter().map(|pid| ProcessInfo { pid, info: details(pid) }).collect() })
    }

    /// The figures of a container's cgroup.
    pub(super) fn stats(&mut self, request: StatsRequest) -> Answer<StatsResponse> {
        let container = self.container(&request.id)?;
        let meter = container.meter.as_ref().ok_or_else(|| Failure::not_found("cgroup does not exist"))?;
        Ok(StatsResponse { stats: Some(metrics(&meter.read()?)) })
    }

    /// Who this is, and a container's init; 0 where there is no such container yet.
    pub(super) fn connect(&mut self, request: ConnectRequest) -> Answer<ConnectResponse> {
        let init = self.find(&request.id, "").ok().and_then(|key| self.processes.get(&key));
        Ok(ConnectResponse {
            shim_pid: std::process::id(),
            task_pid: init.map_or(0, |init| init.pid),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// Ends the shim, unless it has containers still.
    pub(super) fn shutdown(&mut self, _: ShutdownRequest) -> Answer<Empty> {
        // While a container is being made it is remembered: that may fail.
        self.wants_end = self.containers.is_empty();
        self.end_if_asked();
        Ok(Empty {})
    }
}

fn status(process: &Process, freezer: Freezer) -> Status {
    match (process.stage, process.exit, freezer) {
        (_, Some(_), _) | (Stage::Ended, ..) => Status::Stopped,
        (Stage::Created | Stage::Starting, ..) => Status::Created,
        (_, None, Freezer::Paused) => Status::Paused,
        (_, None, Freezer::Pausing) => Status::Pausing,
        (Stage::Running | Stage::Deleting, ..) => Status::Running,
    }
}
