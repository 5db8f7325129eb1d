//! What is built in, as engines ask for it (runtime-spec features.md): from the tables that plans are compiled with.

use std::collections::BTreeMap;

use oci_spec::runtime::{
    Apparmor, Cgroup, Features, IDMap, IntelRdt, LinuxFeature, LinuxNamespaceType, MemoryPolicy, MountExtensions,
    NetDevices, Seccomp, Selinux,
};

use serde_json::Value;

use super::cgroup::properties;
use super::{capabilities, mount_options, scheduling, seccomp};
use crate::error::{Error, ErrorKind, Result};
use crate::spec;
use crate::wire::{HookKind, Ns};

/// The oldest version of the runtime-spec whose config.json is taken.
const OLDEST: &str = "1.0.0";

/// What this version of the crate can do, whatever the host has (runtime-spec features.md, features-linux.md). A list that
/// is empty means none, `false` means that it is not built in, and what has no value means nothing: the actions of a
/// seccomp that is not there.
pub fn features() -> Features {
    let mut features = Features::default();
    features
        .set_oci_version_min(OLDEST.to_owned())
        .set_oci_version_max(spec::VERSION.to_owned())
        .set_hooks(Some(HookKind::ALL.map(|kind| kind.name().to_owned()).to_vec()))
        .set_mount_options(Some(mount_options::known()))
        .set_linux(Some(linux()))
        .set_annotations(Some(BTreeMap::from(annotations()).into_iter().collect()))
        .set_potentially_unsafe_config_annotations(Some(vec![
            properties::ANNOTATION.to_owned(),
            // A file of criu's options, which may name programs to run.
            "org.criu.config".to_owned(),
        ]));
    features
}

/// [`features`] as JSON, in which what is unknown is not there: the schema of the specification allows no null.
///
/// # Errors
/// [`ErrorKind::Host`], where a value is none of JSON's.
pub fn features_json() -> Result<Value> {
    let why = |error| Error::new(ErrorKind::Host, format!("cannot write the features as JSON: {error}"));
    let mut features = serde_json::to_value(features()).map_err(why)?;
    leave_out_nulls(&mut features);
    Ok(features)
}

fn leave_out_nulls(value: &mut Value) {
    if let Value::Object(members) = value {
        members.retain(|_, member| !member.is_null());
        members.values_mut().for_each(leave_out_nulls);
    }
}

/// What engines know from runc.
fn annotations() -> [(String, String); 1] {
    let has_checkpoint = cfg!(feature = "criu").to_string();
    [("org.opencontainers.runc.checkpoint.enabled".to_owned(), has_checkpoint)]
}

fn linux() -> LinuxFeature {
    let mut cgroup = Cgroup::default();
    cgroup.set_v1(Some(false)).set_v2(Some(true)).set_systemd(Some(true)).set_systemd_user(Some(true));
    cgroup.set_rdma(Some(true));
    let mut filter = Seccomp::default();
    let strings = |list: &[&dyn ToString]| Some(list.iter().map(|item| item.to_string()).collect());
    filter
        .set_enabled(Some(true))
        .set_actions(Some(seccomp::known::ACTIONS.to_vec()))
        .set_operators(strings(&seccomp::known::OPERATORS.each_ref().map(|operator| operator as &dyn ToString)))
        .set_archs(Some(seccomp::known::ARCHS.to_vec()))
        .set_known_flags(strings(&seccomp::known::FLAGS.each_ref().map(|flag| flag as &dyn ToString)))
        .set_supported_flags(strings(&seccomp::known::FLAGS.each_ref().map(|flag| flag as &dyn ToString)));
    let mut apparmor = Apparmor::default();
    apparmor.set_enabled(Some(true));
    let mut selinux = Selinux::default();
    selinux.set_enabled(Some(true));
    let mut rdt = IntelRdt::default();
    rdt.set_enabled(Some(true)).set_schemata(Some(true)).set_monitoring(Some(true));
    let mut policy = MemoryPolicy::default();
    policy
        .set_modes(Some(scheduling::MODES.map(|(_, name, ..)| name.to_owned()).to_vec()))
        .set_flags(Some(scheduling::FLAGS.map(|(_, name, _)| name.to_owned()).to_vec()));
    let mut idmap = IDMap::default();
    idmap.set_enabled(Some(true));
    let mut mounts = MountExtensions::default();
    mounts.set_idmap(Some(idmap));
    let mut devices = NetDevices::default();
    devices.set_enabled(Some(true));

    let mut linux = LinuxFeature::default();
    linux
        .set_namespaces(Some(Ns::ALL.map(namespace).to_vec()))
        .set_capabilities(Some(capabilities::known()))
        .set_cgroup(Some(cgroup))
        .set_seccomp(Some(filter))
        .set_apparmor(Some(apparmor))
        .set_selinux(Some(selinux))
        .set_intel_rdt(Some(rdt))
        .set_memory_policy(Some(policy))
        .set_mount_extensions(Some(mounts))
        .set_net_devices(Some(devices));
    linux
}

const fn namespace(ns: Ns) -> LinuxNamespaceType {
    match ns {
        Ns::User => LinuxNamespaceType::User,
        Ns::Pid => LinuxNamespaceType::Pid,
        Ns::Network => LinuxNamespaceType::Network,
        Ns::Ipc => LinuxNamespaceType::Ipc,
        Ns::Uts => LinuxNamespaceType::Uts,
        Ns::Cgroup => LinuxNamespaceType::Cgroup,
        Ns::Time => LinuxNamespaceType::Time,
        Ns::Mount => LinuxNamespaceType::Mount,
    }
}
