//! The messages of CRIU's RPC (criu.org/RPC): of each the fields that are used here, by their numbers in rpc.proto.

use prost::{Enumeration, Message};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(crate) enum Kind {
    /// Nothing: what criu answers to what it could not read.
    Empty = 0,
    /// All of a process tree, which ends.
    Dump = 1,
    /// A process tree, from images.
    Restore = 2,
    /// Its memory only.
    PreDump = 4,
    /// criu's word, while it works; and the answer to that.
    Notify = 6,
    /// Whether kernel and criu have a feature.
    FeatureCheck = 9,
    /// criu's version.
    Version = 10,
}

impl Kind {
    /// Its name in rpc.proto.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "EMPTY",
            Self::Dump => "DUMP",
            Self::Restore => "RESTORE",
            Self::PreDump => "PRE_DUMP",
            Self::Notify => "NOTIFY",
            Self::FeatureCheck => "FEATURE_CHECK",
            Self::Version => "VERSION",
        }
    }
}

/// A request, and the answer to a notification.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Request {
    #[prost(enumeration = "Kind", required, tag = "1")]
    pub(crate) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) options: Option<Options>,
    /// Whether what was notified may go on.
    #[prost(bool, optional, tag = "3")]
    pub(crate) notify_success: Option<bool>,
    #[prost(message, optional, tag = "5")]
    pub(crate) features: Option<Features>,
}

impl Request {
    /// A request of this kind without anything else.
    pub(crate) fn of(kind: Kind) -> Self {
        Self { kind: kind.into(), ..Self::default() }
    }
}

/// criu_opts. The descriptors among them are the requester's own, which criu opens anew; those in `inherit_fd` are criu's.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Options {
    #[prost(int32, required, tag = "1")]
    pub(crate) images_dir_fd: i32,
    #[prost(int32, optional, tag = "2")]
    pub(crate) pid: Option<i32>,
    #[prost(bool, optional, tag = "3")]
    pub(crate) leave_running: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    pub(crate) ext_unix_sk: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    pub(crate) tcp_established: Option<bool>,
    #[prost(bool, optional, tag = "6")]
    pub(crate) evasive_devices: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub(crate) shell_job: Option<bool>,
    #[prost(bool, optional, tag = "8")]
    pub(crate) file_locks: Option<bool>,
    #[prost(int32, optional, tag = "9")]
    pub(crate) log_level: Option<i32>,
    #[prost(string, optional, tag = "10")]
    pub(crate) log_file: Option<String>,
    #[prost(message, optional, tag = "11")]
    pub(crate) page_server: Option<PageServer>,
    #[prost(bool, optional, tag = "12")]
    pub(crate) notify_scripts: Option<bool>,
    #[prost(string, optional, tag = "13")]
    pub(crate) root: Option<String>,
    #[prost(string, optional, tag = "14")]
    pub(crate) parent_img: Option<String>,
    #[prost(bool, optional, tag = "15")]
    pub(crate) track_mem: Option<bool>,
    #[prost(bool, optional, tag = "16")]
    pub(crate) auto_dedup: Option<bool>,
    #[prost(int32, optional, tag = "17")]
    pub(crate) work_dir_fd: Option<i32>,
    #[prost(bool, optional, tag = "18")]
    pub(crate) link_remap: Option<bool>,
    #[prost(bool, optional, tag = "24")]
    pub(crate) manage_cgroups: Option<bool>,
    #[prost(message, repeated, tag = "25")]
    pub(crate) cgroup_roots: Vec<CgroupRoot>,
    #[prost(bool, optional, tag = "26")]
    pub(crate) restore_sibling: Option<bool>,
    #[prost(message, repeated, tag = "27")]
    pub(crate) inherit_fd: Vec<InheritFd>,
    #[prost(enumeration = "CgroupMode", optional, tag = "34")]
    pub(crate) manage_cgroups_mode: Option<i32>,
    #[prost(string, repeated, tag = "37")]
    pub(crate) external: Vec<String>,
    #[prost(uint32, optional, tag = "38")]
    pub(crate) empty_ns: Option<u32>,
    #[prost(message, repeated, tag = "39")]
    pub(crate) join_ns: Vec<JoinNamespace>,
    #[prost(string, optional, tag = "44")]
    pub(crate) freeze_cgroup: Option<String>,
    #[prost(bool, optional, tag = "46")]
    pub(crate) tcp_skip_in_flight: Option<bool>,
    #[prost(bool, optional, tag = "48")]
    pub(crate) lazy_pages: Option<bool>,
    #[prost(int32, optional, tag = "49")]
    pub(crate) status_fd: Option<i32>,
    #[prost(bool, optional, tag = "50")]
    pub(crate) orphan_pts_master: Option<bool>,
    #[prost(string, optional, tag = "51")]
    pub(crate) config_file: Option<String>,
    #[prost(string, optional, tag = "53")]
    pub(crate) lsm_profile: Option<String>,
    #[prost(string, optional, tag = "63")]
    pub(crate) lsm_mount_context: Option<String>,
}

/// What is done about cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(crate) enum CgroupMode {
    /// They are left alone.
    Ignore = 0,
    /// Those that are missing are made.
    Soft = 3,
    /// They are made, and all their properties set.
    Full = 4,
    /// None may be there before.
    Strict = 5,
}

/// Where memory is sent.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PageServer {
    #[prost(string, optional, tag = "1")]
    pub(crate) address: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) port: Option<i32>,
}

