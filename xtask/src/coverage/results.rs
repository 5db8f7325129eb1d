//! What the tests came to in each lane: left by `cargo xtask test`, read by `cargo xtask coverage`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::run::{Result, target_directory};

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    Failed,
    /// It said what it lacks.
    Skipped,
}

/// Verdicts by the names of the tests.
pub(super) type Verdicts = BTreeMap<String, Verdict>;

/// The verdicts of each lane that was run.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) lanes: BTreeMap<String, Verdicts>,
}

impl Results {
    pub(super) fn of_all_lanes() -> Result<Self> {
        let mut lanes = BTreeMap::new();
        for path in fs::read_dir(folder()?).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
            let text = fs::read_to_string(&path).map_err(|why| format!("{}: {why}", path.display()))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            lanes.insert(name, text.lines().filter_map(parsed).collect());
        }
        Ok(Self { lanes })
    }
}

/// Collects the verdicts of a lane from the lines of its test programs.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    verdicts: Verdicts,
    /// A test whose verdict comes on a later line, after figures that it printed.
    open: Option<String>,
}

impl Lines {
    /// Looks at a line: `test NAME ... VERDICT`.
    pub(crate) fn add(&mut self, line: &str) {
        let begun = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "));
        let (name, said) = match (begun, self.open.take()) {
            (Some((name, said)), _) => (name.trim().to_owned(), said),
            (None, Some(name)) => (name, line),
            (None, None) => return,
        };
        match verdict(said) {
            Some(verdict) => drop(self.verdicts.insert(name, verdict)),
            None => self.open = Some(name),
        }
    }

    /// Leaves them for `cargo xtask coverage`.
    pub(crate) fn leave(&self, lane: &str) -> Result<()> {
        let folder = folder()?;
        let path = folder.join(format!("{lane}.txt"));
        let lines = self.verdicts.iter().map(|(name, verdict)| format!("{} {name}\n", word(*verdict)));
        let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, lines.collect::<String>()));
        written.map_err(|why| format!("{}: {why}", path.display()))
    }
}

fn folder() -> Result<PathBuf> {
    Ok(target_directory()?.join("lanes"))
}

fn verdict(said: &str) -> Option<Verdict> {
    match said.trim().split([' ', ',']).next()? {
        "ok" => Some(Verdict::Passed),
        "FAILED" => Some(Verdict::Failed),
        "ignored" => Some(Verdict::Skipped),
        _ => None,
    }
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "ok",
        Verdict::Failed => "FAILED",
        Verdict::Skipped => "ignored",
    }
}

fn parsed(line: &str) -> Option<(String, Verdict)> {
    let (said, name) = line.split_once(' ')?;
    Some((name.to_owned(), verdict(said)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read_beside_what_tests_print() {
        let mut lines = Lines::default();
        for line in [
            "running 4 tests",
            "test rootfs::is_read_only    ... ok",
            "test scheduling::is_niced ... ignored, runtime-spec 1.1",
            "test events::figures ... 12 readings",
            "of 3 files",
            "ok",
            "test users::maps ... FAILED",
            "test result: FAILED. 2 passed; 1 failed",
            "ok",
        ] {
            lines.add(line);
        }
        let said: Vec<_> = lines.verdicts.iter().map(|(name, verdict)| (name.as_str(), *verdict)).collect();
        assert_eq!(
            said,
            [
                ("events::figures", Verdict::Passed),
                ("rootfs::is_read_only", Verdict::Passed),
                ("scheduling::is_niced", Verdict::Skipped),
                ("users::maps", Verdict::Failed),
            ]
        );
        let written: Vec<_> = said.iter().map(|(name, verdict)| format!("{} {name}", word(*verdict))).collect();
        let again: Verdicts = written.iter().filter_map(|line| parsed(line)).collect();
        assert_eq!(again, lines.verdicts);
    }
}
