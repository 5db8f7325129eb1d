//! The grammar of the command line, which is that of Go's `flag` package: what engines were written against.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::duration;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing, or `=true` and the like.
    Switch,
    /// Any word.
    Value,
    /// A decimal number from 0.
    Number,
    /// A decimal number, also below 0.
    Integer,
    /// A duration, as Go writes it.
    Duration,
}

/// A flag: how it is spelt, and what it does.
#[derive(Debug)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) short: Option<&'static str>,
    pub(crate) takes: Takes,
    pub(crate) about: &'static str,
}

impl Flag {
    /// A flag that is there or not.
    pub(crate) const fn switch(name: &'static str, about: &'static str) -> Self {
        Self { name, short: None, takes: Takes::Switch, about }
    }

    /// A flag with a value.
    pub(crate) const fn value(name: &'static str, about: &'static str) -> Self {
        Self { name, short: None, takes: Takes::Value, about }
    }

    /// A flag with a number.
    pub(crate) const fn number(name: &'static str, about: &'static str) -> Self {
        Self { name, short: None, takes: Takes::Number, about }
    }

    /// A flag with a number that may be below 0.
    pub(crate) const fn integer(name: &'static str, about: &'static str) -> Self {
        Self { name, short: None, takes: Takes::Integer, about }
    }

    /// A flag with a duration.
    pub(crate) const fn duration(name: &'static str, about: &'static str) -> Self {
        Self { name, short: None, takes: Takes::Duration, about }
    }

    /// The same flag, with one letter that also names it.
    pub(crate) const fn or(self, short: &'static str) -> Self {
        Self { short: Some(short), ..self }
    }
}

/// What is accepted everywhere.
pub(crate) const HELP: Flag = Flag::switch("help", "show this text").or("h");

/// What was given: the last value of each flag, and the other words.
#[derive(Debug, Default)]
pub(crate) struct Given {
    flags: Vec<(&'static str, OsString)>,
    pub(crate) words: Vec<OsString>,
}

impl Given {
    /// Whether a switch is on.
    pub(crate) fn is(&self, flag: &Flag) -> bool {
        self.value(flag).is_some_and(|value| truth(value) == Some(true))
    }

    /// The value of a flag.
    pub(crate) fn value(&self, flag: &Flag) -> Option<&OsStr> {
        self.flags.iter().rev().find(|(name, _)| *name == flag.name).map(|(_, value)| value.as_os_str())
    }

    /// Every value of a flag that may be given again, in order.
    pub(crate) fn values(&self, flag: &Flag) -> impl Iterator<Item = &OsStr> {
        self.flags.iter().filter(|(name, _)| *name == flag.name).map(|(_, value)| value.as_os_str())
    }

    /// The value of a flag as a path; an empty one is none, as engines pass it.
    pub(crate) fn path(&self, flag: &Flag) -> Option<PathBuf> {
        self.value(flag).filter(|value| !value.is_empty()).map(|value| Path::new(value).to_owned())
    }

    /// The value of a flag that takes a number.
    pub(crate) fn number(&self, flag: &Flag) -> Option<u32> {
        self.value(flag)?.to_str()?.parse().ok()
    }

    /// The value of a flag that takes a duration, in nanoseconds.
    pub(crate) fn duration(&self, flag: &Flag) -> Option<i64> {
        duration::parse(self.value(flag)?.to_str()?)
    }

    /// The word at `index` as text. What is no UTF-8 becomes U+FFFD, which no id and no signal contains.
    pub(crate) fn word(&self, index: usize) -> Option<String> {
        self.words.get(index).map(|word| word.to_string_lossy().into_owned())
    }
}

/// Where the flags end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Flags may stand anywhere.
    End,
    /// The first word that is no flag ends them, and is taken.
    FirstWord,
    /// The first word that is no flag ends them; it and all that come after it are taken.
    Command,
}

/// The words of a command line, from left to right.
#[derive(Debug)]
pub(crate) struct Words(lexopt::Parser);

impl Words {
    /// The words after the program's name.
    pub(crate) fn new(args: impl IntoIterator<Item = OsString>) -> Self {
        Self(lexopt::Parser::from_args(args))
    }

