//! The words for given findings, and the findings of whatever host runs the tests.

use super::ids::ranges;
use super::*;
use crate::facts::CgroupFacts;

const ALL: [Feature; 14] = [
    Feature::Openat2,
    Feature::CloseRange,
    Feature::CloneIntoCgroup,
    Feature::PidfdSignal,
    Feature::PidfdWait,
    Feature::OpenTree,
    Feature::Fsopen,
    Feature::MountSetattr,
    Feature::MountIdmap,
    Feature::CgroupKill,
    Feature::TimeNamespaces,
    Feature::ExecuteMemfd,
    Feature::DeviceFilter,
    Feature::UserNamespace,
];

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Root of a host that lacks nothing.
fn root() -> Findings {
    let controllers = list(&["cpuset", "cpu", "io", "memory", "pids"]);
    let program = |name: &str| MapProgram { path: Path::new("/usr/bin").join(name), privileges: Privileges::SetUid };
    Findings {
        facts: Facts {
            kernel: (6, 18),
            euid: 0,
            egid: 0,
            effective: (1 << 41) - 1,
            bounding: (1 << 41) - 1,
            last_capability: 40,
            initial_user_namespace: true,
            setgroups_denied: false,
            foreign_namespaces: 0,
            time_namespaces: true,
            lsm: crate::facts::LsmFacts::default(),
            resctrl: None,
            mounts: Vec::new(),
            few_mounts: None,
            cgroup: Some(CgroupFacts {
                mount: "/sys/fs/cgroup".into(),
                own: "/user.slice/a.scope".to_owned(),
                delegated: true,
                delegated_below: true,
                controllers: controllers.clone(),
            }),
        },
        release: "6.18.2".to_owned(),
        features: ALL.into_iter().map(|feature| (feature, Answer::Yes)).collect(),
        cgroups: Cgroups { layout: Layout::Unified, legacy_controllers: vec![], controllers },
        max_user_namespaces: Some(1000),
        unprivileged_userns_clone: None,
        apparmor_restricts_userns: None,
        memfd_noexec: Some(0),
        no_new_privs: false,
        covered_proc: vec![],
        subordinate_ids: SubordinateIds {
            uids: vec![(100_000, 65_536)],
            gids: vec![(100_000, 65_536)],
            newuidmap: Some(program("newuidmap")),
            newgidmap: Some(program("newgidmap")),
        },
        lsms: Some(list(&["capability", "landlock"])),
        resctrl: false,
        selinux_enforces: None,
        seccomp_actions: Some(list(&["kill_process", "errno"])),
        criu: Some(CriuProgram { path: "/usr/sbin/criu".into(), version: "Version: 4.0".to_owned(), error: None }),
        systemd_bus: Some("/run/dbus/system_bus_socket".into()),
    }
}

/// A user of the same host.
fn user() -> Findings {
    let mut findings = root();
    (findings.facts.euid, findings.facts.egid, findings.facts.effective) = (1000, 1000, 0);
    for feature in [Feature::Fsopen, Feature::MountSetattr, Feature::MountIdmap, Feature::DeviceFilter] {
        findings.features.insert(feature, Answer::Hidden);
    }
    findings
}

fn without(mut findings: Findings, feature: Feature) -> Findings {
    findings.features.insert(feature, Answer::No("Function not implemented".to_owned()));
    findings
}

#[test]
fn a_host_that_lacks_nothing() {
    for (findings, verdict) in [
        (root(), "uid 0 can run containers here"),
        (user(), "uid 1000 can run containers here, each in a user namespace"),
    ] {
        let report = Report::of(&findings);
        assert_eq!((report.runs, report.verdict.as_str()), (true, verdict));
        let lacks: Vec<_> = report.lines.iter().filter(|line| line.state != State::Ok).collect();
        assert!(lacks.is_empty(), "{lacks:#?}");
    }
}

