//! What was found: shown, and left for docs/performance.md as lines of JSON in the file `BENCH_RESULTS`.
//!
//! Each line has a `kind`: `table`, `goal` (a figure against its limit), `missing` (a goal without a figure), `host`
//! and `version` (what it was measured on and with).

use std::fs::OpenOptions;
use std::io::{self, Write};

use serde_json::{Value, json};

use crate::race::Contender;
use crate::stats::{self, Interval, quantile};

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Limit {
    /// Whether the worse end of the interval meets it.
    fn is_met(self, by: Interval) -> bool {
        match self {
            Self::AtMost(limit) => by.high <= limit,
            Self::AtLeast(limit) => by.low >= limit,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {limit}"),
            Self::AtLeast(limit) => format!("≥ {limit}"),
        }
    }
}

/// A goal: what is measured, its unit, and the limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) limit: Limit,
}

impl Goal {
    pub(crate) const fn at_most(what: &'static str, limit: f64, unit: &'static str) -> Self {
        Self { what, unit, limit: Limit::AtMost(limit) }
    }

    pub(crate) const fn at_least(what: &'static str, limit: f64, unit: &'static str) -> Self {
        Self { what, unit, limit: Limit::AtLeast(limit) }
    }

    /// Its figure; `beside` says what that is of, where the goal leaves it open.
    pub(crate) fn judge(self, figure: Interval, beside: &str) {
        let met = self.limit.is_met(figure);
        let Interval { figure, low, high } = figure;
        let verdict = if met { "met" } else { "MISSED" };
        let (what, unit, limit) = (self.what, self.unit, self.limit.text());
        let beside_it = if beside.is_empty() { String::new() } else { format!(" ({beside})") };
        say(&format!("{verdict:<7} {what}{beside_it}: {figure:.3} {unit} [{low:.3}, {high:.3}], goal {limit}"));
        record(&json!({
            "kind": "goal", "what": what, "beside": beside, "unit": unit, "limit": limit,
            "figure": figure, "low": low, "high": high, "met": met
        }));
    }

    /// Why it has no figure.
    pub(crate) fn is_not_measured(self, why: &str) {
        let (what, limit) = (self.what, format!("{} {}", self.limit.text(), self.unit));
        say(&format!("NOT MEASURED {what}, goal {limit}: {why}"));
        record(&json!({"kind": "missing", "what": what, "limit": limit.trim(), "why": why}));
    }

    /// Either of them.
    pub(crate) fn judge_or(self, figure: Option<Interval>, beside: &str, why: &str) {
        match figure {
            Some(figure) => self.judge(figure, beside),
            None => self.is_not_measured(why),
        }
    }
}

/// The columns of a race: milliseconds, or what the table says; then how many times the first one's median each is.
pub(crate) const RACE: &[&str] = &["rounds", "p10", "median", "p90", "× first", "from", "to"];

/// One table of what took how long: a line for each contender.
pub(crate) fn race(title: &str, unit: &str, contenders: &[Contender]) {
    let first = contenders.first().map(|contender| &*contender.times).unwrap_or_default();
    let row = |contender: &Contender| (contender.name.clone(), of_race(&contender.times, first));
    table(title, unit, RACE, &contenders.iter().map(row).collect::<Vec<_>>());
}

/// The row of one that was measured in the same rounds as the first.
pub(crate) fn of_race(values: &[f64], first: &[f64]) -> Vec<f64> {
    let quantile = |percent| quantile(values, percent).unwrap_or(f64::NAN);
    let Interval { figure, low, high } = stats::ratio_in_rounds(values, first);
    vec![values.len() as f64, quantile(10), stats::median(values), quantile(90), figure, low, high]
}

/// A table: each row has a name and a figure for each column, NaN where there is none.
pub(crate) fn table(title: &str, unit: &str, columns: &[&str], rows: &[(String, Vec<f64>)]) {
    say(&shown(title, unit, columns, rows));
    record(&json!({"kind": "table", "title": title, "unit": unit, "columns": columns, "rows": rows}));
}

/// The table as it is printed.
fn shown(title: &str, unit: &str, columns: &[&str], rows: &[(String, Vec<f64>)]) -> String {
    let mut text = format!("{title}, {unit}\n{:<36}", "");
    columns.iter().for_each(|column| text += &format!("{column:>10}"));
    for (name, figures) in rows {
        text += &format!("\n{name:<36}");
        for figure in figures {
            text += &match figure {
                _ if figure.is_nan() => format!("{:>10}", "-"),
                _ if figure.fract() == 0.0 => format!("{figure:>10}"),
                _ => format!("{figure:>10.3}"),
            };
        }
    }
    text
}

/// A line about the lane's machine.
pub(crate) fn version(name: &str, text: &str) {
    record(&json!({"kind": "version", "name": name, "version": text}));
}

/// A line on what is not run, and why.
pub(crate) fn not_run(what: &str, why: &str) {
    say(&format!("NOT RUN: {what}: {why}"));
    record(&json!({"kind": "not run", "what": what, "why": why}));
}

/// Adds a line to the file that `BENCH_RESULTS` names.
pub(crate) fn record(line: &Value) {
    let Some(path) = std::env::var_os("BENCH_RESULTS") else { return };
    let mut file = OpenOptions::new().create(true).append(true).open(&path).expect("BENCH_RESULTS cannot be written");
    writeln!(file, "{line}").expect("BENCH_RESULTS cannot be written");
}

/// Prints.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{}", text.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worse_end_decides() {
        let interval = Interval { figure: 1.2, low: 1.1, high: 1.3 };
        assert!(Limit::AtMost(1.3).is_met(interval) && !Limit::AtMost(1.25).is_met(interval));
        assert!(Limit::AtLeast(1.1).is_met(interval) && !Limit::AtLeast(1.15).is_met(interval));
        let nothing = Interval::exact(f64::NAN);
        assert!(!Limit::AtMost(1.0).is_met(nothing) && !Limit::AtLeast(1.0).is_met(nothing));
    }

    #[test]
    fn ratios_are_of_the_first_one() {
        let rows = [2.0, 3.0].map(|time| ("name".to_owned(), of_race(&[time; 3], &[2.0; 3])));
        assert_eq!(rows[1].1, [3.0, 3.0, 3.0, 3.0, 1.5, 1.5, 1.5]);
        let text = shown("race", "ms", RACE, &rows);
        let words: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(words, ["name", "3", "3", "3", "3", "1.500", "1.500", "1.500"]);
    }
}
