//! Kernel parameters (runtime-spec config-linux.md#sysctl): only those that belong to a namespace of the container.

use std::ffi::CString;

use super::namespaces::Namespaces;
use super::plan::Draft;
use super::text::{below, sorted, text};
use super::{Invalid, Request};
use crate::wire::{InitOp, Ns, Slot, Text};

pub(super) const MAP: &str = "/linux/sysctl";

/// Parameters of an ipc namespace (ipc_namespaces(7)).
const IPC: [&str; 8] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];

/// One parameter: its place in config.json, its path below /proc/sys, and its value.
#[derive(Debug)]
struct Parameter<'a> {
    origin: String,
    path: CString,
    value: &'a str,
}

/// The container's kernel parameters, by name.
#[derive(Debug)]
pub(super) struct Sysctls<'a>(Vec<Parameter<'a>>);

impl<'a> Sysctls<'a> {
    pub(super) fn read(request: &Request<'a>) -> Result<Self, Invalid> {
        let mut parameters = Vec::new();
        for (key, value) in sorted(request.linux.sysctl().as_ref()) {
            let origin = below(MAP, key);
            let path = path(key);
            check(&request.spaces, &origin, key, &path)?;
            if value.contains('\0') {
                return Err(Invalid::new(origin, "the value contains a NUL character"));
            }
            parameters.push(Parameter { path: text(&origin, &path)?, origin, value });
        }
        Ok(Self(parameters))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// sysctl(8): where a slash comes before any dot, slashes separate; otherwise dots do, and a slash is a dot in a name.
fn path(key: &str) -> String {
    match key.find(['.', '/']).and_then(|at| key.as_bytes().get(at)) {
        Some(b'.') => key
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
        _ => key.to_owned(),
    }
}

/// Whether the parameter is the container's own.
fn check(spaces: &Namespaces, origin: &str, key: &str, path: &str) -> Result<(), Invalid> {
    let names: Vec<_> = path.split('/').collect();
    if names.iter().any(|name| matches!(*name, "" | "." | "..")) {
        return Err(Invalid::new(origin, format!("sysctl {key:?} is no name of a kernel parameter")));
    }
    if path == "kernel/hostname" {
        return Err(Invalid::new(origin, "sysctl \"kernel.hostname\" is not allowed: use hostname"));
    }
    let ns = match names.as_slice() {
        _ if IPC.contains(&path) => Ns::Ipc,
        ["fs", "mqueue", _, ..] => Ns::Ipc,
        ["net", _, ..] => Ns::Network,
        ["kernel", "domainname"] => Ns::Uts,
        ["user", _, ..] => Ns::User,
        _ => return Err(Invalid::new(origin, format!("sysctl {key:?} is not in a separate kernel namespace"))),
    };
    if spaces.is_private(ns) {
        return Ok(());
    }
    Err(Invalid::new(origin, format!("sysctl {key:?} is not allowed in the host's {ns} namespace")))
}

/// Writes the parameters.
pub(super) fn write(sysctls: &Sysctls<'_>, proc: Option<Slot>, plan: &mut Draft) {
    let Some(proc) = proc else { return };
    for Parameter { origin, path, value } in &sysctls.0 {
        plan.init(origin, InitOp::WriteSysctl { proc, key: Text(path), value: value.as_bytes() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_slashes_separate() {
        for (key, wanted) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("kernel", "kernel"),
        ] {
            assert_eq!(path(key), wanted);
        }
    }
}
