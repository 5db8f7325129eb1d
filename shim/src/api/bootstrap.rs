//! What goes between containerd ≥ 2.3 and `start`, and what `-info` answers.

use std::collections::BTreeMap;

use prost::Message;

use super::Any;

/// containerd.runtime.bootstrap.v1.BootstrapParams, the standard input of `start`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BootstrapParams {
    #[prost(string, tag = "1")]
    pub(crate) instance_id: String,
    #[prost(string, tag = "2")]
    pub(crate) namespace: String,
    /// 0 is info; what is less says more: -4 is debug, -8 trace.
    #[prost(int32, tag = "3")]
    pub(crate) log_level: i32,
    #[prost(string, tag = "4")]
    pub(crate) containerd_version: String,
    #[prost(string, tag = "5")]
    pub(crate) containerd_ttrpc_address: String,
    #[prost(string, tag = "6")]
    pub(crate) containerd_grpc_address: String,
    #[prost(string, tag = "7")]
    pub(crate) containerd_binary: String,
    #[prost(message, repeated, tag = "8")]
    pub(crate) extensions: Vec<Extension>,
    /// Where the socket is to be made.
    #[prost(string, optional, tag = "9")]
    pub(crate) socket_dir: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Extension {
    #[prost(message, optional, tag = "1")]
    pub(crate) value: Option<Any>,
}

/// containerd.runtime.bootstrap.v1.BootstrapResult, the answer of `start`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BootstrapResult {
    /// Of the task API: 3 is `containerd.task.v3.Task`.
    #[prost(int32, tag = "1")]
    pub(crate) version: i32,
    #[prost(string, tag = "2")]
    pub(crate) address: String,
    #[prost(string, tag = "3")]
    pub(crate) protocol: String,
}

/// containerd.types.RuntimeInfo
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RuntimeInfo {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) version: Option<RuntimeVersion>,
    #[prost(message, optional, tag = "3")]
    pub(crate) options: Option<Any>,
    #[prost(message, optional, tag = "4")]
    pub(crate) features: Option<Any>,
    #[prost(btree_map = "string, string", tag = "5")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// containerd.types.RuntimeVersion
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct RuntimeVersion {
    #[prost(string, tag = "1")]
    pub(crate) version: String,
    #[prost(string, tag = "2")]
    pub(crate) revision: String,
}