/// One thing changed: the line that tells it, how it stands, and a word of what to do.
type Case = (fn() -> Findings, fn(&mut Findings), &'static str, State, &'static str);

const CASES: &[Case] = &[
    (root, |f| f.facts.kernel = (5, 10), "version", State::Fatal, "5.14"),
    (root, |f| *f = without(root(), Feature::Openat2), "openat2", State::Fatal, "seccomp"),
    (root, |f| *f = without(root(), Feature::CloneIntoCgroup), "clone3 into a cgroup", State::Fatal, "5.7"),
    (root, |f| *f = without(root(), Feature::TimeNamespaces), "time namespaces", State::Lack, "5.6"),
    (root, |f| *f = without(root(), Feature::MountIdmap), "idmapped mounts", State::Lack, "5.12"),
    (root, |f| f.memfd_noexec = Some(2), "vm.memfd_noexec", State::Lack, "1 or 0"),
    (root, |f| *f = without(root(), Feature::UserNamespace), "new ones", State::Lack, "CLONE_NEWUSER"),
    (root, |f| *f = without(root(), Feature::DeviceFilter), "device filter", State::Fatal, "bpf"),
    (root, |f| f.lsms = None, "security modules", State::Lack, "securityfs"),
    (root, |f| f.seccomp_actions = None, "seccomp", State::Lack, "CONFIG_SECCOMP_FILTER"),
    (root, |f| f.criu = None, "criu", State::Lack, "criu"),
    (
        root,
        |f| f.criu.as_mut().unwrap().error = Some("Error (a.c:1): vdso".to_owned()),
        "criu",
        State::Lack,
        "this kernel",
    ),
    (root, |f| f.systemd_bus = None, "systemd", State::Lack, "--systemd-cgroup"),
    (root, |f| f.cgroups.layout = Layout::Hybrid, "layout", State::Lack, "cgroup_no_v1"),
    (root, |f| f.cgroups.layout = Layout::Legacy, "layout", State::Fatal, "unified"),
    (root, |f| f.cgroups.layout = Layout::Missing, "layout", State::Fatal, "mount -t cgroup2"),
    (root, |f| f.cgroups.controllers = list(&["cpu"]), "controller memory", State::Lack, "Delegate=memory"),
    (root, undelegated, "delegation", State::Fatal, "writable"),
    (user, undelegated, "delegation", State::Lack, "systemd-run"),
    (user, |f| f.facts.setgroups_denied = true, "setgroups", State::Lack, "newgidmap"),
    (user, |f| f.max_user_namespaces = Some(0), "new ones", State::Ok, ""),
    (user, no_user_namespaces, "new ones", State::Fatal, "user.max_user_namespaces"),
    (user, |f| f.apparmor_restricts_userns = Some(1), "apparmor", State::Fatal, "userns,"),
    (user, |f| f.covered_proc = vec!["/proc/kcore".into()], "proc", State::Fatal, "systempaths"),
    (user, |f| f.subordinate_ids.uids.clear(), "subordinate uids", State::Lack, "--add-subuids"),
    (user, |f| f.subordinate_ids.newgidmap = None, "newgidmap", State::Lack, "uidmap"),
    (user, bare_newuidmap, "newuidmap", State::Lack, "chmod u+s"),
    (user, |f| f.no_new_privs = true, "newuidmap", State::Lack, "no_new_privs"),
];

#[test]
fn labels_and_resctrl_are_told() {
    let found = |findings: &Findings, name: &str| {
        let line = Report::of(findings).lines.into_iter().find(|line| line.name == name).unwrap();
        (line.state, line.found)
    };
    let mut findings = root();
    assert!(found(&findings, "apparmor").1.starts_with("not enabled"));
    assert!(found(&findings, "selinux").1.starts_with("not enabled"));
    assert!(found(&findings, "resctrl").1.starts_with("none on this machine"));
    (findings.facts.lsm.apparmor, findings.facts.lsm.selinux) = (true, true);
    (findings.selinux_enforces, findings.resctrl) = (Some(false), true);
    assert_eq!(found(&findings, "apparmor"), (State::Ok, "enabled".to_owned()));
    assert_eq!(found(&findings, "selinux"), (State::Ok, "enabled, permissive".to_owned()));
    assert_eq!(found(&findings, "resctrl"), (State::Lack, "there, but not mounted".to_owned()));
    findings.facts.resctrl = Some("/sys/fs/resctrl".into());
    assert_eq!(found(&findings, "resctrl"), (State::Ok, "/sys/fs/resctrl".to_owned()));
}

