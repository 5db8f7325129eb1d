//! The config.json that `planc spec` writes: it means what `runc spec` means, on which bundles and suites build.

use std::path::PathBuf;

use oci_spec::runtime::{
    Linux, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceType, Mount, Spec,
};

const DEFAULT: &str = include_str!("default.json");

/// The default config.json; with `rootless` the one for a caller with this uid and gid and no privileges.
pub fn default_config(rootless: Option<(u32, u32)>) -> Spec {
    #[expect(clippy::expect_used, reason = "the text is a constant, and a test parses it")]
    let mut spec = serde_json::from_str(DEFAULT).expect("default.json is a config.json");
    if let Some((uid, gid)) = rootless {
        unprivilege(&mut spec, uid, gid);
    }
    spec
}

/// A user namespace in which the caller is root, the host's network, no cgroup: what needs no privileges.
fn unprivilege(spec: &mut Spec, uid: u32, gid: u32) {
    if let Some(linux) = spec.linux_mut() {
        linux.set_uid_mappings(own_id(uid)).set_gid_mappings(own_id(gid)).set_resources(None);
        enter_user_namespace(linux);
    }
    for mount in spec.mounts_mut().iter_mut().flatten() {
        if mount.destination() == &PathBuf::from("/sys") {
            show_hosts_sysfs(mount);
        }
        if let Some(options) = mount.options_mut() {
            // No other id than the caller's is mapped.
            options.retain(|option| !option.starts_with("uid=") && !option.starts_with("gid="));
        }
    }
}

fn own_id(id: u32) -> Option<Vec<LinuxIdMapping>> {
    let line = LinuxIdMappingBuilder::default().container_id(0u32).host_id(id).size(1u32).build();
    line.ok().map(|line| vec![line])
}

fn enter_user_namespace(linux: &mut Linux) {
    let namespaces = linux.namespaces_mut().get_or_insert_default();
    namespaces.retain(|namespace| namespace.typ() != LinuxNamespaceType::Network);
    let mut user = LinuxNamespace::default();
    user.set_typ(LinuxNamespaceType::User);
    namespaces.push(user);
}

/// A sysfs belongs to a network namespace, and this one's is the host's.
fn show_hosts_sysfs(mount: &mut Mount) {
    mount.set_typ(Some("none".to_owned())).set_source(Some(PathBuf::from("/sys")));
    mount.options_mut().get_or_insert_default().insert(0, "rbind".to_owned());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Write;
    use std::process::Command;

    use serde_json::Value;

    use super::*;

    /// Every leaf of a JSON value as "pointer = value"; lists of strings without their order.
    fn leaves(pointer: &str, value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| leaves(&format!("{pointer}/{key}"), value, into)),
            Value::Array(list) if list.iter().all(Value::is_string) => {
                into.extend(list.iter().map(|item| format!("{pointer} has {item}")));
            }
            Value::Array(list) => {
                for (index, value) in list.iter().enumerate() {
                    leaves(&format!("{pointer}/{index}"), value, into);
                }
            }
            leaf => {
                into.insert(format!("{pointer} = {leaf}"));
            }
        }
    }

    fn leaves_of(value: &Value) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        leaves("", value, &mut found);
        found
    }

    /// What may differ from the runc that is installed: older ones write another version and ambient capabilities, and
    /// have a cgroup namespace only where the host has no cgroup v1.
    fn may_differ(leaf: &str) -> bool {
        leaf.starts_with("/ociVersion = ")
            || leaf.starts_with("/process/capabilities/ambient has ")
            || leaf.ends_with("= \"cgroup\"") && leaf.starts_with("/linux/namespaces/")
    }

    /// Namespaces are a set.
    fn sort_namespaces(config: &mut Value) {
        let list = config.pointer_mut("/linux/namespaces").and_then(Value::as_array_mut).unwrap();
        list.sort_by_key(|namespace| (namespace["type"] == "cgroup", namespace["type"].to_string()));
    }

    fn compare(rootless: Option<(u32, u32)>, flags: &[&str]) {
        let bundle = std::env::temp_dir().join(format!("planc-spec-{}-{}", std::process::id(), flags.len()));
        std::fs::create_dir_all(&bundle).unwrap();
        let made = Command::new("runc").arg("spec").args(flags).arg("-b").arg(&bundle).output();
        let config = std::fs::read(bundle.join("config.json"));
        std::fs::remove_dir_all(&bundle).unwrap();
        match made {
            // Past the test harness, which would keep it to itself.
            Err(error) => writeln!(std::io::stderr(), "SKIPPED: no runc to compare with: {error}").unwrap(),
            Ok(output) => {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                let mut theirs: Value = serde_json::from_slice(&config.unwrap()).unwrap();
                let mut ours = serde_json::to_value(default_config(rootless)).unwrap();
                sort_namespaces(&mut theirs);
                sort_namespaces(&mut ours);
                let (theirs, ours) = (leaves_of(&theirs), leaves_of(&ours));
                let odd: Vec<_> = theirs.symmetric_difference(&ours).filter(|leaf| !may_differ(leaf)).collect();
                assert!(odd.is_empty(), "{odd:#?}");
            }
        }
    }

    #[test]
    fn it_means_what_runc_means() {
        compare(None, &[]);
        compare(Some((0, 0)), &["--rootless"]);
    }

    #[test]
    fn it_can_be_loaded_again() {
        for rootless in [None, Some((1000, 100))] {
            let spec = default_config(rootless);
            let (again, warnings) = super::super::parse(&serde_json::to_vec(&spec).unwrap()).unwrap();
            assert_eq!((again, warnings), (spec, vec![]));
        }
    }
}