/// Below which cgroup those of the images are restored.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CgroupRoot {
    #[prost(string, optional, tag = "1")]
    pub(crate) controller: Option<String>,
    #[prost(string, required, tag = "2")]
    pub(crate) path: String,
}

/// A descriptor of criu's own that takes the place of what the images call by this key.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct InheritFd {
    #[prost(string, required, tag = "1")]
    pub(crate) key: String,
    #[prost(int32, required, tag = "2")]
    pub(crate) fd: i32,
}

/// A namespace that is joined rather than restored.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct JoinNamespace {
    #[prost(string, required, tag = "1")]
    pub(crate) kind: String,
    #[prost(string, required, tag = "2")]
    pub(crate) path: String,
}

/// Features, asked for or there.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Features {
    #[prost(bool, optional, tag = "1")]
    pub(crate) mem_track: Option<bool>,
    #[prost(bool, optional, tag = "2")]
    pub(crate) lazy_pages: Option<bool>,
}

/// What criu answers, and what it notifies of.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Response {
    #[prost(enumeration = "Kind", required, tag = "1")]
    pub(crate) kind: i32,
    #[prost(bool, required, tag = "2")]
    pub(crate) success: bool,
    #[prost(message, optional, tag = "4")]
    pub(crate) restore: Option<Restored>,
    #[prost(message, optional, tag = "5")]
    pub(crate) notify: Option<Notification>,
    #[prost(int32, optional, tag = "7")]
    pub(crate) errno: Option<i32>,
    #[prost(message, optional, tag = "8")]
    pub(crate) features: Option<Features>,
    #[prost(string, optional, tag = "9")]
    pub(crate) message: Option<String>,
    #[prost(message, optional, tag = "10")]
    pub(crate) version: Option<Version>,
}

/// What was restored.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Restored {
    #[prost(int32, required, tag = "1")]
    pub(crate) pid: i32,
}

/// How far criu is.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Notification {
    #[prost(string, optional, tag = "1")]
    pub(crate) script: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) pid: Option<i32>,
}

/// criu's version.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Version {
    #[prost(int32, required, tag = "1")]
    pub(crate) major: i32,
    #[prost(int32, required, tag = "2")]
    pub(crate) minor: i32,
    #[prost(int32, optional, tag = "4")]
    pub(crate) sublevel: Option<i32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(message: &(impl Message + std::fmt::Debug), hex: &str) {
        let written: String = message.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, hex, "{message:?}");
    }

    /// The bytes are those of `protoc --encode` and of CRIU's rpc.proto.
    #[test]
    fn requests_as_criu_reads_them() {
        bytes(&Request::of(Kind::Version), "080a");
        let answer = Request { notify_success: Some(false), ..Request::of(Kind::Notify) };
        bytes(&answer, "08061800");
        let features = Features { mem_track: Some(true), lazy_pages: None };
        bytes(&Request { features: Some(features), ..Request::of(Kind::FeatureCheck) }, "08092a020801");
        let options = Options {
            images_dir_fd: 7,
            pid: Some(300),
            leave_running: Some(true),
            log_file: Some("dump.log".to_owned()),
            page_server: Some(PageServer { address: Some("::1".to_owned()), port: Some(27277) }),
            cgroup_roots: vec![CgroupRoot { controller: None, path: "/a".to_owned() }],
            inherit_fd: vec![InheritFd { key: "k".to_owned(), fd: 4 }],
            manage_cgroups_mode: Some(CgroupMode::Soft.into()),
            external: vec!["mnt[/a]:/b".to_owned()],
            empty_ns: Some(0x4000_0000),
            join_ns: vec![JoinNamespace { kind: "uts".to_owned(), path: "/n".to_owned() }],
            lsm_mount_context: Some("c".to_owned()),
            ..Options::default()
        };
        let hex = "08011252080710ac021801520864756d702e6c6f675a090a033a3a31108dd501ca010412022f61da01050a016b100490\
                   0203aa020a6d6e745b2f615d3a2f62b0028080808004ba02090a0375747312022f6efa030163";
        bytes(&Request { options: Some(options), ..Request::of(Kind::Dump) }, hex);
    }

    #[test]
    fn answers_as_criu_writes_them() {
        let read = |bytes: &[u8]| Response::decode(bytes);
        let refused = read(b"\x08\x06\x10\x00\x38\x16\x4a\x02no").unwrap();
        assert_eq!((refused.kind(), refused.success, refused.errno()), (Kind::Notify, false, 22));
        assert_eq!(refused.message(), "no");
        let version = read(b"\x08\x0a\x10\x01\x52\x06\x08\x03\x10\x11\x20\x01").unwrap().version.unwrap();
        assert_eq!((version.major, version.minor, version.sublevel()), (3, 17, 1));
        let notified = read(b"\x08\x06\x10\x01\x2a\x10\x0a\x0cpost-restore\x10\x2a").unwrap().notify.unwrap();
        assert_eq!((notified.script(), notified.pid()), ("post-restore", 42));
        // Fields that later versions have are passed over; what is no message is an error.
        assert!(read(b"\x08\x01\x10\x01\xa0\x06\x01").unwrap().success);
        for odd in [&b"\x08"[..], b"\x08\x01\x10", b"\x2a\x7f\x0a", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            assert!(read(odd).is_err(), "{odd:?}");
        }
    }
}
