//! `planc ps`: tells the processes of a container.

use std::ffi::OsString;
use std::io;
use std::process::Output;

use runtime_core::{Error, ErrorKind};

use super::Command;
use crate::args::{Flag, Given};
use crate::failure::{Outcome, host, invalid};
use crate::globals::Context;
use crate::output;

const FORMAT: Flag = Flag::value("format", "table (default) or json").or("f");

pub(super) const COMMAND: Command = Command {
    name: "ps",
    about: "tell the processes of a container",
    words: &["<container-id>", "[ps options...]"],
    flags: &[&FORMAT],
    perform,
};

fn perform(context: &Context, given: &Given) -> Outcome {
    let pids = super::container(context, given)?.processes()?;
    let format = given.value(&FORMAT).unwrap_or("table".as_ref());
    if format != "table" && format != "json" {
        return Err(invalid("invalid format option").into());
    }
    let text = if format == "json" {
        let line = serde_json::to_string(&pids).map_err(|e| invalid(format!("cannot be written as JSON: {e}")))?;
        line + "\n"
    } else {
        rows(&ps(given.words.get(1..).unwrap_or_default())?, &pids)?
    };
    output::print(&text)?;
    Ok(0)
}

/// What the host's ps(1) prints with these options.
fn ps(options: &[OsString]) -> Result<String, Error> {
    let mut command = std::process::Command::new("ps");
    if options.is_empty() {
        command.arg("-ef")
    } else {
        command.args(options)
    };
    let Output { status, stdout, stderr } = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let why = "exec: \"ps\": executable file not found in $PATH: install it (procps), or use --format json";
            Error::new(ErrorKind::Host, why)
        }
        _ => host("execute ps", error),
    })?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).trim().to_owned();
    Err(invalid(format!("ps: {status}: {said}")))
}

/// The heading of what ps printed, and its rows about these processes.
fn rows(table: &str, pids: &[u32]) -> Result<String, Error> {
    let heading = table.lines().next().unwrap_or_default();
    let column = heading.split_whitespace().position(|name| name == "PID");
    let column = column.ok_or_else(|| invalid("couldn't find PID field in ps output"))?;
    let pid = |row: &str| row.split_whitespace().nth(column)?.parse::<u32>().ok();
    let of_container = table.lines().skip(1).filter(|row| pid(row).is_some_and(|pid| pids.contains(&pid)));
    Ok(std::iter::once(heading).chain(of_container).map(|row| format!("{row}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
UID          PID    PPID  C STIME TTY          TIME CMD
root           1       0  0 07:00 ?        00:00:01 init
root          42       1  0 07:00 ?        00:00:00 sleep 7
root           7      42  0 07:00 ?        00:00:00 sh
";

    #[test]
    fn the_rows_of_the_container() {
        let rows = rows(TABLE, &[42, 7, 99]).unwrap();
        assert_eq!(rows.lines().count(), 3);
        assert!(
            rows.starts_with("UID          PID ")
                && rows.ends_with(" sleep 7\nroot           7      42  0 07:00 ?        00:00:00 sh\n")
        );
    }

    #[test]
    fn a_table_without_pids() {
        assert_eq!(rows("COMMAND\nsleep 42\n", &[42]).unwrap_err().message(), "couldn't find PID field in ps output");
        assert_eq!(rows("", &[42]).unwrap_err().message(), "couldn't find PID field in ps output");
        // A PID column that a row does not reach, and one that holds no number.
        assert_eq!(rows("NAME PID\nx\ny z\n", &[42]).unwrap(), "NAME PID\n");
    }
}
