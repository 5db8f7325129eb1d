//! `delete`: what containerd calls for the container of a shim that died. It can be repeated, and finds what is there.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use prost::Message;
use runtime_core::{Deletion, Id, Runtime};

use crate::api::task::DeleteResponse;
use crate::bootstrap;
use crate::flags::Flags;
use crate::options::Options;
use crate::rootfs;
use crate::status::{Answer, Failure};

/// containerd ends this process after 5 s.
const LIMIT: Duration = Duration::from_millis(3500);

/// A process that was killed by SIGKILL.
const KILLED: u32 = 128 + 9;

/// Returns the bytes of the answer. What could not be removed is a warning: there is nobody who could go on from an error.
pub(crate) fn delete(flags: &Flags) -> Answer<Vec<u8>> {
    let bundle = bundle(flags)?;
    let options = Options::load(&bundle).unwrap_or_else(|error| {
        log::warn!("cannot read the bundle's options.json, so the usual root is looked into: {error}");
        Options::default()
    });
    let runtime = options.runtime(&flags.namespace);
    let id = Id::new(&flags.id)?;
    // Before it is deleted: it is known from its state alone.
    let pid = runtime.load(&id).and_then(|container| container.state()).map_or(0, |state| state.pid);
    if let Err(why) = end(runtime, id) {
        log::warn!("cannot delete container {}: {why}", flags.id);
    }
    if let Err(error) = rootfs::unmount_all(&rootfs::of(&bundle)) {
        log::warn!("cannot unmount the rootfs of container {}: {error}", flags.id);
    }
    forget(&bundle);
    let response = DeleteResponse { pid, exit_status: KILLED, exited_at: Some(SystemTime::now().into()) };
    Ok(response.encode_to_vec())
}

fn bundle(flags: &Flags) -> Answer<PathBuf> {
    if flags.bundle.is_empty() {
        std::env::current_dir().map_err(|error| Failure::host("find the working directory", error))
    } else {
        Ok(PathBuf::from(&flags.bundle))
    }
}

/// Deletes the container, whatever it does; one that is not there is no error. What takes too long goes on until this process
/// ends.
fn end(runtime: Runtime, id: Id) -> Result<(), String> {
    let (done, told) = mpsc::channel();
    std::thread::spawn(move || done.send(runtime.delete(&id, Deletion::Force)));
    match told.recv_timeout(LIMIT) {
        Ok(deleted) => deleted.map_err(|error| error.to_string()),
        Err(_) => Err(format!("it is not gone after {LIMIT:?}")),
    }
}

/// Removes the socket of the container's group, unless the group's shim is alive.
fn forget(bundle: &Path) {
    let Ok(address) = std::fs::read_to_string(bundle.join(bootstrap::ADDRESS)) else { return };
    if let Err(error) = bootstrap::remove_stale(&address) {
        log::warn!("cannot remove the socket {}: {error}", address.trim());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_nothing_and_twice() {
        let bundle = std::env::temp_dir().join(format!("planc-shim-delete-{}", std::process::id()));
        std::fs::create_dir(&bundle).unwrap();
        let root = bundle.join("root");
        let options = Options { root: root.to_str().unwrap().to_owned(), ..Options::default() };
        options.save(&bundle).unwrap();
        let flags = Flags {
            namespace: "n".to_owned(),
            id: "a".to_owned(),
            bundle: bundle.to_str().unwrap().to_owned(),
            ..Flags::default()
        };
        for _ in 0..2 {
            let response = DeleteResponse::decode(&*delete(&flags).unwrap()).unwrap();
            assert_eq!((response.pid, response.exit_status), (0, 137));
            assert!(response.exited_at.unwrap().seconds > 1_700_000_000);
        }
        std::fs::remove_dir_all(&bundle).unwrap();
        let odd = Flags { id: "../a".to_owned(), ..flags };
        delete(&odd).unwrap_err();
    }
}
