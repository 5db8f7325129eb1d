//! The only room with `unsafe` in it: one system call per function, and no policy.
#![allow(unsafe_code, reason = "this is the room for it; every block says why it is sound")]

#[allow(dead_code, reason = "the walk over the host's steps calls it once it is in")]
pub(crate) mod bpf;
