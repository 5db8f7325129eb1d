//! Resource limits (runtime-spec config.md#posix-process, setrlimit(2)).

use std::ffi::CString;

use oci_spec::runtime::{PosixRlimit, PosixRlimitType};

use super::plan::Draft;
use super::text::{below, listed, text};
use super::{Invalid, Request};
use crate::wire::{HostOp, InitOp, Text};

const LIST: &str = "/process/rlimits";

/// Below this many descriptors init could not finish its own work.
const ENOUGH_FILES: u64 = 64;

/// `RLIMIT_NOFILE` (the numbers are those of x86_64 and aarch64, asm-generic/resource.h).
const NOFILE: u32 = 7;

#[derive(Debug)]
struct Limit {
    origin: String,
    name: CString,
    resource: u32,
    soft: u64,
    hard: u64,
}

/// The container's limits.
#[derive(Debug)]
pub(super) struct Limits(Vec<Limit>);

impl Limits {
    pub(super) fn read(rlimits: Option<&Vec<PosixRlimit>>) -> Result<Self, Invalid> {
        let mut limits: Vec<Limit> = Vec::new();
        for (origin, limit) in listed(LIST, rlimits) {
            let (name, resource) = (limit.typ().to_string(), resource(limit.typ()));
            if limits.iter().any(|known| known.resource == resource) {
                return Err(Invalid::new(below(&origin, "type"), format!("the limit {name} is listed twice")));
            }
            let (soft, hard) = (limit.soft(), limit.hard());
            if soft > hard {
                let why = format!("the soft limit {soft} of {name} is greater than the hard limit {hard}");
                return Err(Invalid::new(below(&origin, "soft"), why));
            }
            limits.push(Limit { name: text(&origin, name)?, origin, resource, soft, hard });
        }
        Ok(Self(limits))
    }
}

fn resource(typ: PosixRlimitType) -> u32 {
    match typ {
        PosixRlimitType::RlimitCpu => 0,
        PosixRlimitType::RlimitFsize => 1,
        PosixRlimitType::RlimitData => 2,
        PosixRlimitType::RlimitStack => 3,
        PosixRlimitType::RlimitCore => 4,
        PosixRlimitType::RlimitRss => 5,
        PosixRlimitType::RlimitNproc => 6,
        PosixRlimitType::RlimitNofile => NOFILE,
        PosixRlimitType::RlimitMemlock => 8,
        PosixRlimitType::RlimitAs => 9,
        PosixRlimitType::RlimitLocks => 10,
        PosixRlimitType::RlimitSigpending => 11,
        PosixRlimitType::RlimitMsgqueue => 12,
        PosixRlimitType::RlimitNice => 13,
        PosixRlimitType::RlimitRtprio => 14,
        PosixRlimitType::RlimitRttime => 15,
    }
}

/// Sets the limits, as late as raising one is still permitted: from the host where init has left its user namespace.
pub(super) fn set(request: &Request<'_>, limits: &Limits, plan: &mut Draft) {
    for Limit { origin, name, resource, soft, hard } in &limits.0 {
        let (name, resource, mut soft, hard) = (Text(name), *resource, *soft, *hard);
        if resource == NOFILE && soft < ENOUGH_FILES {
            if hard < ENOUGH_FILES {
                continue;
            }
            soft = ENOUGH_FILES;
        }
        if request.spaces.has_user() {
            plan.host(origin, HostOp::LimitInit { name, resource, soft, hard });
        } else {
            plan.init(origin, InitOp::Limit { name, resource, soft, hard });
        }
    }
}

/// Lowers at the very end what init needed more of.
pub(super) fn lower(limits: &Limits, plan: &mut Draft) {
    for Limit { origin, name, resource, soft, hard } in &limits.0 {
        if *resource == NOFILE && *soft < ENOUGH_FILES {
            plan.init(origin, InitOp::Limit { name: Text(name), resource: NOFILE, soft: *soft, hard: *hard });
        }
    }
}
