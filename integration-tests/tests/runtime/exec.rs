//! `exec`: one more process in a container that is there already.

use std::fs;
use std::path::{Path, PathBuf};

use integration_tests::bundle::{Bundle, default_config};
use integration_tests::harness::Need;
use integration_tests::lane::Lane;
use integration_tests::process;
use integration_tests::runtime::{Call, Done};
use integration_tests::scene::{Container, Scene};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

integration_tests::tests! {
    passes_the_exit_code_and_the_streams,
    says_128_and_the_signal,
    forwards_signals [Need::Planc],
    keeps_the_flags_of_the_command,
    detached_leaves_it_running,
    pid_file_is_the_bare_pid,
    joins_every_namespace,
    joins_a_user_namespace,
    joins_what_the_container_joined,
    joins_the_hosts_namespaces_of_a_user_namespace [Need::Planc],
    joins_a_container_in_the_pid_namespace_of_the_host,
    joins_a_time_namespace [Need::TimeNamespaces, Need::Spec(1, 1)],
    joins_a_created_container,
    is_in_the_cgroup_of_the_container,
    a_cgroup_below_can_be_asked_for,
    refuses_a_cgroup_outside_of_it,
    is_not_in_a_cgroup_that_is_another_by_now [Need::Planc, Need::Cgroupfs],
    goes_where_init_went [Need::Lane(Lane::Uml)],
    leads_a_session,
    the_user_is_by_number_only,
    an_id_has_32_bits [Need::Planc],
    groups_are_added,
    capabilities_are_added_and_never_inheritable,
    variables_are_added_in_order,
    of_a_variable_set_twice_the_last_counts [Need::Planc],
    the_environment_is_the_containers_alone,
    the_home_directory_is_looked_up,
    the_working_directory_must_be_there,
    no_new_privileges_can_be_had,
    limits_are_the_processes_own,
    oom_score_is_the_containers,
    a_file_describes_all_of_it,
    a_file_says_the_umask [Need::Planc],
    a_file_that_is_wrong_is_refused,
    the_bundle_may_have_changed [Need::Planc],
    a_program_that_is_missing_is_255,
    a_program_that_cannot_be_executed_is_255,
    refuses_a_stopped_container,
    refuses_an_unknown_container,
    refuses_no_arguments,
    nothing_is_left_of_a_failed_one [Need::Planc],
    many_at_once,
}

/// A container that runs and does nothing.
fn container<'s>(scene: &'s Scene, bundle: &mut Bundle) -> Container<'s> {
    let container = scene.container(bundle.sleep());
    container.run_detached();
    container
}

/// Runs a shell script in a container; its output.
#[track_caller]
fn sh(container: &Container<'_>, options: &[&str], script: &str) -> String {
    let done = container.exec(options, &["/bin/sh", "-c", script]);
    done.ok();
    done.stdout
}

fn passes_the_exit_code_and_the_streams(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    fs::write(scene.path("in"), "from outside\n").unwrap();
    let call = container.exec_call(&[], &["sh", "-c", "read line; echo \"out: $line\"; echo err >&2; exit 42"]);
    let done = call.stdin(fs::File::open(scene.path("in")).unwrap()).done();
    done.exits(42);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out: from outside\n", "err\n"));
    container.exec(&[], &["true"]).ok();
    assert_eq!(container.status(), "running");
    container.delete_force();
}

fn says_128_and_the_signal(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    container.exec(&[], &["sh", "-c", "kill -KILL $$"]).exits(137);
    container.exec(&[], &["sh", "-c", "kill -TERM $$"]).exits(143);
    container.delete_force();
}

/// runc's exec forwards them too, but only once its own process is set up: a signal that comes before ends it.
fn forwards_signals(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    let script = "trap 'echo got it; exit 7' USR1; echo ready; while :; do sleep 0.05; done";
    let running = container.exec_call(&[], &["sh", "-c", script]).spawn();
    scene.wait_until("the trap is set", || running.printed() == "ready\n");
    kill(Pid::from_raw(running.pid() as i32), Signal::SIGUSR1).unwrap();
    let done = running.wait();
    done.exits(7);
    assert_eq!(done.stdout, "ready\ngot it\n");
    container.delete_force();
}

