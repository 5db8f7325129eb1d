//! `planc update`: other limits for a container that exists.

use std::io::Read;
use std::path::Path;

use runtime_core::{Error, Schemata, spec};
use serde_json::{Value, json};

use super::{Command, launch};
use crate::args::{Flag, Given};
use crate::failure::{Outcome, host, invalid};
use crate::globals::Context;

const RESOURCES: Flag =
    Flag::value("resources", "read linux.resources from this file, - for standard input; flags go before it").or("r");
const BLKIO_WEIGHT: Flag = Flag::integer("blkio-weight", "I/O weight, 10 to 1000");
const CPU_PERIOD: Flag = Flag::value("cpu-period", "the period that the quota is of, in microseconds");
const CPU_QUOTA: Flag = Flag::value("cpu-quota", "CPU time a period, in microseconds; -1 for no limit");
const CPU_BURST: Flag = Flag::value("cpu-burst", "CPU time that may be saved up for later, in microseconds");
const CPU_SHARE: Flag = Flag::value("cpu-share", "CPU shares, relative to other containers'");
const CPU_RT_PERIOD: Flag = Flag::value("cpu-rt-period", "realtime period (cgroup v1 only)");
const CPU_RT_RUNTIME: Flag = Flag::value("cpu-rt-runtime", "realtime time (cgroup v1 only)");
const CPUSET_CPUS: Flag = Flag::value("cpuset-cpus", "the CPUs to use, 0-2,7");
const CPUSET_MEMS: Flag = Flag::value("cpuset-mems", "the memory nodes to use, 0-1");
const CPU_IDLE: Flag = Flag::value("cpu-idle", "1: run only while nobody else wants to (SCHED_IDLE); 0: as usual");
const KERNEL_MEMORY: Flag = Flag::value("kernel-memory", "kernel memory (cgroup v1 only: ignored)");
const KERNEL_MEMORY_TCP: Flag = Flag::value("kernel-memory-tcp", "kernel memory of TCP (cgroup v1 only: ignored)");
const MEMORY: Flag = Flag::value("memory", "memory limit in bytes, or 512M and the like; -1 for no limit");
const MEMORY_RESERVATION: Flag = Flag::value("memory-reservation", "memory that is protected from reclaim");
const MEMORY_SWAP: Flag =
    Flag::value("memory-swap", "limit of memory and swap together; -1 for as much swap as there is");
const PIDS_LIMIT: Flag = Flag::integer("pids-limit", "how many processes there may be; -1 for no limit");
const L3_CACHE_SCHEMA: Flag =
    Flag::value("l3-cache-schema", "L3 cache schema of the class of service (intelRdt), L3:0=ff;1=c0");
const MEM_BW_SCHEMA: Flag =
    Flag::value("mem-bw-schema", "memory bandwidth schema of the class of service (intelRdt), MB:0=20;1=70");

pub(super) const COMMAND: Command = Command {
    name: "update",
    about: "change a container's limits",
    words: &["<container-id>"],
    flags: &[
        &RESOURCES,
        &BLKIO_WEIGHT,
        &CPU_PERIOD,
        &CPU_QUOTA,
        &CPU_BURST,
        &CPU_SHARE,
        &CPU_RT_PERIOD,
        &CPU_RT_RUNTIME,
        &CPUSET_CPUS,
        &CPUSET_MEMS,
        &CPU_IDLE,
        &KERNEL_MEMORY,
        &KERNEL_MEMORY_TCP,
        &MEMORY,
        &MEMORY_RESERVATION,
        &MEMORY_SWAP,
        &PIDS_LIMIT,
        &L3_CACHE_SCHEMA,
        &MEM_BW_SCHEMA,
    ],
    perform,
};

/// How a flag's value is read.
#[derive(Clone, Copy)]
enum Reads {
    Number,
    /// Bytes.
    Size,
    Text,
}

/// Which member of `linux.resources` a flag sets.
const MEMBERS: &[(&Flag, &str, &str, Reads)] = &[
    (&BLKIO_WEIGHT, "blockIO", "weight", Reads::Number),
    (&CPU_PERIOD, "cpu", "period", Reads::Number),
    (&CPU_QUOTA, "cpu", "quota", Reads::Number),
    (&CPU_BURST, "cpu", "burst", Reads::Number),
    (&CPU_SHARE, "cpu", "shares", Reads::Number),
    (&CPU_RT_PERIOD, "cpu", "realtimePeriod", Reads::Number),
    (&CPU_RT_RUNTIME, "cpu", "realtimeRuntime", Reads::Number),
    (&CPU_IDLE, "cpu", "idle", Reads::Number),
    (&CPUSET_CPUS, "cpu", "cpus", Reads::Text),
    (&CPUSET_MEMS, "cpu", "mems", Reads::Text),
    (&KERNEL_MEMORY, "memory", "kernel", Reads::Size),
    (&KERNEL_MEMORY_TCP, "memory", "kernelTCP", Reads::Size),
    (&MEMORY, "memory", "limit", Reads::Size),
    (&MEMORY_RESERVATION, "memory", "reservation", Reads::Size),
    (&MEMORY_SWAP, "memory", "swap", Reads::Size),
    (&PIDS_LIMIT, "pids", "limit", Reads::Number),
];

