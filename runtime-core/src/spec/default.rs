//! What `planc spec` writes: the same container as runc's default (a suite of runc's makes every bundle from it).

use oci_spec::runtime::Spec;
use serde_json::{Value, json};

/// The default config.json. `rootless`: the caller's uid and gid, which become root in a user namespace of their own.
pub fn default_config(rootless: Option<(u32, u32)>) -> Spec {
    let mut config: Value = serde_json::from_str(include_str!("default.json")).unwrap_or_default();
    if let Some((uid, gid)) = rootless {
        make_rootless(&mut config, uid, gid);
    }
    // A test parses both forms.
    serde_json::from_value(config).unwrap_or_default()
}

/// Without privilege: a user namespace of one id, the host's network and its /sys, no resources, no gid 5.
fn make_rootless(config: &mut Value, uid: u32, gid: u32) {
    let map = |host: u32| json!([{ "containerID": 0, "hostID": host, "size": 1 }]);
    config["linux"]["uidMappings"] = map(uid);
    config["linux"]["gidMappings"] = map(gid);
    if let Some(linux) = config["linux"].as_object_mut() {
        linux.remove("resources");
    }
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({ "type": "user" }));
    }
    for mount in config["mounts"].as_array_mut().into_iter().flatten() {
        if mount["destination"] == "/sys" {
            let options = ["rbind", "nosuid", "noexec", "nodev", "ro"];
            *mount = json!({ "destination": "/sys", "type": "none", "source": "/sys", "options": options });
        }
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| option.as_str().is_none_or(|option| !option.starts_with("gid=")));
        }
    }
}
