//! The steps that take away: privileges, the caller's keyring, the caller's working directory.

use core::ffi::CStr;

use crate::paths::{Links, PATH_MAX, Spot};
use crate::sys::{self, Errno, O_DIRECTORY};
use crate::wire::{Capabilities, List, Place, Slot, Text};
use crate::{Init, execute};

/// A new session keyring. Without one the container would share the caller's.
pub(crate) fn join_keyring(name: &CStr, permissions: u32) -> Result<(), Errno> {
    match sys::join_session_keyring(name) {
        Ok(key) => sys::set_key_permissions(key, permissions),
        // A kernel without keyrings has nothing to share; a full quota is a limit of the user, not of the container.
        Err(Errno::NOSYS | Errno::DQUOT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Drops what is not to be kept from the bounding set. The kernel knows no capability from the first EINVAL on.
pub(crate) fn bound(keep: u64) -> Result<(), Errno> {
    for capability in (0..64).filter(|capability| keep >> capability & 1 == 0) {
        match sys::drop_bounding(capability) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// setgroups even with an empty list, or the caller's groups would leak (CVE-2023-25173). The effective capabilities end
/// with uid 0; the permitted ones are kept for [`set_capabilities`].
pub(crate) fn set_user(uid: u32, gid: u32, groups: Option<&List<'_, u32>>) -> Result<(), Errno> {
    sys::keep_capabilities(true)?;
    if let Some(groups) = groups {
        execute::with_numbers(groups, sys::setgroups)?;
    }
    sys::setresgid(gid)?;
    sys::setresuid(uid)?;
    // New ids make a process as dumpable as fs.suid_dumpable says.
    sys::set_dumpable(false)
}

/// Who may change its groups at all may leave them, unless its user namespace says otherwise.
pub(crate) fn leave_groups() -> Result<(), Errno> {
    match sys::setgroups(&[]) {
        Err(Errno::PERM) => Ok(()),
        left => left,
    }
}

pub(crate) fn set_capabilities(sets: &Capabilities) -> Result<(), Errno> {
    sys::capset(sets.effective, sets.permitted, sets.inheritable)?;
    sys::keep_capabilities(false)?;
    sys::clear_ambient()?;
    (0..64).filter(|capability| sets.ambient >> capability & 1 == 1).try_for_each(sys::raise_ambient)
}

/// Whether a working directory that is missing is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Refuse,
}

/// Never through a magic link: /proc/self/fd/N could lead out of the container (CVE-2024-21626).
fn enter(init: &Init, path: &CStr, missing: Missing) -> Result<(), Errno> {
    let place = Place { base: Slot::ROOT, skip: 0, path: Text(path) };
    let spot = Spot::of(init.slots, &place)?;
    let directory = match missing {
        Missing::Make => spot.directory(Links::Follow)?,
        Missing::Refuse => spot.find(Links::Follow, O_DIRECTORY)?,
    };
    let entered = sys::fchdir(directory);
    sys::close(directory);
    entered
}

pub(crate) fn enter_directory(init: &mut Init, path: &CStr) -> Result<(), Errno> {
    enter_or_later(init, path, Missing::Make)
}

pub(crate) fn change_directory(init: &mut Init, path: &CStr) -> Result<(), Errno> {
    enter_or_later(init, path, Missing::Refuse)
}

/// A directory only the user may enter (on NFS, or below a 0700 home) is tried again when init is that user.
fn enter_or_later(init: &mut Init, path: &CStr, missing: Missing) -> Result<(), Errno> {
    match enter(init, path, missing) {
        Err(Errno::ACCES | Errno::PERM) => {
            init.outside = true;
            Ok(())
        }
        entered => entered,
    }
}

/// The kernel prefixes "(unreachable)" where the working directory is not below the root.
pub(crate) fn verify_directory(init: &Init, path: &CStr) -> Result<(), Errno> {
    if init.outside {
        enter(init, path, Missing::Refuse)?;
    }
    let mut buffer = [0; PATH_MAX];
    sys::getcwd(&mut buffer)?;
    if buffer.first() == Some(&b'/') { Ok(()) } else { Err(Errno::NOENT) }
}