fn keeps_the_flags_of_the_command(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    let done = container.exec(&[], &["echo", "-d", "--tty", "--", "-u", "x"]);
    assert_eq!(done.ok().stdout, "-d --tty -- -u x\n");
    container.delete_force();
}

fn detached_leaves_it_running(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    let file = scene.path("pid");
    let options = ["--detach", "--pid-file", file.to_str().unwrap()];
    container.exec(&options, &["sleep", "1000"]).ok();
    let pid: u32 = fs::read_to_string(&file).unwrap().parse().unwrap();
    assert!(process::runs(pid));
    container.delete_force();
    assert!(!process::runs(pid), "it goes with the container");
}

fn pid_file_is_the_bare_pid(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    let call = container.exec_call(&["-d", "--pid-file", "pid"], &["sleep", "1000"]);
    call.dir(&scene.path("")).done().ok();
    let text = fs::read_to_string(scene.path("pid")).unwrap();
    assert!(text.bytes().all(|byte| byte.is_ascii_digit()), "{text:?}");
    container.delete_force();
}

/// A detached process of a container, by its pid on the host.
#[track_caller]
fn detached(scene: &Scene, container: &Container<'_>, options: &[&str]) -> u32 {
    let file = scene.path("detached-pid");
    let own = ["--detach", "--pid-file", file.to_str().unwrap()];
    container.exec(&[&own, options].concat(), &["sleep", "1000"]).ok();
    fs::read_to_string(&file).unwrap().parse().unwrap()
}

#[track_caller]
fn assert_joins(scene: &Scene, bundle: &mut Bundle) {
    let container = container(scene, bundle);
    let pid = detached(scene, &container, &[]);
    let (own, inits) = (process::namespaces(pid), process::namespaces(container.pid()));
    let roots = [pid, container.pid()].map(|pid| fs::metadata(format!("/proc/{pid}/root/.")).unwrap());
    container.delete_force();
    assert_eq!(own, inits);
    use std::os::unix::fs::MetadataExt;
    assert_eq!((roots[0].dev(), roots[0].ino()), (roots[1].dev(), roots[1].ino()), "the same root directory");
}

fn joins_every_namespace(scene: &Scene) {
    assert_joins(scene, &mut scene.bundle());
}

fn joins_a_user_namespace(scene: &Scene) {
    assert_joins(scene, scene.bundle().user_namespace(100_000));
    let mut bundle = scene.bundle();
    let container = container(scene, bundle.user_namespace(100_000));
    assert_eq!(sh(&container, &["-u", "1000:1000", "-g", "7"], "id -u; id -g; id -G"), "1000\n1000\n1000 7\n");
    assert_eq!(sh(&container, &[], "id -u; id -G"), "0\n0\n");
    container.delete_force();
}

/// Makes these namespaces those of another container.
fn share(bundle: &mut Bundle, pid: u32, kinds: &[(&str, &str)]) {
    bundle.remove("/hostname");
    for (kind, name) in kinds {
        bundle.namespace(kind, Some(&format!("/proc/{pid}/ns/{name}")));
    }
}

fn joins_what_the_container_joined(scene: &Scene) {
    let sandbox = container(scene, &mut scene.bundle());
    let mut bundle = scene.bundle();
    share(&mut bundle, sandbox.pid(), &[("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts")]);
    assert_joins(scene, &mut bundle);
    sandbox.delete_force();
}

