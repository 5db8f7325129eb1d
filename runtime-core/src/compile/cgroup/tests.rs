//! What each member of `linux.resources` is as writes, in order; what is refused, and where; what is ignored.

use serde_json::{Value, json};

use super::settings;
use crate::compile::Invalid;
use crate::facts::CgroupFacts;
use crate::wire::Missing;

fn host(controllers: &str) -> CgroupFacts {
    CgroupFacts {
        mount: "/sys/fs/cgroup".into(),
        own: "/".to_owned(),
        delegated: true,
        delegated_below: true,
        controllers: controllers.split_ascii_whitespace().map(str::to_owned).collect(),
    }
}

const ALL: &str = "cpuset cpu io memory hugetlb pids rdma misc";

/// The writes as text, `file=value`, and the warnings.
fn compile(resources: &Value, controllers: &str) -> Result<(Vec<String>, Vec<String>), Invalid> {
    let resources = serde_json::from_value(resources.clone()).unwrap();
    let mut warnings = Vec::new();
    let settings = settings::compile(&resources, &host(controllers), &mut warnings)?;
    let line = |setting: &settings::Setting| {
        let (file, value) = (setting.file.to_str().unwrap(), setting.value.escape_ascii());
        match setting.missing() {
            Missing::Fail => format!("{file}={value}"),
            Missing::Skip => format!("{file}?={value}"),
            Missing::Instead(other, instead) => {
                format!("{file}={value}|{}={}", other.bytes().escape_ascii(), instead.escape_ascii())
            }
        }
    };
    Ok((settings.iter().map(line).collect(), warnings))
}

#[track_caller]
fn writes(resources: Value, expected: &[&str]) {
    let (writes, warnings) = compile(&resources, ALL).unwrap();
    assert_eq!(writes, expected, "{resources}");
    assert_eq!(warnings, [""; 0], "{resources}");
}

#[track_caller]
fn refused(resources: Value, origin: &str, why: &str) {
    let invalid = compile(&resources, ALL).unwrap_err();
    assert_eq!(invalid.origin, format!("/linux/resources{origin}"), "{resources}: {invalid}");
    assert!(invalid.why.contains(why), "{resources}: {invalid}");
}

#[test]
fn nothing_asks_for_nothing() {
    writes(json!({}), &[]);
    writes(json!({"memory": {}, "cpu": {}, "blockIO": {}, "hugepageLimits": [], "rdma": {}, "unified": {}}), &[]);
    // What Go writes for what is not set.
    writes(
        json!({"memory": {"limit": 0, "swap": 0, "kernel": 0}, "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": ""}}),
        &[],
    );
    writes(json!({"blockIO": {"weight": 0, "leafWeight": 0}, "network": {"classID": 0, "priorities": []}}), &[]);
}

#[test]
fn memory() {
    writes(json!({"memory": {"limit": 1048576}}), &["memory.max=1048576"]);
    writes(json!({"memory": {"reservation": 4096}}), &["memory.low=4096"]);
    writes(json!({"memory": {"reservation": -1}}), &["memory.low=max"]);
    writes(
        json!({"memory": {"limit": 1000, "swap": 1500, "reservation": 500}}),
        &["memory.swap.max=500", "memory.max=1000", "memory.low=500"],
    );
    // No more than the limit is no swap, and as much swap as there is; neither needs swap accounting.
    writes(json!({"memory": {"limit": 1000, "swap": 1000}}), &["memory.swap.max?=0", "memory.max=1000"]);
    writes(json!({"memory": {"limit": 1000, "swap": -1}}), &["memory.swap.max?=max", "memory.max=1000"]);
    writes(json!({"memory": {"limit": -1}}), &["memory.swap.max?=max", "memory.max=max"]);
    writes(json!({"memory": {"swap": -1}}), &["memory.swap.max?=max"]);
    writes(json!({"memory": {"limit": 1000, "useHierarchy": true, "checkBeforeUpdate": true}}), &["memory.max=1000"]);
    refused(json!({"memory": {"limit": -2}}), "/memory/limit", "-2 is no amount");
    refused(json!({"memory": {"swap": 1}}), "/memory/swap", "unable to set swap limit without memory limit");
    refused(json!({"memory": {"limit": -1, "swap": 1}}), "/memory/swap", "unable to set swap limit");
    refused(json!({"memory": {"limit": 2, "swap": 1}}), "/memory/swap", "memory+swap limit should be >= memory limit");
}

