//! The container's cgroup: where it is (runtime-spec config-linux.md#cgroups-path), what is limited by it, and its device
//! filter.

pub(crate) mod cpu;
mod gvariant;
mod io;
mod memory;
mod others;
mod owner;
pub(crate) mod properties;
pub(crate) mod settings;
mod systemd;
#[cfg(test)]
mod tests;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use oci_spec::runtime::{Linux, LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxNetwork, LinuxResources, Spec};

use self::properties::Asked;
use self::settings::Setting;
pub(super) use self::systemd::Unit;
use super::mounts::Mounts;
use super::plan::Draft;
use super::text::{path_text, text, utf8};
use super::{CgroupDriver, Invalid, Launch, Request, Rootless, device_filter};
use crate::facts::{CgroupFacts, Facts};
use crate::wire::{HookKind, HostOp, Ns, Text};

const PATH: &str = "/linux/cgroupsPath";
const DEVICES: &str = "/linux/resources/devices";

/// The unified hierarchy of the host.
pub(super) fn hierarchy(facts: &Facts) -> Result<&CgroupFacts, Invalid> {
    facts.cgroup.as_ref().ok_or_else(|| {
        let why = "cgroup v2 is required: mount it (\"mount -t cgroup2 none /sys/fs/cgroup\"), or boot with \
                   systemd.unified_cgroup_hierarchy=1";
        Invalid::unsupported("", why)
    })
}

impl Facts {
    /// Whether the caller is taken for one who may not do to this host what root may.
    pub fn is_rootless(&self, asked: Rootless) -> bool {
        match asked {
            Rootless::Auto => self.euid != 0 || !self.initial_user_namespace,
            Rootless::Yes => true,
            Rootless::No => false,
        }
    }

    /// Whether the caller can attach a device filter, so that the container is to have one.
    fn filters_devices(&self) -> bool {
        self.initial_user_namespace && self.is_privileged()
    }
}

/// The container's cgroup, from the root of the hierarchy; `None` where the caller may make none and none is needed.
fn path(linux: &Linux, facts: &Facts, host: &CgroupFacts, launch: &Launch<'_>) -> Result<Option<CString>, Invalid> {
    let asked = asked(linux).map(|path| utf8(PATH, path)).transpose()?;
    let (origin, asked) = asked.map_or(("", launch.id.as_str()), |asked| (PATH, asked));
    let is_absolute = asked.starts_with('/');
    let own = if is_absolute && host.delegated { Vec::new() } else { names("", &host.own)? };
    let names = names(origin, asked)?;
    // Processes and child cgroups exclude each other (cgroups(7), "no internal processes"), so that a relative path is
    // taken from where the caller's own cgroup lies; only where that is out of bounds, from the caller's own.
    let parent = match own.split_last() {
        _ if is_absolute => &[],
        Some((_, beside)) if host.delegated => beside,
        _ => own.as_slice(),
    };
    let path: Vec<_> = parent.iter().copied().chain(names).collect();
    let is_below_own = path.len() > own.len() && path.starts_with(&own);
    let is_permitted = host.delegated || (host.delegated_below && is_below_own);
    if !is_permitted {
        return without(linux, facts, host, launch.options.rootless);
    }
    path_text(origin, Path::new(&format!("/{}", path.join("/")))).map(Some)
}

/// A caller without permission for cgroups goes without one, where nothing in config.json needs it.
fn without(linux: &Linux, facts: &Facts, host: &CgroupFacts, rootless: Rootless) -> Result<Option<CString>, Invalid> {
    if !facts.is_rootless(rootless) || facts.filters_devices() {
        let (own, mount) = (&host.own, host.mount.display());
        let why = match facts.euid {
            0 => format!("no cgroup can be made beside the caller's, {own:?}: is {mount} read-only?"),
            uid => format!("no cgroup can be made beside the caller's, {own:?}: it is not delegated to uid {uid}"),
        };
        return Err(Invalid::unsupported("", why));
    }
    let limit = linux.resources().as_ref().and_then(limit);
    match asked(linux).map(|_| PATH).or(limit) {
        None => Ok(None),
        // runc's words: its own tests, and engines' users, look for them.
        Some(origin) => Err(Invalid::unsupported(
            origin,
            "unable to apply cgroup configuration: rootless needs no limits + no cgrouppath when no permission is \
             granted for cgroups: permission denied",
        )),
    }
}

/// A caller who wants no cgroup has none, where nothing is limited.
fn disabled(linux: &Linux) -> Result<Option<CString>, Invalid> {
    match linux.resources().as_ref().and_then(limit) {
        None => Ok(None),
        Some(origin) => Err(Invalid::new(origin, "cgroups are disabled, and only a cgroup can keep a limit")),
    }
}

