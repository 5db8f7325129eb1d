//! The C programs that are measured beside the runtimes, compiled for each run.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::results::not_run;

/// How a program is linked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linked {
    /// As `cc` does by default.
    Dynamically,
    Statically,
}

/// One of the programs in c/, by name.
pub(crate) fn program(name: &str, linked: Linked, dir: &Path) -> Option<PathBuf> {
    let text = match name {
        "exec-floor" => include_str!("../c/exec-floor.c"),
        "empty" => include_str!("../c/empty.c"),
        "peak" => include_str!("../c/peak.c"),
        "calls" => include_str!("../c/calls.c"),
        _ => return None,
    };
    let source = dir.join(name).with_extension("c");
    fs::create_dir_all(dir).and_then(|()| fs::write(&source, text)).unwrap();
    compiled(name, &source, linked, dir)
}

/// The floor of `run`, which is not kept here: `FLOOR` names its source.
pub(crate) fn floor(linked: Linked, dir: &Path) -> Option<PathBuf> {
    let source = env::var_os("FLOOR").map_or_else(|| PathBuf::from("../shared/perf/floor.c"), PathBuf::from);
    if !source.is_file() {
        not_run("floor", &format!("there is no {}", source.display()));
        return None;
    }
    compiled("floor", &source, linked, dir)
}

fn compiled(name: &str, source: &Path, linked: Linked, dir: &Path) -> Option<PathBuf> {
    let (suffix, flags) = match linked {
        Linked::Dynamically => ("", &["-O2"][..]),
        Linked::Statically => ("-static", &["-O2", "-static"][..]),
    };
    fs::create_dir_all(dir).unwrap();
    let program = dir.join(format!("{name}{suffix}"));
    let output = Command::new("cc").args(flags).arg("-o").arg(&program).arg(source).output();
    if output.is_ok_and(|output| output.status.success()) {
        return Some(program);
    }
    not_run(name, &format!("cc {} does not compile {}", flags.join(" "), source.display()));
    None
}
