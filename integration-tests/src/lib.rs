//! Black-box tests that judge any OCI runtime: the harness, its bundles and its leak oracle.
//!
//! `RUNTIME=/path/to/runtime` says who is judged; without it, the planc that cargo built beside the tests is. Containers
//! are run only inside a lane (`LANE` is set there); elsewhere each test says `NOT RUN` and why.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test gives its verdict")]

pub mod bundle;
pub mod containerd;
pub mod criu;
pub mod dbus;
pub mod engines;
pub mod exceptions;
pub mod fuse;
pub mod harness;
pub mod hostmount;
pub mod lane;
pub mod mountinfo;
pub mod oracle;
pub mod process;
pub mod runtime;
pub mod scene;
pub mod shim;
pub mod terminal;
pub mod without;
