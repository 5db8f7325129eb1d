//! What was found, in words: each lack with what it costs and what to do about it. Pure.

use serde::Serialize;

use super::{Answer, CriuProgram, Feature, Findings, Layout, MapProgram, Privileges};
use crate::compile::{OLDEST_KERNEL, Rootless};

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is as it should be.
    Ok,
    /// Containers can be made, but not all of them.
    Lack,
    /// No container can be made by this caller.
    Fatal,
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What it is about: `kernel`, `cgroups`, `user namespaces`, `security` or `other`.
    pub topic: &'static str,
    /// What it is.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What a lack costs; empty where there is none.
    pub costs: String,
    /// What to do about a lack; empty where there is none.
    pub remedy: String,
}

/// What this host offers to this caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether this caller can run containers.
    pub runs: bool,
    /// The verdict in one line.
    pub verdict: String,
    /// Everything that was looked at, by topic.
    pub lines: Vec<Line>,
}

impl Report {
    /// Puts what was found into words. The same findings always give the same report.
    pub fn of(findings: &Findings) -> Self {
        let mut lines = Vec::new();
        kernel(findings, &mut Topic("kernel", &mut lines));
        cgroups(findings, &mut Topic("cgroups", &mut lines));
        user_namespaces(findings, &mut Topic("user namespaces", &mut lines));
        subordinate_ids(findings, &mut Topic("user namespaces", &mut lines));
        security(findings, &mut Topic("security", &mut lines));
        other(findings, &mut Topic("other", &mut lines));
        let runs = lines.iter().all(|line| line.state != State::Fatal);
        let uid = findings.facts.euid;
        let verdict = match (runs, needs_user_namespace(findings)) {
            (true, false) => format!("uid {uid} can run containers here"),
            (true, true) => format!("uid {uid} can run containers here, each in a user namespace"),
            (false, _) => format!("uid {uid} cannot run containers here"),
        };
        Self { runs, verdict, lines }
    }
}

/// The lines of one topic.
struct Topic<'a>(&'static str, &'a mut Vec<Line>);

impl Topic<'_> {
    fn push(&mut self, name: &str, state: State, [found, costs, remedy]: [&str; 3]) {
        let owned = str::to_owned;
        self.1.push(Line {
            topic: self.0,
            name: owned(name),
            state,
            found: owned(found),
            costs: owned(costs),
            remedy: owned(remedy),
        });
    }

    fn ok(&mut self, name: &str, found: &str) {
        self.push(name, State::Ok, [found, "", ""]);
    }

    fn lack(&mut self, name: &str, found_costs_remedy: [&str; 3]) {
        self.push(name, State::Lack, found_costs_remedy);
    }

    fn fatal(&mut self, name: &str, found_costs_remedy: [&str; 3]) {
        self.push(name, State::Fatal, found_costs_remedy);
    }
}

/// Whether the caller has privileges nowhere but in a user namespace of its own making.
fn needs_user_namespace(findings: &Findings) -> bool {
    !findings.facts.is_privileged()
}

const NO_CONTAINER: &str = "no container can be made";

/// What every container is made with: since which kernel, and its name.
const NEEDED: [(Feature, &str, &str); 9] = [
    (Feature::Openat2, "5.6", "openat2"),
    (Feature::CloseRange, "5.9", "close_range"),
    (Feature::CloneIntoCgroup, "5.7", "clone3 into a cgroup"),
    (Feature::PidfdSignal, "5.3", "pidfd"),
    (Feature::PidfdWait, "5.4", "waitid of a pidfd"),
    (Feature::OpenTree, "5.2", "open_tree"),
    (Feature::Fsopen, "5.2", "fsopen"),
    (Feature::MountSetattr, "5.12", "mount_setattr"),
    (Feature::CgroupKill, "5.14", "cgroup.kill"),
];

/// What some containers are made with: since which kernel, its name, what it costs to be without.
const WANTED: [(Feature, &str, &str, &str); 2] = [
    (Feature::MountIdmap, "5.12", "idmapped mounts", "mounts with uidMappings and gidMappings are refused"),
    (Feature::TimeNamespaces, "5.6", "time namespaces", "linux.namespaces of type time is refused"),
];

