//! docs/performance.md, made of what the benches left.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::run::{Result, root};

const HEAD: &str = "\
# Speed

Written by `cargo xtask bench --write`, not by hand; `RUNC=`, `CRUN=` and `YOUKI=` name runtimes beside Debian's. All who take
part in a race are launched once a round, in an order that turns; the exit status of each launch is checked. Figures are medians;
ratios are ratios of medians. The interval is that in which the figure is with 95 % confidence (bootstrap of whole rounds, 2,000
draws). A goal is met when the worse end of its interval meets it.

The floor of `run` is a C program that does the kernel work of the default bundle with nothing else; that of `exec` is
[exec-floor.c](../benches/c/exec-floor.c). Both are linked as `cc` does. `times the first` is against the first line of a table.
";

/// What the goals that are missed cost, by the kernel's functions: found by hand, with perf(1).
const MISSED: &str = include_str!("missed.md");

/// A bench and the lines it left.
struct Left<'a> {
    name: &'a str,
    title: &'a str,
    lines: Vec<Value>,
}

/// Writes the page of everything in `folder`; `benches` are names and titles, in the page's order.
pub(super) fn write<'a>(folder: &Path, benches: impl Iterator<Item = (&'a str, &'a str)>) -> Result<()> {
    let left = benches.map(|(name, title)| {
        let text = fs::read_to_string(folder.join(name).with_extension("jsonl")).unwrap_or_default();
        Left { name, title, lines: text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect() }
    });
    let path = root().join("docs/performance.md");
    let text = page(&left.collect::<Vec<_>>());
    fs::write(&path, text).map_err(|why| format!("{}: {why}", path.display()))?;
    println!("written: {}", path.display());
    Ok(())
}

fn page(left: &[Left<'_>]) -> String {
    let mut text = HEAD.to_owned();
    text += &machine(left);
    text += &goals(left);
    text += MISSED;
    for left in left {
        let _ = write!(text, "\n## {}\n", left.title);
        if left.lines.is_empty() {
            let _ = write!(text, "\nNot run: `cargo xtask bench -- {}`.\n", left.name);
        }
        of_kind(left, "table").for_each(|line| text += &table(line));
        let missing: Vec<String> = of_kind(left, "not run").map(not_run).collect();
        if !missing.is_empty() {
            let _ = write!(text, "\n{}\n", missing.join("\n"));
        }
    }
    text
}

fn of_kind<'a>(left: &'a Left<'_>, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    left.lines.iter().filter(move |line| line["kind"] == kind)
}

fn word<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap_or_default()
}

