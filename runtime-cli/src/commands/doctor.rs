//! `planc doctor`: tells what this host offers to its caller's containers. It exits with 0 where they can be run, with 1
//! where none can.

use runtime_core::doctor::{Findings, Line, Report, State};
use serde::Serialize;

use super::Command;
use crate::args::{Flag, Given};
use crate::failure::Outcome;
use crate::globals::Context;
use crate::output;

const JSON: Flag = Flag::switch("json", "print the report and what it was made from as JSON");

pub(super) const COMMAND: Command = Command {
    name: "doctor",
    about: "tell what this host offers, and for each lack what it costs and what to do; exits with 1 if nothing can run",
    words: &[],
    flags: &[&JSON],
    perform,
};

fn perform(_: &Context, given: &Given) -> Outcome {
    let findings = Findings::read()?;
    let report = Report::of(&findings);
    let text = if given.is(&JSON) {
        super::pretty(&Examination { report: &report, findings: &findings })?
    } else {
        page(&report)
    };
    output::print(&text)?;
    Ok(if report.runs { 0 } else { 1 })
}

/// What `--json` prints.
#[derive(Serialize)]
struct Examination<'a> {
    #[serde(flatten)]
    report: &'a Report,
    findings: &'a Findings,
}

/// The verdict, then every line below its topic.
fn page(report: &Report) -> String {
    let width = report.lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
    let mut text = format!("{}\n", report.verdict);
    let mut topic = "";
    for line in &report.lines {
        if line.topic != topic {
            topic = line.topic;
            text += &format!("\n{topic}\n");
        }
        text += &shown(line, width);
    }
    text
}

fn shown(line: &Line, width: usize) -> String {
    let state = match line.state {
        State::Ok => "ok",
        State::Lack => "lack",
        State::Fatal => "FATAL",
    };
    let mut text = format!("  {state:<5}  {:width$}  {}\n", line.name, line.found);
    for (what, said) in [("costs", &line.costs), ("do", &line.remedy)] {
        if !said.is_empty() {
            text += &format!("         {what:>5}: {said}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_for_people() {
        let line = |topic, name: &str, state, [found, costs, remedy]: [&str; 3]| Line {
            topic,
            name: name.into(),
            state,
            found: found.into(),
            costs: costs.into(),
            remedy: remedy.into(),
        };
        let lines = vec![
            line("kernel", "version", State::Ok, ["Linux 6.18", "", ""]),
            line("kernel", "time", State::Lack, ["none", "no time", "another kernel"]),
            line("cgroups", "layout", State::Fatal, ["version 1", "everything", "version 2"]),
        ];
        let report = Report { runs: false, verdict: "uid 7 cannot run containers here".into(), lines };
        let page = page(&report);
        let wanted = "\
uid 7 cannot run containers here

kernel
  ok     version  Linux 6.18
  lack   time     none
         costs: no time
            do: another kernel

cgroups
  FATAL  layout   version 1
         costs: everything
            do: version 2
";
        assert_eq!(page, wanted);
    }
}