fn kernel(findings: &Findings, topic: &mut Topic<'_>) {
    let (major, minor) = OLDEST_KERNEL;
    let release = format!("Linux {}", findings.release);
    if findings.facts.kernel >= OLDEST_KERNEL {
        topic.ok("version", &release);
    } else {
        topic.fatal("version", [&release, NO_CONTAINER, &format!("boot Linux {major}.{minor} or newer")]);
    }
    for (feature, since, name) in NEEDED {
        let remedy = format!("Linux {since} has it; in a container, let its seccomp profile permit it");
        asked(findings, topic, feature, name, State::Fatal, [NO_CONTAINER, &remedy]);
    }
    for (feature, since, name, costs) in WANTED {
        asked(findings, topic, feature, name, State::Lack, [costs, &format!("a kernel from {since} on may have it")]);
    }
    let memfd = match findings.memfd_noexec {
        Some(2) => "set the sysctl vm.memfd_noexec to 1 or 0",
        _ => "let the security module or the seccomp profile permit execveat(2) of a memfd",
    };
    asked(findings, topic, Feature::ExecuteMemfd, "init from a memfd", State::Fatal, [NO_CONTAINER, memfd]);
    if findings.memfd_noexec == Some(2) && !needs_user_namespace(findings) {
        let costs = "init is executed from a detached tmpfs instead, and users without privilege can run no container";
        topic.lack("vm.memfd_noexec", ["2: no memfd can be executed", costs, "set it to 1 or 0"]);
    }
}

/// The line of a feature; `state` is what it is to be without it.
fn asked(
    findings: &Findings,
    topic: &mut Topic<'_>,
    feature: Feature,
    name: &str,
    state: State,
    [costs, remedy]: [&str; 2],
) {
    match findings.features.get(&feature) {
        Some(Answer::Yes) => topic.ok(name, "there"),
        Some(Answer::Hidden) => topic.ok(name, "there, but only to be used with CAP_SYS_ADMIN"),
        Some(Answer::No(why)) => topic.push(name, state, [why, costs, remedy]),
        None => topic.push(name, state, ["not asked", costs, remedy]),
    }
}

const UNIFY: &str = "boot with systemd.unified_cgroup_hierarchy=1, or with cgroup_no_v1=all";

fn cgroups(findings: &Findings, topic: &mut Topic<'_>) {
    let legacy = findings.cgroups.legacy_controllers.join(", ");
    match findings.cgroups.layout {
        Layout::Unified => topic.ok("layout", "version 2"),
        Layout::Hybrid => {
            let found = format!("hybrid: version 1 holds {legacy}");
            topic.lack("layout", [&found, "what version 1 holds cannot be limited", UNIFY]);
        }
        Layout::Legacy => {
            topic.fatal("layout", [&format!("version 1 alone, with {legacy}"), NO_CONTAINER, UNIFY]);
            return;
        }
        Layout::Missing => {
            let remedy = "mount -t cgroup2 none /sys/fs/cgroup";
            topic.fatal("layout", ["no hierarchy is mounted", NO_CONTAINER, remedy]);
            return;
        }
    }
    delegation(findings, topic);
    for (name, limits) in [
        ("cpu", "linux.resources.cpu"),
        ("cpuset", "cpus and mems of linux.resources.cpu"),
        ("io", "linux.resources.blockIO"),
        ("memory", "linux.resources.memory"),
        ("pids", "linux.resources.pids"),
    ] {
        controller(findings, topic, name, limits);
    }
}

/// Whether the caller's containers have cgroups.
fn delegation(findings: &Findings, topic: &mut Topic<'_>) {
    let facts = &findings.facts;
    let Some(cgroup) = &facts.cgroup else { return };
    if cgroup.delegated {
        topic.ok("delegation", &format!("containers' cgroups lie beside {}", cgroup.own));
    } else if cgroup.delegated_below {
        topic.ok("delegation", &format!("containers' cgroups lie below {}", cgroup.own));
    } else if facts.is_rootless(Rootless::Auto) {
        let found = format!("neither beside {} nor below it may uid {} make cgroups", cgroup.own, facts.euid);
        let costs = "containers have none: limits and cgroupsPath are refused, pause and statistics cannot be had";
        let remedy =
            "call it by \"systemd-run --user --scope -p Delegate=yes\", or chown a cgroup and its cgroup.procs";
        topic.lack("delegation", [&found, costs, remedy]);
    } else {
        let found = format!("beside {} no cgroup can be made", cgroup.own);
        let remedy = format!("mount {} writable", cgroup.mount.display());
        topic.fatal("delegation", [&found, NO_CONTAINER, &remedy]);
    }
}

