//! What takes more than safe Rust.

#[cfg(all(target_env = "musl", target_arch = "x86_64"))]
mod entry;