fn perform(context: &Context, given: &Given) -> Outcome {
    let container = super::container(context, given)?;
    let schemata =
        Schemata { l3_cache: text(given, &L3_CACHE_SCHEMA)?, memory_bandwidth: text(given, &MEM_BW_SCHEMA)? };
    let resources = match given.path(&RESOURCES) {
        None => b"{}".to_vec(),
        Some(path) => read(&path)?,
    };
    let (resources, warnings) = spec::parse_resources(&with_flags(given, resources)?).map_err(Error::from)?;
    launch::warn(&warnings);
    launch::warn(&container.update_with_schemata(&resources, &schemata)?);
    Ok(0)
}

/// The longest text that is read.
const LONGEST: u64 = 16 << 20;

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().take(LONGEST).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes))
    };
    read.map_err(|error| host(&format!("read {}", path.display()), error))?;
    Ok(bytes)
}

/// The resources with what the flags say, which goes before what a file says.
fn with_flags(given: &Given, resources: Vec<u8>) -> Result<Vec<u8>, Error> {
    let mut flags = Vec::new();
    for (flag, object, member, reads) in MEMBERS {
        if let Some(text) = text(given, flag)? {
            flags.push((object, member, value(flag, &text, *reads)?));
        }
    }
    // What is no object is left for the parser to tell.
    let Ok(Value::Object(mut members)) = serde_json::from_slice(&resources) else { return Ok(resources) };
    if flags.is_empty() {
        return Ok(resources);
    }
    for (object, member, value) in flags {
        let object = members.entry(*object).or_insert(Value::Null);
        if !object.is_object() {
            *object = json!({});
        }
        object[*member] = value;
    }
    Ok(Value::Object(members).to_string().into_bytes())
}

/// The text of a flag; an empty one is none.
fn text(given: &Given, flag: &Flag) -> Result<Option<String>, Error> {
    let Some(value) = given.value(flag).filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = value.to_str().ok_or_else(|| invalid(format!("--{}: {value:?} is not UTF-8", flag.name)))?;
    Ok(Some(text.to_owned()))
}

fn value(flag: &Flag, text: &str, reads: Reads) -> Result<Value, Error> {
    let wrong = |what: &str| invalid(format!("invalid value for {}: {text:?} is no {what}", flag.name));
    match reads {
        Reads::Number => text.parse::<i64>().map(Value::from).map_err(|_| wrong("number")),
        Reads::Size => bytes(text).map(Value::from).ok_or_else(|| wrong("amount of memory")),
        Reads::Text => Ok(Value::from(text)),
    }
}

/// An amount of memory as Docker writes it: `512M`, `1.5g`, `64KiB`, `-1`. Units are powers of 1024, in either case.
fn bytes(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let (number, unit) = text.split_at(text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let (prefix, rest) = unit.split_at(usize::from(unit.starts_with(['k', 'm', 'g', 't', 'p'])));
    let power = "kmgtp".find(prefix).filter(|_| !prefix.is_empty()).map_or(0, |index| index + 1);
    let is_unit = matches!(rest, "" | "b") || (rest == "ib" && power > 0);
    if !is_unit || number.starts_with('.') || number.ends_with('.') {
        return None;
    }
    let factor = 1u64 << (10 * power);
    match number.split_once('.') {
        None => i64::try_from(number.parse::<u64>().ok()?.checked_mul(factor)?).ok(),
        Some(_) => {
            let bytes = number.parse::<f64>().ok()? * factor as f64;
            (bytes < i64::MAX as f64).then_some(bytes as i64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn amounts_are_read_as_docker_writes_them() {
        for (text, expected) in [
            ("-1", Some(-1)),
            ("0", Some(0)),
            ("1024", Some(1024)),
            ("1b", Some(1)),
            ("512M", Some(512 << 20)),
            ("512m", Some(512 << 20)),
            ("64KiB", Some(64 << 10)),
            ("64kb", Some(64 << 10)),
            ("1 GB", Some(1 << 30)),
            ("1.5g", Some(3 << 29)),
            ("2t", Some(2 << 40)),
            ("1P", Some(1 << 50)),
            ("", None),
            ("-2", None),
            ("M", None),
            ("1e3", None),
            ("1x", None),
            ("1MM", None),
            ("1ib", None),
            (".5g", None),
            ("5.", None),
            ("1.2.3", None),
            ("9223372036854775808", None),
            ("99999999P", None),
            ("1 \u{0130}b", None),
        ] {
            assert_eq!(bytes(text), expected, "{text:?}");
        }
    }
}