fn controller(findings: &Findings, topic: &mut Topic<'_>, name: &str, limits: &str) {
    let has = |list: &[String]| list.iter().any(|controller| controller == name);
    let at_root = findings.facts.cgroup.as_ref().is_some_and(|cgroup| has(&cgroup.controllers));
    let held = has(&findings.cgroups.legacy_controllers)
        || name == "io" && findings.cgroups.legacy_controllers.iter().any(|held| held == "blkio");
    let shown = format!("controller {name}");
    let costs = format!("{limits} cannot be kept");
    if has(&findings.cgroups.controllers) {
        topic.ok(&shown, "there");
    } else if held {
        topic.lack(&shown, ["held by version 1", &costs, "as for the layout"]);
    } else if at_root {
        let remedy = format!(
            "delegate it: \"Delegate={name}\" in a drop-in of user@.service, or +{name} in cgroup.subtree_control above"
        );
        topic.lack(&shown, ["not handed down to here", &costs, &remedy]);
    } else {
        let remedy = format!("a kernel with it, booted without cgroup_disable={name}");
        topic.lack(&shown, ["the kernel has it not, or does not hand it down to here", &costs, &remedy]);
    }
}

fn user_namespaces(findings: &Findings, topic: &mut Topic<'_>) {
    let needs = needs_user_namespace(findings);
    let state = if needs { State::Fatal } else { State::Lack };
    let costs = if needs { NO_CONTAINER } else { "linux.namespaces of type user is refused" };
    let remedy = if findings.max_user_namespaces == Some(0) {
        "set the sysctl user.max_user_namespaces to more than 0"
    } else if findings.unprivileged_userns_clone == Some(0) {
        "set the sysctl kernel.unprivileged_userns_clone to 1"
    } else {
        "in a container, let its seccomp profile permit clone and unshare with CLONE_NEWUSER"
    };
    asked(findings, topic, Feature::UserNamespace, "new ones", state, [costs, remedy]);
    if findings.apparmor_restricts_userns == Some(1) && needs {
        let found = "kernel.apparmor_restrict_unprivileged_userns is 1";
        let costs = "a user namespace gives no privileges: no container can be made";
        let remedy = "give planc an AppArmor profile with \"userns,\", or set the sysctl to 0";
        topic.fatal("apparmor", [found, costs, remedy]);
    }
    let restricted = needs || !findings.facts.initial_user_namespace;
    if let Some(first) = findings.covered_proc.first().filter(|_| restricted) {
        let found = format!("{} is covered", first.display());
        let costs = "a user namespace may mount no procfs of its own: containers with a pid namespace cannot be made";
        let remedy = "run the outer container with an unmasked /proc (systempaths=unconfined, unmask=ALL)";
        topic.fatal("proc", [&found, costs, remedy]);
    }
    if findings.facts.setgroups_denied {
        let remedy = "map gids by newgidmap where the user namespace is made";
        topic.lack("setgroups", ["denied in this user namespace", "additionalGids are refused", remedy]);
    }
}

