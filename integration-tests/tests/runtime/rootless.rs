//! Containers of a user without privilege: one id, or subordinate ones (user_namespaces(7), subuid(5)).

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::hostmount::HostMount;
use integration_tests::mountinfo;
use integration_tests::process;
use integration_tests::runtime::{Call, Done, Kind};
use integration_tests::scene::Scene;
use nix::mount::MsFlags;
use serde_json::{Value, json};

integration_tests::tests! {
    spec_writes_what_runs,
    maps_its_own_id,
    lives_from_create_to_delete,
    has_another_process,
    is_killed_and_deleted_without_a_cgroup,
    is_killed_whole_without_a_cgroup [Need::Planc],
    states_are_in_the_runtime_directory,
    says_where_states_could_be [Need::Planc],
    has_subordinate_ids [NEWUIDMAP],
    sets_groups_of_subordinate_ids [NEWUIDMAP, Need::Planc],
    refuses_ids_of_others [NEWUIDMAP],
    says_which_program_is_missing [NEWUIDMAP],
    says_which_program_has_no_privileges [NEWUIDMAP],
    explains_who_writes_the_maps [Need::Planc],
    refuses_groups_without_setgroups,
    joins_its_own_user_namespace,
    drops_groups_in_a_joined_user_namespace [NEWUIDMAP, Need::Planc],
    binds_keep_the_flags_of_the_host [Need::Planc],
    cannot_clear_the_flags_of_the_host,
    shows_the_hosts_proc_and_sys [Need::Planc],
    drops_an_unmapped_gid_of_devpts [Need::Planc],
    has_devices,
    raises_no_limit_above_its_own,
    goes_without_a_lower_oom_score [Need::Planc],
    root_of_a_user_namespace_makes_containers,
    root_of_a_user_namespace_sees_the_hosts_namespaces [Need::Planc],
}

const NEWUIDMAP: Need = Need::Path("/usr/bin/newuidmap");

/// A user that the machine has not.
pub(crate) const USER: u32 = 4321;

/// The first of its subordinate ids.
const FIRST: u32 = 300_000;

pub(crate) const AS_USER: [&str; 4] = ["setpriv", "--reuid=4321", "--regid=4321", "--clear-groups"];

/// The scene as the user plays on it: the runtime's root is the user's.
pub(crate) fn by_user(scene: &Scene) -> Scene {
    fs::create_dir_all(scene.root()).unwrap();
    chown(scene.root(), Some(USER), Some(USER)).unwrap();
    scene.by(&AS_USER)
}

/// A bundle that the user owns, for a container whose only id is the user.
pub(crate) fn bundle(scene: &Scene) -> Bundle {
    let mut bundle = scene.bundle();
    bundle.rootless(USER);
    bundle
}

/// The same with subordinate ids behind the user's own.
fn bundle_of_many(scene: &Scene) -> Bundle {
    let mut bundle = bundle(scene);
    let maps = json!([
        {"containerID": 0, "hostID": USER, "size": 1}, {"containerID": 1, "hostID": FIRST, "size": 65536}
    ]);
    bundle.set("/linux/uidMappings", maps.clone()).set("/linux/gidMappings", maps);
    bundle
}

