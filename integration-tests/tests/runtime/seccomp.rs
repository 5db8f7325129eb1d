//! Seccomp (runtime-spec config-linux.md#seccomp): what a filter does to calls, and what it does not do to create and start.

use std::path::PathBuf;
use std::process::Command;

use integration_tests::bundle::Bundle;
use integration_tests::harness::{self, Need};
use integration_tests::process;
use integration_tests::scene::Scene;
use serde_json::{Value, json};

/// A compiler for the probe: no shell makes a call of another ABI.
const CC: Need = Need::Works("cc --version && test $(uname -m) = x86_64");
/// A kernel that runs 32-bit programs.
const IA32: Need = Need::Works("test -e /proc/sys/abi/vsyscall32");
/// Where `cargo xtask test` has put the engines' own profiles.
const PROFILES: Need = Need::Works("test -e $ENGINE_PROFILES/docker.json");

integration_tests::tests! {
    each_action_is_performed[CC],
    an_errno_is_as_configured[CC],
    arguments_are_compared[CC],
    conditions_on_one_argument_are_alternatives[CC],
    unlisted_architectures_are_killed[CC, IA32],
    listed_architectures_are_filtered[CC, IA32],
    x32_is_an_architecture_of_its_own[CC],
    // What these profiles allow is what the program needs, and not what other runtimes do behind the filter.
    what_is_not_named_is_denied[CC, Need::Planc],
    profiles_of_engines[CC, PROFILES],
    calls_newer_than_the_profile_are_unknown[CC, Need::Planc],
    unknown_names_are_ignored[CC],
    no_profile_breaks_start[CC, Need::Planc],
    capabilities_are_those_without_a_filter,
    capabilities_are_those_without_a_filter_in_a_user_namespace,
    a_process_that_joins_is_filtered[CC],
    start_container_hooks_are_filtered,
    bad_profiles_are_refused,
    // The specification's MUST; runc takes them.
    errnos_of_actions_without_one_are_refused[Need::Planc],
    // What is shown is planc's.
    flags_that_are_absent_are_not_empty[Need::Planc],
}

/// Compiles a program of this directory into a file.
pub(crate) fn compile(scene: &Scene, source: &str, options: &[&str], to: PathBuf) -> PathBuf {
    let path = scene.path(&format!("{}.c", to.file_name().unwrap().to_str().unwrap()));
    std::fs::write(&path, source).unwrap();
    let done = Command::new("cc").args(options).args(["-O1", "-static", "-o"]).args([&to, &path]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    to
}

/// A bundle with the probe as `/probe`, and a profile.
pub(crate) fn probing(scene: &Scene, profile: Value) -> Bundle {
    let mut bundle = scene.bundle();
    let options = ["-nostdlib", "-nostartfiles", "-fno-stack-protector", "-fno-pie", "-no-pie", "-fcf-protection=none"];
    compile(scene, include_str!("seccomp/probe.c"), &options, bundle.rootfs("/probe"));
    bundle.set("/linux/seccomp", profile).set("/root/readonly", false);
    bundle
}

/// What the calls return, one a line: `x86_64 83 /d 0755 , x86 39 /e`.
fn probe(scene: &Scene, profile: Value, calls: &str) -> Vec<i64> {
    let mut bundle = probing(scene, profile);
    let words: Vec<&str> = ["/probe"].into_iter().chain(calls.split_whitespace()).collect();
    let done = scene.container(bundle.args(&words)).run();
    done.ok();
    done.stdout.lines().map(|line| line.parse().unwrap()).collect()
}

/// The exit status of a container with a call that ends it.
fn killed(scene: &Scene, profile: Value, calls: &str) -> i32 {
    let mut bundle = probing(scene, profile);
    let words: Vec<&str> = ["/probe"].into_iter().chain(calls.split_whitespace()).collect();
    let done = scene.container(bundle.args(&words)).run();
    assert_eq!(done.stdout, "", "a call came through");
    done.code()
}

/// 128 and SIGSYS.
const SIGSYS: i32 = 128 + 31;
const EPERM: i64 = -1;
const ENOSYS: i64 = -38;
const ALLOW: &str = "SCMP_ACT_ALLOW";

/// A rule for mkdir(2), which is 83, and 39 of x86; all else is allowed.
fn on_mkdir(rule: Value) -> Value {
    let mut call = json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"});
    call.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
    json!({"defaultAction": ALLOW, "syscalls": [call]})
}

fn each_action_is_performed(scene: &Scene) {
    let act = |action: &str| on_mkdir(json!({"action": action}));
    assert_eq!(probe(scene, act("SCMP_ACT_ERRNO"), "x86_64 83 /d 0755"), [EPERM]);
    assert_eq!(probe(scene, act("SCMP_ACT_LOG"), "x86_64 83 /d 0755"), [0]);
    // Nobody traces it (seccomp(2)).
    assert_eq!(probe(scene, act("SCMP_ACT_TRACE"), "x86_64 83 /d 0755"), [ENOSYS]);
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"] {
        assert_eq!(killed(scene, act(action), "x86_64 83 /d 0755"), SIGSYS, "{action}");
    }
}

