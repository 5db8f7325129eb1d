//! The container's cgroup (cgroups(7), Documentation/admin-guide/cgroup-v2.rst), v2 only.

mod controllers;
mod devices;
mod freezer;
mod fs;
mod make;
mod mark;
mod owner;
mod settings;
mod teardown;

pub(crate) use controllers::hand_down;
pub(crate) use devices::not_filtered;
pub(crate) use fs::Cgroup;
pub(crate) use make::remove_parents;
pub(crate) use mark::{Mark, marked};
pub(crate) use settings::not_set;
