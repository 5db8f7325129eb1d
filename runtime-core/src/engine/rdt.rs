//! The host's steps on groups of resctrl, and their end.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::failure;
use super::walk::Walk;
use crate::compile::Step;
use crate::error::{Error, ErrorKind, Result};
use crate::host::rdt::{self, Group, Removal};
use crate::host::record::{GroupRecord, RdtRecord, Record};
use crate::wire::{List, Text};

fn path_of(text: Text<'_>) -> &Path {
    Path::new(OsStr::from_bytes(text.bytes()))
}

impl Walk<'_> {
    /// The journal says whose the CLOS is before it is made. Until init is in it nobody else changes the resctrl.
    pub(super) fn make_clos(
        &mut self,
        step: &Step<'_>,
        [root, name]: [Text<'_>; 2],
        own: bool,
        schemata: &List<'_, Text<'_>>,
    ) -> Result<()> {
        let (root, name) = (path_of(root), path_of(name));
        let path = if name.as_os_str().is_empty() { root.to_owned() } else { root.join(name) };
        self.rdt_lock = Some(rdt::lock(root).map_err(|errno| failure::refused(self.plan, step, errno))?);
        let found = Group::open(&path).map_err(|errno| failure::refused(self.plan, step, errno))?;
        match &found {
            None if !own && schemata.is_empty() => {
                let why = "there is none, and without schemata it is not made";
                return Err(failure::failed(self.plan, step, why));
            }
            Some(clos) if !own && !schemata.is_empty() => {
                let wanted: Vec<_> = schemata.iter().map(|line| String::from_utf8_lossy(line.bytes())).collect();
                let wanted: Vec<_> = wanted.iter().map(AsRef::as_ref).collect();
                let there = clos.schemata().map_err(|errno| failure::refused(self.plan, step, errno))?;
                if let Some(why) = rdt::difference(&wanted, &there, rdt::bandwidth_step(root)) {
                    return Err(failure::failed(self.plan, step, &why));
                }
            }
            _ => {}
        }
        let made = found.is_none();
        let clos = GroupRecord { path: path.clone(), inode: None };
        self.record.rdt = Some(RdtRecord { root: root.to_owned(), clos, own, made, monitoring: None });
        self.journal(step)?;
        if made {
            let inode = Group::make(&path).and_then(|clos| clos.inode());
            let inode = inode.map_err(|errno| {
                self.record.rdt = None;
                self.refused_by_resctrl(step, root, errno)
            })?;
            if let Some(record) = &mut self.record.rdt {
                record.clos.inode = Some(inode);
            }
        }
        Ok(())
    }

    fn journal(&self, step: &Step<'_>) -> Result<()> {
        let state = self.state().map_err(|errno| failure::refused(self.plan, step, errno))?;
        state.save(&self.record)
    }

    /// A CLOS that was there has these schemata already, unless it is the container's own.
    pub(super) fn set_schemata(&self, step: &Step<'_>, lines: &[u8]) -> Result<()> {
        let Some(record) = &self.record.rdt else { return Err(failure::refused(self.plan, step, Errno::ENOENT)) };
        if !record.made && !record.own {
            return Ok(());
        }
        let clos = Group::open(&record.clos.path).and_then(|clos| clos.ok_or(Errno::ENOENT));
        clos.and_then(|clos| clos.set_schemata(lines))
            .map_err(|errno| self.refused_by_resctrl(step, &record.root, errno))
    }

    pub(super) fn make_monitoring_group(&mut self, step: &Step<'_>, path: Text<'_>) -> Result<()> {
        let path = path_of(path);
        let record = self.record.rdt.as_mut().ok_or(Errno::ENOENT);
        let root = record
            .map(|record| {
                record.monitoring = Some(GroupRecord { path: path.to_owned(), inode: None });
                record.root.clone()
            })
            .map_err(|errno| failure::refused(self.plan, step, errno))?;
        self.journal(step)?;
        let inode = Group::make(path).and_then(|group| group.inode());
        let kept = inode.as_ref().ok().map(|inode| GroupRecord { path: path.to_owned(), inode: Some(*inode) });
        if let Some(record) = &mut self.record.rdt {
            record.monitoring = kept;
        }
        inode.map(drop).map_err(|errno| self.refused_by_resctrl(step, &root, errno))
    }

    /// A process that joins is where init is: where an administrator has removed that group, the kernel has put init back
    /// into the default one.
    pub(super) fn enter_group(&mut self, step: &Step<'_>, path: Text<'_>) -> Result<()> {
        let path = path_of(path);
        self.rdt_lock = None;
        let pid = self.pid().map_err(|errno| failure::refused(self.plan, step, errno))?;
        let group = Group::open(path).map_err(|errno| failure::refused(self.plan, step, errno))?;
        let entered = match group {
            None if self.joined.is_some() => {
                log::warn!("the resctrl group {} is gone: the container is in none of its own", path.display());
                Ok(())
            }
            group => group.ok_or(Errno::ENOENT).and_then(|group| group.take_in(pid)),
        };
        entered.map_err(|errno| {
            let root = self.record.rdt.as_ref().map_or(Path::new(""), |record| &record.root);
            self.refused_by_resctrl(step, root, errno)
        })
    }

    fn refused_by_resctrl(&self, step: &Step<'_>, root: &Path, errno: Errno) -> Error {
        let error = match errno {
            Errno::EEXIST => failure::failed(self.plan, step, "there is one already (EEXIST)"),
            // What resctrl says of it when its ids are used up.
            Errno::ENOSPC => failure::failed(self.plan, step, "there are no more of them (ENOSPC)"),
            errno => failure::refused(self.plan, step, errno),
        };
        error.with_note(rdt::last_words(root))
    }
}

/// Which end a container comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was made, and is deleted.
    Deleted,
    /// It was not made after all.
    Undone,
}

/// Removes the groups that were made for a container, after its processes have ended. A CLOS that config.json names is
/// shared: it stays, unless it was made for a container that never came to be and nobody else is in it.
pub(super) fn end(record: &Record, ending: Ending) -> Result<()> {
    let Some(rdt) = &record.rdt else { return Ok(()) };
    let _lock = rdt::lock(&rdt.root).ok();
    let remove = |group: &GroupRecord, removal| {
        rdt::remove(&group.path, group.inode, removal).map_err(|errno| {
            let why = format!("cannot remove the resctrl group {}: {}", group.path.display(), errno.desc());
            Error::new(ErrorKind::Host, why)
        })
    };
    rdt.monitoring.as_ref().map_or(Ok(()), |group| remove(group, Removal::Any))?;
    let half_made = ending == Ending::Undone || record.init.is_none();
    match (rdt.made, rdt.own) {
        (true, true) => remove(&rdt.clos, Removal::Any),
        (true, false) if half_made => remove(&rdt.clos, Removal::Idle),
        _ => Ok(()),
    }
}

impl RdtRecord {
    /// The groups that a process of the container is in, in the order in which it enters them.
    pub(crate) fn groups(&self) -> Vec<PathBuf> {
        [Some(&self.clos), self.monitoring.as_ref()].into_iter().flatten().map(|group| group.path.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
