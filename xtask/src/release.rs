//! `cargo xtask release`: the binaries that are given to people.

use std::fs;
use std::path::Path;

use crate::elf::Elf;
use crate::run::{self, Built, Result, bounded, build_static, stdout};

/// What is given to people.
const PROGRAMS: [&str; 2] = ["planc", "containerd-shim-planc-v2"];

/// `release [--twice]`: builds `planc` and the shim, checks that they are static, position-independent and stripped, and prints path, size and SHA-256
/// of each. With `--twice` they are built in two other folders from nothing, and have to be the same bytes.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let is_twice = match arguments {
        [] => false,
        [one] if one == "--twice" => true,
        _ => return Err("takes --twice, or nothing".to_owned()),
    };
    let built = programs(None)?;
    for program in &built {
        let size = size(&program.path)?;
        println!("{}\n  size   {size} bytes\n  sha256 {}", program.path.display(), sum(&program.path)?);
        let faults = faults(&program.path)?;
        if !faults.is_empty() {
            return Err(format!("{}: {}", program.name, faults.join(", ")));
        }
        println!("  static, position-independent, stripped");
    }
    if is_twice { same_bytes() } else { Ok(()) }
}

fn programs(target: Option<&Path>) -> Result<Vec<Built>> {
    let mut arguments = vec!["--locked", "-p", "runtime-cli", "-p", "shim", "--bins"];
    let folder = target.map(|target| target.to_str().unwrap_or_default());
    arguments.extend(folder.iter().flat_map(|folder| ["--target-dir", folder]));
    let built = build_static(40, &arguments)?;
    let mut wanted = Vec::new();
    for built in built.into_iter().filter(|built| built.kind == "bin") {
        if PROGRAMS.contains(&built.name.as_str()) {
            wanted.push(built);
        }
    }
    // Cargo tells them as they are finished.
    wanted.sort_by(|one, other| one.name.cmp(&other.name));
    if wanted.len() == PROGRAMS.len() {
        Ok(wanted)
    } else {
        Err(format!("cargo did not build {}", PROGRAMS.join(", ")))
    }
}

/// In two folders of different names, from nothing.
fn same_bytes() -> Result<()> {
    let folder = run::target_directory()?.join("release-twice");
    let mut both = Vec::new();
    for name in ["one", "the-other"] {
        let target = folder.join(name);
        if target.exists() {
            fs::remove_dir_all(&target).map_err(|why| format!("{}: {why}", target.display()))?;
        }
        both.push(programs(Some(&target))?);
    }
    for (one, other) in both[0].iter().zip(&both[1]) {
        let read = |path: &Path| fs::read(path).map_err(|why| format!("{}: {why}", path.display()));
        if read(&one.path)? != read(&other.path)? {
            return Err(format!("{} and {} differ", one.path.display(), other.path.display()));
        }
        println!("{}: the same {} bytes twice, sha256 {}", one.name, size(&one.path)?, sum(&one.path)?);
    }
    fs::remove_dir_all(&folder).map_err(|why| format!("{}: {why}", folder.display()))
}

/// What keeps a program from being given to people.
fn faults(path: &Path) -> Result<Vec<&'static str>> {
    let image = fs::read(path).map_err(|why| format!("{}: {why}", path.display()))?;
    let elf = Elf::parsed(&image).ok_or_else(|| format!("{}: not a 64-bit little-endian ELF file", path.display()))?;
    let faults = [
        (elf.has_interpreter(), "it names a dynamic linker"),
        (!elf.is_position_independent(), "it is at fixed addresses"),
        (elf.has_symbols(), "it is not stripped"),
    ];
    Ok(faults.into_iter().filter_map(|(is_so, fault)| is_so.then_some(fault)).collect())
}

fn size(path: &Path) -> Result<u64> {
    fs::metadata(path).map(|metadata| metadata.len()).map_err(|why| format!("{}: {why}", path.display()))
}

fn sum(path: &Path) -> Result<String> {
    let said = stdout(&mut bounded(1, "sha256sum", &[path]))?;
    Ok(said.split_whitespace().next().unwrap_or_default().to_owned())
}
