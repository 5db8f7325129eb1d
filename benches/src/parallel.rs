//! How many `run` of eight clients end in a second, on one core and on all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use integration_tests::bundle::Bundle;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::Folders;
use crate::programs::{self, Linked};
use crate::race::{Contender, rounds};
use crate::results::{self, Goal, Limit};
use crate::stats::{Interval, median, ratio_in_rounds};

const CLIENTS: usize = 8;
/// What each client launches in a round.
const LAUNCHES: usize = 8;
const ROUNDS: usize = 150;
/// In how many of the rounds the others take part, who are in the table and in no goal.
const OTHERS_EVERY: usize = 10;

const GOAL: Goal = Goal {
    what: "`run`s of 8 clients in a second on all cores, times those on one, beside the same of the floor",
    unit: "×",
    // As well as the floor: with a limit of 1, who scales exactly as it does would miss by chance.
    limit: Limit::AtLeast(0.95),
};

/// A name, and the command line of the client with this number.
type Client = (String, Box<dyn Fn(usize) -> Contender>);

/// Launches of a second, round by round.
struct Throughput {
    name: String,
    one: Vec<f64>,
    all: Vec<f64>,
}

/// All who can, in turn.
pub(crate) fn main(folders: &Folders) -> Result<(), String> {
    let core = match OneCore::new(folders) {
        Ok(core) => core,
        Err(why) => {
            GOAL.is_not_measured(&format!("nothing can be held to one core: {why}"));
            return Ok(());
        }
    };
    let clients = clients(folders);
    let throughput = |name: &String| Throughput { name: name.clone(), one: Vec::new(), all: Vec::new() };
    let mut found: Vec<Throughput> = clients.iter().map(|(name, _)| throughput(name)).collect();
    // The first round fills caches.
    for round in 0..=rounds(ROUNDS) {
        let is_judged = |name: &str| name == "floor" || name == "planc";
        let pairs = clients.iter().zip(&mut found);
        for ((_, client), found) in pairs.filter(|((name, _), _)| is_judged(name) || round % OTHERS_EVERY == 0) {
            let on_one = || core.hold(|| at_once(client.as_ref()));
            let (one, all) = if found.one.len() % 2 == 0 {
                (on_one()?, at_once(client.as_ref())?)
            } else {
                let all = at_once(client.as_ref())?;
                (on_one()?, all)
            };
            if round > 0 {
                found.one.push(one);
                found.all.push(all);
            }
        }
    }
    report(&found);
    Ok(())
}

/// The floor, and all runtimes that can.
fn clients(folders: &Folders) -> Vec<Client> {
    let mut bundle = Bundle::new(folders.bundles.join("plain"));
    bundle.remove("/linux/resources").write();
    let mut clients: Vec<Client> = Vec::new();
    if let Some(floor) = programs::floor(Linked::Dynamically, folders) {
        let words = [floor, bundle.rootfs("")].map(|path| path.to_str().unwrap().to_owned());
        clients.push(("floor".to_owned(), Box::new(move |_| Contender::new("floor", &[&words[0], &words[1]]))));
    }
    for runtime in crate::runtime::all(folders).iter().filter(|runtime| runtime.run(&bundle).able().is_some()) {
        let words = runtime.words(&["run", "--bundle", bundle.arg()]);
        let client = move |client: usize| {
            let id = format!("client-{client}");
            let words: Vec<&str> = words.iter().map(String::as_str).chain([id.as_str()]).collect();
            Contender::new("client", &words)
        };
        clients.push((runtime.name.clone(), Box::new(client)));
    }
    clients
}

