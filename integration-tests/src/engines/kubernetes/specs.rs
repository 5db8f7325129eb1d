//! Wishes that the lane cannot grant, taken out of each config.json before a runtime reads it.
//!
//! A kubelet asks for shares of the processor for every container, and no setting of its own or of containerd's says
//! otherwise: in a lane without that controller no runtime could run a pod. Whoever opens a bundle's config.json waits until
//! what asks for missing controllers is blank (fanotify(7)).

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::thread;

use nix::fcntl::AT_FDCWD;
use nix::sys::fanotify::{
    EventFFlags, Fanotify, FanotifyEvent, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response,
};
use serde_json::Value;

use crate::oracle;

/// What a config.json says of resources, by the controller that has to be there.
const WISHES: [(&str, &str); 4] = [("cpu", "cpu"), ("memory", "memory"), ("pids", "pids"), ("io", "blockIO")];

/// From now on, for everything below `/run`, as long as this process is.
pub(super) fn grant_what_is_there() {
    let controllers = fs::read_to_string(oracle::cgroup_root().join("cgroup.controllers")).unwrap_or_default();
    let is_there = |name: &str| controllers.split_whitespace().any(|controller| controller == name);
    let missing: Vec<&str> = WISHES.iter().filter(|(name, _)| !is_there(name)).map(|(_, wish)| *wish).collect();
    if missing.is_empty() {
        return;
    }
    let group = Fanotify::init(
        InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC,
        EventFFlags::O_RDWR | EventFFlags::O_CLOEXEC,
    );
    let group = group.unwrap();
    group
        .mark(MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_MOUNT, MaskFlags::FAN_OPEN_PERM, AT_FDCWD, Some("/run"))
        .unwrap();
    thread::spawn(move || {
        loop {
            for event in group.read_events().unwrap() {
                let _ = without(&event, &missing);
                let Some(file) = event.fd() else { continue };
                group.write_response(FanotifyResponse::new(file, Response::FAN_ALLOW)).unwrap();
            }
        }
    });
}

/// Takes them out of the file that is being opened, if it is a config.json.
fn without(event: &FanotifyEvent, missing: &[&str]) -> std::io::Result<()> {
    let Some(file) = event.fd() else { return Ok(()) };
    let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    if path.file_name() != Some("config.json".as_ref()) || !path.starts_with("/run/containerd") {
        return Ok(());
    }
    let mut file = File::from(file.as_fd().try_clone_to_owned()?);
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    if let Some(less) = less(&text, missing) {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(less.as_bytes())?;
    }
    Ok(())
}

/// The same as long, with blanks at its end; `None` where there is nothing to take out.
fn less(text: &str, missing: &[&str]) -> Option<String> {
    let mut config: Value = serde_json::from_str(text).ok()?;
    let resources = config.pointer_mut("/linux/resources")?.as_object_mut()?;
    let before = resources.len();
    resources.retain(|name, _| !missing.contains(&name.as_str()));
    if resources.len() == before {
        return None;
    }
    let less = config.to_string();
    Some(format!("{less:width$}", width = text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_taken_out() {
        let text = r#"{"linux":{"resources":{"cpu":{"shares":2},"devices":[]}}}"#;
        let without = less(text, &["cpu"]).expect("less");
        assert_eq!(without.trim_end(), r#"{"linux":{"resources":{"devices":[]}}}"#);
        assert_eq!(without.len(), text.len());
        assert_eq!(less(&without, &["cpu"]), None);
        assert_eq!(less("", &["cpu"]), None);
    }
}
