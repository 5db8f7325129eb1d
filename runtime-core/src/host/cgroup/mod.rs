//! The container's cgroup (cgroups(7), Documentation/admin-guide/cgroup-v2.rst), v2 only.

mod freezer;
mod fs;
mod mark;

pub(crate) use fs::Cgroup;
pub(crate) use mark::{Mark, marked};
