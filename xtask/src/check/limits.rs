//! The limits that `cargo xtask check` holds the tree to. A limit goes up only with the reason in the commit.

/// `init`, the embedded program, in bytes (DESIGN: "under 64 KiB").
pub(super) const INIT_BYTES: u64 = 64 * 1024;
/// Crates that planc is built from, its own three included. Six are prost's (docs/decisions/criu-rpc.md).
pub(super) const CRATES: u64 = 62;
/// Lines of a file, and code lines of a function's body (clippy::too_many_lines counts the same).
pub(super) const FILE_LINES: u64 = 600;
pub(super) const FUNCTION_LINES: u64 = 60;
/// Files that are one table, each with its reason.
pub(super) const TABLES: &[(&str, &str)] = &[];
/// Folders that may hold `unsafe`: system calls, the program without a libc, the embedded demo program.
pub(super) const UNSAFE_FOLDERS: &[&str] = &["sys", "init", "demo"];
