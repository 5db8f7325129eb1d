//! The only room with `unsafe`: one system call, or one mapping, a function.
#![allow(unsafe_code, reason = "this is the room for it")]

pub(crate) mod attribute;
pub(crate) mod bpf;
mod call;
pub(crate) mod clone;
pub(crate) mod code;
pub(crate) mod mount;
pub(crate) mod netlink;
pub(crate) mod page;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod terminal;
