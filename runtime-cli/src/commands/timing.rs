//! How long the steps of a plan took.

use runtime_core::{Container, LaunchPlan};

/// A line a step, with its microseconds, or `-` where it was not performed; then all of them together.
pub(super) fn steps(plan: &LaunchPlan, container: &Container) -> String {
    let mut text = "    #  actor        µs  what\n".to_owned();
    for step in plan.steps() {
        let taken = container.times().iter().find(|(number, _)| *number == step.number);
        let taken = taken.map_or_else(|| "-".to_owned(), |(_, nanoseconds)| micros(*nanoseconds));
        let actor = super::actor(step.actor());
        text += &format!("{:>5}  {actor}  {taken:>9}  {}\n", step.number, step.sentence());
    }
    let total = container.times().iter().map(|(_, nanoseconds)| nanoseconds).sum();
    text + &format!("       all  {:>9}\n", micros(total))
}

/// Nanoseconds as microseconds, rounded down to a tenth.
pub(super) fn micros(nanoseconds: u64) -> String {
    format!("{}.{}", nanoseconds / 1_000, nanoseconds % 1_000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_have_one_decimal() {
        for (nanoseconds, text) in [(0, "0.0"), (999, "0.9"), (12_345, "12.3"), (1_000_000, "1000.0")] {
            assert_eq!(micros(nanoseconds), text);
        }
    }
}
