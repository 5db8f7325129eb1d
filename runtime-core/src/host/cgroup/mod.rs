//! The container's cgroup (cgroups(7), Documentation/admin-guide/cgroup-v2.rst), v2 only.

mod devices;
mod freezer;
mod fs;
mod make;
mod mark;
mod owner;
mod teardown;

pub(crate) use fs::Cgroup;
pub(crate) use make::remove_parents;
pub(crate) use mark::{Mark, marked};
