//! What the flags of checkpoint and restore ask for.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::unistd::{AccessFlags, access, geteuid};
use runtime_core::{Criu, Error, Facts, ManageCgroups};

use super::{CGROUPS, DEDUP, EMPTY, IMAGES, LAZY, LOCKS, SHELL, TCP, UNIX, WORK};
use crate::args::Given;
use crate::failure::invalid;
use crate::globals::{Context, absolute};

/// Where the images are unless a flag says otherwise.
const DEFAULT: &str = "checkpoint";

/// What the flags ask for.
pub(in crate::commands) fn options(given: &Given) -> Result<Criu, Error> {
    for namespace in given.values(&EMPTY) {
        if namespace != "network" {
            return Err(invalid(format!("namespace {namespace:?} is not supported")));
        }
    }
    Ok(Criu {
        program: program(std::env::var_os("PATH").as_deref()),
        environment: std::env::vars_os().filter_map(|(name, value)| variable(&name, &value)).collect(),
        images: absolute(&given.path(&IMAGES).unwrap_or_else(|| DEFAULT.into()))?,
        work: given.path(&WORK).map(|path| absolute(&path)).transpose()?,
        tcp_established: given.is(&TCP),
        ext_unix_sk: given.is(&UNIX),
        shell_job: given.is(&SHELL),
        file_locks: given.is(&LOCKS),
        auto_dedup: given.is(&DEDUP),
        lazy_pages: given.is(&LAZY),
        manage_cgroups: given.value(&CGROUPS).map_or(Ok(ManageCgroups::default()), manage_cgroups)?,
    })
}

/// criu asks for more than users without privilege have.
pub(in crate::commands) fn warn_unprivileged(context: &Context, command: &str) {
    if !geteuid().is_root() || !Facts::in_initial_user_namespace() {
        log::warn!("{} {command} is untested with rootless containers", context.program.name);
    }
}

fn manage_cgroups(mode: &OsStr) -> Result<ManageCgroups, Error> {
    match mode.to_str() {
        Some("" | "soft") => Ok(ManageCgroups::Soft),
        Some("full") => Ok(ManageCgroups::Full),
        Some("strict") => Ok(ManageCgroups::Strict),
        Some("ignore") => Ok(ManageCgroups::Ignore),
        _ => Err(invalid("invalid manage-cgroups-mode value")),
    }
}

/// The criu that a shell would execute.
fn program(path: Option<&OsStr>) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    let absolute = std::env::split_paths(path?).filter(|directory| directory.is_absolute());
    absolute.map(|directory| directory.join("criu")).find(is_program)
}

fn variable(name: &OsStr, value: &OsStr) -> Option<CString> {
    CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
}

/// `ADDRESS:PORT`; an address with colons is in brackets.
pub(in crate::commands) fn page_server(word: &str) -> Result<(String, u16), Error> {
    let (address, port) = word.rsplit_once(':').unwrap_or_default();
    let address = address
        .strip_prefix('[')
        .and_then(|inside| inside.strip_suffix(']'))
        .unwrap_or_else(|| if address.contains(':') { "" } else { address });
    if address.is_empty() || port.is_empty() {
        return Err(invalid("use --page-server ADDRESS:PORT to specify page server"));
    }
    let port = port.parse().map_err(|_| invalid(format!("invalid port number {port:?} of --page-server")))?;
    Ok((address.to_owned(), port))
}

/// The directory of earlier images, which is found from that of the new ones.
pub(in crate::commands) fn parent(images: &Path, parent: PathBuf) -> Result<PathBuf, Error> {
    if parent.is_absolute() {
        return Err(invalid("--parent-path must be relative to the image path"));
    }
    // Where there are none yet, no link can be on the way.
    let found = if images.exists() { images.join(&parent) } else { without_dots(&images.join(&parent)) };
    match std::fs::metadata(&found) {
        Ok(status) if status.is_dir() => Ok(parent),
        Ok(_) => Err(invalid(format!("invalid --parent-path: {} is no directory", found.display()))),
        Err(error) => Err(invalid(format!("invalid --parent-path: {}: {error}", found.display()))),
    }
}

fn without_dots(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, component| {
        match component {
            Component::ParentDir => drop(path.pop()),
            component => path.push(component),
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_server_has_an_address_and_a_port() {
        assert_eq!(page_server("127.0.0.1:80").unwrap(), ("127.0.0.1".to_owned(), 80));
        assert_eq!(page_server("[::1]:27277").unwrap(), ("::1".to_owned(), 27277));
        for odd in ["", ":", "a", ":80", "a:", "::1:80", "[]:80"] {
            assert!(page_server(odd).unwrap_err().message().contains("ADDRESS:PORT"), "{odd}");
        }
        for odd in ["a:b", "a:65536", "a:-1"] {
            assert!(page_server(odd).unwrap_err().message().contains("port number"), "{odd}");
        }
    }

    #[test]
    fn a_parent_is_relative_and_there() {
        let images = std::env::temp_dir();
        for odd in [images.clone(), "planc-no-such-directory".into()] {
            assert!(parent(&images, odd).unwrap_err().message().contains("--parent-path"));
        }
        assert_eq!(parent(&images, "..".into()).unwrap(), Path::new(".."));
        // criu will make the directory.
        let new = images.join("planc-no-such-directory");
        assert_eq!(parent(&new, "../.".into()).unwrap(), Path::new("../."));
        assert!(parent(&new, "../planc-no-such-parent".into()).is_err());
    }

    #[test]
    fn modes_of_cgroups() {
        assert_eq!(manage_cgroups("".as_ref()).unwrap(), ManageCgroups::Soft);
        assert_eq!(manage_cgroups("ignore".as_ref()).unwrap(), ManageCgroups::Ignore);
        assert_eq!(manage_cgroups("none".as_ref()).unwrap_err().message(), "invalid manage-cgroups-mode value");
    }
}
