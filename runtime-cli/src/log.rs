//! The log: logrus's two formats, which engines parse, and the readable one for a terminal.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

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
            "" | "text" => Ok(Self::Text),
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
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let line = self.format.line(level, message, &time);
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
        let plain = failure.plain().filter(|_| self.format == Format::Text);
        let page = || match plain {
            _ if self.is_for_a_person() => failure.page(program),
            Some(plain) => format!("{plain}\n"),
            None => format!("{line}\n"),
        };
        if self.file.is_some() {
            self.write(Level::Error, &line);
            complain(&page());
        } else if self.is_for_a_person() || plain.is_some() {
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

#[cfg(test)]
mod tests {
    use super::*;

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
