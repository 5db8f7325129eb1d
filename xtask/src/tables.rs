//! `cargo xtask tables`: writes the system call tables of the seccomp compiler anew, from the kernel headers' numbers as the
//! crate linux-raw-sys has them for every architecture.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use crate::run::{Result, dependency, root};

/// Where the numbers come from: a dependency of this program's, so that Cargo.lock says which kernel's.
const SOURCE: &str = "linux-raw-sys";
/// What is written.
const TABLE: &str = "runtime-core/src/compile/seccomp/table.rs";
/// The columns of the table: the source's names of the architectures whose filters can run on the machines planc is for.
const COLUMNS: [&str; 5] = ["x86_64", "x86", "x32", "aarch64", "arm"];
/// Constants of the headers that are no system calls.
const NO_CALLS: [&str; 6] = ["OABI_SYSCALL_BASE", "SYSCALL_BASE", "SYSCALL_MASK", "BASE", "Linux", "Linux_syscalls"];
const WIDTH: usize = 120;

/// Numbers by name.
type Numbers = BTreeMap<String, u32>;

/// Writes the table; `--check` only compares.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        [unknown, ..] => return Err(format!("unknown argument {unknown:?}")),
    };
    let (version, source) = dependency(SOURCE)?;
    let columns = COLUMNS.map(|arch| numbers(&source, arch));
    let columns: Vec<Numbers> = columns.into_iter().collect::<Result<_>>()?;
    let text = text(&version, &columns, &foreign(&source, &columns)?);
    let path = root().join(TABLE);
    if check {
        let is_same = fs::read_to_string(&path).is_ok_and(|written| written == text);
        return if is_same { Ok(()) } else { Err(format!("{TABLE} is not what cargo xtask tables writes")) };
    }
    fs::write(&path, text).map_err(|why| format!("{TABLE}: {why}"))
}

/// The numbers of an architecture: lines `pub const __NR_name: u32 = number;`, of which arm has some of its own.
fn numbers(source: &std::path::Path, arch: &str) -> Result<Numbers> {
    let path = source.join(arch).join("general.rs");
    let text = fs::read_to_string(&path).map_err(|why| format!("{}: {why}", path.display()))?;
    let constants =
        text.lines().filter_map(|line| line.strip_prefix("pub const __")?.strip_suffix(';')?.split_once(": u32 = "));
    let calls = constants.filter_map(|(name, number)| {
        let name = name.strip_prefix("NR_").or_else(|| name.strip_prefix("ARM_NR_"))?;
        Some((name, number.parse().ok()?)).filter(|(name, _)| !NO_CALLS.contains(name))
    });
    Ok(calls.map(|(name, number)| (name.to_owned(), number)).collect())
}

/// The names that only other architectures have.
fn foreign(source: &std::path::Path, columns: &[Numbers]) -> Result<BTreeSet<String>> {
    let folders = fs::read_dir(source).map_err(|why| format!("{}: {why}", source.display()))?;
    let names = folders.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let others = names.filter(|name| !COLUMNS.contains(&name.as_str()) && source.join(name).is_dir());
    let mut foreign = BTreeSet::new();
    for arch in others {
        foreign.extend(numbers(source, &arch)?.into_keys());
    }
    foreign.retain(|name| !columns.iter().any(|column| column.contains_key(name)));
    Ok(foreign)
}

fn text(version: &str, columns: &[Numbers], foreign: &BTreeSet<String>) -> String {
    let names: BTreeSet<&String> = columns.iter().flat_map(BTreeMap::keys).collect();
    let rows = names.iter().map(|name| {
        let numbers: Vec<String> = columns.iter().map(|column| shown(column.get(*name))).collect();
        format!("({name:?}, [{}]),", numbers.join(", "))
    });
    let mut text = String::from(
        "//! The numbers of system calls by name, and nothing else: written by `cargo xtask tables`, not by hand.\n\n",
    );
    let _ =
        writeln!(text, "/// No number: the architecture has no such call.\npub(super) const NONE: u32 = u32::MAX;\n");
    let _ = writeln!(text, "/// Of {}, as {SOURCE} {version} has them; sorted by name.", COLUMNS.join(", "));
    let _ = writeln!(
        text,
        "#[rustfmt::skip]\npub(super) static CALLS: [(&str, [u32; {}]); {}] = [",
        COLUMNS.len(),
        names.len()
    );
    fill(&mut text, rows);
    let _ = writeln!(text, "];\n\n/// What only other architectures have; sorted.");
    let _ = writeln!(text, "#[rustfmt::skip]\npub(super) static FOREIGN: [&str; {}] = [", foreign.len());
    fill(&mut text, foreign.iter().map(|name| format!("{name:?},")));
    text.push_str("];\n");
    text
}

fn shown(number: Option<&u32>) -> String {
    match number {
        None => "NONE".to_owned(),
        Some(number) if *number >= 1 << 16 => format!("{number:#x}"),
        Some(number) => number.to_string(),
    }
}

/// As many items a line as fit.
fn fill(text: &mut String, items: impl Iterator<Item = String>) {
    let mut line = String::from("   ");
    for item in items {
        if line.len() + 1 + item.len() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = String::from("   ");
        }
        line.push(' ');
        line.push_str(&item);
    }
    let _ = writeln!(text, "{line}");
}