fn what_is_not_named_is_denied(scene: &Scene) {
    let allowed = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13, "syscalls": [
        {"names": ["execve", "write", "exit_group", "mkdir"], "action": ALLOW}]});
    assert_eq!(probe(scene, allowed, "x86_64 83 /d 0755 , x86_64 84 /d"), [0, -13]);
}

/// What the engines give a container that has Docker's default capabilities: it works, and what they deny is denied, also
/// what its capabilities would not deny.
fn profiles_of_engines(scene: &Scene) {
    let folder = PathBuf::from(std::env::var_os("ENGINE_PROFILES").unwrap());
    for engine in ["docker", "podman", "containerd"] {
        let text = std::fs::read(folder.join(engine).with_extension("json")).unwrap();
        let profile: Value = serde_json::from_slice(&text).unwrap();
        let shell = "mkdir /d && echo x > /d/x && ls -l /d > /d/y && rm -r /d && grep Seccomp: /proc/self/status";
        let mut bundle = scene.bundle();
        bundle.set("/linux/seccomp", profile.clone()).set("/root/readonly", false);
        let done = scene.container(bundle.sh(shell)).run();
        assert_eq!(done.ok().stdout.split_whitespace().collect::<Vec<_>>(), ["Seccomp:", "2"], "{engine}");
        for (what, call, wanted) in [
            ("mkdir", "x86_64 83 /d 0755", &[0][..]),
            ("getuid32 of x86", "x86 199", &[0]),
            ("personality(PER_LINUX)", "x86_64 135 0", &[0]),
            // Podman's profile denies what it has no rule for by ENOSYS.
            ("personality(ADDR_NO_RANDOMIZE)", "x86_64 135 0x40000", &[EPERM, ENOSYS]),
            ("unshare(CLONE_NEWUSER)", "x86_64 272 0x10000000", &[EPERM, ENOSYS]),
            ("clone(CLONE_NEWUSER)", "x86_64 56 0x10000011", &[EPERM, ENOSYS]),
            ("a call that no kernel has", "x86_64 4000", &[ENOSYS]),
        ] {
            let has_x86 = std::path::Path::new("/proc/sys/abi/vsyscall32").exists();
            if what.ends_with("x86") && !has_x86 {
                harness::say(format_args!("NOT RUN: {engine}: {what}: the kernel runs no 32-bit programs"));
                continue;
            }
            // Podman leaves user namespaces to its containers.
            if what.contains("NEWUSER") && engine == "podman" {
                continue;
            }
            let returned = probe(scene, profile.clone(), call);
            assert!(returned.len() == 1 && wanted.contains(&returned[0]), "{engine}: {what}: {returned:?}");
        }
    }
}

fn an_errno_is_as_configured(scene: &Scene) {
    // The kernel's highest is 4095, libseccomp's 4094.
    for errno in [0, 13, 4094] {
        assert_eq!(probe(scene, on_mkdir(json!({"errnoRet": errno})), "x86_64 83 /d 0755"), [-errno]);
    }
}

