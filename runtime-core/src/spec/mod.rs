//! ROOM 1: config.json loaded and checked; the default one of `planc spec`.

mod check;
mod default;
mod load;
mod loosen;

pub use default::default_config;
pub(crate) use load::read;
pub use load::{load, parse, parse_process, parse_resources};

/// The version of the runtime-spec that this crate implements.
pub const VERSION: &str = "1.3.0";
