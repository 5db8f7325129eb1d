//! A profile of the shape that engines have: some hundred calls allowed, a few by their arguments.

use oci_spec::runtime::LinuxSeccomp;
use runtime_core::oci_spec;
use serde_json::json;

use crate::table::CALLS;

/// The bit of x32.
const X32: u32 = 1 << 30;

/// What an engine's profile leaves to capabilities, or denies for good.
const DENIED: [&str; 46] = [
    "acct",
    "add_key",
    "bpf",
    "chroot",
    "clock_adjtime",
    "clock_settime",
    "create_module",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "get_kernel_syms",
    "init_module",
    "ioperm",
    "iopl",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mount",
    "mount_setattr",
    "move_mount",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "query_module",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "stime",
    "swapoff",
    "swapon",
    "syslog",
    "umount2",
    "unshare",
    "userfaultfd",
    "vhangup",
];

/// The calls that are decided by their arguments.
const DECIDED: [&str; 4] = ["clone", "clone3", "personality", "socket"];

/// All calls of Linux 5.17 but those, as an engine would allow them.
pub(crate) fn engine_like() -> LinuxSeccomp {
    let is_new = |number: &u32| [335, 336].contains(number) || (451..600).contains(&(number & !X32));
    let names = CALLS.iter().filter(|(_, row)| !row.iter().any(is_new)).map(|(name, _)| *name);
    let allowed: Vec<&str> = names.filter(|name| !DENIED.contains(name) && !DECIDED.contains(name)).collect();
    let allow = |name: &str, op: &str, value: u64| {
        json!({ "names": [name], "action": "SCMP_ACT_ALLOW",
            "args": [{ "index": 0, "value": value, "valueTwo": 0, "op": op }] })
    };
    let mut calls = vec![
        json!({ "names": allowed, "action": "SCMP_ACT_ALLOW" }),
        allow("socket", "SCMP_CMP_NE", 40),
        // New namespaces.
        allow("clone", "SCMP_CMP_MASKED_EQ", 0x7e02_0000),
        json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 }),
    ];
    let personalities = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];
    calls.extend(personalities.map(|value| allow("personality", "SCMP_CMP_EQ", value)));
    let archs = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
    let json =
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": archs, "syscalls": calls });
    serde_json::from_value(json).expect("a profile")
}
