//! The container's cgroup (cgroups(7), Documentation/admin-guide/cgroup-v2.rst), v2 only.

mod controllers;
mod freezer;
mod fs;
mod mark;
mod settings;

pub(crate) use controllers::hand_down;
pub(crate) use fs::Cgroup;
pub(crate) use mark::{Mark, marked};
pub(crate) use settings::not_set;
