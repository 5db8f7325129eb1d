//! What config.json asks of a unit: `linux.resources` and annotations as properties (systemd.resource-control(5),
//! org.freedesktop.systemd1(5)). What systemd has no property for is written to the cgroup's files.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources, Spec};

use super::{cpu, gvariant};
use crate::compile::Invalid;
use crate::compile::text::{below, sorted, text};
use crate::wire::{self, Property, Text, Value};
use std::ffi::CString;

/// The value of a property.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PropertyValue {
    Bool(bool),
    Byte(u8),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    Text(String),
    Texts(Vec<String>),
    Set(Vec<u8>),
}

/// A property, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// The JSON pointer into config.json.
    pub(crate) origin: String,
    pub(crate) name: String,
    pub(crate) value: PropertyValue,
    /// The first version of systemd that has it, where that matters on the oldest kernel that planc runs on.
    pub(crate) since: u16,
}

/// Calls `with` for each of them, as it lies in a plan.
pub(crate) fn each(asked: &[Asked], mut with: impl FnMut(&Asked, Property<'_>)) -> Result<(), Invalid> {
    asked.iter().try_for_each(|one| {
        all(std::slice::from_ref(one), |properties| {
            properties.iter().for_each(|property| with(one, *property));
        })
    })
}

/// Calls `with` with all of them.
pub(crate) fn all<T>(asked: &[Asked], with: impl FnOnce(&[Property<'_>]) -> T) -> Result<T, Invalid> {
    let strings = |asked: &Asked| match &asked.value {
        PropertyValue::Text(value) => Ok(vec![text(&asked.origin, value)?]),
        PropertyValue::Texts(values) => values.iter().map(|value| text(&asked.origin, value)).collect(),
        _ => Ok(Vec::new()),
    };
    let names = asked.iter().map(|asked| text(&asked.origin, &asked.name)).collect::<Result<Vec<_>, _>>()?;
    let strings: Vec<Vec<CString>> = asked.iter().map(strings).collect::<Result<_, Invalid>>()?;
    let texts: Vec<Vec<Text<'_>>> =
        strings.iter().map(|strings| strings.iter().map(|string| Text(string)).collect()).collect();
    let properties = asked.iter().zip(&names).zip(&texts).map(|((asked, name), texts)| {
        let value = match &asked.value {
            PropertyValue::Bool(value) => Value::Bool(*value),
            PropertyValue::Byte(value) => Value::Byte(*value),
            PropertyValue::I32(value) => Value::I32(*value),
            PropertyValue::U32(value) => Value::U32(*value),
            PropertyValue::I64(value) => Value::I64(*value),
            PropertyValue::U64(value) => Value::U64(*value),
            PropertyValue::Text(_) => Value::Text(texts.first().copied().unwrap_or(Text(c""))),
            PropertyValue::Texts(_) => Value::Texts(wire::List::new(texts)),
            PropertyValue::Set(bytes) => Value::Set(bytes),
        };
        Property { name: Text(name), value, since: asked.since }
    });
    Ok(with(&properties.collect::<Vec<_>>()))
}

/// Those of `new` that are given, or that `old` does not ask for in the same way; and what each of them was before.
pub(crate) fn changes(
    old: &LinuxResources,
    new: &LinuxResources,
    is_given: impl Fn(&str) -> bool,
) -> (Vec<Asked>, Vec<Asked>) {
    let old = of_resources(old);
    let before = |asked: &Asked| old.iter().find(|old| old.name == asked.name);
    let is_change = |asked: &Asked| is_given(&asked.origin) || before(asked).is_none_or(|old| old.value != asked.value);
    let changed: Vec<Asked> = of_resources(new).into_iter().filter(is_change).collect();
    let undo = changed.iter().map(|asked| before(asked).cloned().unwrap_or_else(|| asked.unset())).collect();
    (changed, undo)
}

impl Asked {
    /// The same property as systemd has it where nobody asks for it.
    fn unset(&self) -> Self {
        let value = match (&self.value, self.name.as_str()) {
            (PropertyValue::Set(_), _) => PropertyValue::Set(Vec::new()),
            (_, "MemoryMin" | "MemoryLow") => PropertyValue::U64(0),
            _ => PropertyValue::U64(INFINITY),
        };
        Self { value, ..self.clone() }
    }
}

/// Those that are asked for, each once: what comes later counts.
#[derive(Debug, Default)]
struct List(Vec<Asked>);

impl List {
    fn put(&mut self, origin: impl Into<String>, name: &str, since: u16, value: PropertyValue) {
        self.0.retain(|other| other.name != name);
        self.0.push(Asked { origin: origin.into(), name: name.to_owned(), value, since });
    }

    fn number(&mut self, origin: impl Into<String>, name: &str, value: u64) {
        self.put(origin, name, 0, PropertyValue::U64(value));
    }
}

/// What stands for no limit.
const INFINITY: u64 = u64::MAX;

/// The prefix of the annotations that name properties.
pub(crate) const ANNOTATION: &str = "org.systemd.property.";

/// What a container's config.json asks for: its limits, and what its annotations set, which comes last.
pub(super) fn of(spec: &Spec) -> Result<Vec<Asked>, Invalid> {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let mut list = List(resources.map_or(Vec::new(), of_resources));
    for (key, value) in sorted(spec.annotations().as_ref()) {
        if let Some(name) = key.strip_prefix(ANNOTATION) {
            annotated(&below("/annotations", key), name, value, &mut list)?;
        }
    }
    Ok(list.0)
}

/// The limits that systemd has a property for.
pub(crate) fn of_resources(resources: &LinuxResources) -> Vec<Asked> {
    let mut list = List::default();
    if let Some(memory) = resources.memory() {
        of_memory(memory, &mut list);
    }
    if let Some(cpu) = resources.cpu() {
        of_cpu(cpu, &mut list);
    }
    if let Some(pids) = resources.pids() {
        of_pids(pids, &mut list);
    }
    if let Some(io) = resources.block_io() {
        of_io(io, &mut list);
    }
    for (file, value) in sorted(resources.unified().as_ref()) {
        of_file(&below("/linux/resources/unified", file), file, value.trim(), &mut list);
    }
    list.0
}

/// A limit of memory: negative is none.
fn bytes(limit: i64) -> u64 {
    u64::try_from(limit).unwrap_or(INFINITY)
}

fn of_memory(memory: &LinuxMemory, list: &mut List) {
    let at = |name| format!("/linux/resources/memory/{name}");
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let limit = set(memory.limit());
    if let Some(limit) = limit {
        list.number(at("limit"), "MemoryMax", bytes(limit));
    }
    if let Some(reservation) = set(memory.reservation()) {
        list.number(at("reservation"), "MemoryLow", bytes(reservation));
    }
    // `swap` is the sum of both; of version 2 swap is a limit of its own (cgroup-v2.rst, memory.swap.max).
    match (limit, set(memory.swap())) {
        (_, Some(swap)) if swap < 0 => list.number(at("swap"), "MemorySwapMax", INFINITY),
        (Some(limit), Some(swap)) if limit > 0 && swap >= limit => {
            list.number(at("swap"), "MemorySwapMax", bytes(swap - limit));
        }
        (Some(limit), None) if limit < 0 => list.number(at("limit"), "MemorySwapMax", INFINITY),
        _ => {}
    }
}

/// systemd keeps CPUQuotaPerSecUSec in steps of 10 ms: rounded up, so that no container gets less than it asked for.
const QUOTA_STEP: u64 = 10_000;

/// How much CPU time a second has: `quota` µs of each `period` µs.
fn per_second(quota: i64, period: u64) -> u64 {
    let Ok(quota) = u64::try_from(quota) else { return INFINITY };
    let exact = u128::from(quota) * 1_000_000 / u128::from(period.max(1));
    u64::try_from(exact).unwrap_or(INFINITY - QUOTA_STEP).next_multiple_of(QUOTA_STEP)
}

/// cgroup-v2.rst, cpu.max
const PERIOD: u64 = 100_000;

fn of_cpu(cpu: &LinuxCpu, list: &mut List) {
    let at = |name| format!("/linux/resources/cpu/{name}");
    if cpu.idle() == Some(1) {
        list.put(at("idle"), "CPUWeight", 252, PropertyValue::U64(0));
    } else if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        list.number(at("shares"), "CPUWeight", cpu::weight(shares));
    }
    let period = cpu.period().filter(|period| *period != 0);
    if let Some(period) = period {
        list.put(at("period"), "CPUQuotaPeriodUSec", 0, PropertyValue::U64(period));
    }
    if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
        list.number(at("quota"), "CPUQuotaPerSecUSec", per_second(quota, period.unwrap_or(PERIOD)));
    }
    for (name, property, numbers) in [("cpus", "AllowedCPUs", cpu.cpus()), ("mems", "AllowedMemoryNodes", cpu.mems())] {
        // What is no list of numbers the file refuses, in the kernel's words.
        if let Some(set) = numbers.as_ref().and_then(|numbers| set(numbers)) {
            list.put(at(name), property, 0, PropertyValue::Set(set));
        }
    }
}

/// systemd takes no limit of 0 tasks; 1 says the same.
fn of_pids(pids: &LinuxPids, list: &mut List) {
    list.number("/linux/resources/pids/limit", "TasksMax", bytes(pids.limit()).max(1));
}

/// From 10 to 1000 of version 1, from 1 to 10000 of version 2.
fn of_io(io: &LinuxBlockIo, list: &mut List) {
    if let Some(weight) = io.weight().filter(|weight| *weight >= 10) {
        list.number("/linux/resources/blockIO/weight", "IOWeight", 1 + (u64::from(weight) - 10) * 9999 / 990);
    }
}

/// The properties of a cgroup's files. A value that systemd does not take, or that is no value, is left to the file.
fn of_file(origin: &str, file: &str, value: &str, list: &mut List) {
    let limit = |value: &str| if value == "max" { Some(INFINITY) } else { value.parse::<u64>().ok() };
    let simple = [
        ("memory.min", "MemoryMin"),
        ("memory.low", "MemoryLow"),
        ("memory.high", "MemoryHigh"),
        ("memory.max", "MemoryMax"),
        ("memory.swap.max", "MemorySwapMax"),
        ("pids.max", "TasksMax"),
    ];
    if let Some((name, property)) = simple.iter().find(|(name, _)| *name == file) {
        if let Some(limit) = limit(value).filter(|limit| *limit != 0 || *name != "pids.max") {
            list.number(origin, property, limit);
        }
        return;
    }
    match file {
        "cpu.idle" if value == "1" => list.put(origin, "CPUWeight", 252, PropertyValue::U64(0)),
        "cpu.weight" => {
            if let Some(weight) = value.parse().ok().filter(|weight| (1..=10_000).contains(weight)) {
                list.number(origin, "CPUWeight", weight);
            }
        }
        "cpu.max" => {
            let mut words = value.split_ascii_whitespace();
            let (quota, period) = (words.next(), words.next().map_or(Some(PERIOD), |period| period.parse().ok()));
            let quota = quota.and_then(|quota| if quota == "max" { Some(-1) } else { quota.parse().ok() });
            if let (Some(quota), Some(period)) = (quota, period) {
                list.put(origin, "CPUQuotaPeriodUSec", 0, PropertyValue::U64(period));
                list.number(origin, "CPUQuotaPerSecUSec", per_second(quota, period));
            }
        }
        "cpuset.cpus" | "cpuset.mems" => {
            if let Some(set) = set(value) {
                let property = if file == "cpuset.cpus" { "AllowedCPUs" } else { "AllowedMemoryNodes" };
                list.put(origin, property, 0, PropertyValue::Set(set));
            }
        }
        _ => {}
    }
}

/// The bits of `0-3,7`; `None` of what is no such list, and of an empty one.
fn set(list: &str) -> Option<Vec<u8>> {
    // More CPUs than any kernel has (Kconfig, NR_CPUS).
    const MOST: usize = 8192;
    let mut bits = Vec::new();
    for range in list.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= MOST {
            return None;
        }
        bits.resize(bits.len().max(last / 8 + 1), 0_u8);
        (first..=last).for_each(|number| bits[number / 8] |= 1 << (number % 8));
    }
    Some(bits).filter(|bits| !bits.is_empty())
}

