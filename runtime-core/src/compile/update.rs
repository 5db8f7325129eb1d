//! What an update changes: the resources a container has, merged with those that are given, and what differs.

use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value};

use super::Invalid;
use super::cgroup::properties::{self, Asked};
use super::cgroup::settings::{self, Setting};
use super::device_filter;
use crate::facts::CgroupFacts;

/// Where a setting's place starts in config.json.
const RESOURCES: &str = "/linux/resources";

/// What is to be written for an update.
#[derive(Debug)]
pub(crate) struct Update {
    /// What the container's resources are from then on.
    pub(crate) resources: Value,
    /// Its values for the files of the cgroup, in order.
    pub(crate) settings: Vec<Setting>,
    /// Those of its values that systemd does not write exactly, where it made the cgroup.
    pub(crate) rounded: Vec<Setting>,
    /// What the unit is told, where systemd made the cgroup.
    pub(crate) properties: Vec<Asked>,
    /// What the unit was told of the same before.
    pub(crate) properties_before: Vec<Asked>,
    /// Its device filter, where another one is given.
    pub(crate) devices: Option<Filters>,
    /// What is ignored.
    pub(crate) warnings: Vec<String>,
    /// The new limits that must not be below the memory in use, in bytes: which, and its place in config.json.
    pub(crate) check_memory: Vec<(i64, &'static str, &'static str)>,
}

/// A device filter that takes the place of another one: both programs.
#[derive(Debug)]
pub(crate) struct Filters {
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
}

/// Compiles the update of a container whose resources are `old` with those that are `given`. Only what is given changes; an
/// object is merged member by member, a list replaced as a whole.
pub(crate) fn update(old: &Value, given: &LinuxResources, host: &CgroupFacts) -> Result<Update, Invalid> {
    let given = asked(given);
    let mut resources = old.clone();
    merge(&mut resources, &given);
    let mut ignored = Vec::new();
    let own = read(old)?;
    let before = settings::compile(&own, host, &mut ignored)?;
    let new = read(&resources)?;
    let mut warnings = Vec::new();
    let mut settings = settings::compile(&new, host, &mut warnings)?;
    let mut rounded: Vec<Setting> = settings.iter().filter(|setting| setting.is_rounded()).cloned().collect();
    // What somebody else changed meanwhile is set again only where it is asked for.
    settings.retain(|setting| is_given(&given, &setting.origin) || !before.contains(setting));
    rounded.retain(|setting| !settings.contains(setting));
    // A warning ends with its place; those of the container's own config.json were given when it was made.
    warnings.retain(|warning| !ignored.contains(warning));
    let devices = match new.devices() {
        Some(rules) if given.get("devices").is_some() && given.get("devices") != old.get("devices") => {
            let own = own.devices().as_deref().unwrap_or_default();
            Some(Filters { before: device_filter::compile(own)?, after: device_filter::compile(rules)? })
        }
        _ => None,
    };
    let memory = new.memory().filter(|memory| memory.check_before_update() == Some(true));
    let limits = memory.map_or([None; 2], |memory| [memory.swap(), memory.limit()]);
    let named = limits
        .into_iter()
        .zip([("memory+swap", "/linux/resources/memory/swap"), ("memory", "/linux/resources/memory/limit")]);
    let check_memory =
        named.filter_map(|(limit, (name, at))| Some((limit.filter(|limit| *limit > 0)?, name, at))).collect();
    let (properties, properties_before) = properties::changes(&read(old)?, &new, |origin| is_given(&given, origin));
    Ok(Update { resources, settings, rounded, properties, properties_before, devices, warnings, check_memory })
}

fn read(resources: &Value) -> Result<LinuxResources, Invalid> {
    serde_json::from_value(resources.clone()).map_err(|error| Invalid::new(RESOURCES, error.to_string()))
}

/// Whether the member with this place in config.json is among those that are given.
fn is_given(given: &Value, origin: &str) -> bool {
    origin.strip_prefix(RESOURCES).is_some_and(|place| given.pointer(place).is_some())
}

/// What `given` asks for. By Go's habit 0 and nothing are the same, where 0 is no value.
fn asked(given: &LinuxResources) -> Value {
    const NO_ZERO: [(&str, &[&str]); 3] = [
        ("memory", &["limit", "reservation", "swap", "kernel", "kernelTCP"]),
        ("cpu", &["shares", "quota", "period", "realtimeRuntime", "realtimePeriod", "cpus", "mems"]),
        ("blockIO", &["weight", "leafWeight"]),
    ];
    let mut given = serde_json::to_value(given).unwrap_or_default();
    for (object, names) in NO_ZERO {
        if let Some(Value::Object(members)) = given.get_mut(object) {
            members.retain(|name, value| !names.contains(&name.as_str()) || (*value != 0 && *value != ""));
        }
    }
    if let Value::Object(members) = &mut given {
        members.retain(|_, value| !value.as_array().is_some_and(Vec::is_empty));
    }
    given
}

