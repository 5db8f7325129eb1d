//! What was restored, before it runs: images come from anywhere, and config.json alone says what of the host is writable.

use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::compile::external::External;
use crate::error::{Error, ErrorKind, Result};
use crate::host::mountinfo::{Mounted, mounts, tree_of};

/// The attributes' names, from bit 0.
const NAMES: [&str; 4] = ["ro", "nosuid", "nodev", "noexec"];

/// Something of the host's, and which attributes all its mounts in the container have.
#[derive(Debug, PartialEq, Eq)]
struct Owed {
    tree: (String, PathBuf),
    attributes: u64,
    origin: String,
}

/// Fails where a mount of the host's lacks an attribute that config.json gives it, wherever in the container it is.
pub(super) fn check(pid: u32, externals: &[External]) -> Result<()> {
    let failed =
        |errno: Errno| Error::new(ErrorKind::Host, format!("cannot look at the restored mounts: {}", errno.desc()));
    let own = mounts("self").map_err(failed)?;
    let mut owed = Vec::new();
    for External { source, attributes, origin, .. } in externals {
        let opened = open(source, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
        let Ok(file) = opened else { continue };
        let Some(tree) = tree_of(&file, &own).map_err(failed)? else { continue };
        add(&mut owed, Owed { tree, attributes: *attributes, origin: origin.clone() });
    }
    let there = mounts(&pid.to_string()).map_err(failed)?;
    match lacking(&owed, &there) {
        None => Ok(()),
        Some((owed, mounted)) => {
            let lack =
                NAMES.iter().enumerate().filter(|(bit, _)| owed.attributes & !mounted.attributes & 1 << bit != 0);
            let lack: Vec<_> = lack.map(|(_, name)| *name).collect();
            let point = mounted.point.display().to_string();
            let why = format!("cannot restore the container: in the images {point:?} is not {}", lack.join(","));
            Err(Error::new(ErrorKind::InvalidSpec, why).with_origin(&*owed.origin))
        }
    }
}

/// Of what is mounted twice only what both have is owed.
fn add(all: &mut Vec<Owed>, owed: Owed) {
    match all.iter_mut().find(|other| other.tree == owed.tree) {
        Some(other) => other.attributes &= owed.attributes,
        None => all.push(owed),
    }
}

/// The first mount that lacks what is owed.
fn lacking<'a>(owed: &'a [Owed], there: &'a [Mounted]) -> Option<(&'a Owed, &'a Mounted)> {
    there.iter().find_map(|mounted| {
        let owed = owed.iter().find(|owed| owed.tree == mounted.tree)?;
        (owed.attributes & !mounted.attributes != 0).then_some((owed, mounted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(path: &str) -> (String, PathBuf) {
        ("8:1".to_owned(), path.into())
    }

    fn mounted(path: &str, attributes: u64) -> Mounted {
        Mounted { id: 1, tree: tree(path), point: "/anywhere".into(), attributes }
    }

    #[test]
    fn what_is_read_only_stays_so_wherever_it_is_mounted() {
        let mut owed = Vec::new();
        for (path, attributes) in [("/ro", 1), ("/rw", 0), ("/both", 3), ("/both", 2)] {
            add(&mut owed, Owed { tree: tree(path), attributes, origin: String::new() });
        }
        for (path, attributes, is_fine) in [
            ("/ro", 1, true),
            ("/ro", 0b1111, true),
            ("/ro", 0, false),
            ("/ro", 0b1110, false),
            ("/rw", 0, true),
            ("/both", 2, true),
            ("/both", 1, false),
            ("/other", 0, true),
        ] {
            assert_eq!(lacking(&owed, &[mounted(path, attributes)]).is_none(), is_fine, "{path} {attributes}");
        }
    }
}
