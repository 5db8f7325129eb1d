//! The task service: which call is answered by what. Versions 2 and 3 have the same messages.

mod create;
mod delete;
mod exec;
mod look;
mod start;
mod steer;

use prost::Message;

use crate::api::ttrpc::Request;
use crate::server::{Server, Ticket};
use crate::status::{Answer, Code, Failure};

/// The names under which containerd 1.x and 2.x call it.
const SERVICES: [&str; 2] = ["containerd.task.v2.Task", "containerd.task.v3.Task"];

impl Server {
    /// Answers a call, now or later.
    pub(crate) fn dispatch(&mut self, ticket: Ticket, request: &Request) {
        if !SERVICES.contains(&request.service.as_str()) {
            return self.answer(ticket, Err(unknown("service", &request.service)));
        }
        let payload = &request.payload[..];
        // What is answered at once, and what is answered when it is done.
        match request.method.as_str() {
            "State" => self.now(ticket, payload, Self::state),
            "Pids" => self.now(ticket, payload, Self::pids),
            "Stats" => self.now(ticket, payload, Self::stats),
            "Connect" => self.now(ticket, payload, Self::connect),
            "Shutdown" => self.now(ticket, payload, Self::shutdown),
            "Exec" => self.now(ticket, payload, Self::exec),
            "Kill" => self.now(ticket, payload, Self::kill),
            "ResizePty" => self.now(ticket, payload, Self::resize_pty),
            "CloseIO" => self.now(ticket, payload, Self::close_io),
            "Wait" => self.later(ticket, payload, Self::wait),
            "Create" => self.later(ticket, payload, Self::create),
            "Start" => self.later(ticket, payload, Self::start),
            "Delete" => self.later(ticket, payload, Self::delete),
            "Pause" => self.later(ticket, payload, Self::pause),
            "Resume" => self.later(ticket, payload, Self::resume),
            "Update" => self.later(ticket, payload, Self::update),
            "Checkpoint" => self.later(ticket, payload, Self::checkpoint),
            method => self.answer(ticket, Err(unknown("method", &format!("{}/{method}", request.service)))),
        }
    }

    fn now<Q: Message + Default, R: Message>(
        &mut self,
        ticket: Ticket,
        payload: &[u8],
        method: impl FnOnce(&mut Self, Q) -> Answer<R>,
    ) {
        let answer = read(payload).and_then(|request| method(self, request));
        self.reply(ticket, answer);
    }

    /// The method answers by itself, unless it fails at once.
    fn later<Q: Message + Default>(
        &mut self,
        ticket: Ticket,
        payload: &[u8],
        method: impl FnOnce(&mut Self, Q, Ticket) -> Answer<()>,
    ) {
        if let Err(failure) = read(payload).and_then(|request| method(self, request, ticket)) {
            self.answer(ticket, Err(failure));
        }
    }
}

fn read<Q: Message + Default>(payload: &[u8]) -> Answer<Q> {
    Q::decode(payload).map_err(|error| Failure::invalid(format!("the request cannot be read: {error}")))
}

/// What containerd takes as "ask an older one".
fn unknown(what: &str, name: &str) -> Failure {
    Failure::new(Code::Unimplemented, format!("no {what} {name}"))
}
