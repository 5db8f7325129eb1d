//! The container's cgroup (cgroups(7), Documentation/admin-guide/cgroup-v2.rst), v2 only.

mod fs;

pub(crate) use fs::Cgroup;
