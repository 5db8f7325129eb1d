//! Guest manners: a big, busy, threaded process launches containers through the crate, and is itself the same after.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test gives its verdict")]

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use integration_tests::lane::Lane;
use integration_tests::oracle::Snapshot;
use integration_tests::{bundle, process};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use runtime_core::{Bundle, CreateOptions, Deletion, Id, Runtime, Stdio};

const NAME: &str = "a_busy_process_launches_containers_and_is_the_same_after";
const THREADS: usize = 16;
const RESIDENT: usize = 200 << 20;
/// How long one launch may take while sixteen threads want the processor, before the lane's patience.
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let trial = Trial::ignorable_test(NAME, || match Lane::current() {
        Lane::Outside => {
            Ok(Completion::ignored_with("containers are run in a lane only (cargo xtask lane native|uml)"))
        }
        lane => launch_all(lane).map(|()| Completion::Completed),
    });
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

/// How many containers are launched.
fn launches(lane: Lane) -> usize {
    let asked = std::env::var("PLANC_LAUNCHES").ok().map(|count| count.parse().expect("PLANC_LAUNCHES is no number"));
    // User Mode Linux is slow at system calls: 20 take two minutes there.
    asked.unwrap_or(if lane == Lane::Native { 1000 } else { 20 })
}

fn launch_all(lane: Lane) -> Result<(), Failed> {
    let dir = std::env::temp_dir().canonicalize()?.join(format!("planc-manners-{}", std::process::id()));
    let mut bundle = bundle::Bundle::new(dir.join("bundle"));
    bundle.write();
    let plain = Bundle::load(bundle.dir()).unwrap();
    // Hooks are more children of its, of which it must see nothing.
    let hooks = serde_json::json!([{"path": "/bin/true"}]);
    bundle
        .set("/hooks", serde_json::json!({"createRuntime": hooks, "createContainer": hooks, "poststop": hooks}))
        .write();
    let with_hooks = Bundle::load(bundle.dir()).unwrap();
    let root = dir.join("root");
    fs::create_dir(&root)?;
    let host = Snapshot::take(&[&root]);
    let busy = Busy::start();
    let before = manners();

    let count = launches(lane);
    let (report, progress) = channel();
    let runs_in = root.clone();
    let guest = thread::spawn(move || launch_some(&runs_in, &[plain, with_hooks], count, &report));
    let launched = watch(&progress, count, LIMIT * lane.patience());
    if launched.is_ok() {
        guest.join().map_err(|_| "the launching thread panicked")?;
    }

    let after = manners();
    busy.stop();
    let left = host.settle(&[&root]);
    fs::remove_dir_all(&dir)?;
    launched?;
    assert_same(&before, &after);
    assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    Ok(())
}

/// Launches containers one after the other, every other one in two acts, some of the second bundle, and reports each.
fn launch_some(root: &Path, [plain, with_hooks]: &[Bundle; 2], count: usize, report: &Sender<Result<(), String>>) {
    let runtime = Runtime::new(root);
    for number in 0..count {
        let id = Id::new(&format!("guest-{number}")).unwrap();
        let outcome = launch(&runtime, &id, if number % 25 < 2 { with_hooks } else { plain }, number % 2 == 0)
            .map_err(|error| format!("launch {number}: {error}"));
        let failed = outcome.is_err();
        // Nobody listens any more once a launch has failed or was too slow.
        if report.send(outcome).is_err() || failed {
            return;
        }
    }
}

fn launch(runtime: &Runtime, id: &Id, bundle: &Bundle, at_once: bool) -> runtime_core::Result<()> {
    let options = CreateOptions::default();
    let container = if at_once {
        runtime.run(id, bundle, &options, Stdio::default())?
    } else {
        let container = runtime.create(id, bundle, &options, Stdio::default())?;
        container.start()?;
        container
    };
    if let Some(init) = container.init()? {
        poll(&mut [PollFd::new(init.pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
    }
    runtime.delete(id, Deletion::Stopped)
}

/// Waits for every launch; none may fail or take too long.
fn watch(progress: &Receiver<Result<(), String>>, count: usize, limit: Duration) -> Result<(), String> {
    for number in 0..count {
        match progress.recv_timeout(limit) {
            Ok(outcome) => outcome?,
            Err(RecvTimeoutError::Timeout) => return Err(format!("launch {number} hangs")),
            Err(RecvTimeoutError::Disconnected) => return Err(format!("launch {number} panicked")),
        }
    }
    Ok(())
}

/// Threads that allocate and count, beside memory that a fork would have to copy the tables of.
struct Busy {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    memory: Vec<u8>,
}

impl Busy {
    fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let threads = (0..THREADS).map(|_| thread::spawn(spin(Arc::clone(&over)))).collect();
        Self { over, threads, memory: vec![1; RESIDENT] }
    }

    fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        drop(black_box(self.memory));
    }
}

fn spin(over: Arc<AtomicBool>) -> impl FnOnce() {
    move || {
        while !over.load(Ordering::Relaxed) {
            // The allocator's lock is what a careless child of a fork would wait for.
            black_box((0..64).map(|size| vec![0_u8; size * 64]).collect::<Vec<_>>());
        }
    }
}

/// What a guest must not change, by name.
fn manners() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut add = |name: &str, value: String| drop(all.insert(name.to_owned(), value));
    let status = fs::read_to_string("/proc/self/status").unwrap();
    for key in
        ["Umask", "Uid", "Gid", "Groups", "SigIgn", "SigCgt", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs", "Threads"]
    {
        add(key, process::status_line(&status, key).unwrap_or_default());
    }
    add("working directory", format!("{:?}", std::env::current_dir().unwrap()));
    add("environment", format!("{:?}", std::env::vars_os().collect::<Vec<_>>()));
    add("descriptors", format!("{:?}", descriptors()));
    add("dumpable", format!("{:?}", nix::sys::prctl::get_dumpable()));
    add("child subreaper", format!("{:?}", nix::sys::prctl::get_child_subreaper()));
    for file in ["cgroup", "limits", "oom_score_adj", "mountinfo", "personality"] {
        add(file, fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default());
    }
    add(
        "children",
        format!("{:?}", process::all().values().filter(|stat| stat.parent == std::process::id()).collect::<Vec<_>>()),
    );
    let threads = fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    let threads: Vec<_> =
        threads.map(|task| (mask(&task), process::namespaces(format!("self/task/{}", name(&task))))).collect();
    add("masks and namespaces of the threads", format!("{threads:?}"));
    all
}

/// The open descriptors, but the one that reads the list.
fn descriptors() -> BTreeMap<u32, std::path::PathBuf> {
    let own = format!("/proc/{}/fd", std::process::id());
    process::descriptors("self").into_iter().filter(|(_, target)| *target != Path::new(&own)).collect()
}

fn mask(task: &Path) -> String {
    process::status_line(&fs::read_to_string(task.join("status")).unwrap_or_default(), "SigBlk").unwrap_or_default()
}

fn name(task: &Path) -> String {
    task.file_name().unwrap().to_string_lossy().into_owned()
}

#[track_caller]
fn assert_same(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
    for (name, value) in before {
        assert_eq!(Some(value), after.get(name), "the {name} of the process changed");
    }
}