/// Namespaces that belong to the host's user namespace are joined with the host's privileges, which end with the
/// container's user namespace (setns(2)). (runc 1.1.5 joins that one first, and can then join no other.)
fn joins_the_hosts_namespaces_of_a_user_namespace(scene: &Scene) {
    let sandbox = container(scene, &mut scene.bundle());
    let mut bundle = scene.bundle();
    share(bundle.user_namespace(100_000).unmount("/sys"), sandbox.pid(), &[("network", "net"), ("uts", "uts")]);
    assert_joins(scene, &mut bundle);
    sandbox.delete_force();
}

fn joins_a_container_in_the_pid_namespace_of_the_host(scene: &Scene) {
    let mut bundle = scene.bundle();
    assert_joins(scene, bundle.namespace("pid", None));
}

/// A created container's init is not in its time namespace before it executes the program.
fn joins_a_time_namespace(scene: &Scene) {
    assert_joins(scene, scene.bundle().namespace("time", Some("")));
    let mut bundle = scene.bundle();
    let container = scene.container(bundle.namespace("time", Some("")).sleep());
    container.create();
    let pid = detached(scene, &container, &[]);
    container.start();
    let times = [pid, container.pid()].map(|pid| process::namespaces(pid)["time"].clone());
    container.delete_force();
    assert_eq!(times[0], times[1]);
}

fn joins_a_created_container(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.create();
    assert_eq!(sh(&container, &[], "hostname"), "container\n");
    assert_eq!(container.status(), "created");
    container.delete_force();
}

/// The unified hierarchy's line of /proc/PID/cgroup.
fn cgroup(pid: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    text.lines().find_map(|line| line.strip_prefix("0::")).unwrap().to_owned()
}

/// Its directory, as the test sees it.
fn cgroup_dir(pid: u32) -> PathBuf {
    Path::new("/sys/fs/cgroup").join(cgroup(pid).trim_start_matches('/'))
}

fn is_in_the_cgroup_of_the_container(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    let pid = detached(scene, &container, &[]);
    let cgroups = [pid, container.pid()].map(cgroup);
    container.delete_force();
    assert_eq!(cgroups[0], cgroups[1]);
    assert_ne!(cgroups[0], cgroup(std::process::id()));
}

fn a_cgroup_below_can_be_asked_for(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    let dir = cgroup_dir(container.pid());
    fs::create_dir_all(dir.join("a/b")).unwrap();
    for below in ["a/b", "/a/b"] {
        let pid = detached(scene, &container, &["--cgroup", below]);
        assert_eq!(cgroup_dir(pid), dir.join("a/b"));
    }
    container.exec(&["--cgroup", "nosuch"], &["true"]).exits(255);
    container.delete_force();
}

/// SECURITY.md T-51.
fn refuses_a_cgroup_outside_of_it(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    for outside in ["..", "../x", "a/../../..", "/../..", "x\ny", &"x".repeat(4096)] {
        container.exec(&["--cgroup", outside], &["true"]).exits(255);
    }
    container.delete_force();
}

/// Whatever has the name of the container's cgroup by now, it is not the container's. (runc goes by the name.)
fn is_not_in_a_cgroup_that_is_another_by_now(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    let (pid, dir) = (container.pid(), cgroup_dir(container.pid()));
    // Where a controller is handed down the one above takes no process.
    let beside = dir.with_extension("beside");
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("cgroup.procs"), pid.to_string()).unwrap();
    scene.wait_until("the cgroup can be removed", || fs::remove_dir(&dir).is_ok());
    fs::create_dir(&dir).unwrap();
    let joined = detached(scene, &container, &[]);
    let (cgroup, own) = (cgroup_dir(joined), container.exec(&["--cgroup", "/"], &["true"]));
    container.delete_force();
    scene.wait_until("the process has ended", || fs::remove_dir(&beside).is_ok());
    fs::remove_dir(&dir).unwrap();
    assert_eq!(cgroup, beside);
    own.exits(255).says(" cgroup").says("o such file or directory");
}

