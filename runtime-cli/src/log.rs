//! The log: logrus's two formats, which engines parse, and the readable one for a terminal.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use log::{Level, LevelFilter, Metadata, Record};
use runtime_core::Error;

use crate::failure::{Failure, host, invalid};
use crate::output::complain;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `time="…" level=… msg="…"`
    Text,
    /// `{"level":"…","msg":"…","time":"…"}`
    Json,
}

impl Format {
    /// The format that `--log-format` names.
    pub(crate) fn new(name: &str) -> Result<Self, Error> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(invalid(format!("invalid log-format: {name:?}"))),
        }
    }

    /// One line, ended.
    fn line(self, level: Level, message: &str, time: &str) -> String {
        let level = match level {
            Level::Warn => "warning",
            Level::Error => "error",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        };
        match self {
            Self::Text => format!("time=\"{time}\" level={level} msg={message:?}\n"),
            Self::Json => format!("{}\n", serde_json::json!({ "level": level, "msg": message, "time": time })),
        }
    }
}

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Log {
    format: Format,
    file: Option<File>,
}

impl Log {
    /// Text on the standard error.
    pub(crate) const STDERR: Self = Self { format: Format::Text, file: None };

    /// A log in `file`, which is made (0644) and appended to, or on the standard error.
    pub(crate) fn open(file: Option<&Path>, format: Format) -> Result<Self, Error> {
        let append = |path: &Path| {
            let opened = OpenOptions::new().append(true).create(true).mode(0o644).open(path);
            opened.map_err(|e| host(&format!("open the log {}", path.display()), e))
        };
        Ok(Self { format, file: file.map(append).transpose()? })
    }

    /// Makes this the log of the `log` crate, also for what runtime-core says. Returns it for what ends the process.
    pub(crate) fn install(self, debug: bool) -> &'static Self {
        let log: &'static Self = Box::leak(Box::new(self));
        // It fails only where there is one already, which then stays.
        if log::set_logger(log).is_ok() {
            log::set_max_level(if debug { LevelFilter::Debug } else { LevelFilter::Info });
        }
        log
    }

    fn write(&self, level: Level, message: &str) {
        let line = self.format.line(level, message, &now());
        // One write per line: lines of several processes that append do not mix.
        let written = self.file.as_ref().is_some_and(|mut file| file.write_all(line.as_bytes()).is_ok());
        if !written {
            complain(&line);
        }
    }

    fn is_for_a_person(&self) -> bool {
        self.format == Format::Text && std::io::stderr().is_terminal()
    }

    /// Says why the process ends: in the log, and on the standard error.
    pub(crate) fn fatal(&self, program: &str, failure: &Failure) {
        let line = failure.line(program);
        let page = || if self.is_for_a_person() { failure.page(program) } else { format!("{line}\n") };
        if self.file.is_some() {
            self.write(Level::Error, &line);
            complain(&page());
        } else if self.is_for_a_person() {
            complain(&page());
        } else {
            self.write(Level::Error, &line);
        }
    }
}

impl log::Log for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if self.file.is_none() && self.is_for_a_person() && record.level() == Level::Warn {
            complain(&format!("warning: {}\n", record.args()));
        } else {
            self.write(record.level(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// The time in UTC, RFC 3339.
fn now() -> String {
    rfc3339(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// `seconds` after 1970 in UTC, RFC 3339.
fn rfc3339(seconds: u64) -> String {
    // Years are counted from March, so that the leap day is a year's last (the proleptic Gregorian calendar repeats
    // every 146,097 days, which are 400 years; 719,468 days lie between 0000-03-01 and 1970-01-01).
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..=9 => (era * 400 + year, month + 3),
        _ => (era * 400 + year + 1, month - 9),
    };
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        // `date -u -d @N +%FT%TZ`
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }

    #[test]
    fn text_lines_are_quoted() {
        let line = Format::Text.line(Level::Error, "no \"x\"\nat all", "T");
        assert_eq!(line, "time=\"T\" level=error msg=\"no \\\"x\\\"\\nat all\"\n");
        assert!(Format::Text.line(Level::Warn, "w", "T").contains(" level=warning "));
    }

    #[test]
    fn a_json_line_is_one_object() {
        let line = Format::Json.line(Level::Error, "no \"x\"\nat all\u{1b}", "2026-11-21T04:00:00Z");
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!(
            { "level": "error", "msg": "no \"x\"\nat all\u{1b}", "time": "2026-11-21T04:00:00Z" }
        );
        assert_eq!(value, expected);
    }

    #[test]
    fn formats_have_names() {
        assert_eq!(Format::new("json").unwrap(), Format::Json);
        assert_eq!(Format::new("x").unwrap_err().message(), "invalid log-format: \"x\"");
    }
}
