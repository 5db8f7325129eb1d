//! Every command and flag of runc, in every spelling that its parser takes; and beside a runc, whether it says the same.
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PLANC: &str = env!("CARGO_BIN_EXE_planc");

/// A flag: its names, longest first, and what it takes: nothing, or such a value.
type Flag = (&'static [&'static str], Option<&'static str>);

const BUNDLE: Flag = (&["bundle", "b"], Some("/b"));
const CONSOLE_SOCKET: Flag = (&["console-socket"], Some("/s"));
const DETACH: Flag = (&["detach", "d"], None);
const FORMAT: Flag = (&["format", "f"], Some("json"));
const HELP: Flag = (&["help", "h"], None);
const PIDFD_SOCKET: Flag = (&["pidfd-socket"], Some("/s"));
const PID_FILE: Flag = (&["pid-file"], Some("/p"));
const NO_PIVOT: Flag = (&["no-pivot"], None);
const NO_NEW_KEYRING: Flag = (&["no-new-keyring"], None);
const NO_SUBREAPER: Flag = (&["no-subreaper"], None);
const PRESERVE_FDS: Flag = (&["preserve-fds"], Some("3"));

/// The global ones, behind which a command stands.
const GLOBAL: &[Flag] = &[
    (&["debug"], None),
    (&["log"], Some("/dev/null")),
    (&["log-format"], Some("json")),
    (&["root"], Some("/r")),
    (&["systemd-cgroup"], None),
    (&["rootless"], Some("auto")),
];

/// Each command of runc with its flags, also those that its help does not tell.
const COMMANDS: &[(&str, &[Flag])] = &[
    ("create", &[BUNDLE, CONSOLE_SOCKET, PIDFD_SOCKET, PID_FILE, NO_PIVOT, NO_NEW_KEYRING, PRESERVE_FDS, DETACH]),
    ("delete", &[(&["force", "f"], None)]),
    ("events", &[(&["interval"], Some("5s")), (&["stats"], None)]),
    (
        "exec",
        &[
            CONSOLE_SOCKET,
            PIDFD_SOCKET,
            (&["cwd"], Some("/")),
            (&["env", "e"], Some("A=1")),
            (&["tty", "t"], None),
            (&["user", "u"], Some("1:2")),
            (&["additional-gids", "g"], Some("7")),
            (&["process", "p"], Some("/p")),
            DETACH,
            PID_FILE,
            (&["process-label"], Some("l")),
            (&["apparmor"], Some("a")),
            (&["no-new-privs"], None),
            (&["cap", "c"], Some("CAP_CHOWN")),
            PRESERVE_FDS,
            (&["cgroup"], Some("sub")),
            (&["ignore-paused"], None),
        ],
    ),
    ("features", &[]),
    ("kill", &[(&["all", "a"], None)]),
    ("list", &[FORMAT, (&["quiet", "q"], None)]),
    ("pause", &[]),
    ("ps", &[FORMAT]),
    ("resume", &[]),
    (
        "run",
        &[
            BUNDLE,
            CONSOLE_SOCKET,
            PIDFD_SOCKET,
            PID_FILE,
            NO_PIVOT,
            NO_NEW_KEYRING,
            PRESERVE_FDS,
            DETACH,
            (&["keep"], None),
            NO_SUBREAPER,
        ],
    ),
    ("spec", &[BUNDLE, (&["rootless"], None)]),
    ("start", &[]),
    ("state", &[]),
    (
        "update",
        &[
            (&["resources", "r"], Some("-")),
            (&["blkio-weight"], Some("-1")),
            (&["cpu-period"], Some("0")),
            (&["cpu-quota"], Some("-1")),
            (&["cpu-burst"], Some("1")),
            (&["cpu-share"], Some("2")),
            (&["cpu-rt-period"], Some("1")),
            (&["cpu-rt-runtime"], Some("1")),
            (&["cpuset-cpus"], Some("0-1")),
            (&["cpuset-mems"], Some("0")),
            (&["cpu-idle"], Some("1")),
            (&["kernel-memory"], Some("1M")),
            (&["kernel-memory-tcp"], Some("1M")),
            (&["memory"], Some("-1")),
            (&["memory-reservation"], Some("512M")),
            (&["memory-swap"], Some("-1")),
            (&["pids-limit"], Some("-1")),
            (&["l3-cache-schema"], Some("L3:0=f")),
            (&["mem-bw-schema"], Some("MB:0=20")),
        ],
    ),
];

