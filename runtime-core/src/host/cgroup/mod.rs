//! The container's cgroup (cgroups(7), Documentation/admin-guide/cgroup-v2.rst), v2 only.

pub(crate) mod figures;
mod freezer;
mod fs;
mod mark;
mod memory;
mod reader;

pub(crate) use fs::Cgroup;
pub(crate) use mark::{Mark, marked};
pub(crate) use memory::MemoryEvents;
pub(crate) use reader::Reader;