fn merge(old: &mut Value, new: &Value) {
    let Value::Object(new) = new else {
        *old = new.clone();
        return;
    };
    if !old.is_object() {
        *old = Map::new().into();
    }
    if let Value::Object(old) = old {
        for (name, value) in new {
            merge(old.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn updated(old: &Value, given: Value) -> Result<Update, Invalid> {
        let host = CgroupFacts {
            mount: "/sys/fs/cgroup".into(),
            own: "/".to_owned(),
            delegated: true,
            delegated_below: true,
            controllers: ["cpu", "memory", "pids", "io"].map(str::to_owned).to_vec(),
        };
        update(old, &serde_json::from_value(given).unwrap(), &host)
    }

    #[track_caller]
    fn writes(old: Value, given: Value, expected: &[&str]) {
        let update = updated(&old, given).unwrap();
        let lines: Vec<_> = update
            .settings
            .iter()
            .map(|setting| format!("{}={}", setting.file.to_str().unwrap(), setting.value.escape_ascii()))
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn only_what_is_given_changes() {
        let old = json!({"memory": {"limit": 1000, "swap": 3000}, "cpu": {"shares": 1024, "quota": 5000}});
        writes(old.clone(), json!({}), &[]);
        writes(old.clone(), json!({"cpu": {"shares": 2}}), &["cpu.weight=1"]);
        // Swap counts memory as well.
        writes(old.clone(), json!({"memory": {"limit": 2000}}), &["memory.swap.max=1000", "memory.max=2000"]);
        writes(old.clone(), json!({"memory": {"swap": 1500}}), &["memory.swap.max=500"]);
        // A period alone is that of the quota there is.
        writes(old.clone(), json!({"cpu": {"period": 20000}}), &["cpu.max=5000 20000"]);
        writes(old.clone(), json!({"pids": {"limit": 0}}), &["pids.max=1"]);
        // What is given is written, the same or not.
        writes(old, json!({"cpu": {"shares": 1024}}), &["cpu.weight=100"]);
    }

    #[test]
    fn zeros_are_nothing_where_0_is_no_value() {
        let old = json!({"memory": {"limit": 1000}, "cpu": {"burst": 5}});
        let given =
            json!({"memory": {"limit": 0, "swap": 0}, "cpu": {"shares": 0, "cpus": "", "burst": 0}, "devices": []});
        let update = updated(&old, given).unwrap();
        assert_eq!(update.resources, json!({"memory": {"limit": 1000}, "cpu": {"burst": 0}}));
        assert_eq!(update.settings.len(), 1);
        assert!(update.devices.is_none());
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let old = json!({"memory": {"limit": 1000, "swap": 1500}, "cpu": {"quota": 50, "burst": 20}});
        let invalid = updated(&old, json!({"memory": {"limit": 2000}})).unwrap_err();
        assert_eq!(invalid.origin, "/linux/resources/memory/swap");
        let invalid = updated(&old, json!({"cpu": {"quota": 10}})).unwrap_err();
        assert_eq!(invalid.origin, "/linux/resources/cpu/burst");
        writes(
            old,
            json!({"cpu": {"quota": 10, "burst": 5}}),
            &["cpu.max.burst=0", "cpu.max=10 100000", "cpu.max.burst=5"],
        );
    }

    #[test]
    fn a_list_is_replaced_and_devices_only_by_others() {
        let rule = json!({"allow": false, "access": "rwm"});
        let old = json!({"devices": [rule], "unified": {"memory.high": "5", "memory.low": "1"}});
        assert!(updated(&old, json!({"devices": [rule]})).unwrap().devices.is_none());
        let other = json!([rule, {"allow": true, "type": "c", "major": 1, "minor": 1, "access": "r"}]);
        let update = updated(&old, json!({"devices": other, "unified": {"memory.high": "7"}})).unwrap();
        assert_eq!(update.resources["devices"], other);
        assert!(update.devices.is_some());
        assert_eq!(update.resources["unified"], json!({"memory.high": "7", "memory.low": "1"}));
        assert_eq!(update.settings.len(), 1);
    }

    #[test]
    fn warnings_are_of_what_is_given() {
        let old = json!({"memory": {"swappiness": 5}});
        assert_eq!(updated(&old, json!({"memory": {"limit": 1}})).unwrap().warnings, [""; 0]);
        assert_eq!(updated(&old, json!({"memory": {"kernel": 1}})).unwrap().warnings.len(), 1);
    }
}
