//! Medians, and how far they may be from the truth: 95 % intervals by the bootstrap, with the same random numbers in every run.

/// How often the samples are drawn anew.
const DRAWS: usize = 2000;

/// A figure, and the ends of its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) figure: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Interval {
    /// A figure that is counted, not sampled.
    pub(crate) fn exact(figure: f64) -> Self {
        Self { figure, low: figure, high: figure }
    }
}

/// The value that `percent` of all do not exceed; `None` of none.
pub(crate) fn quantile(values: &[f64], percent: usize) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied()
}

/// The middle one, or the mean of the two in the middle; NaN of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match (sorted.get(half), sorted.len() % 2) {
        (None, _) => f64::NAN,
        (Some(middle), 1) => *middle,
        (Some(upper), _) => f64::midpoint(*upper, sorted[half - 1]),
    }
}

/// Of one contender.
pub(crate) fn of_median(values: &[f64]) -> Interval {
    bootstrap(median(values), |random| median(&drawn(values, random)))
}

/// The ratio of the medians of two that were launched in the same rounds: whole rounds are drawn, so that what slowed both
/// down in a round does not widen the interval.
pub(crate) fn ratio_in_rounds(one: &[f64], other: &[f64]) -> Interval {
    in_rounds(one, other, |one, other| one / other)
}

/// The difference of the medians of two that were launched in the same rounds.
pub(crate) fn difference_in_rounds(one: &[f64], other: &[f64]) -> Interval {
    in_rounds(one, other, |one, other| one - other)
}

/// The ratio of the medians of two that were launched one after the other.
pub(crate) fn ratio_apart(one: &[f64], other: &[f64]) -> Interval {
    bootstrap(median(one) / median(other), |random| median(&drawn(one, random)) / median(&drawn(other, random)))
}

fn in_rounds(one: &[f64], other: &[f64], combine: impl Fn(f64, f64) -> f64) -> Interval {
    let rounds = one.len().min(other.len());
    bootstrap(combine(median(one), median(other)), |random| {
        let round = (0..rounds).map(|_| random.below(rounds));
        let (ones, others): (Vec<f64>, Vec<f64>) = round.map(|round| (one[round], other[round])).unzip();
        combine(median(&ones), median(&others))
    })
}

fn bootstrap(figure: f64, draw: impl Fn(&mut Random) -> f64) -> Interval {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let draws: Vec<f64> = (0..DRAWS).map(|_| draw(&mut random)).filter(|draw| !draw.is_nan()).collect();
    let mut sorted = draws;
    sorted.sort_unstable_by(f64::total_cmp);
    let end = |share: f64| {
        let last = sorted.len().saturating_sub(1) as f64;
        sorted.get((last * share).round() as usize).copied().unwrap_or(f64::NAN)
    };
    Interval { figure, low: end(0.025), high: end(0.975) }
}

fn drawn(values: &[f64], random: &mut Random) -> Vec<f64> {
    (0..values.len()).map(|_| values[random.below(values.len())]).collect()
}

/// splitmix64: random enough, and the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values between 9 and 11 times `scale`, in no order.
    fn spread(scale: f64, seed: u64) -> Vec<f64> {
        let mut random = Random(seed);
        (0..200).map(|_| scale * (9.0 + random.below(2001) as f64 / 1000.0)).collect()
    }

    #[test]
    fn medians_and_quantiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        let values: Vec<f64> = (1..=11).rev().map(f64::from).collect();
        assert_eq!((quantile(&values, 50), quantile(&values, 90), quantile(&[], 50)), (Some(6.0), Some(10.0), None));
    }

    #[test]
    fn an_interval_holds_the_figure_and_the_truth() {
        let ratio = ratio_apart(&spread(3.0, 1), &spread(1.0, 2));
        assert!(ratio.low <= ratio.figure && ratio.figure <= ratio.high, "{ratio:?}");
        assert!(ratio.low < 3.0 && 3.0 < ratio.high && ratio.high - ratio.low < 0.3, "{ratio:?}");
        let median = of_median(&spread(1.0, 3));
        assert!(median.low < 10.0 && 10.0 < median.high && median.high - median.low < 0.5, "{median:?}");
    }

    #[test]
    fn what_slows_both_down_does_not_widen_a_ratio_in_rounds() {
        let weather = spread(1.0, 4);
        let double: Vec<f64> = weather.iter().map(|value| value * 2.0).collect();
        assert_eq!(ratio_in_rounds(&double, &weather), Interval::exact(2.0));
        assert!(ratio_apart(&double, &weather).high > 2.01);
        let more: Vec<f64> = weather.iter().map(|value| value + 1.0).collect();
        let difference = difference_in_rounds(&more, &weather);
        assert!((difference.low - 1.0).abs() < 1e-9 && (difference.high - 1.0).abs() < 1e-9, "{difference:?}");
    }

    #[test]
    fn the_same_samples_have_the_same_interval() {
        let (one, other) = (spread(1.0, 5), spread(1.5, 6));
        assert_eq!(ratio_in_rounds(&one, &other), ratio_in_rounds(&one, &other));
    }

    #[test]
    fn one_sample_and_none() {
        assert_eq!(of_median(&[2.0]), Interval::exact(2.0));
        assert!(of_median(&[]).figure.is_nan());
    }
}
