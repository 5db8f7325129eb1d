//! The names of signals (signal(7)), as `kill` takes them.

use runtime_core::{Error, Signal};

use crate::failure::invalid;

/// By number, from 1.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

const ALIASES: [(&str, i32); 4] = [("IOT", 6), ("CLD", 17), ("POLL", 29), ("UNUSED", 31)];

/// The real-time signals that C libraries leave to programs: those before are theirs (nptl(7)).
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// The signal that `text` names: a number, `TERM`, `SIGTERM`, `SIGRTMIN+1`, in any case.
pub(crate) fn parse(text: &str) -> Result<Signal, Error> {
    let number = match text.parse::<i32>() {
        Ok(number) => Some(number),
        Err(_) => by_name(&text.to_ascii_uppercase()),
    };
    // 0 is no signal, and asks whether one could be sent (kill(2)).
    let known = number.filter(|number| (0..=RTMAX).contains(number));
    known.map(Signal).ok_or_else(|| invalid(format!("unknown signal {text:?}")))
}

fn by_name(name: &str) -> Option<i32> {
    let name = name.strip_prefix("SIG").unwrap_or(name);
    if let Some(index) = NAMES.iter().position(|known| *known == name) {
        return Some(index as i32 + 1);
    }
    if let Some((_, number)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
        return Some(*number);
    }
    let (base, offset) = match name.strip_prefix("RTMIN") {
        Some(rest) => (RTMIN, rest.strip_prefix('+').or(rest.is_empty().then_some("0"))?),
        None => {
            let rest = name.strip_prefix("RTMAX")?;
            (RTMAX, rest.is_empty().then_some("0").or(rest.starts_with('-').then_some(rest))?)
        }
    };
    let number = base.checked_add(offset.parse().ok()?)?;
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_number_and_name() {
        for (text, number) in [
            ("9", 9),
            ("0", 0),
            ("64", 64),
            ("KILL", 9),
            ("SIGKILL", 9),
            ("sigkill", 9),
            ("Term", 15),
            ("HUP", 1),
            ("SYS", 31),
            ("SIGIOT", 6),
            ("RTMIN", 34),
            ("SIGRTMIN+1", 35),
            ("rtmax-1", 63),
            ("SIGRTMAX", 64),
        ] {
            assert_eq!(parse(text).unwrap(), Signal(number), "{text}");
        }
        // The whole table, against another one.
        for signal in nix::sys::signal::Signal::iterator() {
            assert_eq!(parse(signal.as_str()).unwrap(), Signal(signal as i32));
        }
    }

    #[test]
    fn what_is_no_signal() {
        for text in ["", "x", "-9", "65", "SIG", "SIGSIGKILL", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+", "9 "] {
            assert_eq!(parse(text).unwrap_err().message(), format!("unknown signal {text:?}"));
        }
    }
}