fn arguments_are_compared(scene: &Scene) {
    // getpriority(which, who) does no harm, and takes any value.
    let with = |op: &str, value: u64, two: u64| {
        json!({"defaultAction": ALLOW, "syscalls": [{"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77,
            "args": [{"index": 1, "op": op, "value": value, "valueTwo": two}]}]})
    };
    let wide = 1u64 << 32;
    for (op, value, two, matching, other) in [
        ("SCMP_CMP_EQ", wide | 5, 0, vec![wide | 5], vec![5, wide, wide | 4]),
        ("SCMP_CMP_NE", wide | 5, 0, vec![5, wide | 4], vec![wide | 5]),
        ("SCMP_CMP_LT", wide | 5, 0, vec![6, wide | 4], vec![wide | 5, wide | 6, 2 * wide]),
        ("SCMP_CMP_LE", wide | 5, 0, vec![6, wide | 5], vec![wide | 6, 2 * wide]),
        ("SCMP_CMP_GT", wide | 5, 0, vec![wide | 6, 2 * wide], vec![6, wide | 5]),
        ("SCMP_CMP_GE", wide | 5, 0, vec![wide | 5, 2 * wide], vec![6, wide | 4]),
        ("SCMP_CMP_MASKED_EQ", wide | 12, wide | 4, vec![wide | 4, wide | 3 | 4, (3 * wide) | 4], vec![4, wide | 12]),
    ] {
        let calls: Vec<String> = matching.iter().chain(&other).map(|value| format!("x86_64 140 0 {value}")).collect();
        let seen: Vec<bool> =
            probe(scene, with(op, value, two), &calls.join(" , ")).iter().map(|result| *result == -77).collect();
        let wanted: Vec<bool> = (0..calls.len()).map(|place| place < matching.len()).collect();
        assert_eq!(seen, wanted, "{op}: {calls:?}");
    }
}

fn conditions_on_one_argument_are_alternatives(scene: &Scene) {
    let arg = |index: u32, value: u64| json!({"index": index, "op": "SCMP_CMP_EQ", "value": value});
    let with = |args: Value| {
        json!({"defaultAction": ALLOW, "syscalls": [
            {"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77, "args": args}]})
    };
    let calls = "x86_64 140 0 1 , x86_64 140 1 1 , x86_64 140 0 2 , x86_64 140 1 2";
    let is_denied =
        |args: Value| probe(scene, with(args), calls).iter().map(|result| *result == -77).collect::<Vec<_>>();
    assert_eq!(is_denied(json!([arg(0, 0), arg(1, 1)])), [true, false, false, false], "all must hold");
    assert_eq!(is_denied(json!([arg(1, 1), arg(1, 2)])), [true; 4], "each is a rule");
}

fn unlisted_architectures_are_killed(scene: &Scene) {
    let native = json!({"defaultAction": ALLOW, "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]});
    assert_eq!(killed(scene, native.clone(), "x86 20"), SIGSYS);
    assert_eq!(killed(scene, native, "x32 39"), SIGSYS);
}

fn listed_architectures_are_filtered(scene: &Scene) {
    let all = json!({"defaultAction": ALLOW, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77}]});
    // getpid of x86 is 20; 39 is its mkdir.
    let results = probe(scene, all, "x86 20 , x86 39 0 0 , x86_64 83 /d 0755 , x86_64 39");
    assert_eq!(results, [1, -77, -77, 1]);
}

/// Whether the kernel has its calls or not, a filter sees them first.
fn x32_is_an_architecture_of_its_own(scene: &Scene) {
    let with = |archs: Value| {
        json!({"defaultAction": ALLOW, "architectures": archs,
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77}]})
    };
    assert_eq!(probe(scene, with(json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"])), "x32 83 /d 0755"), [-77]);
    assert_eq!(killed(scene, with(json!(["SCMP_ARCH_X86_64"])), "x32 83 /d 0755"), SIGSYS);
}

fn calls_newer_than_the_profile_are_unknown(scene: &Scene) {
    let mut profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["execve", "write", "exit_group", "openat2"], "action": ALLOW}]});
    // openat2 is 437, the newest that the profile names.
    assert_eq!(probe(scene, profile.clone(), "x86_64 436 , x86_64 438 , x86_64 2000"), [EPERM, ENOSYS, ENOSYS]);
    profile["defaultAction"] = "SCMP_ACT_KILL_PROCESS".into();
    assert_eq!(probe(scene, profile.clone(), "x86_64 438"), [ENOSYS]);
    assert_eq!(killed(scene, profile, "x86_64 436"), SIGSYS);
}

fn unknown_names_are_ignored(scene: &Scene) {
    let profile = json!({"defaultAction": ALLOW, "syscalls": [
        {"names": ["teleport", "mkdir", "riscv_flush_icache"], "action": "SCMP_ACT_ERRNO"}]});
    let mut bundle = probing(scene, profile);
    let done = scene.container(bundle.args(&["/probe", "x86_64", "83", "/d", "0755"])).run();
    done.ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("-1\n", ""));
}

