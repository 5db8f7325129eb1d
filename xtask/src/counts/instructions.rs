//! Instructions of planc's own process, command by command, as Callgrind counts them.
//!
//! A Valgrind that does not know a system call of a command's cannot count it: then there is no figure.

use std::path::Path;
use std::process::Stdio;

use super::syscalls::{Bundle, Folder, bundle};
use crate::lane::Lane;
use crate::run::{Result, bounded};

/// The commands. `explain` is load, facts and compile: what `create` does before its first step.
const COMMANDS: [&str; 6] = ["features", "explain", "run", "state", "kill", "list"];

/// One container that runs meanwhile; each command's figure, or nothing, on a line of its own.
const SCRIPT: &str = r#"set -eu
cd "$1"; planc=$2
counted() { # NAME ARG...
  name=$1; shift
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$planc" --root "$PWD/state" "$@" \
    > /dev/null 2> "$name.log" < /dev/null || { echo "$name -"; return; }
  echo "$name $(sed -n 's/^==[0-9]*== Collected : //p' "$name.log")"
}
sed 's|"/bin/true"|"/bin/sleep","100"|' bundle/config.json > bundle/sleep.json
ln -s busybox bundle/rootfs/bin/sleep
counted features features
counted explain explain --bundle bundle
counted run run --bundle bundle once
mv bundle/sleep.json bundle/config.json
"$planc" --root "$PWD/state" run --detach --bundle bundle counted < /dev/null > /dev/null 2>&1
counted state state counted
counted kill kill counted WINCH
counted list list
"$planc" --root "$PWD/state" delete --force counted
"#;

/// Each command's figure; `None` where Valgrind cannot run it.
pub(super) fn of_planc(planc: &Path) -> Result<Vec<(String, Option<u64>)>> {
    let folder = Folder::new("instructions")?;
    bundle(planc, &folder.0.join("bundle"), Bundle::Default)?;
    let mut lane = Lane::Native.command()?;
    lane.env("LANE_TIMEOUT", "120").args(["bash", "-c", SCRIPT, "count"]).args([&folder.0, planc]);
    let output = lane.stderr(Stdio::inherit()).output().map_err(|why| why.to_string())?;
    if !output.status.success() {
        return Err(format!("what Callgrind counts: {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(COMMANDS.iter().map(|name| ((*name).to_owned(), figure(&text, name))).collect())
}

/// The first number on the line of a command.
fn figure(text: &str, name: &str) -> Option<u64> {
    let said = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    said.split_whitespace().next()?.parse().ok()
}

/// Which Valgrind counts.
pub(super) fn version() -> String {
    let output = bounded(1, "valgrind", &["--version"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_cannot_run_has_no_figure() {
        let text = "features 819919\nrun -\nstate \n";
        assert_eq!(figure(text, "features"), Some(819_919));
        assert_eq!(figure(text, "run"), None);
        assert_eq!(figure(text, "state"), None);
        assert_eq!(figure(text, "list"), None);
    }
}