    /// Reads flags and words. The error is one line in the words of runc's parser.
    pub(crate) fn read(&mut self, known: &[&Flag], until: Until) -> Result<Given, String> {
        let mut given = Given::default();
        let mut only_words = false;
        while let Some(word) = self.next(&mut only_words)? {
            match word {
                Word::Plain(word) => {
                    given.words.push(word);
                    match until {
                        Until::End => {}
                        Until::FirstWord => break,
                        Until::Command => only_words = true,
                    }
                }
                Word::Flag(name, inline) => {
                    let flag = known
                        .iter()
                        .find(|flag| flag.name == name || flag.short == Some(name.as_str()))
                        .ok_or_else(|| format!("flag provided but not defined: -{name}"))?;
                    given.flags.push((flag.name, self.value_of(flag, &name, inline)?));
                }
            }
        }
        Ok(given)
    }

    fn next(&mut self, only_words: &mut bool) -> Result<Option<Word>, String> {
        let mut raw = self.0.raw_args().map_err(|e| e.to_string())?;
        if !*only_words && raw.next_if(|word| word == "--").is_some() {
            *only_words = true;
        }
        let plain = |word: &OsStr| *only_words || !looks_like_a_flag(word.as_bytes());
        if let Some(word) = raw.next_if(plain) {
            return Ok(Some(Word::Plain(word)));
        }
        // `-no-subreaper`, which lexopt would read as a cluster of one-letter flags.
        if let Some(word) = raw.next_if(|word| !word.as_bytes().starts_with(b"--")) {
            return Ok(Some(Word::single_dash(&word)));
        }
        match self.0.next().map_err(|e| e.to_string())? {
            Some(lexopt::Arg::Long(name)) => {
                let name = name.to_owned();
                Ok(Some(Word::Flag(name, self.0.optional_value())))
            }
            Some(lexopt::Arg::Value(word)) => Ok(Some(Word::Plain(word))),
            Some(lexopt::Arg::Short(letter)) => Ok(Some(Word::Flag(letter.to_string(), self.0.optional_value()))),
            None => Ok(None),
        }
    }

    fn value_of(&mut self, flag: &Flag, name: &str, inline: Option<OsString>) -> Result<OsString, String> {
        let invalid = |value: &OsStr| Err(format!("invalid value {value:?} for flag -{name}: parse error"));
        match (flag.takes, inline) {
            (Takes::Switch, None) => Ok("true".into()),
            (Takes::Switch, Some(value)) if truth(&value).is_none() => {
                Err(format!("invalid boolean value {value:?} for -{name}: parse error"))
            }
            (Takes::Switch, Some(value)) => Ok(value),
            (_, inline) => {
                // Whatever comes next is the value, also where it begins with a dash: `--memory -1`.
                let next = || self.0.raw_args().ok()?.next();
                let Some(value) = inline.or_else(next) else { return Err(format!("flag needs an argument: -{name}")) };
                let text = value.to_str();
                let is_valid = match flag.takes {
                    Takes::Number => text.is_some_and(|text| text.parse::<u32>().is_ok()),
                    Takes::Integer => text.is_some_and(|text| text.parse::<i64>().is_ok()),
                    Takes::Duration => text.and_then(duration::parse).is_some(),
                    Takes::Switch | Takes::Value => true,
                };
                if !is_valid {
                    return invalid(&value);
                }
                Ok(value)
            }
        }
    }
}

enum Word {
    Flag(String, Option<OsString>),
    Plain(OsString),
}

impl Word {
    fn single_dash(word: &OsStr) -> Self {
        let bytes = &word.as_bytes()[1..];
        let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
            Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]).to_owned())),
            None => (bytes, None),
        };
        Self::Flag(String::from_utf8_lossy(name).into_owned(), value)
    }
}

/// A lone dash is a word, and so is a negative number: no flag begins with a digit.
fn looks_like_a_flag(word: &[u8]) -> bool {
    word.len() > 1 && word[0] == b'-' && !word[1].is_ascii_digit()
}

