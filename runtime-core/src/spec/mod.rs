//! ROOM 1: config.json loaded and checked; the default one of `planc spec`.

mod default;
mod limits;
mod load;
#[cfg(test)]
mod tests;

pub use default::default_config;
pub use load::{load, parse};

/// The version of the runtime-spec that this crate implements.
pub const VERSION: &str = "1.3.0";
