//! Words, lines of the log and silences that people and programs know from runc: what is said is part of the interface.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::runtime::Kind;
use integration_tests::scene::Scene;
use serde_json::{Value, json};

use crate::hooks::script;

/// A kernel that lets root have SCHED_DEADLINE here (sched_setattr(2)).
const DEADLINE: Need = Need::Works("chrt -d -T 1000000 -D 2000000 -P 3000000 0 true");
const CPUSET: Need = Need::Works("grep -qw cpuset /sys/fs/cgroup/cgroup.controllers && test $(nproc) -ge 2");
const HUGETLB: Need = Need::Works(
    "grep -qw hugetlb /sys/fs/cgroup/cgroup.controllers && test -d /sys/kernel/mm/hugepages/hugepages-2048kB",
);

integration_tests::tests! {
    // runc says it since 1.2, and made the directory before.
    of_a_list_of_a_root_that_is_not_there[Need::Spec(1, 1)],
    of_a_cgroup_outside,
    of_a_hook_that_a_signal_killed,
    of_a_seccomp_agent_that_is_not_there,
    // The line alone, without the log's frame, is runc's since 1.2.
    of_a_program_that_has_no_interpreter[Need::Spec(1, 1)],
    of_a_program_that_has_no_interpreter_in_the_log[Need::Planc],
    of_a_bad_memory_policy[Need::Spec(1, 3)],
    of_deadlines_on_some_cpus[Need::Spec(1, 1), DEADLINE, CPUSET],
    a_nice_value_is_no_error_of_another_policy[Need::Spec(1, 2), DEADLINE],
    a_page_size_is_found_by_its_old_key[HUGETLB, Need::Cgroupfs],
    of_the_filter_s_flags[Need::Spec(1, 1)],
    // Which steps there are is each runtime's own.
    of_each_step_where_it_is_asked_for[Need::Planc],
    of_each_step_in_the_log_s_file_alone[Need::Planc],
    a_created_container_ends_by_a_signal_that_asks_for_it,
}

fn of_a_list_of_a_root_that_is_not_there(scene: &Scene) {
    let root = scene.path("no-root");
    scene.call(&["--root", root.to_str().unwrap(), "list"]).done().exits(1).fails().says("no-root");
    assert!(!root.exists(), "a list has made its directory");
}

/// runc 1.1, whose words for some of it were others.
fn is_old_runc(scene: &Scene) -> bool {
    scene.runtime.kind == Kind::Runc && scene.runtime.spec < (1, 1)
}

fn of_a_cgroup_outside(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let done = container.exec(&["--cgroup", ".."], &["true"]);
    done.exits(255).says(if is_old_runc(scene) { ".. is not a sub cgroup path" } else { "bad sub cgroup path" });
    container.exec(&["--cgroup", "nosuch"], &["true"]).exits(255).says(" cgroup").says("o such file or directory");
    container.delete_force();
}

fn of_a_hook_that_a_signal_killed(scene: &Scene) {
    for kind in ["createRuntime", "startContainer"] {
        for (signal, words) in [("TERM", "terminated"), ("KILL", "killed"), ("SYS", "bad system call")] {
            let mut bundle = scene.bundle();
            bundle.set("/hooks", json!({kind: [script(&format!("ulimit -c 0; kill -{signal} $$"))]}));
            let done = scene.container(&bundle).run();
            let kind = if is_old_runc(scene) { "" } else { kind };
            done.fails().says(&format!("error running {kind} hook #0:").replace("  ", " "));
            done.says(&format!("signal: {words}, stdout: "));
        }
    }
}