/// A container that manages its own cgroups: none of its processes may be in a cgroup whose children are controlled.
fn goes_where_init_went(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    let dir = cgroup_dir(container.pid());
    fs::create_dir(dir.join("init")).unwrap();
    fs::write(dir.join("init/cgroup.procs"), container.pid().to_string()).unwrap();
    fs::write(dir.join("cgroup.subtree_control"), "+pids").unwrap();
    let pid = detached(scene, &container, &[]);
    assert_eq!(cgroup_dir(pid), dir.join("init"));
    // Who names the container's own cgroup means no other.
    let done = container.exec(&["--cgroup", "/"], &["true"]);
    done.exits(255).says(" adding pid ").says(" to cgroups").says("evice or resource busy");
    container.delete_force();
}

fn leads_a_session(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    let pid = detached(scene, &container, &[]);
    assert_eq!(process::stat(pid).unwrap().session, pid);
    container.delete_force();
}

/// CVE-2026-30892, SECURITY.md T-31: `1` is uid 1, not uid 0 of a name that begins so.
fn the_user_is_by_number_only(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    assert_eq!(sh(&container, &["-u", "1"], "id -u; id -g"), "1\n0\n");
    assert_eq!(sh(&container, &["-u", "1000:7"], "id -u; id -g"), "1000\n7\n");
    for odd in ["root", "1x", ":", "1:", "-1", "1:x"] {
        container.exec(&["--user", odd], &["true"]).exits(255);
    }
    container.delete_force();
}

/// (runc 1.1.5 takes 2^32 for root, and the id that means none, too.)
fn an_id_has_32_bits(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    for none in ["4294967296", "4294967295"] {
        container.exec(&["--user", none], &["true"]).exits(255);
    }
    container.delete_force();
}

fn groups_are_added(scene: &Scene) {
    let mut bundle = scene.bundle();
    let container = container(scene, bundle.set("/process/user/additionalGids", json!([3])));
    assert_eq!(sh(&container, &["--additional-gids", "7", "--additional-gids", "8"], "id -G"), "0 3 7 8\n");
    container.delete_force();
}

/// CVE-2022-29162, SECURITY.md T-32. Without inheritable ones in the container's own sets nothing becomes ambient.
fn capabilities_are_added_and_never_inheritable(scene: &Scene) {
    const CHOWN: u64 = 1;
    const KILL: u64 = 1 << 5;
    let mut bundle = scene.bundle();
    let container = container(scene, bundle.capabilities(&["CAP_KILL"]));
    let sets = |options: &[&str]| {
        let done = container.exec(options, &["cat", "/proc/self/status"]);
        let set = |key| u64::from_str_radix(&process::status_line(&done.ok().stdout, key).unwrap(), 16).unwrap();
        ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(set)
    };
    assert_eq!(sets(&[]), [0, KILL, KILL, KILL, 0]);
    let both = KILL | CHOWN;
    assert_eq!(sets(&["--cap", "CAP_CHOWN"]), [0, both, both, both, 0]);
    assert_eq!(sets(&["-c", "CAP_CHOWN", "-u", "1000"]), [0, 0, 0, both, 0]);
    container.delete_force();
}

fn variables_are_added_in_order(scene: &Scene) {
    let mut bundle = scene.bundle();
    let container = container(scene, bundle.set("/process/env", json!(["PATH=/bin", "A=1", "HOME=/x"])));
    let done = container.exec(&["-e", "B=2", "-e", "C=x y=z"], &["env"]);
    assert_eq!(done.ok().stdout, "PATH=/bin\nA=1\nHOME=/x\nB=2\nC=x y=z\n");
    container.delete_force();
}

/// Where it stands, as for a container's own process. (runc 1.1.5 has the last value in the first one's place.)
fn of_a_variable_set_twice_the_last_counts(scene: &Scene) {
    let mut bundle = scene.bundle();
    let container = container(scene, bundle.set("/process/env", json!(["A=1", "PATH=/bin", "HOME=/x"])));
    let done = container.exec(&["-e", "A=2", "-e", "B=1", "-e", "B=2"], &["env"]);
    assert_eq!(done.ok().stdout, "PATH=/bin\nHOME=/x\nA=2\nB=2\n");
    container.delete_force();
}