/// What each bench ran on, and the versions of all who took part.
fn machine(left: &[Left<'_>]) -> String {
    let mut text = "\n## Machine\n\n| bench | day | kernel | processor | memory | lane | load before |\n|---|---|---|---|---|---|---|\n".to_owned();
    for left in left {
        for line in of_kind(left, "host") {
            let (cores, memory) = (&line["cores"], &line["memory"]);
            let rounds = line["rounds"].as_str().map_or_else(String::new, |rounds| format!(" (ROUNDS={rounds})"));
            let _ = writeln!(
                text,
                "| {}{rounds} | {} | Linux {} | {cores} × {} | {memory} MiB | {} | {} |",
                left.name,
                day(line["time"].as_u64().unwrap_or_default()),
                word(line, "kernel"),
                word(line, "processor"),
                word(line, "lane"),
                word(line, "load"),
            );
        }
    }
    let mut versions: Vec<String> = Vec::new();
    for line in left.iter().flat_map(|left| of_kind(left, "version")) {
        let version = word(line, "version").to_owned();
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    let _ = write!(text, "\nVersions: {}.\n", versions.join(" · "));
    text
}

fn goals(left: &[Left<'_>]) -> String {
    let mut text = "\n## Goals\n\n| goal | limit | figure | 95 % interval | |\n|---|---|---|---|---|\n".to_owned();
    for left in left {
        for line in &left.lines {
            match word(line, "kind") {
                "goal" => {
                    let beside = word(line, "beside");
                    let beside = if beside.is_empty() { String::new() } else { format!(" ({beside})") };
                    let unit = word(line, "unit");
                    let shown = |key: &str| judged(line[key].as_f64(), unit);
                    let [figure, low, high] = ["figure", "low", "high"].map(shown);
                    let verdict = if line["met"] == true { "met" } else { "**MISSED**" };
                    // A count has no interval.
                    let interval =
                        if line["low"] == line["high"] { "counted".to_owned() } else { format!("{low} to {high}") };
                    let (what, limit) = (word(line, "what"), word(line, "limit"));
                    let _ = writeln!(
                        text,
                        "| {what}{beside} | {limit} {unit} | {figure} {unit} | {interval} | {verdict} |"
                    );
                }
                "missing" => {
                    let (what, limit, why) = (word(line, "what"), word(line, "limit"), word(line, "why"));
                    let _ = writeln!(text, "| {what} | {limit} | not measured: {why} | | NOT MEASURED |");
                }
                _ => {}
            }
        }
        if left.lines.is_empty() {
            let _ = writeln!(text, "| all of {} | | not run | | NOT MEASURED |", left.title);
        }
    }
    text
}

fn table(line: &Value) -> String {
    let unit = word(line, "unit");
    let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
    let columns: Vec<&str> = line["columns"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let columns: Vec<&str> =
        columns.iter().map(|column| column.strip_prefix('×').map_or(*column, |_| "times the first")).collect();
    let mut text = format!(
        "\n| {}{unit} | {} |\n|---|{}\n",
        word(line, "title"),
        columns.join(" | "),
        "---|".repeat(columns.len())
    );
    for row in line["rows"].as_array().into_iter().flatten() {
        let figures = row[1].as_array().into_iter().flatten().map(|figure| number(figure.as_f64()));
        let _ =
            writeln!(text, "| {} | {} |", row[0].as_str().unwrap_or_default(), figures.collect::<Vec<_>>().join(" | "));
    }
    text
}

fn not_run(line: &Value) -> String {
    let why = word(line, "why").replace('\n', " ");
    format!("* NOT RUN: {}: {why}", word(line, "what"))
}

/// The figure of a goal: ratios are near their limits, and are shown as closely as they are judged.
fn judged(figure: Option<f64>, unit: &str) -> String {
    match figure {
        Some(figure) if unit == "×" => format!("{figure:.3}"),
        figure => number(figure),
    }
}

/// With as many digits as are told apart; JSON has no NaN, which is `null` there.
fn number(figure: Option<f64>) -> String {
    match figure {
        None => "-".to_owned(),
        Some(figure) if figure.fract() == 0.0 => figure.to_string(),
        Some(figure) if figure.abs() >= 100.0 => format!("{figure:.0}"),
        Some(figure) if figure.abs() >= 10.0 => format!("{figure:.1}"),
        Some(figure) => format!("{figure:.2}"),
    }
}

/// The date of a time since 1970, in UTC.
fn day(seconds: u64) -> String {
    let mut days = seconds / 86400;
    let is_leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn days() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(951_782_400), "2000-02-29");
        assert_eq!(day(1_767_225_599), "2025-12-31");
    }

    #[test]
    fn a_goal_that_is_missed_or_without_a_figure_is_shown() {
        let goal = json!({"kind": "goal", "what": "run", "beside": "crun 1.8.1", "unit": "×", "limit": "≥ 2.2",
                          "figure": 2.345, "low": 2.1, "high": 2.5, "met": false});
        let missing = json!({"kind": "missing", "what": "run", "limit": "≥ 8 ×", "why": "no runc"});
        let table = json!({"kind": "table", "title": "run", "unit": "ms", "columns": ["rounds", "× first"],
                           "rows": [["planc", [200, null]]]});
        let ran = Left { name: "launch", title: "Launch", lines: vec![goal, missing, table] };
        let text = page(&[ran, Left { name: "shim", title: "Shims", lines: Vec::new() }]);
        assert!(text.contains("| run (crun 1.8.1) | ≥ 2.2 × | 2.345 × | 2.100 to 2.500 | **MISSED** |"), "{text}");
        assert!(text.contains("| run | ≥ 8 × | not measured: no runc | | NOT MEASURED |"), "{text}");
        assert!(text.contains("| run, ms | rounds | times the first |\n|---|---|---|\n| planc | 200 | - |"), "{text}");
        assert!(text.contains("Not run: `cargo xtask bench -- shim`."), "{text}");
    }
}
