//! Counts that do not depend on how busy a machine is: system calls and instructions of each command, and the gate that
//! holds them to what is written down in `counts.json`.

mod instructions;
mod syscalls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub(crate) use syscalls::{Bundle, Folder, bundle};

use crate::packages;
use crate::run::{Result, root};

/// More than this beside the figure that is written down is a regression.
const PERCENT: u64 = 5;

/// A kind of count: its commands, each with a figure where it can be counted here.
pub(crate) struct Counts {
    pub(crate) kind: &'static str,
    pub(crate) figures: Vec<(String, Option<u64>)>,
}

/// A figure beside the one that is written down.
pub(crate) struct Judged {
    pub(crate) what: String,
    pub(crate) figure: Option<u64>,
    /// `None` where nothing is written down.
    pub(crate) limit: Option<u64>,
}

impl Judged {
    /// Whether it is within its limit; what cannot be counted here is not judged.
    pub(crate) fn is_well(&self) -> bool {
        self.figure.is_none_or(|figure| self.limit.is_some_and(|limit| figure <= limit))
    }
}

/// Counts every command of planc.
pub(crate) fn count(planc: &Path) -> Result<Vec<Counts>> {
    packages::ensure(&[packages::TESTS, packages::COUNTS])?;
    let calls = syscalls::of_planc(planc)?.into_iter().map(|(name, figure)| (name, Some(figure))).collect();
    let instructions = instructions::of_planc(planc)?;
    Ok(vec![Counts { kind: "system calls", figures: calls }, Counts { kind: "instructions", figures: instructions }])
}

/// The figures beside those that are written down.
pub(crate) fn judge(counts: &[Counts]) -> Result<Vec<Judged>> {
    let text = std::fs::read_to_string(path()).map_err(|why| format!("{}: {why}", path().display()))?;
    let written = parsed(&text)?;
    Ok(judged(counts, &written))
}

fn judged(counts: &[Counts], written: &BTreeMap<String, u64>) -> Vec<Judged> {
    let all = counts.iter().flat_map(|counts| counts.figures.iter().map(|figure| (counts.kind, figure)));
    all.map(|(kind, (name, figure))| {
        let what = format!("{kind}, {name}");
        let limit = written.get(&what).map(|figure| figure + figure * PERCENT / 100);
        Judged { what, figure: *figure, limit }
    })
    .collect()
}

/// Writes the figures down.
pub(crate) fn write(counts: &[Counts]) -> Result<()> {
    let mut kinds = serde_json::Map::new();
    for counts in counts {
        let figures = counts.figures.iter().filter_map(|(name, figure)| Some((name.clone(), json!((*figure)?))));
        kinds.insert(counts.kind.to_owned(), Value::Object(figures.collect()));
    }
    let text = serde_json::to_string_pretty(&kinds).map_err(|why| why.to_string())?;
    std::fs::write(path(), text + "\n").map_err(|why| format!("{}: {why}", path().display()))
}

/// `KIND, COMMAND` and its figure.
fn parsed(text: &str) -> Result<BTreeMap<String, u64>> {
    let kinds: BTreeMap<String, BTreeMap<String, u64>> =
        serde_json::from_str(text).map_err(|why| format!("counts.json: {why}"))?;
    let all = kinds
        .into_iter()
        .flat_map(|(kind, figures)| figures.into_iter().map(move |(name, figure)| (format!("{kind}, {name}"), figure)));
    Ok(all.collect())
}

fn path() -> PathBuf {
    root().join("xtask/counts.json")
}

/// The tables of docs/performance.md, as the benches leave theirs: planc's counts, and all runtimes' system calls.
pub(crate) fn tables(counts: &[Counts], planc: &Path) -> Vec<Value> {
    let mut lines = Vec::new();
    for counts in counts {
        let figures = counts.figures.iter().filter_map(|(name, figure)| Some((name, (*figure)?)));
        let (columns, row): (Vec<&String>, Vec<u64>) = figures.unzip();
        let title = format!("{} of planc's own process, and of init", counts.kind);
        lines.push(json!({"kind": "table", "title": title, "unit": "", "columns": columns, "rows": [["planc", row]]}));
        for (name, _) in counts.figures.iter().filter(|(_, figure)| figure.is_none()) {
            let why = format!("{} cannot run it", instructions::version());
            lines.push(json!({"kind": "not run", "what": format!("{} of {name}", counts.kind), "why": why}));
        }
    }
    lines.push(json!({"kind": "version", "name": "valgrind", "version": instructions::version()}));
    let mut rows = Vec::new();
    for (name, path) in beside(planc) {
        match syscalls::totals(&path, planc, Bundle::WithoutResources) {
            Ok(row) => rows.push(json!([name, row])),
            Err(why) => lines.push(json!({"kind": "not run", "what": format!("system calls of {name}"), "why": why})),
        }
    }
    let title = "system calls of all processes of a command, without linux.resources";
    lines.push(json!({"kind": "table", "title": title, "unit": "", "columns": syscalls::COMMANDS, "rows": rows}));
    lines
}

/// planc, Debian's runtimes, and those that `RUNC`, `CRUN` and `YOUKI` name.
fn beside(planc: &Path) -> Vec<(String, PathBuf)> {
    let named = ["RUNC", "CRUN", "YOUKI"].into_iter().filter_map(|name| {
        let path = PathBuf::from(std::env::var_os(name)?);
        Some((format!("{} ({})", name.to_lowercase(), path.display()), path))
    });
    let debians = [("runc", "/usr/sbin/runc"), ("crun", "/usr/bin/crun")];
    let debians = debians.map(|(name, path)| (format!("Debian's {name}"), PathBuf::from(path)));
    let all = [("planc".to_owned(), planc.to_owned())].into_iter().chain(debians).chain(named);
    all.filter(|(_, path)| path.is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(figure: Option<u64>) -> Vec<Counts> {
        vec![Counts { kind: "system calls", figures: vec![("run".to_owned(), figure)] }]
    }

    #[test]
    fn five_percent_more_is_within_the_limit() {
        let written = parsed(r#"{"system calls": {"run": 200}}"#).unwrap();
        assert!(judged(&one(Some(210)), &written)[0].is_well());
        assert!(!judged(&one(Some(211)), &written)[0].is_well());
    }

    #[test]
    fn what_is_not_written_down_fails_and_what_is_not_counted_does_not() {
        let nothing = BTreeMap::new();
        assert!(!judged(&one(Some(1)), &nothing)[0].is_well());
        assert!(judged(&one(None), &nothing)[0].is_well());
    }
}