/// No program doubles with a second core: processors share caches, and the kernel has locks that all namespaces share. What a
/// runtime could add to that is judged beside the floor, which calls the same of the kernel.
fn report(found: &[Throughput]) {
    let row = |found: &Throughput| {
        let Interval { figure, low, high } = ratio_in_rounds(&found.all, &found.one);
        (found.name.clone(), vec![found.one.len() as f64, median(&found.one), median(&found.all), figure, low, high])
    };
    let times =
        |found: &Throughput| -> Vec<f64> { found.all.iter().zip(&found.one).map(|(all, one)| all / one).collect() };
    let of = |name: &str| found.iter().find(|found| found.name == name).map(times);
    let ratio = of("planc").zip(of("floor")).map(|(planc, floor)| ratio_in_rounds(&planc, &floor));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    GOAL.judge_or(ratio, &format!("{cores} cores"), "planc or the floor did not run");
    let columns = ["rounds", "one core", "all cores", "times", "from", "to"];
    let rows: Vec<_> = found.iter().map(row).collect();
    results::table("`run` by 8 clients", "runs a second", &columns, &rows);
}

/// Launches of a second.
fn at_once(client: &dyn Fn(usize) -> Contender) -> Result<f64, String> {
    let contenders: Vec<Contender> = (0..CLIENTS).map(client).collect();
    let begin = Instant::now();
    let ends: Vec<Result<(), String>> = thread::scope(|scope| {
        let launch = |contender: &Contender| (0..LAUNCHES).try_for_each(|_| contender.launch().map(drop));
        let threads: Vec<_> = contenders.iter().map(|contender| scope.spawn(move || launch(contender))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client panicked")).collect()
    });
    let time = begin.elapsed().as_secs_f64();
    ends.into_iter().collect::<Result<(), String>>()?;
    Ok((CLIENTS * LAUNCHES) as f64 / time)
}

/// A cpuset of one processor, of cgroup v1: a runtime gives its container all processors that it may have, so that neither
/// taskset(1) nor a cpuset of v2, where the container is in a cgroup of its own, would hold it.
struct OneCore {
    hierarchy: PathBuf,
    cgroup: PathBuf,
}

impl OneCore {
    fn new(folders: &Folders) -> Result<Self, String> {
        let hierarchy = folders.bundles.join("cpuset");
        let failed = |why: io::Error| format!("a cpuset of cgroup v1: {why}");
        fs::create_dir_all(&hierarchy).map_err(failed)?;
        mount(Some("cpuset"), &hierarchy, Some("cgroup"), MsFlags::empty(), Some("cpuset"))
            .map_err(|why| failed(why.into()))?;
        let core = Self { cgroup: hierarchy.join(format!("planc-bench-{}", process::id())), hierarchy };
        fs::create_dir(&core.cgroup).map_err(failed)?;
        let first = |name: &str| {
            let all = fs::read_to_string(core.hierarchy.join(name)).map_err(failed)?;
            let first: String = all.chars().take_while(char::is_ascii_digit).collect();
            fs::write(core.cgroup.join(name), first).map_err(failed)
        };
        first("cpuset.cpus")?;
        first("cpuset.mems")?;
        Ok(core)
    }

    /// This process, and what it starts meanwhile, have one processor.
    fn hold<T>(&self, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        enter(&self.cgroup)?;
        let done = work();
        enter(&self.hierarchy)?;
        done
    }
}

/// Puts this process in a cgroup of v1.
fn enter(cgroup: &Path) -> Result<(), String> {
    let entered = fs::write(cgroup.join("cgroup.procs"), process::id().to_string());
    entered.map_err(|why| format!("{}: {why}", cgroup.display()))
}

impl Drop for OneCore {
    fn drop(&mut self) {
        // It is still within where a client panicked.
        let _ = enter(&self.hierarchy);
        // A container that has ended may be in it for a moment.
        for _ in 0..50 {
            match fs::remove_dir(&self.cgroup) {
                Err(why) if why.kind() == io::ErrorKind::ResourceBusy => thread::sleep(Duration::from_millis(20)),
                _ => break,
            }
        }
        let _ = umount2(&self.hierarchy, MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&self.hierarchy);
    }
}