fn the_environment_is_the_containers_alone(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    let done = container.exec_call(&[], &["env"]).env("SECRET", "of the caller").env("LD_PRELOAD", "").done();
    assert!(!done.ok().stdout.contains("SECRET") && !done.stdout.contains("LD_PRELOAD"), "{done}");
    container.delete_force();
}

fn the_home_directory_is_looked_up(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    assert_eq!(sh(&container, &["-u", "1000"], "echo $HOME"), "/home/user\n");
    assert_eq!(sh(&container, &[], "echo $HOME"), "/root\n");
    container.delete_force();
}

/// SECURITY.md T-05: nothing is made for an exec, and nothing of the host can be reached.
fn the_working_directory_must_be_there(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    assert_eq!(sh(&container, &["--cwd", "/tmp"], "pwd"), "/tmp\n");
    container.exec(&["--cwd", "/nosuch"], &["pwd"]).exits(255);
    container.exec(&["--cwd", "/etc/passwd"], &["pwd"]).exits(255);
    for fd in 3..32 {
        container.exec(&["--cwd", &format!("/proc/self/fd/{fd}")], &["pwd"]).exits(255);
    }
    container.delete_force();
}

fn no_new_privileges_can_be_had(scene: &Scene) {
    let mut bundle = scene.bundle();
    let container = container(scene, bundle.set("/process/noNewPrivileges", false));
    let flag = |options: &[&str]| {
        let done = container.exec(options, &["cat", "/proc/self/status"]);
        process::status_line(&done.ok().stdout, "NoNewPrivs").unwrap()
    };
    assert_eq!(flag(&["--no-new-privs"]), "1");
    assert_eq!(flag(&[]), "0");
    container.delete_force();
}