#[test]
fn cpu() {
    writes(json!({"cpu": {"shares": 1024}}), &["cpu.weight=100"]);
    writes(json!({"cpu": {"shares": 2}}), &["cpu.weight=1"]);
    writes(json!({"cpu": {"quota": 50000}}), &["cpu.max=50000 100000"]);
    writes(json!({"cpu": {"quota": 50000, "period": 20000}}), &["cpu.max=50000 20000"]);
    writes(json!({"cpu": {"quota": -1}}), &["cpu.max=max 100000"]);
    writes(json!({"cpu": {"period": 20000}}), &["cpu.max=max 20000"]);
    // The kernel takes no weight beside idle, no quota below a burst, and no burst above a quota.
    writes(json!({"cpu": {"idle": 1, "shares": 1024}}), &["cpu.idle=1"]);
    writes(json!({"cpu": {"idle": 0, "shares": 1024}}), &["cpu.idle=0", "cpu.weight=100"]);
    writes(
        json!({"cpu": {"quota": 50000, "burst": 20000}}),
        &["cpu.max.burst=0", "cpu.max=50000 100000", "cpu.max.burst=20000"],
    );
    writes(json!({"cpu": {"burst": 20000}}), &["cpu.max.burst=20000"]);
    writes(json!({"cpu": {"cpus": "0-1,3", "mems": "0"}}), &["cpuset.cpus=0-1,3", "cpuset.mems=0"]);
    refused(json!({"cpu": {"quota": 10, "burst": 20}}), "/cpu/burst", "more than the quota");
    refused(json!({"cpu": {"idle": 2}}), "/cpu/idle", "0 or 1");
    refused(json!({"cpu": {"realtimeRuntime": 5}}), "/cpu/realtimeRuntime", "no realtime");
    refused(json!({"cpu": {"realtimePeriod": 5}}), "/cpu/realtimePeriod", "no realtime");
}

#[test]
fn pids() {
    writes(json!({"pids": {"limit": 7}}), &["pids.max=7"]);
    writes(json!({"pids": {"limit": 0}}), &["pids.max=1"]);
    writes(json!({"pids": {"limit": -1}}), &["pids.max=max"]);
    // No limit needs no controller.
    assert_eq!(compile(&json!({"pids": {"limit": -1}}), "memory").unwrap().0, [""; 0]);
}

#[test]
fn block_io() {
    writes(json!({"blockIO": {"weight": 10}}), &["io.bfq.weight=10|io.weight=1"]);
    writes(json!({"blockIO": {"weight": 1000}}), &["io.bfq.weight=1000|io.weight=10000"]);
    writes(
        json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 16, "weight": 500}]}}),
        &["io.bfq.weight=8:16 500|io.weight=8:16 4950"],
    );
    writes(
        json!({"blockIO": {
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}, {"major": 8, "minor": 16, "rate": 0}],
            "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 700}],
            "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 8}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 9}],
        }}),
        &[
            "io.max=8:0 rbps=600",
            "io.max=8:16 rbps=max",
            "io.max=8:0 wbps=700",
            "io.max=8:0 riops=8",
            "io.max=8:0 wiops=9",
        ],
    );
    refused(json!({"blockIO": {"weight": 9}}), "/blockIO/weight", "between 10 and 1000");
    refused(
        json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 1001}]}}),
        "/blockIO/weightDevice/0/weight",
        "between 10 and 1000",
    );
}

#[test]
fn hugepages_and_rdma() {
    writes(
        json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}),
        &["hugetlb.2MB.max=4194304", "hugetlb.2MB.rsvd.max?=4194304"],
    );
    for size in ["", "2", "2M", "0MB", "02MB", "MB", "2MB/x", "-2MB", "2TB", "2mb"] {
        refused(json!({"hugepageLimits": [{"pageSize": size, "limit": 1}]}), "/hugepageLimits/0/pageSize", "page size");
    }
    writes(
        json!({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "mlx4_0": {"hcaObjects": 0}}}),
        &["rdma.max=mlx4_0 hca_object=0", "rdma.max=mlx5_1 hca_handle=3 hca_object=10000"],
    );
    refused(json!({"rdma": {"mlx5_1": {}}}), "/rdma/mlx5_1", "hcaHandles");
    refused(json!({"rdma": {"a b": {"hcaHandles": 1}}}), "/rdma/a b", "no name");
}

