//! What a config.json may be, and what is said of one that may not.

use std::process::Command;

use serde_json::{Value, json};

use super::*;

fn refused(config: &Value) -> (String, String) {
    let invalid = parse(config.to_string().as_bytes()).unwrap_err();
    (invalid.origin, invalid.why)
}

fn default() -> Value {
    serde_json::to_value(default_config(None)).unwrap()
}

#[test]
fn the_default_config_is_the_file() {
    let file: Value = serde_json::from_str(include_str!("default.json")).unwrap();
    let spec = default();
    assert_eq!(spec["mounts"], file["mounts"]);
    assert_eq!(spec["linux"]["namespaces"], file["linux"]["namespaces"]);
    assert_eq!(spec["process"]["terminal"], true);
    assert_eq!(spec["linux"]["resources"], file["linux"]["resources"]);
}

#[test]
fn the_rootless_config_asks_for_nothing_that_needs_root() {
    let spec = serde_json::to_value(default_config(Some((1000, 1001)))).unwrap();
    assert_eq!(spec["linux"]["uidMappings"], json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]));
    assert_eq!(spec["linux"]["gidMappings"], json!([{ "containerID": 0, "hostID": 1001, "size": 1 }]));
    assert!(spec["linux"].get("resources").is_none());
    let text = spec.to_string();
    assert!(!text.contains("network") && !text.contains("gid=5"), "{text}");
}

/// Sorts every list, since the order of capability names and the like means nothing.
fn sorted(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(sorted);
            items.sort_by_key(Value::to_string);
        }
        Value::Object(entries) => entries.values_mut().for_each(sorted),
        _ => {}
    }
}

#[test]
fn the_default_config_means_what_runc_s_means() {
    let dir = std::env::temp_dir().join(format!("planc-spec-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let made = Command::new("runc").args(["spec", "--bundle"]).arg(&dir).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("NOT RUN: the_default_config_means_what_runc_s_means: no runc to compare with");
        return;
    }
    let mut theirs: Value = serde_json::from_slice(&std::fs::read(dir.join("config.json")).unwrap()).unwrap();
    std::fs::remove_dir_all(dir).unwrap();
    let mut ours = default();
    // Newer than runc 1.1: the version, no ambient capabilities (runc 1.2 dropped them), a cgroup namespace also
    // where version 1 is mounted beside version 2.
    theirs["ociVersion"] = ours["ociVersion"].clone();
    theirs["process"]["capabilities"].as_object_mut().unwrap().remove("ambient");
    let namespaces = theirs["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "cgroup");
    namespaces.push(json!({ "type": "cgroup" }));
    sorted(&mut theirs);
    sorted(&mut ours);
    assert_eq!(ours, theirs);
}

#[test]
fn versions() {
    for good in ["1.0.0", "1.0.2-dev", "1.1.0+dev", "1.3.0", "1.99.7"] {
        assert!(parse(json!({ "ociVersion": good }).to_string().as_bytes()).is_ok(), "{good}");
    }
    for bad in ["", "2.0.0", "0.9.0", "1", "1.0", "one", "1.0.0.0"] {
        assert_eq!(refused(&json!({ "ociVersion": bad })).0, "/ociVersion", "{bad}");
    }
}

#[test]
fn what_is_wrong_is_named_by_its_place() {
    let base = default();
    let with = |place: &str, value: Value| {
        let mut config = base.clone();
        let (parent, key) = place.rsplit_once('/').unwrap();
        match config.pointer_mut(parent).unwrap() {
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
            parent => parent[key] = value,
        }
        refused(&config)
    };
    assert_eq!(with("/process/cwd", json!(7)).0, "/process/cwd");
    assert_eq!(with("/process/args/0", json!("a\0b")), ("/process/args/0".to_owned(), "it contains a NUL".to_owned()));
    assert_eq!(with("/linux/namespaces/2/type", json!("none")).0, "/linux/namespaces/2/type");
    assert_eq!(with("/process/user/uid", json!(-1)).0, "/process/user/uid");
    assert_eq!(with("/process/user/uid", json!(4_294_967_296_u64)).0, "/process/user/uid");
    assert_eq!(with("/mounts", json!(vec![json!({ "destination": "/x" }); 4097])).0, "/mounts");
    assert_eq!(with("/annotations", json!({ "a/b~c": "\0" })).0, "/annotations/a~1b~0c");
}

#[test]
fn no_json_and_json_that_is_too_deep() {
    assert!(parse(b"{").unwrap_err().why.starts_with("no JSON"));
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(parse(deep.as_bytes()).unwrap_err().why.contains("recursion limit"));
    assert!(parse(b"{\"ociVersion\":\"1.0.0\",\"ociVersion\":\"1.1.0\"}").unwrap_err().why.contains("duplicate field"));
}

#[test]
fn unknown_capabilities_are_warned_about_and_unknown_properties_ignored() {
    let mut config = default();
    config["process"]["capabilities"]["bounding"] = json!(["CAP_CHOWN", "CAP_EVERYTHING"]);
    config["x-new"] = json!({ "any": "thing" });
    let (spec, warnings) = parse(config.to_string().as_bytes()).unwrap();
    let bounding = spec.process().as_ref().unwrap().capabilities().as_ref().unwrap().bounding().clone().unwrap();
    assert_eq!(bounding.len(), 1);
    assert_eq!(warnings, ["ignoring unknown capability \"CAP_EVERYTHING\" (/process/capabilities/bounding)"]);
}
