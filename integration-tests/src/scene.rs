//! What one test has to itself: a directory, a runtime root, ids, and containers that are gone when it ends.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::bundle::Bundle;
use crate::lane::Lane;
use crate::oracle::Snapshot;
use crate::process;
use crate::runtime::{Call, Done, Kind, Runtime};

/// How long what is expected may take, before the lane's patience.
const SOON: Duration = Duration::from_secs(10);

/// The flag of a runtime that lets systemd make cgroups.
const SYSTEMD: &str = "--systemd-cgroup";

/// Where systemd is pid 1, it makes the cgroups of every test.
fn lane_flags() -> Vec<String> {
    if Lane::current() == Lane::UmlSystemd { vec![SYSTEMD.to_owned()] } else { Vec::new() }
}

/// The stage of one test.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Who is judged.
    pub runtime: Runtime,
    dir: PathBuf,
    root: PathBuf,
    before: Snapshot,
    /// What executes the runtime.
    wrapper: Vec<String>,
    /// Global flags of every command.
    flags: Vec<String>,
    /// Variables of every command's environment.
    variables: Vec<(String, String)>,
}

impl Scene {
    /// Makes the test's directory, and takes the snapshot that it must leave behind.
    pub fn new(runtime: &Runtime, name: &str) -> Self {
        let name = format!("planc-test-{:x}-{}", tag(), name.replace("::", "-"));
        let dir = std::env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir(&dir).unwrap();
        let root = dir.join("root");
        let before = Snapshot::take(&places(&root));
        Self {
            runtime: runtime.clone(),
            dir,
            root,
            before,
            wrapper: Vec::new(),
            flags: lane_flags(),
            variables: Vec::new(),
        }
    }

    /// The same scene, on which every command of the runtime is executed by another one: `setpriv --reuid …`, `sh -c
    /// '…; exec "$@"' sh` …
    pub fn by(&self, wrapper: &[&str]) -> Self {
        Self { wrapper: wrapper.iter().map(|&word| word.to_owned()).collect(), ..self.clone() }
    }

    /// The same scene, on which another runtime is judged.
    pub fn with(&self, runtime: Runtime) -> Self {
        Self { runtime, ..self.clone() }
    }

    /// The same scene, on which systemd makes the cgroups.
    pub fn with_systemd(&self) -> Self {
        Self { flags: vec![SYSTEMD.to_owned()], ..self.clone() }
    }

    /// The same scene, on which the runtime makes them itself.
    pub fn without_flags(&self) -> Self {
        Self { flags: Vec::new(), ..self.clone() }
    }

    /// The same scene, on which a variable is set for every command of the runtime.
    pub fn with_variable(&self, name: &str, value: impl Into<String>) -> Self {
        let mut scene = self.clone();
        scene.variables.push((name.to_owned(), value.into()));
        scene
    }

    /// A path in the test's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The runtime's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A new bundle.
    pub fn bundle(&self) -> Bundle {
        Bundle::new(self.path(&format!("bundle-{}", self.next())))
    }

    /// An id that no other test uses.
    pub fn id(&self) -> String {
        format!("t{}-{}", std::process::id(), self.next())
    }

    /// A number that no test of this process has used: what an earlier test's container was called may still be in the
    /// kernel's mind (a keyring lives on until it is collected).
    fn next(&self) -> u32 {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        COUNT.fetch_add(1, Ordering::Relaxed)
    }

    /// A command of the runtime.
    pub fn call(&self, args: &[&str]) -> Call {
        self.call_by(&[], args)
    }

    /// A command of the runtime, executed by another one: `sh -c '…; exec "$@"' sh`, `unshare -m` …
    pub fn call_by(&self, wrapper: &[&str], args: &[&str]) -> Call {
        let mut words: Vec<OsString> = self.wrapper.iter().map(OsString::from).collect();
        words.extend(wrapper.iter().map(OsString::from));
        words.extend([self.runtime.path.clone().into(), "--root".into(), self.root.clone().into()]);
        words.extend(self.flags.iter().map(OsString::from));
        words.extend(args.iter().map(OsString::from));
        let call = Call::new(words, &self.path(&format!("output-{}", self.next())));
        self.variables.iter().fold(call, |call, (name, value)| call.env(name, value))
    }

    /// Runs a command of the runtime to its end.
    #[track_caller]
    pub fn rt(&self, args: &[&str]) -> Done {
        self.call(args).done()
    }