/// The first limit that only a cgroup can keep. An empty object asks for nothing, and so does a device rule of a caller
/// who can make no devices.
fn limit(resources: &LinuxResources) -> Option<&'static str> {
    let asked = [
        ("/linux/resources/memory", resources.memory().is_some_and(|memory| memory != LinuxMemory::default())),
        ("/linux/resources/cpu", resources.cpu().as_ref().is_some_and(|cpu| *cpu != LinuxCpu::default())),
        ("/linux/resources/pids", resources.pids().is_some_and(|pids| pids.limit() >= 0)),
        ("/linux/resources/blockIO", resources.block_io().as_ref().is_some_and(|io| *io != LinuxBlockIo::default())),
        (
            "/linux/resources/hugepageLimits",
            resources.hugepage_limits().as_ref().is_some_and(|limits| !limits.is_empty()),
        ),
        (
            "/linux/resources/network",
            resources.network().as_ref().is_some_and(|network| *network != LinuxNetwork::default()),
        ),
        ("/linux/resources/rdma", resources.rdma().as_ref().is_some_and(|limits| !limits.is_empty())),
        ("/linux/resources/unified", resources.unified().as_ref().is_some_and(|files| !files.is_empty())),
    ];
    asked.into_iter().find(|(_, is_asked)| *is_asked).map(|(origin, _)| origin)
}

/// `cgroupsPath`, where it is set.
fn asked(linux: &Linux) -> Option<&Path> {
    linux.cgroups_path().as_deref().filter(|path| !path.as_os_str().is_empty())
}

/// The names of a path. None may lead out of the hierarchy, or out of the parent.
fn names<'a>(origin: &str, path: &'a str) -> Result<Vec<&'a str>, Invalid> {
    let names: Vec<_> = path.split('/').filter(|name| !name.is_empty()).collect();
    check_names(&names).map_err(|odd| Invalid::new(origin, format!("the cgroup path has the name {odd} in it")))?;
    if path.len() >= PATH_MAX {
        let why = format!("the cgroup path has {} bytes, the kernel takes fewer than {PATH_MAX}", path.len());
        return Err(Invalid::new(origin, why));
    }
    if names.is_empty() && !origin.is_empty() {
        return Err(Invalid::new(origin, "the root cgroup cannot be a container's"));
    }
    Ok(names)
}

/// What the kernel takes of a path, with its NUL (limits.h).
const PATH_MAX: usize = 4096;

/// The first name that no cgroup can have, or that leads elsewhere, as it is shown.
///
/// A newline would make a second line of /proc/PID/cgroup, so the kernel has none either (EINVAL).
pub(super) fn check_names(names: &[&str]) -> Result<(), String> {
    let is_odd = |name: &&&str| matches!(**name, "." | "..") || name.len() > 255 || name.contains(['\n', '\0']);
    names.iter().find(is_odd).map_or(Ok(()), |odd| Err(format!("{:?}", short(odd))))
}

/// As much of a name as fits into an error.
fn short(name: &str) -> &str {
    name.char_indices().nth(40).map_or(name, |(end, _)| &name[..end])
}

/// How the container gets its cgroup.
pub(super) enum Way {
    /// The host makes the directory, and init is born in it. `None`: the caller may make none and none is needed.
    Directory(Option<CString>),
    /// systemd makes it, and puts init into it.
    Unit(Unit),
}

impl Way {
    /// Whether the container gets a cgroup at all.
    pub(super) fn is_made(&self) -> bool {
        !matches!(self, Self::Directory(None))
    }
}

/// Which way it is, of this launch.
pub(super) fn way(
    spec: &Spec,
    linux: &Linux,
    facts: &Facts,
    host: &CgroupFacts,
    launch: &Launch<'_>,
) -> Result<Way, Invalid> {
    Ok(match launch.options.cgroup_driver {
        CgroupDriver::Cgroupfs => Way::Directory(path(linux, facts, host, launch)?),
        CgroupDriver::Systemd => Way::Unit(Unit::read(spec, linux, facts, launch)?),
        CgroupDriver::Disabled => Way::Directory(disabled(linux)?),
    })
}

/// What is limited by the container's cgroup.
#[derive(Debug, Default)]
pub(super) struct Limits {
    settings: Vec<Setting>,
    /// What a unit is told once it runs.
    late: Vec<Asked>,
}

impl Limits {
    /// What `linux.resources` asks for; nothing where the container has no cgroup, and so nothing was asked.
    pub(super) fn read(request: &Request<'_>, plan: &mut Draft) -> Result<Self, Invalid> {
        let late = match &request.cgroup {
            Way::Directory(None) => return Ok(Self::default()),
            Way::Directory(Some(_)) => Vec::new(),
            Way::Unit(unit) => unit.late().cloned().collect(),
        };
        let Some(resources) = request.linux.resources() else { return Ok(Self { late, ..Self::default() }) };
        let mut warnings = Vec::new();
        let settings = settings::compile(resources, hierarchy(request.facts)?, &mut warnings)?;
        warnings.into_iter().for_each(|warning| plan.warn(warning));
        Ok(Self { settings, late })
    }

