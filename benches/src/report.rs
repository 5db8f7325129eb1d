//! The table: medians, spread, and how many times the floor and runc.

use std::time::Duration;

use crate::Contender;

/// One line for each contender, in milliseconds.
pub(crate) fn table(title: &str, contenders: &[Contender]) -> String {
    let median_of = |name: &str| {
        contenders.iter().find(|contender| contender.name == name).and_then(|contender| quantile(&contender.times, 50))
    };
    let (floor, runc) = (median_of("floor"), median_of("runc"));
    let mut text = format!(
        "{:<28}{:>8}{:>10}{:>10}{:>10}{:>9}{:>8}\n",
        title, "rounds", "p10 ms", "median", "p90 ms", "x floor", "x runc"
    );
    for contender in contenders {
        let ms = |percent| quantile(&contender.times, percent).map_or_else(dash, |time| format!("{:.2}", millis(time)));
        let own = quantile(&contender.times, 50);
        let ratio = |other: Option<Duration>| match (own, other) {
            (Some(own), Some(other)) => format!("{:.2}", own.as_secs_f64() / other.as_secs_f64()),
            _ => dash(),
        };
        text += &format!(
            "{:<28}{:>8}{:>10}{:>10}{:>10}{:>9}{:>8}\n",
            contender.name,
            contender.times.len(),
            ms(10),
            ms(50),
            ms(90),
            ratio(floor),
            ratio(runc)
        );
    }
    text
}

fn dash() -> String {
    "-".to_owned()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The time that `percent` of all do not exceed; `None` of none.
pub(crate) fn quantile(times: &[Duration], percent: usize) -> Option<Duration> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_some_times() {
        let times: Vec<Duration> = (1..=11).rev().map(Duration::from_millis).collect();
        assert_eq!(quantile(&times, 50), Some(Duration::from_millis(6)));
        assert_eq!(quantile(&times, 90), Some(Duration::from_millis(10)));
        assert_eq!(quantile(&[], 50), None);
    }

    #[test]
    fn ratios_are_of_medians() {
        let contender = |name: &str, ms| {
            let times = vec![Duration::from_millis(ms); 3];
            Contender { name: name.to_owned(), words: Vec::new(), times }
        };
        let table = table("race", &[contender("floor", 2), contender("planc", 3), contender("runc", 12)]);
        let planc = table.lines().find(|line| line.starts_with("planc")).unwrap();
        assert_eq!(
            planc.split_whitespace().collect::<Vec<_>>(),
            ["planc", "3", "3.00", "3.00", "3.00", "1.50", "0.25"]
        );
    }
}
