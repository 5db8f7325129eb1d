//! What `ctr events` prints: what containerd was told, in the order in which it was.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use serde_json::Value;

use super::Containerd;
use crate::shim::NAMESPACE;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `/tasks/start` …
    pub topic: String,
    /// Its message, as `ctr` writes it.
    pub message: Value,
}

impl Event {
    /// A string, or a number as text, of the message.
    pub fn get(&self, key: &str) -> String {
        match &self.message[key] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        }
    }
}

/// A listener.
#[derive(Debug)]
pub struct Events<'c, 's> {
    containerd: &'c Containerd<'s>,
    path: PathBuf,
    ctr: Child,
}

impl<'c, 's> Events<'c, 's> {
    /// Listens, from when this returns.
    #[track_caller]
    pub fn listen(containerd: &'c Containerd<'s>) -> Self {
        let path = containerd.scene.path(&format!("events-{}", containerd.scene.id()));
        let mut command = containerd.command(&["events"]);
        command.stdin(Stdio::null()).stdout(File::create(&path).unwrap()).stderr(Stdio::null());
        let events = Self { containerd, path, ctr: command.spawn().unwrap() };
        // It does not say when it listens: what is changed until it tells so.
        let mut count = 0;
        containerd.try_ctr(&["namespace", "create", NAMESPACE]);
        containerd.scene.wait_until("ctr listens", || {
            count += 1;
            containerd.ctr(&["namespace", "label", NAMESPACE, &format!("count={count}")]);
            !events.all().is_empty()
        });
        events
    }

    /// Every event so far, of whatever it is.
    pub fn all(&self) -> Vec<Event> {
        // DATE TIME ZONE ZONE NAMESPACE TOPIC MESSAGE; the last line may not be whole.
        let text = fs::read_to_string(&self.path).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().filter_map(event).collect()
    }

    /// The events of one container's tasks.
    pub fn of(&self, id: &str) -> Vec<Event> {
        let of_task = |event: &Event| event.topic.starts_with("/tasks/") && event.get("container_id") == id;
        self.all().into_iter().filter(of_task).collect()
    }

    /// The topics of one container, without `/tasks/`, once there is this one.
    #[track_caller]
    pub fn topics_until(&self, id: &str, last: &str) -> Vec<String> {
        let topics = || -> Vec<String> {
            self.of(id).iter().map(|event| event.topic.trim_start_matches("/tasks/").to_owned()).collect()
        };
        self.containerd
            .scene
            .wait_until(&format!("{last} of {id}: {:?}", topics()), || topics().iter().any(|topic| topic == last));
        topics()
    }
}

impl Drop for Events<'_, '_> {
    fn drop(&mut self) {
        let _ = self.ctr.kill();
        let _ = self.ctr.wait();
    }
}

fn event(line: &str) -> Option<Event> {
    let (head, message) = line.split_at(line.find('{')?);
    let topic = head.split_whitespace().last()?.to_owned();
    Some(Event { topic, message: serde_json::from_str(message).ok()? })
}
