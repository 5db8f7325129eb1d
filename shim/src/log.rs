//! The log: logrus's text, which containerd passes on from the FIFO of a bundle, or as warnings from `delete`.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use log::{Level, LevelFilter, Metadata, Record};
use nix::fcntl::OFlag;

/// What a pipe takes in one piece (pipe(7), PIPE_BUF).
const LONGEST: usize = 4096;

/// Where lines go.
#[derive(Debug)]
pub(crate) enum Log {
    /// The FIFO `log` of a bundle.
    Fifo(File),
    /// The standard error, which is a warning in containerd's own log.
    Stderr,
}

impl Log {
    /// The log of the bundle; `None` where it has none.
    ///
    /// It is opened for both directions and never waits. So a line is no error while nobody reads: 64 KiB of them are kept
    /// for a containerd that comes back, and more are lost; and there is nothing to open again when it does.
    pub(crate) fn of(bundle: &Path) -> Option<Self> {
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
        let opened = File::options().read(true).append(true).custom_flags(flags.bits()).open(bundle.join("log"));
        opened.ok().map(Self::Fifo)
    }

    /// Makes this the log of the `log` crate, also for what runtime-core says.
    pub(crate) fn install(self, level: LevelFilter) {
        // It fails only where there is one already, which then stays.
        if log::set_logger(Box::leak(Box::new(self))).is_ok() {
            log::set_max_level(level);
        }
    }

    fn write(&self, line: &[u8]) {
        // A line that cannot be written is lost: there is nowhere to say so.
        let _ = match self {
            Self::Fifo(file) => (&*file).write(line).map(drop),
            Self::Stderr => std::io::stderr().write_all(line),
        };
    }
}

/// One line, ended, that is written in one piece.
fn line(level: Level, message: &str, time: &str) -> String {
    let level = match level {
        Level::Warn => "warning",
        Level::Error => "error",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    let mut line = format!("time=\"{time}\" level={level} msg={message:?}");
    if line.len() >= LONGEST {
        let cut = (0..LONGEST - 8).rev().find(|cut| line.is_char_boundary(*cut)).unwrap_or_default();
        line.truncate(cut);
        line.push_str("…\"");
    }
    line.push('\n');
    line
}

impl log::Log for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let time = humantime::format_rfc3339_nanos(SystemTime::now()).to_string();
            self.write(line(record.level(), &record.args().to_string(), &time).as_bytes());
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn lines_are_quoted_and_of_one_piece() {
        assert_eq!(
            line(Level::Warn, "no \"x\"\nat all", "T"),
            "time=\"T\" level=warning msg=\"no \\\"x\\\"\\nat all\"\n"
        );
        let long = line(Level::Info, &"ä".repeat(LONGEST), "T");
        assert!(long.len() <= LONGEST && long.len() > LONGEST - 16 && long.ends_with("…\"\n"), "{}", long.len());
    }

    #[test]
    fn nobody_reads_and_nobody_waits() {
        let bundle = std::env::temp_dir().join(format!("planc-shim-log-{}", std::process::id()));
        std::fs::create_dir(&bundle).unwrap();
        assert!(Log::of(&bundle).is_none());
        nix::unistd::mkfifo(&bundle.join("log"), Mode::from_bits_truncate(0o600)).unwrap();
        let log = Log::of(&bundle).unwrap();
        let line = [b'x'; 1024];
        // More than the pipe has room for.
        (0..100).for_each(|_| log.write(&line));
        let nonblock = OFlag::O_NONBLOCK.bits();
        let mut reader = File::options().read(true).custom_flags(nonblock).open(bundle.join("log")).unwrap();
        let mut read = vec![0; 200 * 1024];
        let count = reader.read(&mut read).unwrap();
        assert!(count >= 4096 && count.is_multiple_of(line.len()), "{count}");
        // Who read has gone, and is back.
        drop(reader);
        log.write(b"later\n");
        let mut reader = File::options().read(true).custom_flags(nonblock).open(bundle.join("log")).unwrap();
        let count = reader.read(&mut read).unwrap();
        assert!(read[..count].ends_with(b"later\n"));
        std::fs::remove_dir_all(&bundle).unwrap();
    }
}