fn undelegated(findings: &mut Findings) {
    let cgroup = findings.facts.cgroup.as_mut().unwrap();
    (cgroup.delegated, cgroup.delegated_below) = (false, false);
}

fn no_user_namespaces(findings: &mut Findings) {
    findings.max_user_namespaces = Some(0);
    *findings = without(findings.clone(), Feature::UserNamespace);
}

fn bare_newuidmap(findings: &mut Findings) {
    findings.subordinate_ids.newuidmap.as_mut().unwrap().privileges = Privileges::None;
}

#[test]
fn each_lack_says_what_to_do() {
    for (who, change, name, state, remedy) in CASES {
        let mut findings = who();
        change(&mut findings);
        let report = Report::of(&findings);
        let line = report.lines.iter().find(|line| line.name == *name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(line.state, *state, "{line:?}");
        assert!(line.remedy.contains(remedy), "{line:?}");
        assert_eq!(line.state == State::Ok, line.costs.is_empty() && line.remedy.is_empty(), "{line:?}");
        assert_eq!(report.runs, !report.lines.iter().any(|line| line.state == State::Fatal), "{report:?}");
        assert!(report.runs != (*state == State::Fatal), "{name}");
    }
}

#[test]
fn a_controller_of_version_1() {
    let mut findings = root();
    findings.cgroups =
        Cgroups { layout: Layout::Hybrid, legacy_controllers: list(&["blkio", "memory"]), controllers: list(&["cpu"]) };
    let report = Report::of(&findings);
    let of = |name: &str| report.lines.iter().find(|line| line.name == name).unwrap();
    for name in ["controller memory", "controller io"] {
        assert_eq!(of(name).found, "held by version 1");
    }
    assert_eq!(of("controller pids").found, "not handed down to here");
    assert_eq!(of("controller cpu").state, State::Ok);
}

#[test]
fn ranges_are_those_of_the_user() {
    let text = "root:100:5\nu:100000:65536\n1000:300000:10\nother:7:7\nu:nonsense\nu:1:0\n  u:9:9  \n";
    assert_eq!(ranges(text, 1000, Some("u")), [(100_000, 65_536), (300_000, 10), (9, 9)]);
    assert_eq!(ranges(text, 1000, None), [(300_000, 10)]);
    assert_eq!(ranges("", 0, Some("root")), []);
}

#[test]
fn covers_in_proc() {
    let text = "22 1 0:20 / /proc rw - proc proc rw\n23 22 0:21 / /proc/kcore ro - tmpfs none ro\n\
                24 22 0:22 / /proc/sys/fs/binfmt_misc rw - autofs x rw\n25 1 0:23 / /procession rw - tmpfs none rw\n";
    assert_eq!(covered_proc(text), [Path::new("/proc/kcore")]);
}

#[test]
fn this_host_is_examined_and_left_as_it_is() {
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    let examined: Vec<_> = (0..20).map(|_| Findings::read().unwrap()).collect();
    let findings = &examined[0];
    // Other tests' come and go.
    assert!(descriptors() < before + 20, "each leaves a descriptor behind");
    assert_eq!(findings.features.len(), ALL.len());
    assert_eq!(findings.features[&Feature::CloseRange], Answer::Yes);
    let json = serde_json::to_vec(findings).unwrap();
    assert_eq!(serde_json::from_slice::<Findings>(&json).unwrap(), *findings);
}
