//! The formats of cgroup v2's files, each parsed: pure, and content with whatever it is given.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::statistics::{Cpu, IoDevice, Pressure, Rdma, Stalls};

/// The only number of a file.
pub(crate) fn number(text: &str) -> Option<u64> {
    text.trim_ascii().parse().ok()
}

/// A limit; `max` is none.
pub(crate) fn limit(text: &str) -> Option<u64> {
    number(text)
}

/// The lines `KEY VALUE` of a flat keyed file.
pub(crate) fn flat(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, number(value)?))
    })
}

/// The figure behind a key of a flat keyed file.
pub(crate) fn value(text: &str, key: &str) -> Option<u64> {
    flat(text).find(|(found, _)| *found == key).map(|(_, value)| value)
}

/// cpu.stat
pub(crate) fn cpu(text: &str) -> Cpu {
    let mut cpu = Cpu::default();
    for (key, value) in flat(text) {
        match key {
            "usage_usec" => cpu.usage = Duration::from_micros(value),
            "user_usec" => cpu.user = Duration::from_micros(value),
            "system_usec" => cpu.system = Duration::from_micros(value),
            "nr_periods" => cpu.periods = value,
            "nr_throttled" => cpu.throttled_periods = value,
            "throttled_usec" => cpu.throttled = Duration::from_micros(value),
            "nr_bursts" => cpu.bursts = value,
            "burst_usec" => cpu.burst = Duration::from_micros(value),
            _ => {}
        }
    }
    cpu
}

/// The pairs `KEY=VALUE` of a line of a nested keyed file, behind its name.
fn pairs(rest: &str) -> impl Iterator<Item = (&str, &str)> {
    rest.split_ascii_whitespace().filter_map(|pair| pair.split_once('='))
}

/// A pressure file; `None` of an empty one. Before Linux 5.13 that of the CPU has no `full`.
pub(crate) fn pressure(text: &str) -> Option<Pressure> {
    let mut found = None;
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(' ') else { continue };
        let pressure: &mut Pressure = found.get_or_insert_default();
        match name {
            "some" => pressure.some = stalls(rest),
            "full" => pressure.full = stalls(rest),
            _ => {}
        }
    }
    found
}

fn stalls(rest: &str) -> Stalls {
    let mut stalls = Stalls::default();
    for (key, value) in pairs(rest) {
        // `inf` and `NaN` are numbers to the parser, and not to JSON.
        let percent = value.parse().ok().filter(|number: &f64| number.is_finite()).unwrap_or(0.0);
        match key {
            "avg10" => stalls.avg10 = percent,
            "avg60" => stalls.avg60 = percent,
            "avg300" => stalls.avg300 = percent,
            "total" => stalls.total = Duration::from_micros(value.parse().unwrap_or(0)),
            _ => {}
        }
    }
    stalls
}

/// io.stat. A device without a transfer is a line without pairs, or one whose name does not end (Linux 5.17 and before).
pub(crate) fn io(text: &str) -> Vec<IoDevice> {
    text.lines().filter_map(device).collect()
}

fn device(line: &str) -> Option<IoDevice> {
    let (name, rest) = line.split_once(' ')?;
    let (major, minor) = name.split_once(':')?;
    let mut device = IoDevice { major: major.parse().ok()?, minor: minor.parse().ok()?, ..IoDevice::default() };
    let mut any = false;
    for (key, value) in pairs(rest) {
        let Ok(value) = value.parse() else { continue };
        let field = match key {
            "rbytes" => &mut device.read_bytes,
            "wbytes" => &mut device.written_bytes,
            "rios" => &mut device.reads,
            "wios" => &mut device.writes,
            "dbytes" => &mut device.discarded_bytes,
            "dios" => &mut device.discards,
            _ => continue,
        };
        *field = value;
        any = true;
    }
    any.then_some(device)
}

/// The page size in the name of a file: `2MB` of `hugetlb.2MB.current`.
pub(crate) fn page_size(name: &str) -> Option<&str> {
    name.strip_prefix("hugetlb.")?.strip_suffix(".current").filter(|size| !size.contains('.'))
}

/// rdma.current and rdma.max: lines `DEVICE hca_handle=2 hca_object=max`.
pub(crate) fn rdma(current: &str, max: &str) -> BTreeMap<String, Rdma> {
    let mut devices: BTreeMap<String, Rdma> = BTreeMap::new();
    for (text, is_max) in [(current, false), (max, true)] {
        for (name, rest) in text.lines().filter_map(|line| line.split_once(' ')) {
            let device = devices.entry(name.to_owned()).or_default();
            for (key, value) in pairs(rest) {
                let value = value.parse().ok();
                match (key, is_max) {
                    ("hca_handle", false) => device.handles = value.unwrap_or(0),
                    ("hca_object", false) => device.objects = value.unwrap_or(0),
                    ("hca_handle", true) => device.handles_max = value,
                    ("hca_object", true) => device.objects_max = value,
                    _ => {}
                }
            }
        }
    }
    devices
}

