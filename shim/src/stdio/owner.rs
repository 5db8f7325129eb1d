//! To whom the pipes of a process belong: a program that is not root opens /dev/stdout again, and may.

use runtime_core::oci_spec::runtime::{LinuxIdMapping, Process, Spec};

/// The uid and gid, on the host, of a process of a container; where the options name any, those.
pub(crate) fn owner(options: (u32, u32), spec: &Spec, process: &Process) -> (u32, u32) {
    if options != (0, 0) {
        return options;
    }
    let linux = spec.linux().as_ref();
    let uids = linux.and_then(|linux| linux.uid_mappings().as_ref());
    let gids = linux.and_then(|linux| linux.gid_mappings().as_ref());
    let user = process.user();
    (on_host(user.uid(), uids.map_or(&[], Vec::as_slice)), on_host(user.gid(), gids.map_or(&[], Vec::as_slice)))
}

/// An id that is not mapped cannot be a process's: it is refused elsewhere.
fn on_host(id: u32, mappings: &[LinuxIdMapping]) -> u32 {
    let of = |mapping: &&LinuxIdMapping| id.checked_sub(mapping.container_id()).is_some_and(|at| at < mapping.size());
    let mapping = mappings.iter().find(of);
    mapping.map_or(id, |mapping| mapping.host_id().saturating_add(id - mapping.container_id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(mappings: &str) -> Spec {
        let json = format!(r#"{{"ociVersion": "1.0.2", "linux": {{"uidMappings": {mappings}}}}}"#);
        serde_json::from_str(&json).unwrap()
    }

    fn process(uid: u32) -> Process {
        serde_json::from_str(&format!(r#"{{"cwd": "/", "user": {{"uid": {uid}, "gid": 7}}}}"#)).unwrap()
    }

    #[test]
    fn the_host_has_other_ids() {
        let mapped = spec(
            r#"[{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 200000, "size": 65535}]"#,
        );
        assert_eq!(owner((0, 0), &mapped, &process(0)), (1000, 7));
        assert_eq!(owner((0, 0), &mapped, &process(101)), (200_100, 7));
        assert_eq!(owner((0, 0), &spec("[]"), &process(101)), (101, 7));
        assert_eq!(owner((5, 6), &mapped, &process(101)), (5, 6));
    }
}
