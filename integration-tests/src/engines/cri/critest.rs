//! critest, the tests of the Kubernetes project for what serves CRI, and its verdicts.

use std::fs::{self, File};
use std::process::Stdio;

use serde_json::Value;

use super::super::session::Session;
use super::super::{Outcome, Verdict};

/// What its tests are called here.
const PREFIX: &str = "critest::";

/// How long all of them may take, in seconds.
const LIMIT: &str = "1500";

/// Tests that have nothing to be run with here, by a part of their name.
const NOT_HERE: &[(&str, &str)] = &[(
    "public image with digest should",
    "the image of that digest is in the registry of the Kubernetes project alone",
)];

/// Runs those whose name has one of the parts; all of them, if there are none.
///
/// # Panics
/// When critest did not come to its end.
pub fn run(session: &Session, filter: &[String]) -> Vec<Outcome> {
    let parts: Vec<&str> = filter.iter().filter_map(|part| part.strip_prefix(PREFIX)).collect();
    if parts.is_empty() && !filter.is_empty() {
        return Vec::new();
    }
    let report = session.path("critest.json");
    let focus: String = parts.iter().map(|part| format!(" --ginkgo.focus '{part}'")).collect();
    let skip: String = NOT_HERE.iter().map(|(part, _)| format!(" --ginkgo.skip '{part}'")).collect();
    let script = format!(
        "exec timeout -k 10 {LIMIT} critest --ginkgo.no-color --ginkgo.json-report {} --ginkgo.seed 1{focus}{skip}",
        report.display()
    );
    let log = File::create(session.path("critest.log")).unwrap();
    let mut command = session.command(&script);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let ended = command.status().unwrap();
    let report = fs::read(&report).unwrap_or_else(|why| panic!("critest: {ended}: {why}: {}", session.log("critest")));
    let report: Value = serde_json::from_slice(&report).unwrap();
    let specs = report[0]["SpecReports"].as_array().expect("critest's report has specs");
    specs.iter().filter_map(outcome).filter(|outcome| !is_left_out(outcome, &parts)).collect()
}

/// Those that were filtered out are in the report as well.
fn is_left_out(outcome: &Outcome, parts: &[&str]) -> bool {
    !parts.is_empty() && !parts.iter().any(|part| outcome.name.contains(part))
}

/// The verdict on one test; `None` of what is no test: what is done before and after all of them, and benchmarks.
fn outcome(spec: &Value) -> Option<Outcome> {
    if spec["LeafNodeType"] != "It" {
        return None;
    }
    let texts = spec["ContainerHierarchyTexts"].as_array().into_iter().flatten().chain([&spec["LeafNodeText"]]);
    let words: Vec<&str> = texts.filter_map(Value::as_str).map(|text| text.trim_start_matches("[k8s.io] ")).collect();
    let name = words.join(" ");
    if name.contains("benchmark") {
        return None;
    }
    let message = spec["Failure"]["Message"].as_str().unwrap_or_default().to_owned();
    let verdict = match spec["State"].as_str() {
        Some("passed") => Verdict::Passed,
        Some("skipped" | "pending") => {
            let known = NOT_HERE.iter().find(|(part, _)| name.contains(part)).map(|(_, why)| (*why).to_owned());
            Verdict::NotRun(known.unwrap_or(message))
        }
        _ => Verdict::Failed(message),
    };
    // Our lines end a name at a parenthesis or a colon.
    let name = PREFIX.to_owned() + &name.replace(" (", " [").replace(": ", ", ");
    Some(Outcome { name, verdict, took: u128::from(spec["RunTime"].as_u64().unwrap_or_default()) / 1_000_000 })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(state: &str, leaf: &str) -> Option<Outcome> {
        outcome(&json!({
            "LeafNodeType": "It", "ContainerHierarchyTexts": ["[k8s.io] Container", "log"], "LeafNodeText": leaf,
            "State": state, "RunTime": 1_500_000, "Failure": {"Message": "why"},
        }))
    }

    #[test]
    fn a_test_has_a_verdict() {
        let passed = judged("passed", "is (so): kept").expect("a verdict");
        assert_eq!((passed.name.as_str(), passed.took), ("critest::Container log is [so), kept", 1));
        assert_eq!(passed.verdict, Verdict::Passed);
        let failed = judged("panicked", "x").expect("a verdict");
        assert_eq!(failed.verdict, Verdict::Failed("why".to_owned()));
        let skipped = judged("skipped", "x").expect("a verdict");
        assert_eq!(skipped.verdict, Verdict::NotRun("why".to_owned()));
        assert_eq!(judged("skipped", "benchmark about x"), None);
        assert_eq!(outcome(&json!({"LeafNodeType": "BeforeSuite"})), None);
    }
}
