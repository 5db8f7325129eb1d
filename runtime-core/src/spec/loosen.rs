//! The second look at a config.json that oci-spec does not take as it is: what the runtime-spec tolerates is taken out,
//! and what is left wrong is named by its JSON pointer.

use std::fmt;

use oci_spec::runtime::{Capability, Spec};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use crate::compile::{Invalid, below};

/// Parses `bytes` leniently where the runtime-spec is lenient.
pub(super) fn parse(bytes: &[u8], warnings: &mut Vec<String>) -> Result<Spec, Invalid> {
    let json = &mut serde_json::Deserializer::from_slice(bytes);
    let Unique(mut value) = serde_path_to_error::deserialize(&mut *json).map_err(|error| invalid(&error))?;
    json.end().map_err(|error| Invalid::new("", format!("config.json is not JSON: {error}")))?;
    if !value.is_object() {
        return Err(Invalid::new("", "config.json is not a JSON object"));
    }
    find_nul("", &value)?;
    drop_nulls(&mut value);
    drop_unknown_capabilities(&mut value, warnings);
    fill_in(&mut value);
    respell(&mut value);
    check_numbers(&value)?;
    serde_path_to_error::deserialize(value).map_err(|error| invalid(&error))
}

/// The error of a deserializer, with its place.
fn invalid(error: &serde_path_to_error::Error<serde_json::Error>) -> Invalid {
    let inner = error.inner();
    if inner.is_syntax() || inner.is_eof() {
        // The place in the text is in the message, and the place in the tree is where the text broke off.
        return Invalid::new("", format!("config.json is not JSON: {inner}"));
    }
    // In a tree there are no lines.
    let why = inner.to_string();
    let why = why.split(" at line ").next().unwrap_or_default();
    let pointer = pointer(error.path());
    let why = match pointer.strip_prefix("/linux/memoryPolicy") {
        Some("" | "/mode") => format!("invalid memory policy mode: {why}"),
        Some(rest) if rest.starts_with("/flags") => format!("invalid memory policy flag: {why}"),
        _ => why.to_owned(),
    };
    Invalid::new(pointer, why)
}

fn pointer(path: &Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => below(&pointer, index),
        Segment::Map { key } => below(&pointer, key),
        Segment::Enum { variant } => below(&pointer, variant),
        Segment::Unknown => pointer,
    })
}

/// A JSON value no object of which has a key twice: which of the two is meant, two readers may see differently.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique(Value::Null))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }
    fn visit_str<E>(self, value: &str) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Unique, A::Error> {
        let mut values = Vec::new();
        while let Some(Unique(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Unique(values.into()))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(serde::de::Error::custom(format!("the property {key:?} is there twice")));
            }
            let Unique(value) = entries.next_value()?;
            map.insert(key, value);
        }
        Ok(Unique(map.into()))
    }
}

/// The kernel's strings end at a NUL: what stands behind one would be checked and then not used.
fn find_nul(pointer: &str, value: &Value) -> Result<(), Invalid> {
    let nul = |pointer: &str| Invalid::new(pointer, "it contains a NUL character");
    match value {
        Value::String(string) if string.contains('\0') => Err(nul(pointer)),
        Value::Array(list) => list.iter().enumerate().try_for_each(|(n, value)| find_nul(&below(pointer, n), value)),
        Value::Object(map) => map.iter().try_for_each(|(key, value)| {
            if key.contains('\0') { Err(nul(pointer)) } else { find_nul(&below(pointer, key), value) }
        }),
        _ => Ok(()),
    }
}

/// `null` is what Go writes for a list or an object that is not there.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        _ => {}
    }
}

