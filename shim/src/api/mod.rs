//! The messages of containerd's API, version 1.x and 2.x, as protobuf has them. A field's number is the protocol; its name is not.

pub(crate) mod bootstrap;
pub(crate) mod events;
pub(crate) mod metrics;
pub(crate) mod options;
pub(crate) mod task;
pub(crate) mod ttrpc;

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

/// A message, and which one it is (google.protobuf.Any).
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Any {
    /// Its name, for containerd's own types without the `type.googleapis.com/` in front.
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

impl Any {
    /// `message`, whose type has this name.
    pub(crate) fn of(name: &str, message: &impl Message) -> Self {
        Self { type_url: name.to_owned(), value: message.encode_to_vec() }
    }

    /// The name of the type, whatever host it is said to be at.
    pub(crate) fn name(&self) -> &str {
        self.type_url.rsplit_once('/').filter(|(host, _)| host.contains('.')).map_or(&self.type_url, |(_, name)| name)
    }
}

/// A time (google.protobuf.Timestamp), UTC.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Timestamp {
    /// Since 1970.
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() as i32 }
    }
}

/// google.protobuf.Empty
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Empty {}

/// A mount that a snapshotter asks for (containerd.types.Mount).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Mount {
    /// `bind`, `overlay`, …
    #[prost(string, tag = "1")]
    pub(crate) kind: String,
    #[prost(string, tag = "2")]
    pub(crate) source: String,
    /// Relative to the root filesystem; nearly always empty.
    #[prost(string, tag = "3")]
    pub(crate) target: String,
    /// As in fstab(5).
    #[prost(string, repeated, tag = "4")]
    pub(crate) options: Vec<String>,
}
