//! The container's cgroup (cgroups(7), Documentation/admin-guide/cgroup-v2.rst), v2 only.

mod controllers;
pub(crate) mod figures;
mod freezer;
mod fs;
mod mark;
mod memory;
mod reader;
mod settings;

pub(crate) use controllers::hand_down;
pub(crate) use fs::Cgroup;
pub(crate) use mark::{Mark, marked};
pub(crate) use memory::MemoryEvents;
pub(crate) use reader::Reader;
pub(crate) use settings::not_set;
