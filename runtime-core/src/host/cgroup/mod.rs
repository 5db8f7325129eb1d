//! The container's cgroup (cgroups(7), Documentation/admin-guide/cgroup-v2.rst), v2 only.

mod controllers;
mod devices;
pub(crate) mod figures;
mod freezer;
mod fs;
mod make;
mod mark;
mod memory;
mod owner;
mod reader;
mod settings;
mod teardown;

pub(crate) use controllers::hand_down;
pub(crate) use devices::not_filtered;
pub(crate) use freezer::is_frozen;
pub(crate) use fs::Cgroup;
pub(crate) use make::remove_parents;
pub(crate) use mark::{Mark, marked};
pub(crate) use memory::MemoryEvents;
pub(crate) use reader::Reader;
pub(crate) use settings::not_set;