/// The files that say that the user exists and has subordinate ids, over those of the machine while the test lasts: the
/// lane's mount namespace is its own.
pub(crate) struct Registered(#[expect(dead_code, reason = "held, not read")] Vec<HostMount>);

impl Registered {
    fn with(scene: &Scene, ranges: &str) -> Self {
        let passwd = fs::read_to_string("/etc/passwd").unwrap() + "planc-user:x:4321:4321::/nonexistent:/bin/sh\n";
        let files = [("passwd", passwd.as_str()), ("subuid", ranges), ("subgid", ranges)];
        Self(files.map(|(name, text)| over(scene, &Path::new("/etc").join(name), text)).into())
    }

    pub(crate) fn new(scene: &Scene) -> Self {
        Self::with(scene, &format!("planc-user:{FIRST}:65536\n"))
    }
}

/// Another text over a file of the machine.
fn over(scene: &Scene, path: &Path, text: &str) -> HostMount {
    let copy = scene.path(&path.to_str().unwrap().replace('/', "_"));
    fs::write(&copy, text).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
    HostMount::bind(&copy, path.to_owned())
}

fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

fn spec_writes_what_runs(scene: &Scene) {
    let user = by_user(scene);
    let mut bundle = bundle(scene);
    user.rt(&["spec", "--rootless", "--bundle", bundle.arg()]).ok();
    let written = fs::read_to_string(bundle.dir().join("config.json")).unwrap();
    bundle.config = serde_json::from_str(&written).unwrap();
    bundle.set("/process/terminal", false);
    assert_eq!(
        user.sh(&mut bundle, "id -u; cat /proc/self/setgroups; ls /sys/kernel > /dev/null && echo seen"),
        "0\ndeny\nseen\n"
    );
}

fn maps_its_own_id(scene: &Scene) {
    let user = by_user(scene);
    let mut bundle = bundle(scene);
    bundle.set("/root/readonly", false);
    let seen = user.sh(&mut bundle, "cat /proc/self/uid_map /proc/self/gid_map; id -u; id -G; : > /root/made");
    assert_eq!(words(&seen), [vec!["0", "4321", "1"], vec!["0", "4321", "1"], vec!["0"], vec!["0"]]);
    let made = fs::metadata(bundle.rootfs("/root/made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (USER, USER));
}

fn lives_from_create_to_delete(scene: &Scene) {
    let user = by_user(scene);
    let container = user.container(bundle(scene).sleep());
    container.create();
    let state = container.state();
    assert_eq!((state["status"].as_str(), state["id"].as_str()), (Some("created"), Some(container.id.as_str())));
    let pid = container.pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert_eq!(process::status_line(&status, "Uid").unwrap(), ["4321"; 4].join("\t"));
    container.start();
    assert_eq!(container.status(), "running");
    let listed = user.rt(&["list", "--format", "json"]);
    listed.ok();
    assert_eq!(listed.json()[0]["id"], container.id.as_str());
    user.rt(&["delete", &container.id]).fails();
    container.stop();
    assert_eq!(container.status(), "stopped");
    container.delete();
    container.assert_gone();
}

fn has_another_process(scene: &Scene) {
    let user = by_user(scene);
    let container = user.container(bundle(scene).sleep());
    container.run_detached();
    let done = container.exec(&[], &["sh", "-c", "id -u; cat /proc/self/setgroups"]);
    done.ok();
    assert_eq!(done.stdout, "0\ndeny\n");
    container.delete_force();
}

/// The end of a pid namespace's init is everybody's (pid_namespaces(7)).
fn is_killed_and_deleted_without_a_cgroup(scene: &Scene) {
    ends_whole(scene, &["kill"]);
    let user = by_user(scene);
    let container = user.container(bundle(scene).sleep());
    container.run_detached();
    container.delete_force();
    container.assert_gone();
}

/// Without a cgroup runc 1.1 refuses `--all`.
fn is_killed_whole_without_a_cgroup(scene: &Scene) {
    ends_whole(scene, &["kill", "--all"]);
}

fn ends_whole(scene: &Scene, kill: &[&str]) {
    let user = by_user(scene);
    let container = user.container(bundle(scene).sh("sleep 1000 & sleep 1000 & sleep 1000"));
    container.run_detached();
    let pid = container.pid();
    let in_it = || process::all().values().filter(|stat| stat.name == "sleep" && stat.session == pid).count();
    user.wait_until("the container's processes run", || in_it() == 3);
    user.rt(&[kill, &[&container.id, "KILL"]].concat()).ok();
    container.wait_end(pid);
    user.wait_until("none of them is left", || in_it() == 0);
    container.delete();
}

/// A call of the runtime without `--root`, with this environment and no other.
fn call_without_root(scene: &Scene, environment: &[&str], args: &[&str]) -> Call {
    let path = std::env::var("PATH").unwrap();
    let mut words: Vec<String> = AS_USER.iter().map(|&word| word.to_owned()).collect();
    words.extend(["env".to_owned(), "-i".to_owned(), format!("PATH={path}")]);
    words.extend(
        environment.iter().chain(&[scene.runtime.path.to_str().unwrap()]).chain(args).map(|&word| word.to_owned()),
    );
    Call::new(words, &scene.path(&format!("without-root-{}", scene.id())))
}

fn states_are_in_the_runtime_directory(scene: &Scene) {
    let bundle = bundle(scene);
    bundle.write();
    let runtime_dir = scene.path("runtime-dir");
    fs::create_dir(&runtime_dir).unwrap();
    chown(&runtime_dir, Some(USER), Some(USER)).unwrap();
    let environment = format!("XDG_RUNTIME_DIR={}", runtime_dir.display());
    let id = scene.id();
    let call = |args: &[&str]| call_without_root(scene, &[&environment], args).done();
    call(&["create", "--bundle", bundle.arg(), &id]).ok();
    let name = scene.runtime.path.file_name().unwrap();
    let root = fs::metadata(runtime_dir.join(name)).unwrap();
    // Sticky, so that what is old in it is not cleaned up (XDG Base Directory Specification).
    assert_eq!((root.mode() & 0o7777, root.uid()), (0o1700, USER));
    assert!(runtime_dir.join(name).join(&id).is_dir());
    call(&["delete", "--force", &id]).ok();
}

fn says_where_states_could_be(scene: &Scene) {
    let bundle = bundle(scene);
    bundle.write();
    let done = call_without_root(scene, &[], &["create", "--bundle", bundle.arg(), &scene.id()]).done();
    done.fails().says("XDG_RUNTIME_DIR").says("--root");
}

fn has_subordinate_ids(scene: &Scene) {
    let _registered = Registered::new(scene);
    let user = by_user(scene);
    let mut bundle = bundle_of_many(scene);
    let seen = user.sh(&mut bundle, "cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups");
    let lines = [vec!["0", "4321", "1"], vec!["1", "300000", "65536"]];
    assert_eq!(words(&seen), [&lines[..], &lines[..], &[vec!["allow"]]].concat());
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1001}));
    bundle.mount("/data", "tmpfs", "tmpfs", &["mode=1777"]);
    assert_eq!(
        user.sh(&mut bundle, "id -u; id -G; : > /data/made; stat -c %u:%g /data/made"),
        "1000\n1001\n1000:1001\n"
    );
    let container = user.container(bundle.sleep());
    container.run_detached();
    let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    let outside = (FIRST + 999).to_string();
    assert_eq!(process::status_line(&status, "Uid").unwrap(), [outside.as_str(); 4].join("\t"));
    // A signal for another uid: the user is the owner of the user namespace.
    container.stop();
    container.delete();
}