/// runtime-spec config.md#linux-process: a capability that cannot be mapped to the kernel's must be logged as a warning.
fn drop_unknown_capabilities(value: &mut Value, warnings: &mut Vec<String>) {
    for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
        let pointer = format!("/process/capabilities/{set}");
        let Some(list) = value.pointer_mut(&pointer).and_then(Value::as_array_mut) else { continue };
        let mut index = 0;
        list.retain(|name| {
            // What is no string is not unknown but wrong, and stays for the parser.
            let known = name.as_str().is_none_or(|_| Capability::deserialize(name).is_ok());
            if !known {
                warnings.push(format!("ignoring unknown or unavailable capabilities: [{name}] ({pointer}/{index})"));
            }
            index += 1;
            known
        });
    }
}

/// Objects that ask for nothing, and that oci-spec would take for something or refuse.
fn fill_in(value: &mut Value) {
    if let Some(Value::Object(process)) = value.pointer_mut("/process") {
        process.entry("user").or_insert_with(|| Map::new().into());
    }
    remove(value, "/linux/resources", "pids", |pids| !pids.contains_key("limit"));
    // Without an action and without a system call there is no filter.
    remove(value, "/linux", "seccomp", |seccomp| {
        let has_calls = seccomp.get("syscalls").and_then(Value::as_array).is_some_and(|calls| !calls.is_empty());
        !seccomp.contains_key("defaultAction") && !has_calls
    });
}

/// Values that oci-spec spells otherwise than the runtime-spec (config.md#linux-process, config-linux.md#intelrdt).
fn respell(value: &mut Value) {
    for flag in value.pointer_mut("/process/scheduler/flags").and_then(Value::as_array_mut).into_iter().flatten() {
        match flag.as_str() {
            Some("SCHED_FLAG_RESET_ON_FORK") => *flag = "SCHED_RESET_ON_FORK".into(),
            Some("SCHED_FLAG_DL_OVERRUN") => *flag = "SCHED_FLAG_D_L_OVERRUN".into(),
            _ => {}
        }
    }
    if let Some(rdt) = value.pointer_mut("/linux/intelRdt").and_then(Value::as_object_mut) {
        for (ours, theirs) in [("enableCMT", "enableCmt"), ("enableMBM", "enableMbm")] {
            if let Some(flag) = rdt.remove(ours) {
                rdt.insert(theirs.to_owned(), flag);
            }
        }
    }
    // Go takes the key in any case, and so did every engine's runtime until now.
    let limits = value.pointer_mut("/linux/resources/hugepageLimits").and_then(Value::as_array_mut);
    for limit in limits.into_iter().flatten().filter_map(Value::as_object_mut) {
        if !limit.contains_key("pageSize")
            && let Some(size) = limit.remove("pagesize")
        {
            limit.insert("pageSize".to_owned(), size);
        }
    }
    // Blanks are tolerated, and an empty list is none.
    for name in ["initial", "final"] {
        let affinity = value.pointer_mut("/process/execCPUAffinity").and_then(Value::as_object_mut);
        if let Some(affinity) = affinity
            && let Some(list) = affinity.get(name).and_then(Value::as_str)
        {
            let list: String = list.chars().filter(|c| !c.is_whitespace()).collect();
            if list.is_empty() { drop(affinity.remove(name)) } else { affinity[name] = list.into() }
        }
    }
}

/// runtime-spec config-linux.md#devices: a device that is no fifo has numbers.
fn check_numbers(value: &Value) -> Result<(), Invalid> {
    let devices = value.pointer("/linux/devices").and_then(Value::as_array);
    for (index, device) in devices.into_iter().flatten().enumerate() {
        let is_fifo = device.get("type").and_then(Value::as_str) == Some("p");
        if !is_fifo && (device.get("major").is_none() || device.get("minor").is_none()) {
            return Err(Invalid::new(format!("/linux/devices/{index}"), "a device needs a major and a minor number"));
        }
    }
    Ok(())
}

