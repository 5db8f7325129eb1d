//! `linux.resources` as what is written to the files of a cgroup (runtime-spec config-linux.md#control-groups), in the
//! order in which the kernel takes it.

use std::ffi::CString;
use std::fmt::Display;

use oci_spec::runtime::LinuxResources;

use super::{cpu, io, memory, others};
use crate::compile::Invalid;
use crate::compile::plan::Draft;
use crate::compile::text::text;
use crate::facts::CgroupFacts;
use crate::wire::{HostOp, Missing, Text};

/// One value for one file of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The JSON pointer into config.json that asks for it.
    pub(crate) origin: String,
    pub(crate) file: CString,
    pub(crate) value: Vec<u8>,
    missing: IfMissing,
}

/// What to do where the cgroup has no such file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IfMissing {
    Fail,
    Skip,
    /// Another file, and its value.
    Instead(CString, Vec<u8>),
}

impl Setting {
    /// What to do where the cgroup has no such file.
    pub(crate) fn missing(&self) -> Missing<'_> {
        match &self.missing {
            IfMissing::Fail => Missing::Fail,
            IfMissing::Skip => Missing::Skip,
            IfMissing::Instead(file, value) => Missing::Instead(Text(file), value),
        }
    }

    /// Writes the step that performs it.
    pub(super) fn perform(&self, plan: &mut Draft) {
        let op = HostOp::SetCgroup { file: Text(&self.file), value: &self.value, missing: self.missing() };
        plan.host(&self.origin, op);
    }

    /// Whether systemd, which writes all of a unit's files when one of its properties changes, writes another value.
    pub(crate) fn is_rounded(&self) -> bool {
        self.file.as_c_str() == c"cpu.max"
    }

    /// Whether it is to wait until all of the container's processes are born: a limit of one process would otherwise keep
    /// init from being born into the cgroup, and from being born again.
    pub(super) fn is_late(&self) -> bool {
        self.file.as_c_str() == c"pids.max"
    }
}

/// All that `resources` asks for, in order; `warnings` gets what is ignored.
pub(crate) fn compile(
    resources: &LinuxResources,
    host: &CgroupFacts,
    warnings: &mut Vec<String>,
) -> Result<Vec<Setting>, Invalid> {
    let mut settings = Settings { host, list: Vec::new(), warnings };
    resources.memory().as_ref().map_or(Ok(()), |memory| memory::read(memory, &mut settings))?;
    resources.cpu().as_ref().map_or(Ok(()), |cpu| cpu::read(cpu, &mut settings))?;
    resources.block_io().as_ref().map_or(Ok(()), |block_io| io::read(block_io, &mut settings))?;
    others::hugepages(resources.hugepage_limits().as_ref(), &mut settings)?;
    others::rdma(resources, &mut settings)?;
    resources.pids().map_or(Ok(()), |pids| others::pids(pids.limit(), &mut settings))?;
    resources.network().as_ref().map_or(Ok(()), |network| others::network(network, &mut settings))?;
    // Last, so that it overrides (config-linux.md#unified).
    others::unified(resources, &mut settings)?;
    Ok(settings.list)
}

/// The settings while they are collected.
pub(super) struct Settings<'a> {
    host: &'a CgroupFacts,
    list: Vec<Setting>,
    warnings: &'a mut Vec<String>,
}

impl Settings<'_> {
    /// Sets a file that must be there.
    pub(super) fn set(&mut self, origin: &str, file: &str, value: impl Display) -> Result<(), Invalid> {
        self.set_or(origin, file, value, IfMissing::Fail)
    }

    /// Sets a file, and says what to do where there is none. Its controller must be there in any case.
    pub(super) fn set_or(
        &mut self,
        origin: &str,
        file: &str,
        value: impl Display,
        missing: IfMissing,
    ) -> Result<(), Invalid> {
        let controller = file.split('.').next().unwrap_or(file);
        if !self.has(controller) {
            let (mount, present) = (self.host.mount.display(), self.host.controllers.join(" "));
            let why = format!(
                "the cgroup controller {controller} is not available: the unified hierarchy {mount} has [{present}] \
                 (one that is bound to cgroup v1 is missing there)"
            );
            return Err(Invalid::unsupported(origin, why));
        }
        self.push(origin, file, value, missing)
    }

    /// As [`Self::set_or`], of a file whose controller is known to be there.
    pub(super) fn push(
        &mut self,
        origin: &str,
        file: &str,
        value: impl Display,
        missing: IfMissing,
    ) -> Result<(), Invalid> {
        let (origin, file) = (origin.to_owned(), text(origin, file)?);
        self.list.push(Setting { origin, file, value: value.to_string().into_bytes(), missing });
        Ok(())
    }

    /// Whether the hierarchy has a controller.
    pub(super) fn has(&self, controller: &str) -> bool {
        self.host.controllers.iter().any(|present| present == controller)
    }

    /// Tells that cgroup v2 has nothing like what is asked for.
    pub(super) fn ignore(&mut self, origin: &str, what: &str) {
        self.warnings.push(format!("ignoring {what}, which only cgroup v1 has ({origin})"));
    }
}
