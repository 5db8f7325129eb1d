//! `start`: the socket of the container's group, and a server at it. Either there was one, or this makes both, or neither.

mod dialect;
mod input;
mod server;
mod sha256;
mod socket;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::{Component, Path};
use std::process::{Command, Stdio};

use serde::Deserialize;

pub(crate) use input::standard as standard_input;
pub(crate) use server::{Settings, listener};
pub(crate) use socket::{remove_stale, retire};

use crate::flags::Flags;
use crate::options::{Options, replace};
use crate::status::{Answer, Failure};
use dialect::Request;
use socket::Place;

/// The annotations that name a group of containers, one shim for all of it; the first counts.
const GROUPS: [&str; 2] = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"];

/// The file of the bundle in which the address is.
pub(crate) const ADDRESS: &str = "address";

/// The highest oom_score_adj there is (proc_pid_oom_score_adj(5)).
const MOST_KILLABLE: i32 = 1000;

/// The working directory is the bundle. Returns the bytes of the answer.
pub(crate) fn start(flags: &Flags) -> Answer<Vec<u8>> {
    let input = standard_input().map_err(|error| Failure::host("read the standard input", error))?;
    let request = Request::read(&input, flags)?;
    let bundle = std::env::current_dir().map_err(|error| Failure::host("find the working directory", error))?;
    let group = group(&bundle)?.unwrap_or_else(|| flags.id.clone());
    let name = socket::name(&request.address, &flags.namespace, &group);
    let place = Place::lock(request.socket_dir.as_deref(), &name)?;
    let address = socket::address(place.path());
    let made = place.bind()?;
    let kept = replace(&bundle.join(ADDRESS), address.as_bytes())
        .map_err(|error| Failure::host("write the bundle's file address", error));
    let Some(listener) = made else { return kept.map(|()| request.answer(&address)) };
    let served = kept.and_then(|()| prepare(&request.options)).and_then(|()| serve(listener, flags, &request));
    if let Err(failure) = served {
        // It is this failure that is told.
        let _ = place.remove();
        let _ = std::fs::remove_file(bundle.join(ADDRESS));
        return Err(failure);
    }
    Ok(request.answer(&address))
}

/// Which group the container of a bundle is of, if it is of any.
fn group(bundle: &Path) -> Answer<Option<String>> {
    /// Of config.json, which may be long, only what is looked for is kept.
    #[derive(Deserialize)]
    struct Config {
        #[serde(default)]
        annotations: Option<BTreeMap<String, String>>,
    }
    let invalid = |error: &dyn std::fmt::Display| Failure::invalid(format!("cannot read config.json: {error}"));
    let json = std::fs::read(bundle.join("config.json")).map_err(|error| invalid(&error))?;
    let config: Config = serde_json::from_slice(&json).map_err(|error| invalid(&error))?;
    let mut annotations = config.annotations.unwrap_or_default();
    Ok(GROUPS.iter().find_map(|name| annotations.remove(*name)))
}

/// Makes of this process what the server is to be, which inherits it.
fn prepare(options: &Options) -> Answer<()> {
    if !options.shim_cgroup.is_empty() {
        join(&options.shim_cgroup)
            .map_err(|error| Failure::host(&format!("join the cgroup {}", options.shim_cgroup), error))?;
    }
    be_killed_before_containerd().map_err(|error| Failure::host("set oom_score_adj", error))?;
    if std::env::var_os("SCHED_CORE").is_some_and(|value| !value.is_empty()) {
        runtime_core::share_no_core().map_err(|error| Failure::host("share no core (SCHED_CORE)", error))?;
    }
    Ok(())
}

/// Moves this process into a cgroup that exists.
fn join(cgroup: &str) -> io::Result<()> {
    let below = Path::new(cgroup.trim_start_matches('/'));
    if below.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no path in the hierarchy"));
    }
    write(&Path::new("/sys/fs/cgroup").join(below).join("cgroup.procs"), "0")
}

fn be_killed_before_containerd() -> io::Result<()> {
    let text = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", parent_id()))?;
    let score: i32 = text.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
    write(Path::new("/proc/self/oom_score_adj"), &score.saturating_add(1).min(MOST_KILLABLE).to_string())
}

/// Writes to a file that is there.
fn write(path: &Path, text: &str) -> io::Result<()> {
    io::Write::write_all(&mut std::fs::File::options().write(true).open(path)?, text.as_bytes())
}

/// Starts the server. The socket is its standard input, as inetd(8) has it: a client that connects before it accepts waits.
fn serve(listener: UnixListener, flags: &Flags, request: &Request) -> Answer<()> {
    // Not by a path that an upgrade may have given to another program.
    let mut server = Command::new("/proc/self/exe");
    server.arg0(std::env::args_os().next().unwrap_or_else(|| server::NAME.into()));
    server.args(["-namespace", &flags.namespace, "-id", &flags.id, "-address", &request.address]);
    if request.debug {
        server.arg("-debug");
    }
    server.env("NAMESPACE", &flags.namespace);
    if let Some(address) = &request.ttrpc_address {
        server.env("TTRPC_ADDRESS", address);
    }
    server.stdin(std::os::fd::OwnedFd::from(listener)).stdout(Stdio::null()).stderr(Stdio::null());
    let started = server.process_group(0).spawn();
    started.map(drop).map_err(|error| Failure::host("start the server", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_by_annotation() {
        let bundle = std::env::temp_dir().join(format!("planc-shim-group-{}", std::process::id()));
        std::fs::create_dir(&bundle).unwrap();
        assert!(group(&bundle).unwrap_err().message.starts_with("cannot read config.json: "));
        for (config, wanted) in [
            (r#"{"process":{"args":["x"]},"annotations":{"io.kubernetes.cri.sandbox-id":"pod"}}"#, Some("pod")),
            (r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"pod","io.containerd.runc.v2.group":"g"}}"#, Some("g")),
            (r#"{"annotations":{"x":"y"}}"#, None),
            (r#"{"annotations":null}"#, None),
            ("{}", None),
        ] {
            std::fs::write(bundle.join("config.json"), config).unwrap();
            assert_eq!(group(&bundle).unwrap().as_deref(), wanted, "{config}");
        }
        std::fs::write(bundle.join("config.json"), "{").unwrap();
        group(&bundle).unwrap_err();
        std::fs::remove_dir_all(&bundle).unwrap();
    }

    #[test]
    fn a_shims_cgroup_is_below_the_root() {
        for odd in ["/../../etc", "a/../b", ".", "./a"] {
            assert_eq!(join(odd).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{odd}");
        }
        assert_eq!(join("/planc/there/is/none").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
