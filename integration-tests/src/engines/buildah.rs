//! Buildah, which executes what a Dockerfile says by a runtime of its own choice.

use super::podman;
use super::session::Session;
use crate::runtime::Runtime;

/// Every container that is worked on, and every image but the first.
const CLEANING: &str = "
    buildah rm --all
    buildah images --quiet --filter since=localhost/busybox | xargs --no-run-if-empty buildah rmi --force
";

/// Buildah as root, with the image `busybox`; the runtime is named as people name it, by a variable.
#[track_caller]
pub fn start(runtime: &Runtime) -> Session {
    let mut session = podman::new(runtime, "/run/b", &podman::data(), "cgroupfs");
    session.cleaned_by(CLEANING);
    session.set("STATES", "/run");
    session.set("BUILDAH_RUNTIME", runtime.path.to_str().unwrap());
    session.set("BUILDAH_ISOLATION", "oci");
    // Where caches outlive a build: not the machine's.
    let temporary = podman::data().join("temporary");
    std::fs::create_dir_all(&temporary).unwrap();
    session.set("TMPDIR", temporary.to_str().unwrap());
    podman::with_image(session)
}
