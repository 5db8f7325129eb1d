//! The process (runtime-spec config.md#process): its program, directory, environment, limits, identity and descriptors.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::scene::Scene;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::{Gid, getgroups, setgroups};
use serde_json::json;

integration_tests::tests! {
    directory_is_entered,
    directory_is_made_if_missing,
    refuses_a_relative_directory,
    refuses_a_directory_that_is_a_file,
    refuses_a_directory_of_the_host,
    environment_is_as_configured,
    environment_keeps_the_last_of_a_name,
    home_is_that_of_the_user,
    refuses_a_variable_without_a_value,
    program_is_found_in_the_containers_path,
    program_not_in_path,
    program_that_is_missing,
    program_that_is_not_executable,
    refuses_no_program,
    refuses_no_process,
    limits_are_lowered,
    refuses_an_unknown_rlimit,
    refuses_a_duplicate_rlimit,
    user_and_groups,
    groups_of_the_caller_are_dropped,
    groups_of_root_are_not_kept_by_annotation,
    umask_is_0022_by_default,
    umask_is_as_configured,
    oom_score_is_raised,
    oom_score_is_inherited,
    refuses_an_oom_score_out_of_range,
    sysctl_of_its_network_namespace,
    sysctl_with_slashes,
    refuses_a_sysctl_of_the_host,
    refuses_a_sysctl_of_a_shared_namespace,
    sysctl_of_its_ipc_namespace,
    sysctl_of_its_domain_name,
    sysctl_of_its_user_namespace [Need::Planc],
    refuses_the_host_name_as_a_sysctl,
    keyring_is_its_own,
    keyring_is_the_callers_when_asked,
    descriptors_of_the_caller_are_closed,
    signals_are_reset,
    ignored_signals_are_reset [Need::Planc],
    leads_a_session,
    is_a_child_of_nobody_in_the_way,
}

/// The program `cat /proc/self/status` in the bundle's container.
fn status(scene: &Scene, bundle: &mut Bundle) -> String {
    let done = scene.container(bundle.args(&["cat", "/proc/self/status"])).run();
    done.ok();
    done.stdout
}

#[track_caller]
fn line(status: &str, key: &str) -> String {
    process::status_line(status, key).unwrap_or_else(|| panic!("no {key} in {status}"))
}

fn directory_is_entered(scene: &Scene) {
    assert_eq!(scene.sh(scene.bundle().set("/process/cwd", "/tmp"), "pwd"), "/tmp\n");
}

fn directory_is_made_if_missing(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/process/cwd", "/new/deep");
    assert_eq!(scene.sh(&mut bundle, "pwd; stat -c %a /new/deep"), "/new/deep\n755\n");
}

fn refuses_a_relative_directory(scene: &Scene) {
    for cwd in ["tmp", "./tmp", ""] {
        scene.refused(scene.bundle().set("/process/cwd", cwd), "/process/cwd");
    }
}

fn refuses_a_directory_that_is_a_file(scene: &Scene) {
    scene.refused(scene.bundle().set("/process/cwd", "/etc/passwd"), "/process/cwd");
}

/// CVE-2024-21626 (SECURITY.md T-05): no descriptor of the runtime is a way out.
fn refuses_a_directory_of_the_host(scene: &Scene) {
    fs::write(scene.path("canary"), "").unwrap();
    for fd in 3..16 {
        let mut bundle = scene.bundle();
        bundle.set("/process/cwd", format!("/proc/self/fd/{fd}"));
        let done = scene.container(bundle.sh("pwd; ls; ls ..")).run();
        if done.status.success() {
            assert!(!done.stdout.contains("unreachable") && !done.stdout.contains("cgroup"), "{fd}: {done}");
        } else {
            assert!(!done.stderr.trim().is_empty(), "{done}");
        }
    }
}

fn environment_is_as_configured(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/process/env", json!(["PATH=/bin", "B=2", "A=with = and space", "EMPTY=", "HOME=/tmp"]));
    let done = scene.container(bundle.args(&["/bin/env"])).run();
    assert_eq!(done.ok().stdout, "PATH=/bin\nB=2\nA=with = and space\nEMPTY=\nHOME=/tmp\n");
}

fn environment_keeps_the_last_of_a_name(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/process/env", json!(["PATH=/none", "A=1", "HOME=/tmp", "A=2", "PATH=/bin"]));
    let done = scene.container(bundle.args(&["env"])).run();
    let mut lines: Vec<&str> = done.ok().stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=2", "HOME=/tmp", "PATH=/bin"]);
}

