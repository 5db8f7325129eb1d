//! The program criu, and what is asked of it (criu.org/RPC).

#[cfg(feature = "criu")]
mod client;
mod log;
#[cfg(feature = "criu")]
pub(crate) mod message;
#[cfg(feature = "criu")]
mod swrk;
#[cfg(test)]
#[cfg(feature = "criu")]
mod tests;

#[cfg(feature = "criu")]
pub(crate) use client::{Criu, null, said};
pub(crate) use log::reason;
#[cfg(feature = "criu")]
pub(crate) use log::{first_error, first_error_in};
#[cfg(feature = "criu")]
pub(crate) use swrk::{Birth, Failure, Limits, Notified, Swrk};
