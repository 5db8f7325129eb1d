//! GVariant text (GLib, "GVariant Text Format"): the values that an annotation can give to a property of a unit.

use super::properties::PropertyValue;

/// Reads one value: a truth value, a number, a string, or a list of strings, with or without its type before it.
pub(super) fn read(text: &str) -> Result<PropertyValue, String> {
    let text = text.trim();
    let (typ, rest) = typed(text)?;
    match typ {
        Some(typ) => of_type(typ, rest),
        None => untyped(rest),
    }
}

/// A value, which may be a number of seconds with a fraction.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let number = match typed(text)? {
        (Some("b" | "s" | "as" | "o" | "g"), _) => None,
        (_, rest) => rest.parse::<f64>().ok(),
    };
    number
        .filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
        .ok_or_else(|| format!("{text:?} is no number of seconds"))
}

const KEYWORDS: [(&str, &str); 10] = [
    ("boolean", "b"),
    ("byte", "y"),
    ("int32", "i"),
    ("uint32", "u"),
    ("int64", "x"),
    ("uint64", "t"),
    ("double", "d"),
    ("string", "s"),
    ("objectpath", "o"),
    ("signature", "g"),
];

/// The type that stands before a value, as a D-Bus signature, and the value.
fn typed(text: &str) -> Result<(Option<&str>, &str), String> {
    if let Some(annotated) = text.strip_prefix('@') {
        let (typ, value) = annotated.split_once(' ').ok_or_else(|| format!("behind @ a type and a value: {text:?}"))?;
        return Ok((Some(typ), value.trim_start()));
    }
    let word = text.split(' ').next().unwrap_or_default();
    let keyword = KEYWORDS.iter().find(|(keyword, _)| *keyword == word);
    Ok(keyword.map_or((None, text), |(_, typ)| (Some(*typ), text[word.len()..].trim_start())))
}

fn of_type(typ: &str, value: &str) -> Result<PropertyValue, String> {
    let wrong = || format!("{value:?} is no value of type {typ:?}");
    match typ {
        "b" => truth(value).ok_or_else(wrong),
        "y" => integer(value).and_then(|n| u8::try_from(n).ok()).map(PropertyValue::Byte).ok_or_else(wrong),
        "i" => integer(value).and_then(|n| i32::try_from(n).ok()).map(PropertyValue::I32).ok_or_else(wrong),
        "u" => integer(value).and_then(|n| u32::try_from(n).ok()).map(PropertyValue::U32).ok_or_else(wrong),
        "x" => integer(value).and_then(|n| i64::try_from(n).ok()).map(PropertyValue::I64).ok_or_else(wrong),
        "t" => integer(value).and_then(|n| u64::try_from(n).ok()).map(PropertyValue::U64).ok_or_else(wrong),
        "s" => whole_string(value).map(PropertyValue::Text),
        "as" => strings(value).map(PropertyValue::Texts),
        _ => Err(format!("values of type {typ:?} are not supported: b, y, i, u, x, t, s and as are")),
    }
}

/// Without a type a number is an int32.
fn untyped(value: &str) -> Result<PropertyValue, String> {
    match value.chars().next() {
        Some('[') => strings(value).map(PropertyValue::Texts),
        Some('\'' | '"') => whole_string(value).map(PropertyValue::Text),
        _ => truth(value).map_or_else(|| of_type("i", value), Ok),
    }
}

fn truth(value: &str) -> Option<PropertyValue> {
    match value {
        "true" => Some(PropertyValue::Bool(true)),
        "false" => Some(PropertyValue::Bool(false)),
        _ => None,
    }
}

/// Decimal, hexadecimal behind `0x`, or octal behind `0`.
fn integer(value: &str) -> Option<i128> {
    let (sign, digits) =
        value.strip_prefix('-').map_or((1, value.strip_prefix('+').unwrap_or(value)), |rest| (-1, rest));
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hexadecimal) => (hexadecimal, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    i128::from_str_radix(digits, radix).ok().map(|number| sign * number)
}

fn whole_string(value: &str) -> Result<String, String> {
    match string(value)? {
        (text, "") => Ok(text),
        (_, rest) => Err(format!("{rest:?} stands behind the string")),
    }
}