fn home_is_that_of_the_user(scene: &Scene) {
    for (uid, env, home) in [
        (0, json!(["PATH=/bin"]), "/root"),
        (1000, json!(["PATH=/bin"]), "/home/user"),
        (4242, json!(["PATH=/bin"]), "/"),
        (0, json!(["PATH=/bin", "HOME=/else"]), "/else"),
        (1000, json!(["PATH=/bin", "HOME="]), "/home/user"),
    ] {
        let mut bundle = scene.bundle();
        bundle.set("/process/env", env.clone()).set("/process/user/uid", uid);
        assert_eq!(scene.sh(&mut bundle, "echo $HOME"), format!("{home}\n"), "uid {uid}, {env}");
    }
}

fn refuses_a_variable_without_a_value(scene: &Scene) {
    for variable in ["NOVALUE", "=value"] {
        scene.refused(scene.bundle().set("/process/env/-", variable), "/process/env/2");
    }
}

fn program_is_found_in_the_containers_path(scene: &Scene) {
    let mut bundle = scene.bundle();
    fs::create_dir(bundle.rootfs("/only")).unwrap();
    fs::rename(bundle.rootfs("/bin/busybox"), bundle.rootfs("/only/echo")).unwrap();
    bundle.set("/process/env", json!(["PATH=/none:/only"]));
    assert_eq!(scene.container(bundle.args(&["echo", "found"])).run().ok().stdout, "found\n");
}

/// The three texts that engines turn into exit codes 127 and 126.
fn program_not_in_path(scene: &Scene) {
    scene.refused(scene.bundle().args(&["nosuch"]), "/process/args/0").says("executable file not found in $PATH");
    let mut bundle = scene.bundle();
    bundle.set("/process/env", json!(["PATH=/none"]));
    scene.refused(bundle.args(&["sh"]), "/process/args/0").says("executable file not found in $PATH");
}

fn program_that_is_missing(scene: &Scene) {
    scene.refused(scene.bundle().args(&["/nosuch"]), "/process/args/0").says("no such file or directory");
}

fn program_that_is_not_executable(scene: &Scene) {
    let mut bundle = scene.bundle();
    fs::write(bundle.rootfs("/bin/plain"), "").unwrap();
    scene.refused(bundle.args(&["/bin/plain"]), "/process/args/0").says("permission denied");
    scene.refused(bundle.args(&["/etc"]), "/process/args/0");
    fs::set_permissions(bundle.rootfs("/bin/busybox"), fs::Permissions::from_mode(0o700)).unwrap();
    bundle.set("/process/user/uid", 1000);
    scene.refused(bundle.args(&["/bin/true"]), "/process/args/0").says("permission denied");
}

fn refuses_no_program(scene: &Scene) {
    scene.refused(scene.bundle().args(&[]), "/process/args").says("args must not be empty");
    scene.refused(scene.bundle().remove("/process/args"), "/process/args").says("args must not be empty");
}

fn refuses_no_process(scene: &Scene) {
    scene.refused(scene.bundle().remove("/process"), "/process").says("process property must not be empty");
}

fn limits_are_lowered(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set(
        "/process/rlimits",
        json!([
            {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 4096},
            {"type": "RLIMIT_STACK", "soft": 1_048_576, "hard": 2_097_152}
        ]),
    );
    let seen = scene.sh(&mut bundle, "cat /proc/self/limits");
    for (name, soft, hard) in [
        ("Max open files", "100", "200"),
        ("Max core file size", "0", "4096"),
        ("Max stack size", "1048576", "2097152"),
    ] {
        let line = seen.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert_eq!(line.split_whitespace().take(2).collect::<Vec<_>>(), [soft, hard], "{name}");
    }
}

fn refuses_an_unknown_rlimit(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/process/rlimits/-", json!({"type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1}));
    scene.refused(&bundle, "/process/rlimits/1");
}

fn refuses_a_duplicate_rlimit(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/process/rlimits/-", json!({"type": "RLIMIT_NOFILE", "soft": 10, "hard": 10}));
    scene.refused(&bundle, "/process/rlimits/1");
}

fn user_and_groups(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 7]}));
    let status = status(scene, &mut bundle);
    assert_eq!((line(&status, "Uid"), line(&status, "Gid")), (["1000"; 4].join("\t"), ["1001"; 4].join("\t")));
    assert_eq!(line(&status, "Groups"), "5 7");
}

/// SECURITY.md T-33: an absent or empty list means none, not those of whoever called.
fn groups_of_the_caller_are_dropped(scene: &Scene) {
    let own = getgroups().unwrap();
    setgroups(&[Gid::from_raw(0), Gid::from_raw(27)]).unwrap();
    let mut bundle = scene.bundle();
    let absent = line(&status(scene, &mut bundle), "Groups");
    let empty = line(&status(scene, bundle.set("/process/user/additionalGids", json!([]))), "Groups");
    setgroups(&own).unwrap();
    assert_eq!((absent.as_str(), empty.as_str()), ("", ""));
}