/// A process's description with these members instead of the default ones.
fn process_file(scene: &Scene, members: Value) -> String {
    let mut process = default_config()["process"].clone();
    for (key, value) in members.as_object().unwrap() {
        process[key] = value.clone();
    }
    let path = scene.path("process.json");
    fs::write(&path, process.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn limits_are_the_processes_own(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    let limits = json!([{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 99}]);
    let args = json!(["/bin/sh", "-c", "ulimit -Sn; ulimit -Hn"]);
    let file = process_file(scene, json!({"rlimits": limits, "args": args}));
    assert_eq!(container.exec(&["--process", &file], &[]).ok().stdout, "10\n99\n");
    assert_eq!(sh(&container, &[], "ulimit -Sn"), "1024\n");
    container.delete_force();
}

fn oom_score_is_the_containers(scene: &Scene) {
    let mut bundle = scene.bundle();
    let container = container(scene, bundle.set("/process/oomScoreAdj", 321));
    assert_eq!(sh(&container, &[], "cat /proc/self/oom_score_adj"), "321\n");
    container.delete_force();
}

/// What containerd and conmon do: every word of it is in the file.
fn a_file_describes_all_of_it(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    let file = process_file(
        scene,
        json!({
            "args": ["/bin/sh", "-c", "id -u; id -G; pwd; echo $A"],
            "user": {"uid": 12, "gid": 13, "additionalGids": [14]},
            "cwd": "/tmp",
            "env": ["A=b", "PATH=/bin"]
        }),
    );
    let done = container.exec(&["--process", &file], &[]);
    assert_eq!(done.ok().stdout, "12\n13 14\n/tmp\nb\n");
    container.delete_force();
}

/// config.md#posix-platform-user; runc 1.1.5 does not look at it in an exec.
fn a_file_says_the_umask(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    let user = json!({"uid": 0, "gid": 0, "umask": 63});
    let file = process_file(scene, json!({"args": ["/bin/sh", "-c", "umask"], "user": user}));
    assert_eq!(container.exec(&["--process", &file], &[]).ok().stdout, "0077\n");
    container.delete_force();
}

fn a_file_that_is_wrong_is_refused(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    let path = scene.path("wrong.json");
    let file = path.to_str().unwrap();
    container.exec(&["--process", file], &[]).exits(255);
    for wrong in ["", "{", "[]", "null", "{\"args\": 7}", "{}", "{\"cwd\":\"x\",\"args\":[\"true\"]}"] {
        fs::write(&path, wrong).unwrap();
        container.exec(&["--process", file], &[]).exits(255);
    }
    container.delete_force();
}

/// runtime.md#lifecycle: changes of config.json after create are none of the container's.
fn the_bundle_may_have_changed(scene: &Scene) {
    let mut bundle = scene.bundle();
    let container = container(scene, bundle.set("/process/env", json!(["PATH=/bin", "A=before"])));
    bundle.set("/process/env", json!(["A=after"])).write();
    assert_eq!(sh(&container, &[], "echo $A"), "before\n");
    fs::remove_file(bundle.dir().join("config.json")).unwrap();
    assert_eq!(sh(&container, &[], "echo $A"), "before\n");
    container.delete_force();
}

/// FEATURES.md table 3.b: engines map these words to 127 and 126.
fn a_program_that_is_missing_is_255(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    container.exec(&[], &["nosuch"]).exits(255).says("executable file not found in $PATH");
    container.exec(&[], &["/nosuch"]).exits(255).says("no such file or directory");
    container.exec(&[], &["nosuch"]).says("exec failed: ");
    container.delete_force();
}

fn a_program_that_cannot_be_executed_is_255(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    container.exec(&[], &["/etc/passwd"]).exits(255).says("permission denied");
    container.delete_force();
}

fn refuses_a_stopped_container(scene: &Scene) {
    let container = scene.container(&scene.bundle());
    container.run_call(&["--keep"]).done().ok();
    container.exec(&[], &["true"]).exits(255).says("cannot exec in a stopped container");
    container.delete();
}

fn refuses_an_unknown_container(scene: &Scene) {
    scene.rt(&["exec", "nosuch", "true"]).exits(255).says("does not exist");
}

fn refuses_no_arguments(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    container.exec(&[], &[]).exits(255);
    scene.rt(&["exec"]).exits(1).says("requires a minimum of 1 argument(s)");
    container.delete_force();
}

/// runtime.md#errors: no process, and no pid file of a process that never ran. (runc 1.1.5 leaves the file.)
fn nothing_is_left_of_a_failed_one(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/root/readonly", false);
    let container = container(scene, &mut bundle);
    fs::write(bundle.rootfs("bin/text"), "this is no program").unwrap();
    fs::set_permissions(bundle.rootfs("bin/text"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let before = scene.snapshot();
    let file = scene.path("pid");
    container.exec(&["--pid-file", file.to_str().unwrap()], &["/bin/text"]).exits(255);
    assert!(!file.exists());
    assert_eq!(scene.differences_from(&before), [""; 0]);
    container.delete_force();
}

/// Two hundred, twenty at a time; every one answers, and no zombie is left of any.
fn many_at_once(scene: &Scene) {
    let container = container(scene, &mut scene.bundle());
    let before = scene.snapshot();
    for round in 0..10 {
        let calls: Vec<Call> =
            (0..20).map(|n| container.exec_call(&[], &["sh", "-c", &format!("exit {}", round * 20 + n)])).collect();
        let running: Vec<_> = calls.into_iter().map(Call::spawn).collect();
        let codes: Vec<i32> = running.into_iter().map(|running| running.wait()).map(|done: Done| done.code()).collect();
        assert_eq!(codes, (0..20).map(|n| round * 20 + n).collect::<Vec<_>>());
    }
    assert_eq!(scene.differences_from(&before), [""; 0], "neither a process nor a zombie");
    container.delete_force();
}