fn of_a_seccomp_agent_that_is_not_there(scene: &Scene) {
    let mut bundle = scene.bundle();
    let agent = scene.path("no-agent");
    let calls = json!([{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]);
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": agent, "syscalls": calls});
    bundle.set("/linux/seccomp", profile);
    let done = scene.container(&bundle).run();
    done.exits(1).fails().says("failed to connect with seccomp agent").says(agent.to_str().unwrap());
}

/// A bundle whose program is a script of an interpreter that is not there.
fn uninterpreted(scene: &Scene) -> Bundle {
    let mut bundle = scene.bundle();
    let program = bundle.rootfs("/run.sh");
    fs::write(&program, "#!/no/interpreter\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    bundle.args(&["/run.sh"]).write();
    bundle
}

fn of_a_program_that_has_no_interpreter(scene: &Scene) {
    let done = scene.container(&uninterpreted(scene)).run();
    done.exits(1);
    assert_eq!(done.stderr, "exec /run.sh: no such file or directory\n");
}

fn of_a_program_that_has_no_interpreter_in_the_log(scene: &Scene) {
    let (bundle, log) = (uninterpreted(scene), scene.path("log"));
    let options = ["--log", log.to_str().unwrap(), "--log-format", "json", "run", "--bundle", bundle.arg()];
    scene.rt(&[&options[..], &[&scene.id()]].concat()).exits(1);
    let lines = logged(&fs::read_to_string(&log).unwrap());
    let message = lines[0]["msg"].as_str().unwrap();
    assert_eq!((lines.len(), &lines[0]["level"]), (1, &json!("error")));
    assert!(message.starts_with("planc run failed: exec /run.sh: no such file or directory (step "), "{message}");
    assert!(message.ends_with("config.json /process/args)"), "{message}");
}

/// Lines of the JSON format.
fn logged(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn of_a_bad_memory_policy(scene: &Scene) {
    for (policy, words) in [
        (json!({}), "invalid memory policy"),
        (json!({"mode": "INTERLEAVE", "nodes": "0"}), "invalid memory policy"),
        (json!({"mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["badflag"]}), "invalid memory policy flag"),
        (json!({"nodes": "0-7"}), "invalid memory policy mode"),
        (json!({"mode": "MPOL_DEFAULT", "nodes": "0-7"}), "mode requires 0 nodes but got 8"),
        (json!({"mode": "MPOL_BIND", "nodes": "0-9876543210"}), "invalid memory policy node"),
    ] {
        let mut bundle = scene.bundle();
        bundle.set("/linux/memoryPolicy", policy);
        scene.refused(&bundle, "/linux/memoryPolicy").exits(1).says(words);
    }
}

fn deadline() -> Value {
    json!({"policy": "SCHED_DEADLINE", "nice": 19, "runtime": 42_000, "deadline": 1_000_000, "period": 1_000_000})
}

fn of_deadlines_on_some_cpus(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/resources", json!({"cpu": {"cpus": "0"}})).set("/process/scheduler", deadline());
    let words = "process scheduler can't be used together with AllowedCPUs";
    scene.container(&bundle).run().exits(1).fails().says(words);
}

fn a_nice_value_is_no_error_of_another_policy(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.sh("cut -d' ' -f41 < /proc/self/stat").set("/process/scheduler", deadline());
    let done = scene.container(&bundle).run();
    // SCHED_DEADLINE (linux/sched.h)
    assert_eq!(done.ok().stdout, "6\n", "{done}");
    assert_eq!(done.stderr, "");
}

/// Its key in config.json is `pageSize`. Go's readers take a key in any case, and some writers rely on it.
fn a_page_size_is_found_by_its_old_key(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.sleep().set("/linux/resources", json!({"hugepageLimits": [{"pagesize": "2MB", "limit": 2_097_152}]}));
    let container = scene.container(&bundle);
    container.run_detached();
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::")).unwrap().to_owned();
    let limit = fs::read_to_string(format!("/sys/fs/cgroup{path}/hugetlb.2MB.max"));
    container.delete_force();
    assert_eq!(limit.unwrap(), "2097152\n");
}

fn of_the_filter_s_flags(scene: &Scene) {
    for (flags, number) in [
        (None, 4),
        (Some(json!([])), 0),
        (Some(json!(["SECCOMP_FILTER_FLAG_LOG"])), 2),
        (Some(json!(["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG"])), 6),
    ] {
        let mut bundle = scene.bundle();
        let calls = json!([{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]);
        bundle.args(&["true"]).set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls}));
        if let Some(flags) = &flags {
            bundle.set("/linux/seccomp/flags", flags.clone());
        }
        let done = scene.rt(&["--debug", "run", "--bundle", bundle.write().arg(), &scene.id()]);
        done.ok().says(&format!("\"seccomp filter flags: {number}\""));
    }
}

fn of_each_step_where_it_is_asked_for(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.args(&["echo", "done"]);
    let done = scene.rt(&["--debug", "run", "--bundle", bundle.write().arg(), &scene.id()]);
    assert_eq!(done.ok().stdout, "done\n");
    assert!(done.stderr.lines().all(|line| line.contains(" level=debug msg=")), "{done}");
    let plan = scene.rt(&["explain", "--run", "--json", "--bundle", bundle.arg()]).ok().json();
    let steps = plan["steps"].as_array().unwrap();
    for step in steps {
        let at = if step["actor"] == "host" { "on the host" } else { "in the container" };
        done.says(&format!("step {} of {}, {at}: ", step["number"], steps.len()));
    }
    // In two acts, each tells its own.
    let container = scene.container(&bundle);
    let created = scene.rt(&["--debug", "create", "--bundle", bundle.arg(), &container.id]);
    created.ok().says("in the container: make the root filesystem the root\"");
    let started = scene.rt(&["--debug", "start", &container.id]);
    started.ok().says("in the container: execute");
    assert!(!started.stderr.contains("the root filesystem the root"), "{started}");
    container.delete_force();
}

fn of_each_step_in_the_log_s_file_alone(scene: &Scene) {
    let (mut bundle, log) = (scene.bundle(), scene.path("log"));
    let container = scene.container(bundle.sleep());
    let told = |command: &[&str]| {
        let _ = fs::remove_file(&log);
        let options = ["--debug", "--log", log.to_str().unwrap(), "--log-format", "json"];
        let done = scene.rt(&[&options[..], command].concat());
        assert_eq!(done.ok().stderr, "");
        let lines = logged(&fs::read_to_string(&log).unwrap());
        assert!(lines.iter().all(|line| line["level"] == "debug"), "{lines:?}");
        lines.iter().map(|line| line["msg"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join("\n")
    };
    let run = told(&["run", "--detach", "--bundle", bundle.arg(), &container.id]);
    assert!(run.contains(", on the host: ") && run.contains(", in the container: execute "), "{run}");
    let exec = told(&["exec", &container.id, "true"]);
    assert!(exec.contains(", on the host: ") && exec.contains(", in the container: execute \"true\""), "{exec}");
    container.delete_force();
}

/// kill(2) of pid 1 of a pid namespace does nothing where it does not catch the signal (pid_namespaces(7)).
fn a_created_container_ends_by_a_signal_that_asks_for_it(scene: &Scene) {
    for signal in ["HUP", "INT", "QUIT", "TERM"] {
        let container = scene.container(scene.bundle().sleep());
        container.create();
        let pid = container.pid();
        container.kill(signal);
        scene.wait_until(signal, || !process::runs(pid));
        assert_eq!(container.status(), "stopped", "{signal}");
        container.delete();
    }
}