/// What Podman asks by for a user without privilege is nothing that an image could ask root for (CVE-2023-25173).
fn groups_of_root_are_not_kept_by_annotation(scene: &Scene) {
    let own = getgroups().unwrap();
    setgroups(&[Gid::from_raw(0), Gid::from_raw(27)]).unwrap();
    let mut bundle = scene.bundle();
    bundle.set("/process/user/additionalGids", json!([5]));
    bundle.set("/annotations", json!({"run.oci.keep_original_groups": "1"}));
    let groups = line(&status(scene, &mut bundle), "Groups");
    setgroups(&own).unwrap();
    assert_eq!(groups, "5");
}

fn umask_is_0022_by_default(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.sh("umask").write();
    let id = scene.id();
    let done = scene.call_by(&["sh", "-c", "umask 077; exec \"$@\"", "sh"], &["run", "-b", bundle.arg(), &id]).done();
    assert_eq!(done.ok().stdout, "0022\n");
}

fn umask_is_as_configured(scene: &Scene) {
    assert_eq!(scene.sh(scene.bundle().set("/process/user/umask", 0o027), "umask"), "0027\n");
    assert_eq!(scene.sh(scene.bundle().set("/process/user/umask", 0), "umask"), "0000\n");
}

fn oom_score_is_raised(scene: &Scene) {
    assert_eq!(scene.sh(scene.bundle().set("/process/oomScoreAdj", 567), "cat /proc/self/oom_score_adj"), "567\n");
}

fn oom_score_is_inherited(scene: &Scene) {
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_eq!(scene.sh(&mut scene.bundle(), "cat /proc/self/oom_score_adj"), own);
}

fn refuses_an_oom_score_out_of_range(scene: &Scene) {
    scene.refused(scene.bundle().set("/process/oomScoreAdj", 1001), "/process/oomScoreAdj");
}

fn sysctl_of_its_network_namespace(scene: &Scene) {
    let outside = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    let other = if outside.trim() == "1" { "0" } else { "1" };
    let mut bundle = scene.bundle();
    bundle.set("/linux/sysctl", json!({"net.ipv4.ip_forward": other, "kernel.msgmax": "12345"}));
    let seen = scene.sh(&mut bundle, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax");
    assert_eq!(seen, format!("{other}\n12345\n"));
    assert_eq!(fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(), outside);
}

fn sysctl_with_slashes(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/sysctl", json!({"net/ipv4/conf/lo/forwarding": "1"}));
    assert_eq!(scene.sh(&mut bundle, "cat /proc/sys/net/ipv4/conf/lo/forwarding"), "1\n");
}

fn refuses_a_sysctl_of_the_host(scene: &Scene) {
    for key in ["kernel.panic", "vm.swappiness", "kernel.core_pattern"] {
        let done =
            scene.refused(scene.bundle().set("/linux/sysctl", json!({key: "1"})), &format!("/linux/sysctl/{key}"));
        done.says("is not in a separate kernel namespace");
    }
}

/// Every one of ipc_namespaces(7).
fn sysctl_of_its_ipc_namespace(scene: &Scene) {
    let asked = json!({"kernel.msgmax": "12345", "kernel.msgmnb": "12346", "kernel.msgmni": "123",
        "kernel.sem": "100\t1000\t10\t50", "kernel.shmall": "4096", "kernel.shmmax": "65536", "kernel.shmmni": "7",
        "kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "9", "fs.mqueue.queues_max": "8"});
    for (key, value) in asked.as_object().unwrap() {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        let outside = fs::read_to_string(&path).unwrap();
        let mut bundle = scene.bundle();
        bundle.set("/linux/sysctl", json!({key: value}));
        assert_eq!(scene.sh(&mut bundle, &format!("cat {path}")).trim(), value.as_str().unwrap(), "{key}");
        assert_eq!(fs::read_to_string(&path).unwrap(), outside, "{key}");
    }
}

fn sysctl_of_its_domain_name(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/sysctl", json!({"kernel.domainname": "domain.example"}));
    assert_eq!(scene.sh(&mut bundle, "cat /proc/sys/kernel/domainname"), "domain.example\n");
    bundle.namespace("uts", None).remove("/hostname");
    scene.refused(&bundle, "/linux/sysctl/kernel.domainname");
}

/// runc takes them from 1.5 on.
fn sysctl_of_its_user_namespace(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/sysctl", json!({"user.max_uts_namespaces": "5"}));
    scene.refused(&bundle, "/linux/sysctl/user.max_uts_namespaces");
    bundle.user_namespace(200_000);
    assert_eq!(scene.sh(&mut bundle, "cat /proc/sys/user/max_uts_namespaces"), "5\n");
}

fn refuses_the_host_name_as_a_sysctl(scene: &Scene) {
    for key in ["kernel.hostname", "kernel/hostname"] {
        let pointer = format!("/linux/sysctl/{}", key.replace('/', "~1"));
        scene.refused(scene.bundle().set("/linux/sysctl", json!({key: "x"})), &pointer).says("hostname");
    }
}

fn refuses_a_sysctl_of_a_shared_namespace(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.namespace("network", None).set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}));
    scene.refused(&bundle, "/linux/sysctl/net.ipv4.ip_forward");
    let mut bundle = scene.bundle();
    bundle.namespace("ipc", None).set("/linux/sysctl", json!({"kernel.msgmax": "12345"}));
    scene.refused(&bundle, "/linux/sysctl/kernel.msgmax");
}