    /// What holds from before init is born.
    fn set(&self, plan: &mut Draft) {
        self.settings.iter().filter(|setting| !setting.is_late()).for_each(|setting| setting.perform(plan));
    }

    /// What holds once nothing more is born before the program.
    pub(super) fn set_late(&self, plan: &mut Draft) -> Result<(), Invalid> {
        properties::each(&self.late, |asked, property| plan.host(&asked.origin, HostOp::ChangeUnit { property }))?;
        if !self.late.is_empty() {
            self.settings.iter().filter(|setting| setting.is_rounded()).for_each(|setting| setting.perform(plan));
        }
        self.settings.iter().filter(|setting| setting.is_late()).for_each(|setting| setting.perform(plan));
        Ok(())
    }
}

/// The host makes the cgroup, where init is to be born in it, and furnishes it.
pub(super) fn make(request: &Request<'_>, limits: &Limits, mounts: &Mounts, plan: &mut Draft) -> Result<(), Invalid> {
    let path = match &request.cgroup {
        Way::Directory(Some(path)) => path,
        Way::Directory(None) => {
            if !request.spaces.is_private(Ns::Pid) {
                // Words that runc's own tests look for.
                plan.warn(
                    "the container has neither a cgroup nor a pid namespace of its own. Such configuration is strongly \
                     discouraged: not all of its processes can be found and killed (/linux/namespaces)",
                );
            }
            return filter_devices(request, plan);
        }
        Way::Unit(_) => return Ok(()),
    };
    let host = hierarchy(request.facts)?;
    let root = text("", host.mount.as_os_str().as_bytes())?;
    let controllers = text("", host.controllers.join(" "))?;
    let origin = if asked(request.linux).is_some() { PATH } else { "" };
    plan.host(origin, HostOp::CreateCgroup { root: Text(&root), path: Text(path), controllers: Text(&controllers) });
    furnish(request, limits, mounts, plan)
}

/// The host has systemd make it, where init is put into it.
pub(super) fn start_unit(
    request: &Request<'_>,
    limits: &Limits,
    mounts: &Mounts,
    plan: &mut Draft,
) -> Result<(), Invalid> {
    let Way::Unit(unit) = &request.cgroup else { return Ok(()) };
    unit.start(request, plan)?;
    furnish(request, limits, mounts, plan)
}

/// It is limited, gets its device filter, and its owner.
fn furnish(request: &Request<'_>, limits: &Limits, mounts: &Mounts, plan: &mut Draft) -> Result<(), Invalid> {
    limits.set(plan);
    if !is_finished_beside_init(request, mounts) {
        filter_devices(request, plan)?;
    }
    owner::give(request, mounts, plan);
    Ok(())
}

/// Init was just born, and isolates itself: meanwhile the host can attach the device filter.
pub(super) fn finish_beside_init(request: &Request<'_>, mounts: &Mounts, plan: &mut Draft) -> Result<(), Invalid> {
    if is_finished_beside_init(request, mounts) { filter_devices(request, plan) } else { Ok(()) }
}

/// Whether it makes no difference to init that its cgroup has no device filter yet: it runs nothing of the container's
/// before the host has seen its turn end, and makes no other device than every filter allows.
fn is_finished_beside_init(request: &Request<'_>, mounts: &Mounts) -> bool {
    matches!(request.cgroup, Way::Directory(Some(_)))
        && owner::of(request, mounts).is_none()
        && request.hooks.of(HookKind::CreateContainer).next().is_none()
        && request.linux.devices().as_ref().is_none_or(Vec::is_empty)
}

/// Without the host's privileges no filter can be attached; and there mknod(2) is denied anyway, so that what every engine
/// asks for, to deny what a container has not, holds without one.
fn filter_devices(request: &Request<'_>, plan: &mut Draft) -> Result<(), Invalid> {
    let rules = request.linux.resources().as_ref().and_then(|resources| resources.devices().as_deref());
    let program = device_filter::compile(rules.unwrap_or_default())?;
    device_filter::ignored(rules.unwrap_or_default()).for_each(|note| plan.note(note));
    if device_filter::allows_all(&program) {
        // So a container that may do everything needs no bpf(2).
        return Ok(());
    }
    if request.facts.filters_devices() && !request.cgroup.is_made() {
        // Only one who wants no cgroup at all comes here.
        plan.warn(format!("without a cgroup there is no device filter: CAP_MKNOD opens every device ({DEVICES})"));
    } else if request.facts.filters_devices() {
        plan.host(if rules.is_some() { DEVICES } else { "" }, HostOp::FilterDevices { program: &program });
    } else if program != device_filter::compile(&[])? {
        plan.warn(format!(
            "the caller can attach no device filter, so devices have their permissions only ({DEVICES})"
        ));
    }
    Ok(())
}
