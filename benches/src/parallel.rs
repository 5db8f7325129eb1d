//! How many `run` end in a second with one client and with eight at once.

use std::thread;
use std::time::Instant;

use integration_tests::bundle::Bundle;

use crate::Folders;
use crate::programs::{self, Linked};
use crate::race::{Contender, rounds};
use crate::results::{self, Goal, Limit};
use crate::stats::{Interval, median, ratio_in_rounds};

const CLIENTS: usize = 8;
/// What one client launches in a round; of eight each launches a quarter of it.
const LAUNCHES: usize = 32;
const ROUNDS: usize = 60;

/// A name, and the command line of the client with this number.
type Client = (String, Box<dyn Fn(usize) -> Contender>);

/// Launches of a second, round by round.
struct Throughput {
    name: String,
    one: Vec<f64>,
    eight: Vec<f64>,
}

/// All who can, in turn.
pub(crate) fn main(folders: &Folders) -> Result<(), String> {
    let mut bundle = Bundle::new(folders.bundles.join("plain"));
    bundle.remove("/linux/resources").write();
    let runtimes = crate::runtime::all(folders);
    let able = runtimes.iter().filter(|runtime| runtime.run(&bundle).able().is_some());
    let mut clients: Vec<Client> = Vec::new();
    if let Some(floor) = programs::floor(Linked::Dynamically, folders) {
        let rootfs = bundle.rootfs("");
        let words = [floor, rootfs].map(|path| path.to_str().unwrap().to_owned());
        clients.push(("floor".to_owned(), Box::new(move |_| Contender::new("floor", &[&words[0], &words[1]]))));
    }
    for runtime in able {
        let words = runtime.words(&["run", "--bundle", bundle.arg()]);
        let client = move |client: usize| {
            let id = format!("client-{client}");
            let words: Vec<&str> = words.iter().map(String::as_str).chain([id.as_str()]).collect();
            Contender::new("client", &words)
        };
        clients.push((runtime.name.clone(), Box::new(client)));
    }
    let mut found: Vec<Throughput> =
        clients.iter().map(|(name, _)| Throughput { name: name.clone(), one: Vec::new(), eight: Vec::new() }).collect();
    for round in 0..=rounds(ROUNDS) {
        for ((_, client), found) in clients.iter().zip(&mut found) {
            let one = at_once(1, LAUNCHES, client.as_ref())?;
            let eight = at_once(CLIENTS, LAUNCHES / 4, client.as_ref())?;
            // The first one fills caches.
            if round > 0 {
                found.one.push(one);
                found.eight.push(eight);
            }
        }
    }
    report(&found);
    Ok(())
}

/// One client alone uses more than one core: init is furnished beside the host's work, and what was there before is taken down
/// beside both. So that eight do as much more as the cores can do is judged beside the floor, for which the same holds.
fn report(found: &[Throughput]) {
    let row = |found: &Throughput| {
        let Interval { figure, low, high } = ratio_in_rounds(&found.eight, &found.one);
        (found.name.clone(), vec![median(&found.one), median(&found.eight), figure, low, high])
    };
    let goal = Goal {
        what: "`run`s of 8 clients in a second, times those of one, beside the same of the floor",
        unit: "×",
        limit: Limit::AtLeast(0.95),
    };
    let times = |found: &Throughput| -> Vec<f64> {
        found.eight.iter().zip(&found.one).map(|(eight, one)| eight / one).collect()
    };
    let of = |name: &str| found.iter().find(|found| found.name == name).map(times);
    let ratio = of("planc").zip(of("floor")).map(|(planc, floor)| ratio_in_rounds(&planc, &floor));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    goal.judge_or(ratio, &format!("{cores} cores"), "planc or the floor did not run");
    let columns = ["1 client", "8 clients", "times", "from", "to"];
    let rows: Vec<_> = found.iter().map(row).collect();
    results::table("`run` by 1 and by 8 clients", "runs a second", &columns, &rows);
}

/// Launches of a second, of so many clients that launch so often each.
fn at_once(clients: usize, launches: usize, client: &dyn Fn(usize) -> Contender) -> Result<f64, String> {
    let contenders: Vec<Contender> = (0..clients).map(client).collect();
    let begin = Instant::now();
    let ends: Vec<Result<(), String>> = thread::scope(|scope| {
        let launch = |contender: &Contender| (0..launches).try_for_each(|_| contender.launch().map(drop));
        let threads: Vec<_> = contenders.iter().map(|contender| scope.spawn(move || launch(contender))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client panicked")).collect()
    });
    let time = begin.elapsed().as_secs_f64();
    ends.into_iter().collect::<Result<(), String>>()?;
    Ok((clients * launches) as f64 / time)
}
