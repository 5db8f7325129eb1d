//! `planc list`: prints the containers below `--root`.

use runtime_core::{Error, ErrorKind, State};

use super::Command;
use crate::args::{Flag, Given};
use crate::failure::{Outcome, invalid};
use crate::globals::Context;
use crate::output;

const FORMAT: Flag = Flag::value("format", "table (default) or json").or("f");
const QUIET: Flag = Flag::switch("quiet", "print only the ids").or("q");

pub(super) const COMMAND: Command = Command {
    name: "list",
    about: "list the containers of the state directory",
    words: &[],
    flags: &[&FORMAT, &QUIET],
    perform,
};

fn perform(context: &Context, given: &Given) -> Outcome {
    let format = given.value(&FORMAT).unwrap_or("table".as_ref());
    // Ids alone have no format.
    if !given.is(&QUIET) && format != "table" && format != "json" {
        return Err(invalid("invalid format option").into());
    }
    // Of the usual one nobody said that it is there; a name that leads nowhere is mistyped.
    let root = context.runtime.root();
    if context.names_root && !root.is_dir() {
        let why = format!("cannot list {}: there is no such directory", root.display());
        return Err(Error::new(ErrorKind::NotFound, why).into());
    }
    let states = context.runtime.states()?;
    let text = if given.is(&QUIET) {
        states.iter().map(|state| format!("{}\n", state.id)).collect()
    } else if format == "json" {
        json(&states)?
    } else {
        table(&states)
    };
    output::print(&text)?;
    Ok(0)
}

/// One line; `null` for none, as engines got it from runc.
fn json(states: &[State]) -> Result<String, Error> {
    let states = (!states.is_empty()).then_some(states);
    let line = serde_json::to_string(&states).map_err(|e| invalid(format!("cannot be written as JSON: {e}")))?;
    Ok(line + "\n")
}

fn table(states: &[State]) -> String {
    const HEAD: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
    let rows = states.iter().map(|state| {
        let status = state.status.name().to_owned();
        let bundle = state.bundle.display().to_string();
        [state.id.clone(), state.pid.to_string(), status, bundle, state.created.clone(), state.owner.clone()]
    });
    let rows: Vec<_> = std::iter::once(HEAD.map(str::to_owned)).chain(rows).collect();
    // Cells are padded as by Go's tabwriter with a least width of 12 and a padding of 3; the last is not.
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count() + 3).max().unwrap_or(0).max(12);
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let padded = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.chain([format!("{}\n", row[5])]).collect::<String>()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime_core::Status;
    use std::collections::BTreeMap;

    fn state(id: &str, bundle: &str) -> State {
        State {
            oci_version: "1.3.0".into(),
            id: id.into(),
            pid: 42,
            status: Status::Running,
            bundle: bundle.into(),
            rootfs: "/r".into(),
            created: "2026-11-21T04:00:00.000000001Z".into(),
            annotations: BTreeMap::new(),
            owner: "root".into(),
        }
    }

    #[test]
    fn none() {
        assert_eq!(table(&[]), "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
        assert_eq!(json(&[]).unwrap(), "null\n");
    }

    #[test]
    fn columns_grow_with_their_cells() {
        let text = table(&[state("a", "/b"), state("a-long-name", "/the/bundle/of/it")]);
        let expected = "\
ID            PID         STATUS      BUNDLE              CREATED                          OWNER
a             42          running     /b                  2026-11-21T04:00:00.000000001Z   root
a-long-name   42          running     /the/bundle/of/it   2026-11-21T04:00:00.000000001Z   root
";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_is_an_array_on_one_line() {
        let text = json(&[state("a", "/b")]).unwrap();
        assert!(text.ends_with("]\n") && text.matches('\n').count() == 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["status"], "running");
        assert_eq!(value[0]["ociVersion"], "1.3.0");
    }
}