/// The filter is the last thing before execve(2), and init makes no call behind it.
fn no_profile_breaks_start(scene: &Scene) {
    let profile = json!({"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [
        {"names": ["execve", "exit_group"], "action": ALLOW}]});
    for uid in [0, 1000] {
        for no_new_privileges in [true, false] {
            let mut bundle = probing(scene, profile.clone());
            bundle.set("/process/user/uid", uid).set("/process/noNewPrivileges", no_new_privileges);
            bundle.args(&["/probe", "quiet"]);
            let container = scene.container(&bundle);
            container.create();
            let pid = container.pid();
            container.start();
            container.wait_end(pid);
            container.delete();
            scene.container(&bundle).run().ok();
            // A call that is not allowed was made by the program.
            let done = scene.container(bundle.args(&["/probe", "x86_64", "39"])).run();
            assert_eq!(done.code(), SIGSYS, "uid {uid}, {no_new_privileges}");
        }
    }
}

/// The six sets of a process (capabilities(7)), and what else of it a filter might have changed.
fn rights(scene: &Scene, bundle: &mut Bundle) -> Vec<String> {
    let done = scene.container(bundle.args(&["cat", "/proc/self/status"])).run();
    done.ok();
    let keys = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Uid", "Gid", "Groups"];
    let mut rights: Vec<String> = keys.iter().map(|key| process::status_line(&done.stdout, key).unwrap()).collect();
    rights.push(process::status_line(&done.stdout, "Seccomp").unwrap());
    rights
}

fn compare_rights(scene: &Scene, change: &dyn Fn(&mut Bundle)) {
    let (one, admin) = (json!(["CAP_KILL"]), json!(["CAP_KILL", "CAP_SYS_ADMIN"]));
    let sets = [
        json!({}),
        json!({"bounding": one, "permitted": one, "effective": one}),
        json!({"bounding": one, "permitted": one, "effective": one, "inheritable": one, "ambient": one}),
        json!({"bounding": admin, "permitted": admin, "effective": one}),
        json!({"bounding": admin, "permitted": admin, "effective": admin, "inheritable": admin, "ambient": admin}),
    ];
    for (uid, no_new_privileges) in [(0, false), (1000, false), (0, true), (1000, true)] {
        for sets in &sets {
            let mut bundle = scene.bundle();
            bundle.set("/process/capabilities", sets.clone()).set("/process/noNewPrivileges", no_new_privileges);
            bundle.set("/process/user/uid", uid);
            change(&mut bundle);
            let mut without = rights(scene, &mut bundle);
            bundle.set("/linux/seccomp", json!({"defaultAction": ALLOW}));
            let with = rights(scene, &mut bundle);
            assert_eq!((without.pop(), with.last().map(String::as_str)), (Some("0".to_owned()), Some("2")));
            assert_eq!(with[..9], without, "uid {uid}, noNewPrivileges {no_new_privileges}, {sets}");
        }
    }
}

fn capabilities_are_those_without_a_filter(scene: &Scene) {
    compare_rights(scene, &|_| {});
}

fn capabilities_are_those_without_a_filter_in_a_user_namespace(scene: &Scene) {
    compare_rights(scene, &|bundle| {
        bundle.user_namespace(100_000);
    });
}

fn a_process_that_joins_is_filtered(scene: &Scene) {
    for no_new_privileges in [true, false] {
        let mut bundle = probing(scene, on_mkdir(json!({"errnoRet": 77})));
        bundle.set("/process/noNewPrivileges", no_new_privileges).sleep();
        let container = scene.container(&bundle);
        container.run_detached();
        for user in ["0", "1000"] {
            let done =
                container.exec(&["--user", user], &["/probe", "x86_64", "83", "/d", "0755", ",", "x86_64", "102"]);
            done.ok();
            assert_eq!(done.stdout, format!("-77\n{user}\n"));
        }
        container.delete_force();
    }
}

