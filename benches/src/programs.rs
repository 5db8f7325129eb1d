//! The C programs that are measured beside the runtimes, compiled for each run.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Folders;
use crate::results::not_run;

/// How a program is linked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linked {
    /// As `cc` does by default.
    Dynamically,
    Statically,
}

/// One of the programs in c/, by name.
pub(crate) fn program(name: &str, linked: Linked, folders: &Folders) -> Option<PathBuf> {
    let text = match name {
        "exec-floor" => include_str!("../c/exec-floor.c"),
        "empty" => include_str!("../c/empty.c"),
        "peak" => include_str!("../c/peak.c"),
        "calls" => include_str!("../c/calls.c"),
        _ => return None,
    };
    let source = folders.bundles.join(name).with_extension("c");
    fs::write(&source, text).unwrap();
    compiled(name, &source, linked, folders)
}

/// A copy of a program, as an installation makes one. In how large pieces the page cache has a file depends on how it was
/// written, and linkers write small ones: of programs that run for milliseconds that is a tenth.
pub(crate) fn installed(program: &Path, folders: &Folders) -> Result<PathBuf, String> {
    let failed = |why: io::Error| format!("{}: {why}", program.display());
    let name = program.file_name().ok_or_else(|| format!("{} is no program", program.display()))?;
    let folder = folders.bundles.join("installed").join(program.display().to_string().replace('/', "-"));
    fs::create_dir_all(&folder).map_err(failed)?;
    let copy = folder.join(name);
    fs::copy(program, &copy).map_err(failed)?;
    Ok(copy)
}

/// The floor of `run`, which is not kept here: `FLOOR` names its source.
pub(crate) fn floor(linked: Linked, folders: &Folders) -> Option<PathBuf> {
    let source = env::var_os("FLOOR").map_or_else(|| PathBuf::from("../shared/perf/floor.c"), PathBuf::from);
    if !source.is_file() {
        not_run("floor", &format!("there is no {}", source.display()));
        return None;
    }
    compiled("floor", &source, linked, folders)
}

fn compiled(name: &str, source: &Path, linked: Linked, folders: &Folders) -> Option<PathBuf> {
    let (suffix, flags) = match linked {
        Linked::Dynamically => ("", &["-O2"][..]),
        Linked::Statically => ("-static", &["-O2", "-static"][..]),
    };
    let program = folders.bundles.join(format!("{name}{suffix}"));
    let output = Command::new("cc").args(flags).arg("-o").arg(&program).arg(source).output();
    if output.is_ok_and(|output| output.status.success()) {
        return installed(&program, folders).map_err(|why| not_run(name, &why)).ok();
    }
    not_run(name, &format!("cc {} does not compile {}", flags.join(" "), source.display()));
    None
}
