//! `exec` by a hostile container: what a process that joins it has, and shows, of the host (SECURITY.md C1, C2, C7).

use std::fs;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::scene::{Container, Scene};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde_json::Value;

use crate::killsweep::stop;

integration_tests::tests! {
    has_the_standard_streams_and_nothing_else,
    shows_no_path_of_the_host,
    a_created_init_holds_nothing_of_the_host [Need::Planc],
    a_joining_process_is_closed_to_the_container [Need::Failpoints],
    a_joining_process_is_closed_to_a_user_namespace [Need::Failpoints],
    a_program_cannot_be_the_runtime,
}

fn container<'s>(scene: &'s Scene) -> Container<'s> {
    let mut bundle = scene.bundle();
    bundle.capabilities(&["CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_KILL", "CAP_FOWNER"]);
    let container = scene.container(bundle.sleep());
    container.run_detached();
    container
}

fn detached(scene: &Scene, container: &Container<'_>) -> u32 {
    let file = scene.path("pid");
    container.exec(&["-d", "--pid-file", file.to_str().unwrap()], &["sleep", "1000"]).ok();
    fs::read_to_string(&file).unwrap().parse().unwrap()
}

/// SECURITY.md T-02: fifty descriptors of a careless caller, directories among them.
fn has_the_standard_streams_and_nothing_else(scene: &Scene) {
    let container = container(scene);
    let leaked: Vec<File> =
        (0..50).map(|index| File::open(if index % 2 == 0 { "/" } else { "/dev/zero" }).unwrap()).collect();
    let inherit = |flags| leaked.iter().for_each(|file| assert!(fcntl(file, FcntlArg::F_SETFD(flags)).is_ok()));
    assert!(leaked.iter().any(|file| file.as_raw_fd() > 40));
    inherit(FdFlag::empty());
    let pid = detached(scene, &container);
    inherit(FdFlag::FD_CLOEXEC);
    let held = process::descriptors(pid);
    container.delete_force();
    assert_eq!(held.keys().copied().collect::<Vec<_>>(), [0, 1, 2], "{held:?}");
}

/// The inodes behind /proc/PID/{exe,cwd,root} and map_files are the container's.
fn shows_no_path_of_the_host(scene: &Scene) {
    let container = container(scene);
    let (pid, init) = (detached(scene, &container), container.pid());
    let link = |pid: u32, name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap();
    for name in ["cwd", "root", "exe"] {
        assert_eq!(link(pid, name), link(init, name), "{name}");
    }
    let mapped = |pid: u32| -> Vec<PathBuf> {
        let entries = fs::read_dir(format!("/proc/{pid}/map_files")).unwrap();
        let mut paths: Vec<_> = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).collect();
        paths.sort();
        paths.dedup();
        paths
    };
    assert_eq!(mapped(pid), mapped(init));
    container.delete_force();
}

/// SECURITY.md T-02, T-04: a container that waits for start holds its streams, what it waits at, and memory of its own.
fn a_created_init_holds_nothing_of_the_host(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.create();
    let pid = container.pid();
    let allowed = |number: u32, path: &PathBuf| {
        let path = path.to_string_lossy();
        number < 3 || path.starts_with("socket:[") || path.starts_with("/memfd:planc:plan")
    };
    let held = process::descriptors(pid);
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap();
    let (exe, cwd) = (link("exe"), link("cwd"));
    let files = fs::read_dir(format!("/proc/{pid}/map_files")).unwrap();
    let mapped: Vec<_> = files.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).collect();
    container.delete_force();
    let odd: Vec<_> = held.iter().filter(|(number, path)| !allowed(**number, path)).collect();
    assert!(odd.is_empty(), "{odd:?}");
    assert!(exe.starts_with("/memfd:planc:init (deleted)"), "{exe:?}");
    assert_eq!(cwd, PathBuf::from("/"));
    assert!(mapped.iter().all(|path| path.to_string_lossy().starts_with("/memfd:planc:")), "{mapped:?}");
}

/// SECURITY.md T-01: stopped before each of its steps, seen by root of the container. (Where a container has CAP_SYS_PTRACE
/// in the host's user namespace, or CAP_SYS_ADMIN, nothing is closed to it: ptrace(2), mm_access.)
fn a_joining_process_is_closed_to_the_container(scene: &Scene) {
    assert_closed(scene, &container(scene));
}

/// The same with every capability, which here counts in the container's user namespace.
fn a_joining_process_is_closed_to_a_user_namespace(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.capabilities(&["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_KILL", "CAP_SYS_ADMIN"]);
    let container = scene.container(bundle.user_namespace(100_000).sleep());
    container.run_detached();
    assert_closed(scene, &container);
}

fn assert_closed(scene: &Scene, container: &Container<'_>) {
    let file = scene.path("process.json");
    fs::write(&file, integration_tests::bundle::default_config()["process"].to_string()).unwrap();
    let file = file.to_str().unwrap();
    let explained = scene.rt(&["explain", "--json", "--process", file, &container.id]);
    let steps = explained.ok().json()["steps"].as_array().unwrap().clone();
    // What can be opened in another process's directory, by somebody who may trace any process of the namespace.
    let probe = "for p in /proc/[0-9]*; do n=${p#/proc/}; [ $n = $$ ] || [ $n = 1 ] && continue; \
                 read -r c < $p/comm || continue; case $c in planc*|memfd*|3|init) echo seen $n $c;; *) continue;; esac; \
                 for f in mem environ maps auxv; do head -c1 $p/$f >/dev/null 2>&1 && echo open $f; done; \
                 for f in exe cwd root; do readlink $p/$f >/dev/null 2>&1 && echo link $f; done; \
                 for f in $p/fd/*; do readlink $f >/dev/null 2>&1 && echo link $f; done; done; true";
    let mut seen = 0;
    for (index, step) in steps.iter().enumerate().filter(|(_, step)| step["actor"] == "init") {
        let call = container.exec_call(&["--process", file], &[]);
        let mut running = stop(call, index + 1);
        let found = container.exec(&[], &["sh", "-c", probe]);
        running.kill();
        let (own, open): (Vec<_>, Vec<_>) = found.ok().stdout.lines().partition(|line| line.starts_with("seen"));
        seen += own.len();
        assert_eq!(open, [""; 0], "before {}", sentence(step));
    }
    assert!(seen > 5, "the joining process was never seen from inside: {seen}");
    container.delete_force();
}

fn sentence(step: &Value) -> &str {
    step["sentence"].as_str().unwrap()
}

/// SECURITY.md T-03, T-06 (CVE-2019-5736): what is executed by way of /proc/self is a file of the container, or nothing.
fn a_program_cannot_be_the_runtime(scene: &Scene) {
    let runtime = scene.runtime.path.clone();
    let before = (fs::read(&runtime).unwrap(), fs::metadata(&runtime).unwrap().modified().unwrap());
    let mut bundle = scene.bundle();
    bundle.set("/root/readonly", false);
    fs::write(bundle.rootfs("bin/evil"), "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(bundle.rootfs("bin/evil"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let container = scene.container(bundle.sleep());
    container.run_detached();
    for program in ["/bin/evil", "/proc/self/exe"] {
        let done = container.exec(&[], &[program, "--version"]);
        assert!(!done.stdout.contains("commit:"), "the runtime ran in the container: {done}");
    }
    for fd in 3..32 {
        container.exec(&[], &[&format!("/proc/self/fd/{fd}")]).fails();
    }
    container.delete_force();
    assert!(before == (fs::read(&runtime).unwrap(), fs::metadata(&runtime).unwrap().modified().unwrap()));
}