fn start_container_hooks_are_filtered(scene: &Scene) {
    for no_new_privileges in [true, false] {
        let mut bundle = scene.bundle();
        bundle.set("/root/readonly", false).set("/process/noNewPrivileges", no_new_privileges);
        bundle.set("/linux/seccomp", on_mkdir(json!({"errnoRet": 18})));
        let script = "mkdir /made 2>/tmp/said; grep Seccomp: /proc/self/status >>/tmp/said; grep CapEff /proc/self/status >>/tmp/said; true";
        bundle.set("/hooks", json!({"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}));
        let container = scene.container(bundle.args(&["cat", "/tmp/said"]));
        let done = container.run();
        done.ok();
        let wanted = "Invalid cross-device link\nSeccomp:\t2\nCapEff:\t0000000020000420\n";
        assert!(done.stdout.ends_with(wanted), "{}", done.stdout);
        assert!(!bundle.rootfs("/made").exists());
    }
}

fn bad_profiles_are_refused(scene: &Scene) {
    let call = |key: &str, value: Value| {
        let mut call = json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"});
        call[key] = value;
        json!({"defaultAction": ALLOW, "syscalls": [{"names": ["kill"], "action": "SCMP_ACT_LOG"}, call]})
    };
    let arg = |key: &str, value: Value| {
        let mut arg = json!({"index": 0, "op": "SCMP_CMP_EQ", "value": 1});
        arg[key] = value;
        call("args", json!([arg]))
    };
    for (profile, pointer) in [
        (json!({"defaultAction": "SCMP_ACT_FRY"}), "/linux/seccomp/defaultAction"),
        (json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/x"}), "/linux/seccomp/defaultAction"),
        (json!({"defaultAction": ALLOW, "architectures": ["SCMP_ARCH_Z80"]}), "/linux/seccomp/architectures/0"),
        (json!({"defaultAction": ALLOW, "flags": ["SECCOMP_FILTER_FLAG_FAST"]}), "/linux/seccomp/flags/0"),
        (call("action", json!("SCMP_ACT_FRY")), "/linux/seccomp/syscalls/1/action"),
        (call("names", json!([""])), "/linux/seccomp/syscalls/1/names/0"),
        (arg("op", json!("SCMP_CMP_ALMOST")), "/linux/seccomp/syscalls/1/args/0/op"),
        (arg("index", json!(6)), "/linux/seccomp/syscalls/1/args/0/index"),
        (call("action", json!("SCMP_ACT_NOTIFY")), "/linux/seccomp/listenerPath"),
    ] {
        let mut bundle = scene.bundle();
        bundle.set("/linux/seccomp", profile);
        let container = scene.container(&bundle);
        // runc finds some of it only when the filter is made, in start or run.
        let done = container.run();
        done.fails();
        if scene.runtime.kind == integration_tests::runtime::Kind::Planc {
            done.says(pointer);
        }
        container.assert_gone();
    }
}

fn errnos_of_actions_without_one_are_refused(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/seccomp", json!({"defaultAction": ALLOW, "defaultErrnoRet": 1}));
    scene.refused(&bundle, "/linux/seccomp/defaultErrnoRet");
    bundle.set("/linux/seccomp", on_mkdir(json!({"action": "SCMP_ACT_KILL", "errnoRet": 1})));
    scene.refused(&bundle, "/linux/seccomp/syscalls/0/errnoRet");
    bundle.set("/linux/seccomp", on_mkdir(json!({"errnoRet": 4096})));
    scene.refused(&bundle, "/linux/seccomp/syscalls/0/errnoRet");
}

fn flags_that_are_absent_are_not_empty(scene: &Scene) {
    for (flags, shown) in [
        (Value::Null, "instructions, SPEC_ALLOW  ["),
        (json!([]), "instructions  ["),
        (json!(["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]), "instructions, LOG  ["),
        // Nothing is waited for.
        (json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]), "instructions  ["),
    ] {
        let mut bundle = scene.bundle();
        let mut profile = json!({"defaultAction": ALLOW});
        if !flags.is_null() {
            profile["flags"] = flags;
        }
        bundle.set("/linux/seccomp", profile).write();
        let plan = scene.rt(&["explain", "--bundle", bundle.arg()]);
        assert!(plan.ok().stdout.contains(shown), "{shown}: {}", plan.stdout);
        scene.container(&bundle).run().ok();
    }
}