/// The runc to compare with, where there is one; else says that nothing is compared.
fn runc() -> Option<PathBuf> {
    let named = env::var_os("RUNC").map(PathBuf::from);
    let found = named.into_iter().chain([PathBuf::from("/usr/sbin/runc"), PathBuf::from("/usr/bin/runc")]);
    let found = found.into_iter().find(|path| path.is_file());
    if found.is_none() {
        io::stderr().write_all(b"SKIPPED: no runc to compare with (RUNC names one)\n").unwrap();
    }
    found
}

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let path = env::temp_dir().join(format!("planc-flags-{test}-{}", std::process::id()));
        fs::create_dir_all(path.join("root")).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a command line came to.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: i32,
    stdout: String,
    /// The last message of the log, or all there is where it is none.
    message: String,
}

fn said(program: &Path, dir: &Path, words: &[&str]) -> Said {
    let mut command = Command::new(program);
    command.arg0("runc").args(words).current_dir(dir).stdin(Stdio::null());
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let last = stderr.lines().last().unwrap_or_default();
    let message = last.split_once(" msg=").map_or(last, |(_, message)| message);
    // logrus quotes what has blanks, and the parser's own complaints end in a line feed.
    let message = serde_json::from_str(message).unwrap_or_else(|_| message.to_owned());
    let stdout = String::from_utf8(output.stdout).unwrap();
    Said { code: output.status.code().unwrap(), stdout, message: message.trim_end().to_owned() }
}

/// The names in the options of a usage text, but for those of every command.
fn told(usage: &str) -> BTreeSet<String> {
    let options = usage.split_once("\nOPTIONS:\n").map_or("", |(_, rest)| rest);
    let options = options.split_once("\nGLOBAL OPTIONS:\n").map_or(options, |(own, _)| own);
    let lines = options.lines().filter_map(|line| line.strip_prefix("   --").map(|line| format!("--{line}")));
    let names = lines.flat_map(|line| {
        let spelt = line.split("  ").next().unwrap_or_default().to_owned();
        let names: Vec<_> = spelt.split(", ").map(|name| name.trim_start_matches('-').to_owned()).collect();
        names.into_iter().filter_map(|name| name.split(' ').next().map(str::to_owned)).collect::<Vec<_>>()
    });
    names.filter(|name| name != "help" && name != "h").collect()
}

#[test]
fn the_usage_tells_each_flag_and_no_other() {
    let scratch = Scratch::new("usage");
    for (command, flags) in COMMANDS {
        let usage = said(Path::new(PLANC), &scratch.0, &[command, "--help"]);
        let known: BTreeSet<_> = flags.iter().flat_map(|(names, _)| *names).map(|&name| name.to_owned()).collect();
        assert_eq!((usage.code, told(&usage.stdout)), (0, known), "{command}");
    }
}

#[test]
fn runc_has_no_other_command_and_no_other_flag() {
    let (Some(runc), scratch) = (runc(), Scratch::new("runc")) else { return };
    let all = said(&runc, &scratch.0, &["--help"]).stdout;
    let commands = all.split_once("\nCOMMANDS:\n").unwrap().1.split_once("\n\n").unwrap().0;
    for command in commands.lines().filter_map(|line| line.trim().split([' ', ',']).next()) {
        if ["help", "checkpoint", "restore"].contains(&command) {
            continue; // The two have tests of their own.
        }
        let of_runc = told(&said(&runc, &scratch.0, &[command, "--help"]).stdout);
        let (_, flags) = COMMANDS.iter().find(|(name, _)| *name == command).unwrap_or_else(|| panic!("no {command}"));
        let known: BTreeSet<_> = flags.iter().flat_map(|(names, _)| *names).map(|&name| name.to_owned()).collect();
        let globals = GLOBAL.iter().flat_map(|(names, _)| *names).map(|&name| name.to_owned()).collect();
        let more: Vec<_> = of_runc.difference(&known).filter(|&name| !BTreeSet::contains(&globals, name)).collect();
        assert!(more.is_empty(), "runc {command} also has {more:?}");
    }
}