/// setgroups(2) is permitted where newgidmap wrote the map.
fn sets_groups_of_subordinate_ids(scene: &Scene) {
    let _registered = Registered::new(scene);
    let mut bundle = bundle_of_many(scene);
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 7]}));
    assert_eq!(by_user(scene).sh(&mut bundle, "id -G"), "1001 5 7\n");
}

fn fails_at_the_maps(scene: &Scene, bundle: &Bundle) -> Done {
    let user = by_user(scene);
    let container = user.container(bundle);
    let done = container.try_create(&[]);
    done.fails();
    container.assert_gone();
    done
}

fn refuses_ids_of_others(scene: &Scene) {
    let _registered = Registered::with(scene, "planc-user:900000:65536\nother:300000:65536\n");
    let done = fails_at_the_maps(scene, &bundle_of_many(scene));
    done.says("not allowed");
    if scene.runtime.kind == Kind::Planc {
        done.says("/etc/subuid").says("/linux/uidMappings");
    }
}

fn says_which_program_is_missing(scene: &Scene) {
    let _registered = Registered::new(scene);
    let _missing = HostMount::bind(Path::new("/dev/null"), PathBuf::from("/usr/bin/newgidmap"));
    let done = fails_at_the_maps(scene, &bundle_of_many(scene));
    if scene.runtime.kind == Kind::Planc {
        done.says("newgidmap").says("install").says("uidmap").says("/linux/gidMappings");
    }
}

fn says_which_program_has_no_privileges(scene: &Scene) {
    let _registered = Registered::new(scene);
    let user = by_user(scene).by(&[&AS_USER[..], &["--no-new-privs"]].concat());
    let container = user.container(&bundle_of_many(scene));
    let done = container.try_create(&[]);
    done.fails();
    if scene.runtime.kind == Kind::Planc {
        done.says("newuidmap").says("set-uid").says("not permitted");
    }
}

fn explains_who_writes_the_maps(scene: &Scene) {
    let user = by_user(scene);
    let ops = |bundle: &Bundle| -> Vec<Value> {
        crate::planc::steps_with(&user, bundle, &[]).into_iter().map(|step| step["op"].clone()).collect()
    };
    let by_programs = ops(&bundle_of_many(scene));
    for op in ["HaveUidsMapped", "HaveGidsMapped"] {
        assert!(by_programs.contains(&json!(op)), "no {op}");
    }
    assert!(!by_programs.contains(&json!("WriteIdMaps")));
    let by_itself = ops(&bundle(scene));
    assert!(by_itself.contains(&json!("WriteIdMaps")) && !by_itself.contains(&json!("HaveUidsMapped")));
}

fn refuses_groups_without_setgroups(scene: &Scene) {
    let user = by_user(scene);
    let mut bundle = bundle(scene);
    bundle.set("/process/user/additionalGids", json!([0]));
    let done = user.container(&bundle).run();
    done.fails().says("cannot set any additional groups in a rootless container");
}