#[test]
fn unified_comes_last_and_in_order() {
    writes(
        json!({"unified": {"pids.max": "5", "memory.high": "100", "io.max": "8:0 rbps=1\n8:16 rbps=2\n", "cpuset.cpus": ""},
            "memory": {"limit": 50}, "pids": {"limit": 3}}),
        &[
            "memory.max=50",
            "pids.max=3",
            "cpuset.cpus=\\n",
            "io.max=8:0 rbps=1",
            "io.max=8:16 rbps=2",
            "memory.high=100",
            "pids.max=5",
        ],
    );
    writes(json!({"unified": {"cgroup.max.depth": "1"}}), &["cgroup.max.depth=1"]);
}

/// T-51: nothing but a file of a controller is reached.
#[test]
fn unified_keys_that_lead_elsewhere() {
    let long = format!("memory.{}", "x".repeat(4096));
    for key in [
        "",
        ".",
        "..",
        "/",
        "../memory.max",
        "memory.max/..",
        "sub/memory.max",
        "/memory.max",
        "memory.max\n",
        "memory max",
        "memory",
        "memory.",
        ".max",
        "cgroup.procs",
        "cgroup.threads",
        "cgroup.kill",
        "cgroup.freeze",
        "cgroup.type",
        "cgroup.subtree_control",
        "cgroup.",
        &long,
    ] {
        let invalid = compile(&json!({"unified": {key: "1"}}), ALL).unwrap_err();
        assert!(invalid.origin.starts_with("/linux/resources/unified/"), "{key:?}: {invalid}");
        assert!(invalid.why.contains("no file of a cgroup controller"), "{key:?}: {invalid}");
    }
}

#[test]
fn a_missing_controller_is_named_with_what_needs_it() {
    for (resources, controller, origin) in [
        (json!({"memory": {"limit": 1}}), "memory", "/memory/limit"),
        (json!({"cpu": {"shares": 9}}), "cpu", "/cpu/shares"),
        (json!({"cpu": {"cpus": "0"}}), "cpuset", "/cpu/cpus"),
        (json!({"pids": {"limit": 0}}), "pids", "/pids/limit"),
        (json!({"blockIO": {"weight": 10}}), "io", "/blockIO/weight"),
        (json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}), "hugetlb", "/hugepageLimits/0/limit"),
        (json!({"rdma": {"a": {"hcaHandles": 1}}}), "rdma", "/rdma/a"),
    ] {
        let invalid = compile(&resources, "misc").unwrap_err();
        assert!(invalid.unsupported);
        assert_eq!(invalid.origin, format!("/linux/resources{origin}"));
        assert!(invalid.why.starts_with(&format!("the cgroup controller {controller} is not available")), "{invalid}");
        assert!(invalid.why.contains("[misc]"), "{invalid}");
    }
    // The words are runc's.
    let invalid = compile(&json!({"unified": {"misc2.max": "1"}}), ALL).unwrap_err();
    assert_eq!(invalid.why, r#"unified resource "misc2.max" can't be set: controller "misc2" not available"#);
}

#[test]
fn what_only_v1_has_is_ignored_with_a_warning() {
    for (resources, place) in [
        (json!({"memory": {"kernel": 5}}), "/memory/kernel"),
        (json!({"memory": {"kernelTCP": 5}}), "/memory/kernelTCP"),
        (json!({"memory": {"swappiness": 0}}), "/memory/swappiness"),
        (json!({"memory": {"disableOOMKiller": true}}), "/memory/disableOOMKiller"),
        (json!({"blockIO": {"leafWeight": 10}}), "/blockIO/leafWeight"),
        (
            json!({"blockIO": {"weightDevice": [{"major": 1, "minor": 1, "leafWeight": 10}]}}),
            "/blockIO/weightDevice/0/leafWeight",
        ),
        (json!({"network": {"classID": 5}}), "/network/classID"),
        (json!({"network": {"priorities": [{"name": "a", "priority": 1}]}}), "/network/priorities"),
    ] {
        let (writes, warnings) = compile(&resources, "").unwrap();
        assert_eq!(writes, [""; 0], "{resources}");
        assert_eq!(warnings.len(), 1, "{resources}");
        assert!(warnings[0].ends_with(&format!("(/linux/resources{place})")), "{}", warnings[0]);
    }
}