/// A list of CPUs or nodes, `0-3,8` (cpuset(7), "Formats"). A range the wrong way round has nothing in it.
pub(crate) fn list(text: &str) -> Vec<u16> {
    let mut all = Vec::new();
    for range in text.trim_ascii().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse()) {
            all.extend(first..=last);
        }
        // There are no more than so many numbers: what says more repeats itself.
        if all.len() > usize::from(u16::MAX) {
            break;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use proptest::prelude::*;

    use super::*;
    use crate::statistics::Figures;

    /// Linux 6.1 with the cpu controller.
    const CPU_6_1: &str = "usage_usec 630000\nuser_usec 609344\nsystem_usec 20655\nnr_periods 7\nnr_throttled 1\n\
                           throttled_usec 50000\nnr_bursts 2\nburst_usec 7\n";
    /// Linux 6.18 without it.
    const CPU_6_18: &str = "usage_usec 12\nuser_usec 5\nsystem_usec 7\nnice_usec 0\n";
    const PRESSURE: &str = "some avg10=0.12 avg60=3.00 avg300=100.00 total=4821\n\
                            full avg10=0.00 avg60=0.01 avg300=0.00 total=18446744073709551615\n";
    const IO: &str = "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=4096 dios=1\n8:0 \n259:1048575 \
                      rbytes=90430464 wbytes=299008000 rios=8950 wios=1252 dbytes=50331648 dios=3021 cost.usage=5\n";

    #[test]
    fn cpu_of_two_kernels() {
        let micros = Duration::from_micros;
        let full = cpu(CPU_6_1);
        assert_eq!((full.usage, full.user, full.system), (micros(630_000), micros(609_344), micros(20_655)));
        assert_eq!((full.periods, full.throttled_periods, full.throttled), (7, 1, micros(50_000)));
        assert_eq!((full.bursts, full.burst), (2, micros(7)));
        let bare = cpu(CPU_6_18);
        assert_eq!(bare, Cpu { usage: micros(12), user: micros(5), system: micros(7), ..Cpu::default() });
        assert_eq!(cpu("usage_usec 18446744073709551615\n").usage, micros(u64::MAX));
    }

    #[test]
    fn pressure_of_both_lines() {
        let found = pressure(PRESSURE).unwrap();
        assert_eq!((found.some.avg10, found.some.avg60, found.some.avg300), (0.12, 3.0, 100.0));
        assert_eq!(found.some.total, Duration::from_micros(4821));
        assert_eq!(found.full.total, Duration::from_micros(u64::MAX));
        assert_eq!(pressure(""), None);
        assert_eq!(pressure("some avg10=inf avg60=NaN avg300=-inf total=x"), Some(Pressure::default()));
    }

    #[test]
    fn io_of_every_device_that_did_something() {
        let devices = io(IO);
        assert_eq!(devices.len(), 2);
        let wanted = IoDevice {
            major: 8,
            minor: 16,
            read_bytes: 1_459_200,
            written_bytes: 314_773_504,
            reads: 192,
            writes: 353,
            discarded_bytes: 4096,
            discards: 1,
        };
        assert_eq!(devices[0], wanted);
        assert_eq!((devices[1].major, devices[1].minor, devices[1].discards), (259, 1_048_575, 3021));
    }

    #[test]
    fn limits_and_numbers() {
        assert_eq!((limit("max\n"), limit("0\n"), limit("33554432\n")), (None, Some(0), Some(33_554_432)));
        assert_eq!((number("18446744073709551616"), number(""), number("-1")), (None, None, None));
    }

    #[test]
    fn keyed_figures_in_the_order_of_the_kernel() {
        let text = "low 0\nhigh 2\nmax 14\noom 1\noom_kill 1\noom_group_kill 0\nsock_throttled 5\nodd\nworse x\n";
        let figures = Figures::new(text);
        assert_eq!(figures.iter().count(), 7);
        assert_eq!((figures.get("max"), figures.get("sock_throttled"), figures.get("odd")), (Some(14), Some(5), None));
        assert_eq!(value(text, "oom"), Some(1), "oom_kill begins with it");
        let json = serde_json::to_string(&figures).unwrap();
        assert!(json.starts_with(r#"{"low":0,"high":2,"max":14,"#), "{json}");
    }

    #[test]
    fn rdma_of_each_device() {
        let current = "mlx4_0 hca_handle=2 hca_object=2000\nocrdma1 hca_handle=3 hca_object=max\n";
        let max = "mlx4_0 hca_handle=4 hca_object=max\nnew 3=4\n";
        let devices = rdma(current, max);
        let first = Rdma { handles: 2, objects: 2000, handles_max: Some(4), objects_max: None };
        assert_eq!(devices["mlx4_0"], first);
        assert_eq!(devices["ocrdma1"], Rdma { handles: 3, ..Rdma::default() });
        assert_eq!(devices["new"], Rdma::default());
    }

    #[test]
    fn lists_of_cpus() {
        assert_eq!(list("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!((list("\n"), list("3-1,x,7"), list("0")), (vec![], vec![7], vec![0]));
        assert!(list(&"0-65535,".repeat(1000)).len() <= 2 * 65536);
    }

    #[test]
    fn sizes_of_pages() {
        assert_eq!(page_size("hugetlb.2MB.current"), Some("2MB"));
        for other in ["hugetlb.2MB.rsvd.current", "hugetlb.2MB.max", "memory.current"] {
            assert_eq!(page_size(other), None, "{other}");
        }
    }

    fn all(text: &str) {
        black_box((number(text), limit(text), cpu(text), pressure(text), io(text), list(text), value(text, "oom")));
        black_box((rdma(text, text), page_size(text), format!("{:?}", Figures::new(text))));
        serde_json::to_string(&pressure(text)).unwrap();
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            all(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn nothing_panics_on_what_is_nearly_right(
            text in "(some|full|8:16|usage_usec|0-3)( (avg10|total|rbytes|hca_handle)?=?[0-9a-zN.,:-]{0,25}){0,6}\n?"
        ) {
            all(&text);
        }
    }
}