/// config.json repeats the maps, as engines do; they are not written again.
fn joins_its_own_user_namespace(scene: &Scene) {
    let user = by_user(scene);
    let sandbox = user.container(bundle(scene).sleep());
    sandbox.run_detached();
    let pid = sandbox.pid();
    let mut bundle = bundle(scene);
    bundle.remove("/hostname");
    for (kind, name) in [("user", "user"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
        bundle.namespace(kind, Some(&format!("/proc/{pid}/ns/{name}")));
    }
    let container = user.container(bundle.sleep());
    container.run_detached();
    let (own, theirs) = (process::namespaces(container.pid()), process::namespaces(pid));
    for (name, other) in [("user", false), ("net", false), ("ipc", false), ("uts", false), ("pid", true), ("mnt", true)]
    {
        assert_eq!(own[name] != theirs[name], other, "{name}");
    }
    container.delete_force();
    sandbox.delete_force();
}

/// SECURITY.md T-33: none of the caller's groups, where setgroups(2) is permitted.
fn drops_groups_in_a_joined_user_namespace(scene: &Scene) {
    let _registered = Registered::new(scene);
    let user = by_user(scene);
    let sandbox = user.container(bundle_of_many(scene).sleep());
    sandbox.run_detached();
    let mut bundle = bundle_of_many(scene);
    bundle.namespace("user", Some(&format!("/proc/{}/ns/user", sandbox.pid())));
    let with_groups = user.by(&["setpriv", "--reuid=4321", "--regid=4321", "--groups=4321,27,33"]);
    assert_eq!(with_groups.sh(&mut bundle, "grep Groups /proc/self/status"), "Groups:\t \n");
    sandbox.delete_force();
}

/// A directory of the host whose mount has flags that a user namespace may not clear (mount_namespaces(7)).
fn guarded(scene: &Scene) -> HostMount {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME;
    HostMount::tmpfs(scene.path("guarded"), flags)
}

fn binds_keep_the_flags_of_the_host(scene: &Scene) {
    let guarded = guarded(scene);
    let user = by_user(scene);
    for options in [&["bind"][..], &["rbind", "ro"], &["bind", "nodev"]] {
        let mut bundle = bundle(scene);
        bundle.mount("/data", "bind", guarded.path(), options);
        let mounts = mountinfo::parse(&user.sh(&mut bundle, "cat /proc/self/mountinfo"));
        let data = mountinfo::at(&mounts, "/data").unwrap();
        for flag in ["nosuid", "nodev", "noexec", "noatime"] {
            assert!(data.has(flag), "{options:?}: {data:?}");
        }
        assert_eq!(data.has("ro"), options.contains(&"ro"));
    }
}

fn cannot_clear_the_flags_of_the_host(scene: &Scene) {
    let guarded = guarded(scene);
    let user = by_user(scene);
    for option in ["suid", "dev", "exec", "strictatime"] {
        let mut bundle = bundle(scene);
        bundle.mount("/data", "bind", guarded.path(), &["bind", option]);
        let done = user.container(bundle.sh("cat /proc/self/mountinfo")).run();
        if scene.runtime.kind == Kind::Planc {
            done.fails().says("/mounts/7").says("locked");
        } else if done.code() == 0 {
            // As good: it is not heard.
            let mounts = mountinfo::parse(&done.stdout);
            let data = mountinfo::at(&mounts, "/data").unwrap();
            assert!(["nosuid", "nodev", "noexec", "noatime"].iter().all(|flag| data.has(flag)), "{data:?}");
        }
    }
}

/// Where the namespace is the host's, no filesystem of it can be mounted: the host's is shown, and of sysfs only to read.
fn shows_the_hosts_proc_and_sys(scene: &Scene) {
    let user = by_user(scene);
    let mut bundle = bundle(scene);
    bundle.namespace("network", None).namespace("pid", None).namespace("ipc", None).namespace("cgroup", None);
    // Not every host has one to show.
    bundle.unmount("/dev/mqueue");
    let done = user.container(bundle.sh("cat /proc/self/mountinfo; ls /proc/1 > /dev/null && echo seen")).run();
    done.ok();
    assert!(done.stdout.ends_with("seen\n"), "{done}");
    let mounts = mountinfo::parse(done.stdout.trim_end_matches("seen\n"));
    for (point, fstype, read_only) in
        [("/proc", "proc", false), ("/sys", "sysfs", true), ("/sys/fs/cgroup", "cgroup2", true)]
    {
        let mount = mountinfo::at(&mounts, point).unwrap();
        assert_eq!((mount.fstype.as_str(), mount.has("ro")), (fstype, read_only), "{mount:?}");
    }
    // CVE-2023-25809: what lies below is not left out.
    let writable = mounts.iter().filter(|mount| mount.point.starts_with("/sys") && !mount.has("ro"));
    assert_eq!(writable.count(), 0, "{mounts:?}");
}

fn drops_an_unmapped_gid_of_devpts(scene: &Scene) {
    let mut bundle = bundle(scene);
    bundle.set("/mounts/2/options/-", "gid=5");
    let done = by_user(scene).container(bundle.sh("stat -c %g /dev/pts; test -c /dev/ptmx && echo there")).run();
    done.ok().says("/mounts/2/options");
    assert_eq!(done.stdout, "0\nthere\n");
}

fn has_devices(scene: &Scene) {
    let seen = by_user(scene).sh(
        &mut bundle(scene),
        "stat -c %t:%T /dev/null /dev/zero /dev/full /dev/random /dev/urandom; echo x > /dev/null && echo ok",
    );
    assert_eq!(seen, "1:3\n1:5\n1:7\n1:8\n1:9\nok\n");
}

fn raises_no_limit_above_its_own(scene: &Scene) {
    let user = by_user(scene);
    let mut bundle = bundle(scene);
    let limit = |hard: u64| json!([{"type": "RLIMIT_NOFILE", "hard": hard, "soft": 100}]);
    let limited = user.by(&[&["prlimit", "--nofile=500:500"], &AS_USER[..]].concat());
    bundle.set("/process/rlimits", limit(500));
    assert_eq!(limited.sh(&mut bundle, "ulimit -n; ulimit -Hn"), "100\n500\n");
    bundle.set("/process/rlimits", limit(501));
    let done = limited.container(&bundle).run();
    done.fails();
    if scene.runtime.kind == Kind::Planc {
        done.says("RLIMIT_NOFILE").says("/process/rlimits/0").says("hard limit");
    }
}

/// Below what an administrator set, it stays what it is; above, it is set.
fn goes_without_a_lower_oom_score(scene: &Scene) {
    let user = by_user(scene);
    let mut bundle = bundle(scene);
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    bundle.set("/process/oomScoreAdj", -1000);
    assert_eq!(user.sh(&mut bundle, "cat /proc/self/oom_score_adj"), own);
    bundle.set("/process/oomScoreAdj", 700);
    assert_eq!(user.sh(&mut bundle, "cat /proc/self/oom_score_adj"), "700\n");
    bundle.set("/process/oomScoreAdj", -1000);
    let container = user.container(&bundle);
    let done = user.by(&AS_USER).call(&["--rootless=false", "run", "--bundle", bundle.arg(), &container.id]).done();
    done.fails();
}

/// A user namespace with one id, from outside of the runtime: setgroups(2) is denied there, and nothing of it is the
/// host's root.
const NESTED: [&str; 2] = ["unshare", "-Ur"];

fn root_of_a_user_namespace_makes_containers(scene: &Scene) {
    let nested = by_user(scene).by(&[&AS_USER[..], &NESTED].concat());
    let mut bundle = bundle(scene);
    bundle.namespace("user", None).set("/linux/uidMappings", json!([])).set("/linux/gidMappings", json!([]));
    let seen =
        nested.sh(&mut bundle, "id -u; cat /proc/self/uid_map /proc/self/setgroups; test -c /dev/null && echo device");
    assert_eq!(words(&seen), [vec!["0"], vec!["0", "4321", "1"], vec!["deny"], vec!["device"]]);
    if scene.runtime.kind == Kind::Planc {
        bundle.set("/process/user/additionalGids", json!([0]));
        nested.container(&bundle).run().fails().says("/process/user/additionalGids");
    }
}

fn root_of_a_user_namespace_sees_the_hosts_namespaces(scene: &Scene) {
    let nested = by_user(scene).by(&[&AS_USER[..], &NESTED].concat());
    let mut bundle = bundle(scene);
    bundle.namespace("user", None).set("/linux/uidMappings", json!([])).set("/linux/gidMappings", json!([]));
    bundle.namespace("network", None).namespace("pid", None).namespace("ipc", None).namespace("cgroup", None);
    // Not every host has one to show.
    bundle.unmount("/dev/mqueue");
    let done = nested.container(bundle.sh("ls /proc/1 /sys/kernel > /dev/null && echo seen")).run();
    done.ok();
    assert_eq!(done.stdout, "seen\n");
}