/// The spellings of a flag that is given, with the words behind it.
fn spellings(name: &str, value: Option<&str>) -> Vec<Vec<String>> {
    let dashes = ["-", "--"].map(|dashes| format!("{dashes}{name}"));
    let spell = |dashed: String| match value {
        Some(value) => vec![vec![dashed.clone(), value.to_owned()], vec![format!("{dashed}={value}")]],
        None => ["", "=true", "=false", "=1", "=F"].iter().map(|end| vec![format!("{dashed}{end}")]).collect(),
    };
    dashes.into_iter().flat_map(spell).collect()
}

#[test]
fn each_flag_is_taken_in_each_spelling() {
    let scratch = Scratch::new("spellings");
    let planc = |words: &[&str]| said(Path::new(PLANC), &scratch.0, words);
    let all = COMMANDS.iter().map(|(command, flags)| (Some(*command), *flags)).chain([(None, GLOBAL)]);
    for (command, flags) in all {
        let usage = format!("runc {} - ", command.unwrap_or("list"));
        for (names, value) in flags.iter().chain([&HELP].into_iter().filter(|_| command.is_some())) {
            for (name, words) in
                names.iter().flat_map(|name| spellings(name, *value).into_iter().map(move |w| (name, w)))
            {
                let words: Vec<_> = words.iter().map(String::as_str).collect();
                // Twice, since the last counts; a command that asks for help does nothing else.
                let line: Vec<_> = match command {
                    Some(command) => [&[command], &words[..], &words[..], &["--help"]].concat(),
                    None => [&words[..], &words[..], &["list", "--help"]].concat(),
                };
                let done = planc(&line);
                let is_silent = done.message.is_empty() || *name == "debug";
                assert!(done.code == 0 && done.stdout.contains(&usage) && is_silent, "{line:?}: {done:?}");
                let wrong = match value {
                    Some(_) => (vec![format!("-{name}")], format!("flag needs an argument: -{name}")),
                    None => (
                        vec![format!("--{name}=maybe")],
                        format!("invalid boolean value \"maybe\" for -{name}: parse error"),
                    ),
                };
                let line: Vec<_> = command.into_iter().chain(wrong.0.iter().map(String::as_str)).collect();
                let done = planc(&line);
                assert_eq!((done.code, done.message), (1, wrong.1.clone()), "{line:?}");
                assert!(
                    done.stdout.starts_with(&format!("Incorrect Usage: {}\n\nNAME:\n", wrong.1)),
                    "{}",
                    done.stdout
                );
            }
        }
    }
}