fn subordinate_ids(findings: &Findings, topic: &mut Topic<'_>) {
    if !needs_user_namespace(findings) {
        topic.ok("id maps", "this caller may write any");
        return;
    }
    const COSTS: &str = "a container has one id, the caller's own, and additionalGids are refused";
    let ids = &findings.subordinate_ids;
    let uid = findings.facts.euid;
    for (kind, ranges, name, program) in
        [("uid", &ids.uids, "newuidmap", &ids.newuidmap), ("gid", &ids.gids, "newgidmap", &ids.newgidmap)]
    {
        let count: u64 = ranges.iter().map(|(_, count)| u64::from(*count)).sum();
        let shown = format!("subordinate {kind}s");
        if count > 0 {
            topic.ok(&shown, &format!("{count} in /etc/sub{kind}"));
        } else {
            let remedy = format!("as root: usermod --add-sub{kind}s 100000-165535 NAME");
            topic.lack(&shown, [&format!("/etc/sub{kind} has none for uid {uid}"), COSTS, &remedy]);
        }
        match program {
            None => topic.lack(name, ["not found", COSTS, "install the package uidmap or shadow-utils"]),
            Some(MapProgram { path, privileges: Privileges::None }) => {
                let found = format!("{} has no privileges", path.display());
                let remedy = format!("as root: chmod u+s {}; and its mount may not be nosuid", path.display());
                topic.lack(name, [&found, COSTS, &remedy]);
            }
            Some(_) if findings.no_new_privs => {
                topic.lack(name, ["the caller can gain no privileges", COSTS, "call planc without no_new_privs"]);
            }
            Some(MapProgram { path, .. }) => topic.ok(name, &path.display().to_string()),
        }
    }
}

fn security(findings: &Findings, topic: &mut Topic<'_>) {
    match &findings.lsms {
        Some(lsms) => topic.ok("security modules", &lsms.join(", ")),
        None => {
            let remedy = "mount -t securityfs securityfs /sys/kernel/security";
            topic.lack("security modules", ["securityfs is not mounted", "which there are cannot be told", remedy]);
        }
    }
    labels(findings, topic);
    match &findings.seccomp_actions {
        Some(actions) => topic.ok("seccomp", &actions.join(", ")),
        None => topic.lack("seccomp", ["none", "linux.seccomp is refused", "a kernel with CONFIG_SECCOMP_FILTER"]),
    }
    let facts = &findings.facts;
    if facts.initial_user_namespace && facts.is_privileged() {
        let remedy = "a kernel with CONFIG_CGROUP_BPF; in a container, let its seccomp profile permit bpf(2)";
        asked(findings, topic, Feature::DeviceFilter, "device filter", State::Fatal, [NO_CONTAINER, remedy]);
    } else {
        topic.ok("device filter", "none for this caller, whose containers can make no device either");
    }
}

/// The modules that label processes: what is asked of one that is not enabled is refused, so that it is no lack.
fn labels(findings: &Findings, topic: &mut Topic<'_>) {
    let lsm = findings.facts.lsm;
    topic.ok("apparmor", if lsm.apparmor { "enabled" } else { "not enabled: process.apparmorProfile is refused" });
    let selinux = match (lsm.selinux, findings.selinux_enforces) {
        (false, _) => "not enabled: process.selinuxLabel and linux.mountLabel are refused",
        (true, Some(false)) => "enabled, permissive",
        (true, _) => "enabled, enforcing",
    };
    topic.ok("selinux", selinux);
}

fn other(findings: &Findings, topic: &mut Topic<'_>) {
    match (&findings.facts.resctrl, findings.resctrl) {
        (Some(mount), _) => topic.ok("resctrl", &mount.display().to_string()),
        (None, true) => {
            let remedy = "mount -t resctrl resctrl /sys/fs/resctrl";
            topic.lack("resctrl", ["there, but not mounted", "linux.intelRdt is refused", remedy]);
        }
        (None, false) => topic.ok("resctrl", "none on this machine: linux.intelRdt is refused"),
    }
    match &findings.criu {
        Some(CriuProgram { path, version, error: None }) => topic.ok("criu", &format!("{}: {version}", path.display())),
        Some(CriuProgram { path, version, error: Some(error) }) => {
            let found = format!("{}: {version}: criu check: {error}", path.display());
            topic.lack("criu", [&found, "no checkpoint, no restore", "a criu that knows this kernel"]);
        }
        None => topic.lack("criu", ["not found", "no checkpoint, no restore", "install the package criu"]),
    }
    match &findings.systemd_bus {
        Some(bus) => topic.ok("systemd", &bus.display().to_string()),
        None => {
            let remedy = "nothing, where --systemd-cgroup is not asked for";
            topic.lack("systemd", ["nobody listens at its bus", "--systemd-cgroup cannot be had", remedy]);
        }
    }
}