/// The spellings that Go's strconv.ParseBool knows.
pub(crate) fn truth(value: &OsStr) -> Option<bool> {
    match value.to_str()? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUNDLE: Flag = Flag::value("bundle", "").or("b");
    const DETACH: Flag = Flag::switch("detach", "").or("d");
    const NO_SUBREAPER: Flag = Flag::switch("no-subreaper", "");
    const PRESERVE: Flag = Flag::number("preserve-fds", "");
    const INTERVAL: Flag = Flag::duration("interval", "");
    const LIMIT: Flag = Flag::integer("limit", "");
    const KNOWN: &[&Flag] = &[&BUNDLE, &DETACH, &NO_SUBREAPER, &PRESERVE, &LIMIT, &INTERVAL, &HELP];

    fn read(line: &str) -> Result<Given, String> {
        Words::new(line.split_whitespace().map(OsString::from)).read(KNOWN, Until::End)
    }

    fn words(given: &Given) -> Vec<&str> {
        given.words.iter().map(|word| word.to_str().unwrap()).collect()
    }

    #[test]
    fn a_switch_in_every_form() {
        for on in ["-d", "--d", "-detach", "--detach", "-d=true", "--detach=1", "-detach=T", "--detach=false -d"] {
            assert!(read(on).unwrap().is(&DETACH), "{on}");
        }
        for off in ["", "--detach=false", "-detach=0", "-d=F", "-d --detach=false"] {
            assert!(!read(off).unwrap().is(&DETACH), "{off}");
        }
        assert!(read("-no-subreaper").unwrap().is(&NO_SUBREAPER));
        assert!(!read("-no-subreaper=false").unwrap().is(&NO_SUBREAPER));
        // Go's parser never takes the next word as the value of a switch.
        assert_eq!(words(&read("--detach false").unwrap()), ["false"]);
    }

    #[test]
    fn a_value_in_every_form() {
        for line in ["-b /x", "--b /x", "-bundle /x", "--bundle /x", "-b=/x", "--bundle=/x", "-b /y -bundle=/x"] {
            assert_eq!(read(line).unwrap().path(&BUNDLE), Some(PathBuf::from("/x")), "{line}");
        }
        assert_eq!(read("--bundle -d id").unwrap().path(&BUNDLE), Some(PathBuf::from("-d")));
        assert_eq!(read("--bundle=a=b").unwrap().path(&BUNDLE), Some(PathBuf::from("a=b")));
        assert_eq!(read("--bundle=").unwrap().path(&BUNDLE), None);
        assert_eq!(read("--preserve-fds 3").unwrap().number(&PRESERVE), Some(3));
        assert_eq!(read("--limit -1").unwrap().value(&LIMIT).unwrap(), "-1");
        assert_eq!(read("--interval -5ms").unwrap().duration(&INTERVAL), Some(-5_000_000));
    }

    #[test]
    fn flags_stand_before_and_after_words() {
        let given = read("-d id -b /x SIG").unwrap();
        assert_eq!(words(&given), ["id", "SIG"]);
        assert!(given.is(&DETACH));
        assert_eq!(given.path(&BUNDLE), Some(PathBuf::from("/x")));
        assert_eq!(words(&read("id -- -d --bundle").unwrap()), ["id", "-d", "--bundle"]);
        assert_eq!(words(&read("-- --").unwrap()), ["--"]);
        assert_eq!(words(&read("id - -9").unwrap()), ["id", "-", "-9"]);
    }

    #[test]
    fn the_first_word_may_end_the_flags() {
        let mut all = Words::new(["-d", "run", "-b", "/x"].map(OsString::from));
        let first = all.read(KNOWN, Until::FirstWord).unwrap();
        assert!(first.is(&DETACH));
        assert_eq!(words(&first), ["run"]);
        assert_eq!(all.read(KNOWN, Until::End).unwrap().path(&BUNDLE), Some(PathBuf::from("/x")));
    }

    #[test]
    fn a_command_keeps_its_own_flags() {
        let given = Words::new(["-d", "id", "ls", "-b", "--", "-d"].map(OsString::from)).read(KNOWN, Until::Command);
        let given = given.unwrap();
        assert_eq!(words(&given), ["id", "ls", "-b", "--", "-d"]);
        assert!(given.is(&DETACH) && given.value(&BUNDLE).is_none());
        let given = Words::new(["-b=1", "-b", "2", "--", "id", "--"].map(OsString::from)).read(KNOWN, Until::Command);
        let given = given.unwrap();
        assert_eq!(words(&given), ["id", "--"]);
        assert_eq!(given.values(&BUNDLE).collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn errors_are_in_the_words_of_runc() {
        for (line, error) in [
            ("--nosuch", "flag provided but not defined: -nosuch"),
            ("-dx", "flag provided but not defined: -dx"),
            ("-x=1", "flag provided but not defined: -x"),
            ("id --bundle", "flag needs an argument: -bundle"),
            ("-b", "flag needs an argument: -b"),
            ("--detach=maybe", "invalid boolean value \"maybe\" for -detach: parse error"),
            ("--preserve-fds x", "invalid value \"x\" for flag -preserve-fds: parse error"),
            ("--interval 5", "invalid value \"5\" for flag -interval: parse error"),
            ("--limit 1.5", "invalid value \"1.5\" for flag -limit: parse error"),
            ("--limit=", "invalid value \"\" for flag -limit: parse error"),
            ("--preserve-fds -1", "invalid value \"-1\" for flag -preserve-fds: parse error"),
        ] {
            assert_eq!(read(line).unwrap_err(), error, "{line}");
        }
    }
}
