//! Durations as Go writes them, which is how engines do: `5s`, `1m30s`, `1.5h`, `-100ms`.

/// Nanoseconds; `None` where it is no duration, or longer than 292 years.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i64 = 0;
    loop {
        let (number, after) = rest.split_at(rest.find(|c: char| c != '.' && !c.is_ascii_digit())?);
        let (unit, after) = after.split_at(after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len()));
        total = total.checked_add(nanoseconds(number, unit)?)?;
        if after.is_empty() {
            return Some(sign * total);
        }
        rest = after;
    }
}

fn nanoseconds(number: &str, unit: &str) -> Option<i64> {
    let unit: i64 = match unit {
        "ns" => 1,
        // U+00B5 and U+03BC: both are in use.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Of an hour, the 13th digit is less than a nanosecond.
    let digits = &fraction[..fraction.len().min(13)];
    let scale = 10_i128.pow(digits.len() as u32);
    let fraction: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    whole.checked_mul(unit)?.checked_add(i64::try_from(fraction * i128::from(unit) / scale).ok()?)
}

#[cfg(test)]
mod tests {
    use super::parse;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn as_go_writes_them() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("5s", 5 * SECOND),
            ("+5s", 5 * SECOND),
            ("-1.5s", -3 * SECOND / 2),
            ("100ms", SECOND / 10),
            ("1m30s", 90 * SECOND),
            ("1h2m3s4ms5us6ns", 3723 * SECOND + 4_005_006),
            (".5s", SECOND / 2),
            ("1.s", SECOND),
            ("1.5h", 5400 * SECOND),
            ("7\u{b5}s", 7000),
            ("7\u{3bc}s", 7000),
            ("0.3333333333333333333333h", 1_199_999_999_999),
            ("9223372036854775807ns", i64::MAX),
        ] {
            assert_eq!(parse(text), Some(nanoseconds), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "+",
            "-",
            "5",
            "s",
            ".s",
            "x",
            "5x",
            "5 s",
            "5S",
            "1..5s",
            "1s1",
            "--1s",
            "1s-1s",
            "1e3s",
            "1d",
            "9223372036854775808ns",
            "9999999h",
            "é",
            "5é",
            "１s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