/// The session keyrings a program in the container can see by name; `options` go to `run`.
fn keyrings(scene: &Scene, options: &[&str]) -> (String, String) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/maskedPaths", json!([])).sh("cat /proc/keys");
    let container = scene.container(&bundle);
    let done = container.run_call(options).done();
    done.ok();
    (container.id.clone(), done.stdout)
}

fn keyring_is_its_own(scene: &Scene) {
    let (id, keys) = keyrings(scene, &[]);
    assert!(keys.contains(&id), "{keys}");
}

fn keyring_is_the_callers_when_asked(scene: &Scene) {
    let (id, keys) = keyrings(scene, &["--no-new-keyring"]);
    assert!(!keys.contains(&id), "{keys}");
}

/// SECURITY.md T-02: fifty descriptors of a careless caller, directories among them.
fn descriptors_of_the_caller_are_closed(scene: &Scene) {
    let leaked: Vec<File> =
        (0..50).map(|index| File::open(if index % 2 == 0 { "/" } else { "/dev/zero" }).unwrap()).collect();
    let inherit = |flags| leaked.iter().for_each(|file| assert!(fcntl(file, FcntlArg::F_SETFD(flags)).is_ok()));
    assert!(leaked.iter().any(|file| file.as_raw_fd() > 40));
    inherit(FdFlag::empty());
    let container = scene.container(scene.bundle().sleep());
    let done = container.run_call(&["--detach"]).done();
    inherit(FdFlag::FD_CLOEXEC);
    done.ok();
    let held = process::descriptors(container.pid());
    container.delete_force();
    assert_eq!(held.keys().copied().collect::<Vec<_>>(), [0, 1, 2], "{held:?}");
}

/// What whoever started the tests ignores may reach the container of a runtime that does not look; SIGPIPE may not. The
/// two signals between the classic and the real-time ones are libc's (nptl(7)); Go ignores one of them.
fn signals_are_reset(scene: &Scene) {
    const PIPE: u64 = 1 << 12;
    const LIBC: u64 = 3 << 31;
    let bits = |status: &str, key: &str| u64::from_str_radix(&line(status, key), 16).unwrap();
    let own = bits(&fs::read_to_string("/proc/self/status").unwrap(), "SigIgn") & !PIPE;
    let status = status(scene, &mut scene.bundle());
    assert_eq!((bits(&status, "SigBlk"), bits(&status, "SigCgt")), (0, 0));
    assert_eq!(bits(&status, "SigIgn") & !(own | LIBC), 0);
}

/// execve(2) keeps what is ignored; it is not the container's fault that its caller ignores something. (runc
/// 1.1.5 hands SIGHUP and SIGINT on.)
fn ignored_signals_are_reset(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.args(&["cat", "/proc/self/status"]).write();
    let id = scene.id();
    let ignore = ["sh", "-c", "trap '' HUP INT QUIT PIPE USR1 CHLD; exec \"$@\"", "sh"];
    let done = scene.call_by(&ignore, &["run", "-b", bundle.arg(), &id]).done();
    assert_eq!(line(&done.ok().stdout, "SigIgn"), "0".repeat(16));
}

fn leads_a_session(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let pid = container.pid();
    let session = process::stat(pid).unwrap().session;
    container.delete_force();
    assert_eq!(session, pid);
}

/// No process of the runtime outlives `create`: the container's parent is a reaper above it.
fn is_a_child_of_nobody_in_the_way(scene: &Scene) {
    let before = process::all();
    let container = scene.container(scene.bundle().sleep());
    container.create();
    let pid = container.pid();
    let parent = process::stat(pid).unwrap().parent;
    let new: Vec<u32> = process::all().into_keys().filter(|pid| !before.contains_key(pid)).collect();
    container.delete_force();
    assert!(before.contains_key(&parent), "its parent {parent} is new");
    assert_eq!(new, [pid], "one process more");
}
