//! The smallest `linux.resources.memory.limit` in which `run` of /bin/true ends well: where there is a memory controller.

use std::fs;

use integration_tests::bundle::Bundle;
use serde_json::json;

use crate::Folders;
use crate::results::{self, Goal};
use crate::runtime::{Kind, Runtime};
use crate::stats::Interval;

const SMALLEST: Goal = Goal::at_most("smallest `linux.resources.memory.limit` in which `run` works", 256.0, "KiB");

/// In KiB: page size, and where the search ends.
const STEP: u64 = 4;
const MOST: u64 = 32 * 1024;
/// A limit counts when so many launches in it end well.
const LAUNCHES: usize = 5;

/// Each runtime's smallest.
pub(crate) fn main(folders: &Folders) -> Result<(), String> {
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if !controllers.split_whitespace().any(|controller| controller == "memory") {
        SMALLEST.is_not_measured("no memory controller here");
        return Ok(());
    }
    let mut bundle = Bundle::new(folders.bundles.join("bundle"));
    bundle.write();
    let mut rows = Vec::new();
    for runtime in crate::runtime::all(folders) {
        let smallest = smallest(&runtime, &mut bundle);
        rows.push((runtime.name.clone(), vec![smallest.map_or(f64::NAN, |smallest| smallest as f64)]));
        if runtime.kind == Kind::Planc {
            let figure = smallest.map(|smallest| Interval::exact(smallest as f64));
            SMALLEST.judge_or(figure, "kernel of the uml lane", "planc runs in no limit that was tried");
        }
    }
    results::table("smallest memory limit in which `run` of /bin/true works", "KiB", &["limit"], &rows);
    Ok(())
}

/// By halving, then upwards page by page until a limit holds.
fn smallest(runtime: &Runtime, bundle: &mut Bundle) -> Option<u64> {
    let mut works = |limit: u64| {
        bundle.set("/linux/resources", json!({"memory": {"limit": limit * 1024}})).write();
        let works = (0..LAUNCHES).all(|_| runtime.run(bundle).launch().is_ok());
        if !works {
            runtime.detached(&["delete", "--force", &format!("bench-{}", std::process::id())]);
        }
        works
    };
    let (mut fails, mut holds) = (0, MOST);
    if !works(holds) {
        return None;
    }
    while holds - fails > STEP {
        let middle = (fails + holds) / 2 / STEP * STEP;
        if works(middle) {
            holds = middle;
        } else {
            fails = middle;
        }
    }
    (holds..=MOST).step_by(STEP as usize).find(|limit| works(*limit))
}
