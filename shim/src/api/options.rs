//! What containerd's configuration and its clients say about a runtime: the runc options, the general ones, and those of a
//! checkpoint.

use prost::Message;

/// containerd.runc.v1.Options. Its numbers are `1` to `13`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct RuncOptions {
    #[prost(bool, tag = "1")]
    pub(crate) no_pivot_root: bool,
    #[prost(bool, tag = "2")]
    pub(crate) no_new_keyring: bool,
    #[prost(string, tag = "3")]
    pub(crate) shim_cgroup: String,
    #[prost(uint32, tag = "4")]
    pub(crate) io_uid: u32,
    #[prost(uint32, tag = "5")]
    pub(crate) io_gid: u32,
    #[prost(string, tag = "6")]
    pub(crate) binary_name: String,
    #[prost(string, tag = "7")]
    pub(crate) root: String,
    /// Of containerd 1.x only.
    #[prost(string, tag = "8")]
    pub(crate) criu_path: String,
    #[prost(bool, tag = "9")]
    pub(crate) systemd_cgroup: bool,
    #[prost(string, tag = "10")]
    pub(crate) criu_image_path: String,
    #[prost(string, tag = "11")]
    pub(crate) criu_work_path: String,
    #[prost(string, tag = "12")]
    pub(crate) task_api_address: String,
    #[prost(uint32, tag = "13")]
    pub(crate) task_api_version: u32,
}

/// runtimeoptions.v1.Options: what is not for containerd to understand.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct RuntimeOptions {
    /// The type of what is in the file.
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(string, tag = "2")]
    pub(crate) config_path: String,
    /// TOML; it counts where there is no file.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) config_body: Vec<u8>,
}

/// containerd.runc.v1.CheckpointOptions
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct CheckpointOptions {
    #[prost(bool, tag = "1")]
    pub(crate) exit: bool,
    #[prost(bool, tag = "2")]
    pub(crate) open_tcp: bool,
    #[prost(bool, tag = "3")]
    pub(crate) external_unix_sockets: bool,
    #[prost(bool, tag = "4")]
    pub(crate) terminal: bool,
    #[prost(bool, tag = "5")]
    pub(crate) file_locks: bool,
    #[prost(string, repeated, tag = "6")]
    pub(crate) empty_namespaces: Vec<String>,
    /// `soft`, `full` or `strict`
    #[prost(string, tag = "7")]
    pub(crate) cgroups_mode: String,
    #[prost(string, tag = "8")]
    pub(crate) image_path: String,
    #[prost(string, tag = "9")]
    pub(crate) work_path: String,
    #[prost(string, tag = "10")]
    pub(crate) parent_path: String,
}

/// containerd.runc.v1.ProcessDetails
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ProcessDetails {
    #[prost(string, tag = "1")]
    pub(crate) exec_id: String,
}