    /// A container that does not exist yet; config.json is written.
    pub fn container(&self, bundle: &Bundle) -> Container<'_> {
        bundle.write();
        Container { scene: self, id: self.id(), bundle: bundle.dir().to_owned() }
    }

    /// Runs a shell script in the bundle's container; its output.
    #[track_caller]
    pub fn sh(&self, bundle: &mut Bundle, script: &str) -> String {
        let done = self.container(bundle.sh(script)).run();
        done.ok();
        done.stdout
    }

    /// Asserts that `create` refuses the bundle, leaves no container, and (planc) points at what it refuses.
    #[track_caller]
    pub fn refused(&self, bundle: &Bundle, pointer: &str) -> Done {
        let container = self.container(bundle);
        let done = container.try_create(&[]);
        done.fails();
        if self.runtime.kind == Kind::Planc {
            done.says(pointer);
        }
        self.rt(&["state", &container.id]).fails().says("does not exist");
        done
    }

    /// How long what is expected may take here.
    pub fn soon(&self) -> Duration {
        SOON * Lane::current().patience()
    }

    /// Waits until the condition holds.
    #[track_caller]
    pub fn wait_until(&self, what: &str, condition: impl FnMut() -> bool) {
        process::wait_until(self.soon(), what, condition);
    }

    /// The host as it is now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&places(&self.root))
    }

    /// What differs from an earlier snapshot of this scene, after things had time to vanish.
    pub fn differences_from(&self, before: &Snapshot) -> Vec<String> {
        before.settle(&places(&self.root))
    }

    /// What the test left behind; empty when the host is as it was.
    pub fn leaks(&self) -> Vec<String> {
        self.differences_from(&self.before)
    }

    /// Ends the scene: what a failed test left is removed, then the test's directory.
    pub fn end(self) {
        if let Ok(entries) = fs::read_dir(&self.root) {
            for entry in entries {
                let id = entry.unwrap().file_name();
                self.rt(&["delete", "--force", id.to_str().unwrap()]);
            }
        }
        self.before.restore();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// What tells this process's directories from another lane's: each lane counts its pids from 1.
fn tag() -> u128 {
    static TAG: OnceLock<u128> = OnceLock::new();
    *TAG.get_or_init(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() & 0xff_ffff)
}

/// Where a runtime keeps files: its root, and what the system has for such things.
fn places(root: &Path) -> [&Path; 2] {
    [root, Path::new("/run")]
}

/// A container by its id and bundle, whether it exists or not.
#[derive(Debug)]
pub struct Container<'s> {
    scene: &'s Scene,
    /// Its id.
    pub id: String,
    bundle: PathBuf,
}

impl Container<'_> {
    fn with_bundle(&self, command: &str, options: &[&str]) -> Call {
        let mut args = vec![command, "--bundle", self.bundle.to_str().unwrap()];
        args.extend(options);
        args.push(&self.id);
        self.scene.call(&args)
    }

    /// The call of `create`.
    pub fn create_call(&self, options: &[&str]) -> Call {
        self.with_bundle("create", options)
    }

    /// The call of `run`.
    pub fn run_call(&self, options: &[&str]) -> Call {
        self.with_bundle("run", options)
    }

    /// `create`, which may fail.
    #[track_caller]
    pub fn try_create(&self, options: &[&str]) -> Done {
        self.create_call(options).done()
    }

    /// `create`.
    #[track_caller]
    pub fn create(&self) -> Done {
        let done = self.try_create(&[]);
        done.ok();
        done
    }

    /// `run`, attached, to the container's end.
    #[track_caller]
    pub fn run(&self) -> Done {
        self.run_call(&[]).done()
    }

    /// `run --detach`.
    #[track_caller]
    pub fn run_detached(&self) -> Done {
        let done = self.run_call(&["--detach"]).done();
        done.ok();
        done
    }

    /// The call of `exec`: `command` in the container.
    pub fn exec_call(&self, options: &[&str], command: &[&str]) -> Call {
        self.scene.call(&[&["exec"], options, &[&self.id], command].concat())
    }

    /// `exec`, attached, to the command's end; which may fail.
    #[track_caller]
    pub fn exec(&self, options: &[&str], command: &[&str]) -> Done {
        self.exec_call(options, command).done()
    }

    /// `start`.
    #[track_caller]
    pub fn start(&self) {
        self.scene.rt(&["start", &self.id]).ok();
    }

    /// `state`.
    #[track_caller]
    pub fn state(&self) -> Value {
        let done = self.scene.rt(&["state", &self.id]);
        done.ok();
        assert_eq!(done.stderr, "", "engines read both streams of `state` as one");
        done.json()
    }

    /// The status of `state`.
    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    /// The pid of `state`.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.state()["pid"].as_u64().unwrap().try_into().unwrap()
    }

    /// `kill`.
    #[track_caller]
    pub fn kill(&self, signal: &str) {
        self.scene.rt(&["kill", &self.id, signal]).ok();
    }

    /// Waits until its init, by pid, runs no more.
    #[track_caller]
    pub fn wait_end(&self, pid: u32) {
        self.scene.wait_until("the container's process has ended", || !process::runs(pid));
    }

    /// `kill` with SIGKILL, and the end of its init.
    #[track_caller]
    pub fn stop(&self) {
        let pid = self.pid();
        self.kill("KILL");
        self.wait_end(pid);
    }

    /// `delete`.
    #[track_caller]
    pub fn delete(&self) {
        self.scene.rt(&["delete", &self.id]).ok();
    }

    /// `delete --force`.
    #[track_caller]
    pub fn delete_force(&self) {
        self.scene.rt(&["delete", "--force", &self.id]).ok();
    }

    /// Asserts that there is no such container.
    #[track_caller]
    pub fn assert_gone(&self) {
        self.scene.rt(&["state", &self.id]).fails().says("does not exist");
    }
}