/// A property that an annotation sets. One whose name ends in `Sec` is known to the bus in microseconds, as `USec`.
fn annotated(origin: &str, name: &str, text: &str, list: &mut List) -> Result<(), Invalid> {
    let refused = |why: String| Invalid::new(origin, why);
    if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(refused(format!(
            "{name:?} is no name of a property: it has three letters or more, and nothing else"
        )));
    }
    // Whose processes are in the unit, and below which one it is, is said elsewhere.
    if matches!(name, "PIDs" | "Slice" | "PIDFDs") {
        return Err(refused(format!("{name} is not an annotation's to set")));
    }
    if text.contains('\0') {
        return Err(refused("it contains a NUL character".to_owned()));
    }
    match name.strip_suffix("Sec").filter(|base| !base.ends_with('U')) {
        Some(base) => {
            let seconds = gvariant::seconds(text).map_err(refused)?;
            list.number(origin, &format!("{base}USec"), (seconds * 1e6) as u64);
        }
        None => list.put(origin, name, 0, gvariant::read(text).map_err(refused)?),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn resources(json: Json) -> LinuxResources {
        serde_json::from_value(json).unwrap()
    }

    /// `Name=value`, as `planc explain` shows them.
    fn shown(asked: &[Asked]) -> Vec<String> {
        let mut lines = Vec::new();
        each(asked, |_, property| lines.push(property.to_string())).unwrap();
        lines
    }

    #[track_caller]
    fn gives(json: Json, wanted: &[&str]) {
        assert_eq!(shown(&of_resources(&resources(json.clone()))), wanted, "{json}");
    }

    #[test]
    fn memory() {
        gives(json!({"memory": {"limit": 0, "reservation": 0, "swap": 0}}), &[]);
        gives(json!({"memory": {"limit": -1}}), &["MemoryMax=infinity", "MemorySwapMax=infinity"]);
        gives(json!({"memory": {"limit": 10, "swap": 10}}), &["MemoryMax=10", "MemorySwapMax=0"]);
        gives(json!({"memory": {"limit": 10, "swap": -1}}), &["MemoryMax=10", "MemorySwapMax=infinity"]);
        gives(json!({"memory": {"reservation": 7}}), &["MemoryLow=7"]);
    }

    #[test]
    fn cpu() {
        // Rounded up, to 10 ms of a second.
        gives(json!({"cpu": {"quota": 12345}}), &["CPUQuotaPerSecUSec=130000"]);
        gives(
            json!({"cpu": {"quota": 50000, "period": 50000}}),
            &["CPUQuotaPeriodUSec=50000", "CPUQuotaPerSecUSec=1000000"],
        );
        gives(json!({"cpu": {"quota": -1}}), &["CPUQuotaPerSecUSec=infinity"]);
        gives(
            json!({"cpu": {"quota": i64::MAX, "period": 1}}),
            &[
                "CPUQuotaPeriodUSec=1",
                &format!("CPUQuotaPerSecUSec={}", (u64::MAX - QUOTA_STEP).next_multiple_of(QUOTA_STEP)),
            ],
        );
        gives(json!({"cpu": {"shares": 1024}}), &["CPUWeight=100"]);
        gives(json!({"cpu": {"shares": 1024, "idle": 1}}), &["CPUWeight=0, from systemd 252 on"]);
        gives(json!({"cpu": {"cpus": "0-2, 9", "mems": "1"}}), &["AllowedCPUs=0,1,2,9", "AllowedMemoryNodes=1"]);
        gives(json!({"cpu": {"cpus": "all", "mems": "3-1"}}), &[]);
        gives(json!({"cpu": {"cpus": "99999999"}}), &[]);
    }

    #[test]
    fn others() {
        gives(json!({"pids": {"limit": 5}}), &["TasksMax=5"]);
        gives(json!({"pids": {"limit": -1}}), &["TasksMax=infinity"]);
        // systemd has no limit of 0.
        gives(json!({"pids": {"limit": 0}}), &["TasksMax=1"]);
        gives(json!({"blockIO": {"weight": 10}}), &["IOWeight=1"]);
        gives(json!({"blockIO": {"weight": 1000}}), &["IOWeight=10000"]);
    }

    #[test]
    fn files_override() {
        gives(
            json!({"memory": {"limit": 10}, "unified": {
                "cpu.max": "max 50000", "cpu.weight": "300", "memory.max": "20", "memory.min": "max", "pids.max": "7",
                "cpuset.cpus": "1", "memory.oom.group": "1"
            }}),
            &[
                "CPUQuotaPeriodUSec=50000",
                "CPUQuotaPerSecUSec=infinity",
                "CPUWeight=300",
                "AllowedCPUs=1",
                "MemoryMax=20",
                "MemoryMin=infinity",
                "TasksMax=7",
            ],
        );
        gives(json!({"unified": {"memory.max": "1G", "cpu.weight": "0", "cpu.max": "x", "pids.max": "0"}}), &[]);
    }

    #[test]
    fn what_an_update_changes_and_what_was_before() {
        let old = resources(json!({"memory": {"limit": 10}, "pids": {"limit": 3}}));
        let new = resources(json!({"memory": {"limit": 20, "reservation": 5}, "pids": {"limit": 3}}));
        let (changed, before) = changes(&old, &new, |_| false);
        assert_eq!(shown(&changed), ["MemoryMax=20", "MemoryLow=5"]);
        assert_eq!(shown(&before), ["MemoryMax=10", "MemoryLow=0"]);
        let (given, _) = changes(&old, &new, |origin| origin == "/linux/resources/pids/limit");
        assert_eq!(shown(&given).last().map(String::as_str), Some("TasksMax=3"));
    }
}
