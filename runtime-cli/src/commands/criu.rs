//! What checkpoint and restore have in common: their flags.

#[cfg(feature = "criu")]
mod options;

#[cfg(feature = "criu")]
pub(super) use options::{options, page_server, parent, warn_unprivileged};

use crate::args::Flag;

/// Where the images are.
pub(super) const IMAGES: Flag = Flag::value("image-path", "the directory of criu's images (default: ./checkpoint)");
/// Where criu works.
pub(super) const WORK: Flag = Flag::value("work-path", "the directory of criu's log (default: that of the images)");
/// TCP connections.
pub(super) const TCP: Flag = Flag::switch("tcp-established", "keep established TCP connections");
/// UNIX sockets.
pub(super) const UNIX: Flag = Flag::switch("ext-unix-sk", "UNIX sockets may have their other end outside");
/// Sessions and terminals.
pub(super) const SHELL: Flag = Flag::switch("shell-job", "the session, or the terminal, may be from outside");
/// File locks.
pub(super) const LOCKS: Flag = Flag::switch("file-locks", "keep file locks");
/// Cgroups.
pub(super) const CGROUPS: Flag = Flag::value("manage-cgroups-mode", "soft (default), full, strict or ignore");
/// Namespaces.
pub(super) const EMPTY: Flag = Flag::value("empty-ns", "a namespace whose contents are left alone: network, as always");
/// Memory that was saved twice.
pub(super) const DEDUP: Flag = Flag::switch("auto-dedup", "remove from earlier images what is in later ones");
/// Memory on demand.
pub(super) const LAZY: Flag = Flag::switch("lazy-pages", "memory follows when it is needed, by a page server");

/// What is said of a command that this planc has not.
#[cfg(not(feature = "criu"))]
pub(super) fn not_built_in(context: &crate::globals::Context, command: &str) -> crate::failure::Failure {
    let why = format!("{} is built without {command}: the feature \"criu\" is off", context.program.name);
    runtime_core::Error::new(runtime_core::ErrorKind::Unsupported, why).into()
}