/// Whether runc says the same of a command line.
enum Runc {
    Same,
    /// No; and why planc does not.
    Other(#[allow(dead_code, reason = "it is for who reads the table")] &'static str),
}
use Runc::{Other, Same};

const EARLIER: Runc = Other("a value that nothing can be made of is refused before anything is looked at");
const NUMBERS: Runc = Other("a number is decimal, from 0, and one that the kernel takes: runc cuts it to 32 bits");
const QUOTED: Runc = Other("what was given is quoted");
const PLACE: Runc = Other("which bundle it is about is said as well");
const LOWER: Runc = Other("errors begin with a small letter");

/// Command lines below `--root ROOT`, how they end, and the message. No line makes a container.
const LINES: &[(&[&str], i32, &str, Runc)] = &[
    (&["list"], 0, "", Same),
    (&["list", "-q"], 0, "", Same),
    (&["list", "--quiet=false"], 0, "", Same),
    (&["list", "--quiet=true", "-f", "x"], 0, "", Same),
    (&["list", "-format", "x", "-format=json"], 0, "", Same),
    (&["list", "--format="], 1, "invalid format option", Same),
    (&["list", "-f", "x"], 1, "invalid format option", Same),
    (&["list", "-fjson"], 1, "flag provided but not defined: -fjson", Same),
    (&["list", "-qf", "json"], 1, "flag provided but not defined: -qf", Same),
    (&["list", "--"], 0, "", Same),
    (&["list", "--", "-q"], 1, "runc: \"list\" requires exactly 0 argument(s)", Same),
    (&["foo"], 3, "No help topic for 'foo'", Same),
    (&["help", "foo"], 3, "No help topic for 'foo'", Same),
    (&["--", "list"], 0, "", Same),
    (&["-"], 3, "No help topic for '-'", Same),
    (&["--root", "/", "list"], 1, "option --root argument should not be set to /", LOWER),
    (&["--log-format=", "list"], 0, "", Same),
    (&["--log-format", "x", "list"], 1, "invalid log-format: \"x\"", QUOTED),
    (
        &["--log", "/nosuch/x", "list"],
        1,
        "cannot open the log /nosuch/x: does not exist (ENOENT)",
        Other("moby and podman would take \"no such file or directory\" for a missing program"),
    ),
    (&["--log=", "list"], 0, "", Same),
    (&["--rootless=AUTO", "state", "a"], 1, "container does not exist", Same),
    (&["--rootless=x", "list"], 1, "invalid value \"x\" for flag -rootless: it is true, false or auto", EARLIER),
    (&["--systemd-cgroup=false", "state", "a"], 1, "container does not exist", Same),
    (
        &["list", "--root", "/r"],
        1,
        "flag provided but not defined: -root",
        Other(
            "with version 1 of its parser (urfave/cli) runc does the same; with version 3 global flags may stand behind the command",
        ),
    ),
    (&["state"], 1, "runc: \"state\" requires exactly 1 argument(s)", Same),
    (&["state", "a", "b"], 1, "runc: \"state\" requires exactly 1 argument(s)", Same),
    (&["state", "a"], 1, "container does not exist", Same),
    (&["state", "--", "a"], 1, "container does not exist", Same),
    (&["state", "a", "--"], 1, "container does not exist", Same),
    (&["state", ""], 1, "container id cannot be empty", Same),
    (&["state", "-x"], 1, "flag provided but not defined: -x", Same),
    (&["state", "--x="], 1, "flag provided but not defined: -x", Same),
    (&["state", "../a"], 1, "invalid container ID format: it begins with '.' or '-'", Other("why is said as well")),
    (&["state", "-"], 1, "invalid container ID format: it begins with '.' or '-'", Other("such an id reads as a flag")),
    (&["start", "a"], 1, "container does not exist", Same),
    (&["kill"], 1, "runc: \"kill\" requires a minimum of 1 argument(s)", Same),
    (&["kill", "a", "KILL", "x"], 1, "runc: \"kill\" requires a maximum of 2 argument(s)", Same),
    (&["kill", "a"], 1, "container does not exist", Same),
    (&["kill", "a", ""], 1, "container does not exist", Same),
    (&["kill", "a", "FOO"], 1, "container does not exist", Same),
    (&["kill", "--all", "a", "9"], 1, "container does not exist", Same),
    (&["kill", "-all=true", "a", "9"], 1, "container does not exist", Same),
    (&["kill", "a", "9", "--all"], 1, "container does not exist", Other("as runc does with version 1 of its parser")),
    (&["delete", "a"], 1, "container does not exist", Same),
    (&["delete", "-f", "a"], 0, "", Same),
    (&["delete", "--force=true", "a"], 0, "", Same),
    (&["delete", "--force=false", "a"], 1, "container does not exist", Same),
    (&["delete", "a", "--force"], 0, "", Same),
    (&["delete", "-f", ""], 1, "container id cannot be empty", Same),
    (&["delete", "-f"], 1, "runc: \"delete\" requires exactly 1 argument(s)", Same),
    (&["exec"], 1, "runc: \"exec\" requires a minimum of 1 argument(s)", Same),
    (&["exec", "a"], 255, "exec failed: container does not exist", Same),
    (&["exec", "-e", "A", "-e", "B=1,C=2", "-d", "a", "true"], 255, "exec failed: container does not exist", Same),
    (
        &["exec", "-g", "1", "-g", "2", "-c", "CAP_KILL", "a", "true"],
        255,
        "exec failed: container does not exist",
        Same,
    ),
    (&["exec", "--tty=false", "a", "true"], 255, "exec failed: container does not exist", Same),
    (&["exec", "--", "a", "true"], 255, "exec failed: container does not exist", Same),
    (&["exec", "a", "-x", "--nosuch"], 255, "exec failed: container does not exist", Same),
    (&["exec", "a", "-h"], 255, "exec failed: container does not exist", Same),
    (&["exec", "--nosuch", "a", "true"], 1, "flag provided but not defined: -nosuch", Same),
    (&["exec", "-it", "a", "true"], 1, "flag provided but not defined: -it", Same),
    (&["exec", "-p", "/nosuch", "a"], 255, "exec failed: container does not exist", Same),
    (&["exec", "-g", "-1", "a", "true"], 1, "invalid value \"-1\" for flag -g: parse error", NUMBERS),
    (&["exec", "-g", "1,2", "a", "true"], 1, "invalid value \"1,2\" for flag -g: parse error", NUMBERS),
    (
        &["exec", "--preserve-fds", "-1", "a", "true"],
        1,
        "invalid value \"-1\" for flag -preserve-fds: parse error",
        NUMBERS,
    ),
    (&["events"], 1, "runc: \"events\" requires exactly 1 argument(s)", Same),
    (&["events", "--interval=5s", "a"], 1, "container does not exist", Same),
    (&["events", "-interval", "1m30s", "-stats", "a"], 1, "container does not exist", Same),
    (&["events", "--interval", "-1s", "a"], 1, "container does not exist", Same),
    (
        &["events", "--interval", "5", "a"],
        1,
        "invalid value \"5\" for flag -interval: parse error",
        Other("with version 1 of its parser (urfave/cli) runc says the same"),
    ),
    (&["ps"], 1, "runc: \"ps\" requires a minimum of 1 argument(s)", Same),
    (&["ps", "a", "-ef", "--help"], 1, "container does not exist", Same),
    (&["ps", "-e", "a"], 1, "flag provided but not defined: -e", Same),
    (&["ps", "-f", "x", "a"], 1, "container does not exist", Same),
    (&["pause", "a"], 1, "container does not exist", Same),
    (&["resume", "a"], 1, "container does not exist", Same),
    (&["update"], 1, "runc: \"update\" requires exactly 1 argument(s)", Same),
    (&["update", "a", "--memory", "-1"], 1, "container does not exist", Same),
    (&["update", "--memory=-1", "--pids-limit", "-1", "a"], 1, "container does not exist", Same),
    (&["update", "-r=-", "a"], 1, "container does not exist", Same),
    (
        &["update", "--pids-limit", "x", "a"],
        1,
        "invalid value \"x\" for flag -pids-limit: parse error",
        Other("with version 1 of its parser (urfave/cli) runc says the same"),
    ),
    (&["update", "--memory", "x", "a"], 1, "container does not exist", Same),
    (&["features", "x"], 1, "runc: \"features\" requires exactly 0 argument(s)", Same),
    (&["spec", "x"], 1, "runc: \"spec\" requires exactly 0 argument(s)", Same),
    (&["create"], 1, "runc: \"create\" requires exactly 1 argument(s)", Same),
    (&["create", "a", "b"], 1, "runc: \"create\" requires exactly 1 argument(s)", Same),
    (&["create", "--nosuch", "a"], 1, "flag provided but not defined: -nosuch", Same),
    (&["create", "-b"], 1, "flag needs an argument: -b", Same),
    (&["create", "--no-subreaper", "a"], 1, "flag provided but not defined: -no-subreaper", Same),
    (
        &["create", "-b", "/nosuch", "a"],
        1,
        "runc create failed: JSON specification file config.json not found in /nosuch",
        PLACE,
    ),
    (
        &["create", "-detach", "-b", "/nosuch", "a"],
        1,
        "runc create failed: JSON specification file config.json not found in /nosuch",
        Other("go-runc passes --detach to create as well"),
    ),
    (
        &["run", "a", "-detach", "-no-subreaper", "-b", "/nosuch"],
        1,
        "runc run failed: JSON specification file config.json not found in /nosuch",
        PLACE,
    ),
    (
        &["run", "--preserve-fds", "100", "a"],
        1,
        "runc run failed: unable to stat preserved-fd 0 (of 100): descriptor 3 is not open (EBADF)",
        EARLIER,
    ),
    (&["run", "--keep", "../x"], 1, "runc run failed: invalid container ID format: it begins with '.' or '-'", EARLIER),
];

#[test]
fn command_lines_end_as_those_of_runc() {
    let (runc, scratch) = (runc(), Scratch::new("lines"));
    let root = scratch.0.join("root");
    for (words, code, message, same) in LINES {
        let line = [&["--root", root.to_str().unwrap()], *words].concat();
        let planc = said(Path::new(PLANC), &scratch.0, &line);
        assert_eq!((planc.code, planc.message.as_str()), (*code, *message), "{words:?}");
        let Some(runc) = &runc else { continue };
        let other = said(runc, &scratch.0, &line);
        // A runc of another version may also do what this one does not.
        if matches!(same, Same) {
            assert_eq!((other.code, other.message.as_str()), (*code, *message), "runc, of {words:?}");
        }
    }
}
