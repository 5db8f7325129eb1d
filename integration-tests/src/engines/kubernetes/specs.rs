//! Wishes that the lane cannot grant, taken out of each config.json before a runtime reads it.
//!
//! A kubelet asks for shares of the processor for every container, and no setting of its own or of containerd's says
//! otherwise: in a lane without that controller no runtime could run a pod. Whoever opens a bundle's config.json waits until
//! what asks for missing controllers is blank (fanotify(7)).

use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread;

use nix::fcntl::AT_FDCWD;
use nix::sys::fanotify::{
    EventFFlags, Fanotify, FanotifyEvent, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response,
};
use serde_json::{Map, Value};

use super::super::session::Session;
use crate::oracle;

/// What a config.json says of resources, by the controller that has to be there.
const WISHES: [(&str, &str); 4] = [("cpu", "cpu"), ("memory", "memory"), ("pids", "pids"), ("io", "blockIO")];

/// Where bundles are.
const BUNDLES: &str = "/run/containerd/io.containerd.runtime.v2.task";

/// From now on, for every bundle, as long as this process is.
#[track_caller]
pub(super) fn grant_what_is_there(session: &Session) {
    let controllers = fs::read_to_string(oracle::cgroup_root().join("cgroup.controllers")).unwrap_or_default();
    let is_there = |name: &str| controllers.split_whitespace().any(|controller| controller == name);
    let missing: Vec<(&str, &str)> = WISHES.into_iter().filter(|(name, _)| !is_there(name)).collect();
    if missing.is_empty() {
        return;
    }
    // A mount of their own is watched, and a second one is not: there the files are written.
    let unwatched = session.path("bundles");
    session
        .ok(&format!("mkdir -p {BUNDLES} bundles; mount --bind {BUNDLES} bundles; mount --bind {BUNDLES} {BUNDLES}"));
    let flags = EventFFlags::O_RDONLY | EventFFlags::O_NONBLOCK | EventFFlags::O_CLOEXEC;
    let group = Fanotify::init(InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC, flags).unwrap();
    let mount = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_MOUNT;
    group.mark(mount, MaskFlags::FAN_OPEN_PERM, AT_FDCWD, Some(BUNDLES)).unwrap();
    thread::spawn(move || {
        loop {
            for event in group.read_events().unwrap() {
                // What is no config.json stays as it is.
                let _ = without(&event, &unwatched, &missing);
                let Some(file) = event.fd() else { continue };
                group.write_response(FanotifyResponse::new(file, Response::FAN_ALLOW)).unwrap();
            }
        }
    });
}

/// Takes them out of the file that is being opened, if it is a config.json.
fn without(event: &FanotifyEvent, unwatched: &Path, missing: &[(&str, &str)]) -> Option<()> {
    let path = fs::read_link(format!("/proc/self/fd/{}", event.fd()?.as_raw_fd())).ok()?;
    let path = unwatched.join(path.strip_prefix(BUNDLES).ok()?);
    if path.file_name()? != "config.json" {
        return None;
    }
    fs::write(&path, less(&fs::read_to_string(&path).ok()?, missing)?).ok()
}

/// The same without them; `None` where there is nothing to take out.
fn less(text: &str, missing: &[(&str, &str)]) -> Option<String> {
    let mut config: Value = serde_json::from_str(text).ok()?;
    let resources = config.pointer_mut("/linux/resources")?.as_object_mut()?;
    let before = resources.clone();
    resources.retain(|name, _| missing.iter().all(|(_, wish)| wish != name));
    if let Some(unified) = resources.get_mut("unified").and_then(Value::as_object_mut) {
        retain_files(unified, missing);
    }
    (*resources != before).then(|| config.to_string())
}

/// A file of a cgroup is called after its controller.
fn retain_files(unified: &mut Map<String, Value>, missing: &[(&str, &str)]) {
    unified.retain(|file, _| missing.iter().all(|(name, _)| file.split('.').next() != Some(name)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_taken_out() {
        let text =
            r#"{"linux":{"resources":{"cpu":{"shares":2},"devices":[],"unified":{"cpu.idle":"1","misc.max":"a 1"}}}}"#;
        let missing = [("cpu", "cpu")];
        let without = less(text, &missing).expect("less");
        assert_eq!(without, r#"{"linux":{"resources":{"devices":[],"unified":{"misc.max":"a 1"}}}}"#);
        assert_eq!(less(&without, &missing), None);
        assert_eq!(less("", &missing), None);
    }
}
