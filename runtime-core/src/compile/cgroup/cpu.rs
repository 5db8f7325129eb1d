//! `linux.resources.cpu` (runtime-spec config-linux.md#cpu).

use oci_spec::runtime::LinuxCpu;

use super::settings::Settings;
use crate::compile::Invalid;
use crate::compile::text::below;

const CPU: &str = "/linux/resources/cpu";

/// The period that a quota is of where none is given, in microseconds: the kernel's own.
const PERIOD: u64 = 100_000;

pub(super) fn read(cpu: &LinuxCpu, settings: &mut Settings<'_>) -> Result<(), Invalid> {
    for (name, is_asked) in [
        ("realtimeRuntime", cpu.realtime_runtime().is_some_and(|time| time != 0)),
        ("realtimePeriod", cpu.realtime_period().is_some_and(|time| time != 0)),
    ] {
        if is_asked {
            return Err(Invalid::unsupported(below(CPU, name), "cgroup v2 has no realtime limits"));
        }
    }
    share(cpu, settings)?;
    bandwidth(cpu, settings)?;
    for (name, file, list) in [("cpus", "cpuset.cpus", cpu.cpus()), ("mems", "cpuset.mems", cpu.mems())] {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            settings.set(&below(CPU, name), file, list)?;
        }
    }
    Ok(())
}

/// An idle cgroup has no weight: the kernel refuses one.
fn share(cpu: &LinuxCpu, settings: &mut Settings<'_>) -> Result<(), Invalid> {
    match cpu.idle() {
        None => {}
        Some(idle @ (0 | 1)) => settings.set(&below(CPU, "idle"), "cpu.idle", idle)?,
        Some(idle) => return Err(Invalid::new(below(CPU, "idle"), format!("it is 0 or 1, not {idle}"))),
    }
    match cpu.shares() {
        Some(shares) if shares != 0 && cpu.idle() != Some(1) => {
            settings.set(&below(CPU, "shares"), "cpu.weight", weight(shares))
        }
        _ => Ok(()),
    }
}

fn bandwidth(cpu: &LinuxCpu, settings: &mut Settings<'_>) -> Result<(), Invalid> {
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    let is_limited = quota.is_some() || period.is_some();
    let burst_origin = &below(CPU, "burst");
    if let (Some(burst), Some(quota)) = (cpu.burst(), quota)
        && u64::try_from(quota).is_ok_and(|quota| burst > quota)
    {
        return Err(Invalid::new(burst_origin, format!("a burst of {burst} µs is more than the quota, {quota} µs")));
    }
    // The kernel takes no quota below the burst that is set, and no burst above the quota: away with it, and back.
    if is_limited && cpu.burst().is_some() {
        settings.set(burst_origin, "cpu.max.burst", 0)?;
    }
    if is_limited {
        let time = quota.filter(|quota| *quota > 0).map_or_else(|| "max".to_owned(), |quota| quota.to_string());
        let origin = below(CPU, if quota.is_some() { "quota" } else { "period" });
        settings.set(&origin, "cpu.max", format!("{time} {}", period.unwrap_or(PERIOD)))?;
    }
    cpu.burst().map_or(Ok(()), |burst| settings.set(burst_origin, "cpu.max.burst", burst))
}

/// The weight (1 to 10000) for shares (2 to 262144): the curve through (2, 1), (1024, 100) and (262144, 10000), so that
/// both scales' defaults meet.
pub(crate) fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            // 1024 is exactly 100, which a libm may miss by its last bit.
            (10f64.powf(exponent) - 1e-9).ceil() as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn the_curve_goes_through_the_defaults_and_never_falls() {
        for (shares, expected) in [(0, 1), (1, 1), (2, 1), (1024, 100), (262_144, 10_000), (u64::MAX, 10_000)] {
            assert_eq!(weight(shares), expected, "{shares}");
        }
        let weights: Vec<_> = (2..262_145).map(weight).collect();
        assert!(weights.is_sorted() && weights.iter().all(|weight| (1..=10_000).contains(weight)));
    }
}