/// A string in either quotes, and what stands behind it.
fn string(value: &str) -> Result<(String, &str), String> {
    let mut chars = value.chars();
    let quote = chars.next().filter(|quote| matches!(quote, '\'' | '"'));
    let quote = quote.ok_or_else(|| format!("a string in quotes is wanted, not {value:?}"))?;
    let mut text = String::new();
    while let Some(next) = chars.next() {
        match next {
            end if end == quote => return Ok((text, chars.as_str().trim_start())),
            '\\' => text.extend(escaped(&mut chars)?),
            other => text.push(other),
        }
    }
    Err(format!("the string {value:?} has no end"))
}

/// What an escape stands for; an escaped newline for nothing.
fn escaped(chars: &mut std::str::Chars<'_>) -> Result<Option<char>, String> {
    let code = |chars: &mut std::str::Chars<'_>, count| {
        let digits: String = chars.by_ref().take(count).collect();
        let read = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == count).and_then(char::from_u32);
        read.map(Some).ok_or_else(|| format!("{digits:?} is no character's number"))
    };
    match chars.next() {
        Some('a') => Ok(Some('\u{7}')),
        Some('b') => Ok(Some('\u{8}')),
        Some('f') => Ok(Some('\u{c}')),
        Some('n') => Ok(Some('\n')),
        Some('r') => Ok(Some('\r')),
        Some('t') => Ok(Some('\t')),
        Some('v') => Ok(Some('\u{b}')),
        Some('u') => code(chars, 4),
        Some('U') => code(chars, 8),
        Some('\n') => Ok(None),
        Some(other) => Ok(Some(other)),
        None => Err("the string ends with a backslash".to_owned()),
    }
}

fn strings(value: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("{value:?} is no list of strings");
    let mut rest = value.strip_prefix('[').ok_or_else(wrong)?.trim_start();
    let mut list = Vec::new();
    while !rest.starts_with(']') {
        let (text, behind) = string(rest)?;
        list.push(text);
        rest = match behind.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if behind.starts_with(']') => behind,
            None => return Err(wrong()),
        };
    }
    if rest == "]" { Ok(list) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> PropertyValue {
        PropertyValue::Texts(list.iter().map(|&text| text.to_owned()).collect())
    }

    #[test]
    fn values_with_and_without_types() {
        let text = |text: &str| PropertyValue::Text(text.to_owned());
        for (written, read_as) in [
            ("true", PropertyValue::Bool(true)),
            ("boolean false", PropertyValue::Bool(false)),
            ("7", PropertyValue::I32(7)),
            ("-0x10", PropertyValue::I32(-16)),
            ("010", PropertyValue::I32(8)),
            ("byte 255", PropertyValue::Byte(255)),
            ("uint32 4294967295", PropertyValue::U32(u32::MAX)),
            ("int64 -9223372036854775808", PropertyValue::I64(i64::MIN)),
            ("uint64 18446744073709551615", PropertyValue::U64(u64::MAX)),
            ("@t 5", PropertyValue::U64(5)),
            ("'inactive-or-failed'", text("inactive-or-failed")),
            (r#" "it's" "#, text("it's")),
            (r"'a\'b\\c\n\u00e9'", text("a'b\\c\né")),
            ("string 'x'", text("x")),
            ("['a', \"b\"]", texts(&["a", "b"])),
            ("@as []", texts(&[])),
            ("[]", texts(&[])),
        ] {
            assert_eq!(read(written), Ok(read_as), "{written}");
        }
    }

    #[test]
    fn what_is_no_value() {
        for odd in [
            "",
            "yes",
            "2147483648",
            "byte 256",
            "uint32 -1",
            "'open",
            "'a' b",
            "[1]",
            "['a' 'b']",
            "['a'",
            "['a']]",
            "[,]",
            "@t",
            "@(ii) (1,2)",
            "{'a': 1}",
            "'\\u12'",
            "'\\ud800'",
            "'\\",
            "0x",
            "--1",
            "0x-1",
            "1.5",
            "nothing",
            "boolean",
        ] {
            assert!(read(odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn numbers_of_seconds() {
        for (written, wanted) in [("10", 10.0), ("1.5", 1.5), ("uint64 3", 3.0), ("double 0.25", 0.25)] {
            assert_eq!(seconds(written), Ok(wanted), "{written}");
        }
        for odd in ["-1", "inf", "NaN", "'3'", "true", "", "string 3"] {
            assert!(seconds(odd).is_err(), "{odd:?}");
        }
    }
}
