//! Exec, which makes one more process known; and what is done to the streams of one: ResizePty, CloseIO.

use rustix::termios::{Winsize, tcsetwinsize};

use crate::api::Empty;
use crate::api::events::TaskExecAdded;
use crate::api::task::{CloseIORequest, ExecProcessRequest, ResizePtyRequest};
use crate::container::{Input, Process};
use crate::server::Server;
use crate::status::{Answer, Code, Failure};
use crate::stdio::Paths;

impl Server {
    /// Makes a process known: it is started by another call.
    pub(super) fn exec(&mut self, request: ExecProcessRequest) -> Answer<Empty> {
        let (id, exec_id) = (request.id, request.exec_id);
        if exec_id.is_empty() {
            return Err(Failure::invalid("the exec id is empty"));
        }
        if self.container(&id)?.execs.contains_key(&exec_id) {
            return Err(Failure::new(Code::AlreadyExists, format!("id {exec_id}")));
        }
        let spec = request.spec.ok_or_else(|| Failure::invalid("an exec without a spec"))?.value;
        let paths =
            Paths { stdin: request.stdin, stdout: request.stdout, stderr: request.stderr, terminal: request.terminal };
        let key = self.key();
        self.container(&id)?.execs.insert(exec_id.clone(), key);
        self.processes.insert(key, Process { spec, ..Process::new(&id, &exec_id, paths) });
        let event = TaskExecAdded { container_id: id, exec_id };
        self.publisher.tell(&self.poller, "/tasks/exec-added", "containerd.events.TaskExecAdded", &event);
        Ok(Empty {})
    }

    /// Makes a process's terminal as large as it is to be; one without a terminal stays as it is.
    pub(super) fn resize_pty(&mut self, request: ResizePtyRequest) -> Answer<Empty> {
        let key = self.find(&request.id, &request.exec_id)?;
        let size = |of: u32| u16::try_from(of).unwrap_or(u16::MAX);
        let (ws_row, ws_col) = (size(request.height), size(request.width));
        if let Some(terminal) = &self.process(key)?.terminal {
            let size = Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
            tcsetwinsize(terminal, size).map_err(|errno| Failure::host("resize the terminal", errno))?;
        }
        Ok(Empty {})
    }

    /// Closes the input of a process, as soon as its other writers have closed theirs.
    pub(super) fn close_io(&mut self, request: CloseIORequest) -> Answer<Empty> {
        let key = self.find(&request.id, &request.exec_id)?;
        if request.stdin {
            self.process(key)?.input = Input::Closed;
        }
        Ok(Empty {})
    }
}