fn remove(value: &mut Value, parent: &str, key: &str, when: impl FnOnce(&Map<String, Value>) -> bool) {
    if let Some(Value::Object(parent)) = value.pointer_mut(parent)
        && parent.get(key).and_then(Value::as_object).is_some_and(when)
    {
        parent.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use crate::compile::Invalid;

    fn refused(json: &str) -> Invalid {
        parse(json.as_bytes()).unwrap_err()
    }

    fn process(fields: &str) -> String {
        format!(r#"{{"ociVersion": "1.2.0", "process": {{"user": {{"uid": 0, "gid": 0}}, "cwd": "/", {fields}}}}}"#)
    }

    #[test]
    fn errors_have_pointers() {
        for (json, origin, why) in [
            (r#"{"ociVersion": "1.0.0", "#.to_owned(), "", "not JSON"),
            ("[]".to_owned(), "", "not a JSON object"),
            ("{} {}".to_owned(), "", "not JSON"),
            (
                r#"{"ociVersion": "1.0.0", "linux": {"namespaces": [{"type": "pid"}, {"type": "cpu"}]}}"#.to_owned(),
                "/linux/namespaces/1/type",
                "unknown variant `cpu`",
            ),
            (process(r#""args": ["a", 5]"#), "/process/args/1", "expected a string"),
            (process(r#""args": ["a", "b\u0000c"]"#), "/process/args/1", "NUL"),
            (process(r#""args": [], "args": []"#), "/process", "twice"),
            (
                process(r#""rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]"#),
                "/process/rlimits/0/type",
                "RLIMIT_X",
            ),
            (process(r#""capabilities": {"ambient": [7]}"#), "/process/capabilities/ambient/0", "expected a string"),
            (r#"{"ociVersion": "1.0.0", "process": {"user": {}}}"#.to_owned(), "/process", "missing field `cwd`"),
            (
                r#"{"ociVersion": "1.0.0", "linux": {"sysctl": {"a/b": "\u0000"}}}"#.to_owned(),
                "/linux/sysctl/a~1b",
                "NUL",
            ),
        ] {
            let invalid = refused(&json);
            assert_eq!(invalid.origin, origin, "{json}: {invalid}");
            assert!(invalid.why.contains(why), "{json}: {invalid}");
        }
    }

    #[test]
    fn deep_json_is_refused_without_a_deep_stack() {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let deep = format!(r#"{{"ociVersion": "1.0.0", "new": {}1{}}}"#, open.repeat(10_000), close.repeat(10_000));
            assert!(refused(&deep).why.contains("nested deeper"), "{open}");
            let unclosed = open.repeat(10_000);
            assert!(refused(&unclosed).why.contains("nested deeper"), "{open}");
        }
    }

    #[test]
    fn what_the_spec_tolerates() {
        let (spec, warnings) = parse(process(
            r#""args": null, "capabilities": {"bounding": ["CAP_KILL", "CAP_TELEPORT"], "ambient": ["CAP_WARP"]}, "novelty": {"a": 1}"#,
        ).as_bytes()).unwrap();
        let process = spec.process().as_ref().unwrap();
        assert_eq!(*process.args(), None);
        assert_eq!(process.capabilities().as_ref().unwrap().bounding().as_ref().unwrap().len(), 1);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("CAP_TELEPORT") && warnings[0].contains("/process/capabilities/bounding/1"));
    }

    #[test]
    fn empty_objects_ask_for_nothing() {
        let (spec, _) = parse(
            br#"{"ociVersion": "1.3.0", "process": {"cwd": "/"}, "linux": {"seccomp": {}, "resources": {"pids": {}}}}"#,
        )
        .unwrap();
        let linux = spec.linux().as_ref().unwrap();
        assert!(linux.seccomp().is_none());
        assert!(linux.resources().as_ref().unwrap().pids().is_none());
        let (spec, _) = parse(br#"{"ociVersion": "1.3.0", "linux": {"resources": {"pids": {"limit": 0}}}}"#).unwrap();
        assert!(spec.linux().as_ref().unwrap().resources().as_ref().unwrap().pids().is_some());
    }
}
