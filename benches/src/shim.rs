//! The argument `shim`: containerd-shim-planc-v2 beside containerd-shim-runc-v2, under the same containerd, interleaved in one run:
//! how long `ctr run --rm` takes, what a shim weighs with one container and with a pod of ten, what is started for one container.
//!
//! `SHIM` is the shim's binary (default: beside this program), `CONTAINERD` a containerd with `ctr` beside it, `ROUNDS` how many
//! runs of each are counted (default 20). Only in lane native: /run is covered in its mount namespace.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Folders;
use crate::programs::installed;
use crate::race::rounds;
use crate::results::{self, Goal, version};
use crate::stats::{Interval, ratio_in_rounds};

const START: Goal = Goal::at_least("`ctr run --rm`, times faster", 2.0, "×");
const ONE: Goal = Goal::at_most("PSS of a shim with one container", 2.5, "MiB");
const FURTHER: Goal = Goal::at_most("PSS of each further container of a pod", 0.15, "MiB");

const ROUNDS: usize = 20;
/// How many containers a pod has.
const POD: u64 = 10;
/// A shim is weighed when it has been idle for so long.
const IDLE: Duration = Duration::from_millis(1500);

/// A shim that is measured.
struct Shim {
    runtime: String,
    process: &'static str,
    times: Vec<f64>,
}

/// A containerd, and what it keeps.
struct Daemon {
    containerd: PathBuf,
    ctr: PathBuf,
    folder: PathBuf,
    child: Child,
}

/// Measures, and prints.
pub(crate) fn main(folders: &Folders) -> Result<(), String> {
    let beside = || env::current_exe().ok().map(|own| own.with_file_name("containerd-shim-planc-v2"));
    let shim = env::var_os("SHIM").map(PathBuf::from).or_else(beside).filter(|path| path.is_file());
    let shim = installed(&shim.ok_or("no containerd-shim-planc-v2: SHIM names it")?, folders)?;
    run(Command::new("mount").args(["-t", "tmpfs", "bench", "/run"]))?;
    let daemon = Daemon::start()?;
    let mut shims = [
        Shim { runtime: shim.display().to_string(), process: "containerd-shim-planc-v2", times: Vec::new() },
        Shim { runtime: "io.containerd.runc.v2".to_owned(), process: "containerd-shim-runc-v2", times: Vec::new() },
    ];
    for round in 0..rounds(ROUNDS) + 2 {
        for shim in &mut shims {
            let begin = Instant::now();
            daemon.run(&shim.runtime, "b", &["--rm"], "/bin/true")?;
            // The first ones fill caches.
            if round >= 2 {
                shim.times.push(begin.elapsed().as_secs_f64() * 1000.0);
            }
        }
    }
    version("containerd", run(Command::new(&daemon.containerd).arg("--version"))?.trim());
    let own = ratio_in_rounds(&shims[1].times, &shims[0].times);
    START.judge(own, "beside containerd-shim-runc-v2");
    let row = |shim: &Shim| (shim.process.to_owned(), results::of_race(&shim.times, &shims[0].times));
    results::table("`ctr run --rm` of /bin/true", "ms", results::RACE, &shims.iter().map(row).collect::<Vec<_>>());
    weigh(&daemon, &shims)?;
    count_starts(&daemon, &shims);
    Ok(())
}

/// What a shim weighs with one container, and with a pod.
fn weigh(daemon: &Daemon, shims: &[Shim]) -> Result<(), String> {
    let mut rows = Vec::new();
    for (nth, shim) in shims.iter().enumerate() {
        let [one, pod] = [daemon.weigh(shim, 1)? as f64, daemon.weigh(shim, POD)? as f64];
        let further = (pod - one) / (POD - 1) as f64;
        if nth == 0 {
            ONE.judge(Interval::exact(one / 1024.0), "");
            FURTHER.judge(Interval::exact(further / 1024.0), "");
        }
        rows.push((shim.process.to_owned(), vec![one, pod, further]));
    }
    results::table("PSS of a shim", "KiB", &["one container", "a pod of ten", "each one further"], &rows);
    Ok(())
}

fn count_starts(daemon: &Daemon, shims: &[Shim]) {
    let mut rows = Vec::new();
    for shim in shims {
        match daemon.count_starts(shim) {
            Ok((programs, processes)) => rows.push((shim.process.to_owned(), vec![programs as f64, processes as f64])),
            Err(why) => results::not_run(&format!("what {} starts", shim.process), &why),
        }
    }
    results::table("what one `ctr run --rm` starts", "", &["programs", "processes"], &rows);
}

impl Daemon {
    fn start() -> Result<Self, String> {
        let containerd = env::var_os("CONTAINERD").map_or_else(|| "/usr/bin/containerd".into(), PathBuf::from);
        let ctr = containerd.with_file_name("ctr");
        let folder = PathBuf::from("/run/bench");
        for name in ["bin", "proc", "dev", "sys", "run", "tmp"] {
            fs::create_dir_all(folder.join("root").join(name)).map_err(|why| why.to_string())?;
        }
        run(Command::new("cp").args(["/bin/busybox", "/run/bench/root/bin/true"]))?;
        run(Command::new("cp").args(["/bin/busybox", "/run/bench/root/bin/sleep"]))?;
        let config = "version = 2\nroot = \"/run/bench/lib\"\nstate = \"/run/containerd\"\noom_score = 0\n\
                      disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"/run/containerd/containerd.sock\"\n";
        fs::write(folder.join("config.toml"), config).map_err(|why| why.to_string())?;
        let log = fs::File::create(folder.join("log")).map_err(|why| why.to_string())?;
        let mut command = Command::new(&containerd);
        command.args(["--config", "/run/bench/config.toml"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(|why| format!("{}: {why}", containerd.display()))?;
        let daemon = Self { containerd, ctr, folder, child };
        let deadline = Instant::now() + Duration::from_secs(30);
        while daemon.ctr(&["version"]).is_err() {
            if Instant::now() > deadline {
                return Err(format!("containerd does not answer: {}", daemon.log()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(daemon)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn ctr(&self, words: &[&str]) -> Result<String, String> {
        run(Command::new("timeout").args(["-s", "KILL", "60"]).arg(&self.ctr).args(words))
    }

    /// `ctr run` of a command, without a limit that the lane has no controller for.
    fn run(&self, runtime: &str, id: &str, flags: &[&str], command: &str) -> Result<(), String> {
        let mut words = vec!["run", "--runtime", runtime, "--cpu-shares", "0"];
        words.extend(flags);
        words.extend(["--rootfs", "/run/bench/root", id]);
        words.extend(command.split(' '));
        self.ctr(&words).map(drop)
    }

    /// The proportional set size, in KiB, of a shim that has so many containers.
    fn weigh(&self, shim: &Shim, containers: u64) -> Result<u64, String> {
        let ids: Vec<String> = (0..containers).map(|number| format!("w{number}")).collect();
        for id in &ids {
            self.run(&shim.runtime, id, &["-d", "--annotation", "io.containerd.runc.v2.group=pod"], "/bin/sleep 600")?;
        }
        std::thread::sleep(IDLE);
        let size: Vec<u64> = processes(shim.process).iter().filter_map(pss).collect();
        for id in &ids {
            self.ctr(&["task", "rm", "--force", id])?;
            self.ctr(&["container", "rm", id])?;
        }
        match size[..] {
            [size] => Ok(size),
            _ => Err(format!("{} shims for one pod", size.len())),
        }
    }

    /// How many programs are executed and how many processes forked for one `ctr run --rm`, `ctr` itself not among them.
    fn count_starts(&self, shim: &Shim) -> Result<(usize, usize), String> {
        let trace = self.folder.join("trace");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", "trace=execve,execveat,clone,clone3,fork,vfork", "-o"]).arg(&trace);
        strace.args(["-p", &self.child.id().to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
        let mut strace = strace.spawn().map_err(|why| format!("strace: {why}"))?;
        std::thread::sleep(Duration::from_secs(2));
        let ran = self.run(&shim.runtime, "s", &["--rm"], "/bin/true");
        std::thread::sleep(Duration::from_secs(1));
        let ended = run(Command::new("kill").arg(strace.id().to_string()))
            .and_then(|_| strace.wait().map_err(|why| why.to_string()));
        ran.and(ended.map(drop))?;
        let text = fs::read_to_string(&trace).map_err(|why| why.to_string())?;
        let done = |line: &&str| !line.contains(" = -1") && !line.contains("resumed>");
        let lines = || text.lines().filter(done);
        let programs = lines().filter(|line| line.contains(" execve(") || line.contains(" execveat(")).count();
        let is_fork = |line: &&str| [" clone(", " clone3(", " fork(", " vfork("].iter().any(|name| line.contains(name));
        let processes = lines().filter(is_fork).filter(|line| !line.contains("CLONE_THREAD")).count();
        if programs == 0 { Err("strace saw nothing".to_owned()) } else { Ok((programs, processes)) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // What is left of it ends with the lane.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The pids of the servers with this name.
fn processes(name: &str) -> Vec<String> {
    let is = |pid: &Path| {
        let line = fs::read(pid.join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).next().is_some_and(|first| first.ends_with(name.as_bytes()))
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    all.filter(|pid| is(pid)).filter_map(|pid| Some(pid.file_name()?.to_str()?.to_owned())).collect()
}

fn pss(pid: &String) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?.trim().trim_end_matches(" kB").trim().parse().ok()
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|why| format!("{command:?}: {why}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(said(&output.stdout))
    } else {
        Err(format!("{command:?}: {}: {}", output.status, said(&output.stderr).trim()))
    }
}
