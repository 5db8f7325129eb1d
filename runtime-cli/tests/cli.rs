//! The command line as its callers see it, where no container is needed.
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PLANC: &str = env!("CARGO_BIN_EXE_planc");

/// A directory of the test's own, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("planc-cli-{test}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn planc(args: &[&str]) -> Output {
    Command::new(PLANC).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Fails with exit code `code`, and on stderr with one logrus line whose message is `message`.
#[track_caller]
fn fails(output: &Output, code: i32, message: &str) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.starts_with("time=\"20") && stderr.matches('\n').count() == 1, "{stderr}");
    assert!(stderr.ends_with(&format!(" level=error msg={message:?}\n")), "{stderr}");
}

#[test]
fn help_is_on_stdout() {
    for args in [&["--help"][..], &["-h"], &["help"], &["h"], &[]] {
        let output = planc(args);
        let stdout = text(&output.stdout);
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}");
        assert!(stdout.starts_with("NAME:\n   planc - Open Container Initiative runtime\n"), "{stdout}");
    }
    let all = planc(&[]);
    for name in [
        "create", "start", "state", "kill", "delete", "run", "list", "spec", "explain", "demo", "ps", "pause",
        "resume", "features",
    ] {
        assert!(text(&all.stdout).contains(&format!("\n   {name} ")), "{name}");
        for args in [&["help", name][..], &[name, "--help"], &[name, "-h"]] {
            let output = planc(args);
            assert!(output.status.success() && output.stderr.is_empty(), "{args:?}");
            assert!(text(&output.stdout).contains(&format!("USAGE:\n   planc {name} ")), "{args:?}");
        }
    }
}

#[test]
fn version() {
    for args in [&["--version"][..], &["-v"], &["-version"]] {
        let output = planc(args);
        assert!(output.status.success() && output.stderr.is_empty());
        let lines: Vec<_> = text(&output.stdout).lines().collect();
        assert_eq!(lines[0], format!("planc version {}", env!("CARGO_PKG_VERSION")));
        assert!(lines[1].starts_with("commit: ") && lines[1].len() > "commit: ".len());
        assert_eq!(lines[2], "spec: 1.3.0");
        assert!(lines[3].starts_with("rustc: 1."), "{}", lines[3]);
    }
}

#[test]
fn it_speaks_by_the_name_it_was_called() {
    let scratch = Scratch::new("name");
    for name in ["runc", "crun"] {
        let (link, copy) = (scratch.join(name), scratch.join("copy").join(name));
        symlink(PLANC, &link).unwrap();
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        // By another process: a descriptor that writes to it would be in what other tests start meanwhile (ETXTBSY).
        assert!(Command::new("cp").arg(PLANC).arg(&copy).status().unwrap().success());
        let mut renamed = Command::new(PLANC);
        for program in [&mut Command::new(&link), &mut Command::new(&copy), renamed.arg0(name)] {
            let version = program.arg("--version").output().unwrap();
            // Called runc it must not be taken for that version of runc: the build metadata says whose it is.
            let first = format!("{name} version {}+planc", env!("CARGO_PKG_VERSION"));
            assert_eq!(text(&version.stdout).lines().next(), Some(first.as_str()));
        }
        let create = Command::new(&link).args(["create", "../x"]).output().unwrap();
        let message = format!("msg=\"{name} create failed: invalid container ID format");
        assert!(text(&create.stderr).contains(&message), "{create:?}");
        let exec = Command::new(&link).args(["exec", "../x", "true"]).output().unwrap();
        assert!(text(&exec.stderr).contains("msg=\"exec failed: invalid container ID format"), "{exec:?}");
        let usage = Command::new(&link).args(["run", "--help"]).output().unwrap();
        assert!(text(&usage.stdout).contains(&format!("USAGE:\n   {name} run ")), "{usage:?}");
    }
    let count = Command::new(PLANC).arg0("/some/where/runc").arg("state").output().unwrap();
    fails(&count, 1, "/some/where/runc: \"state\" requires exactly 1 argument(s)");
}

#[test]
fn unknown_commands_and_flags() {
    fails(&planc(&["foo"]), 3, "No help topic for 'foo'");
    fails(&planc(&["foo", "-h"]), 3, "No help topic for 'foo'");
    fails(&planc(&["help", "foo"]), 3, "No help topic for 'foo'");
    for args in [&["--nosuch"][..], &["create", "--nosuch", "id"], &["create", "id", "-nosuch=1"]] {
        let output = planc(args);
        fails(&output, 1, "flag provided but not defined: -nosuch");
        assert!(text(&output.stdout).starts_with("Incorrect Usage: flag provided but not defined: -nosuch\n\nNAME:\n"));
    }
    fails(&planc(&["--root"]), 1, "flag needs an argument: -root");
}

#[test]
fn words_are_counted() {
    for (args, message) in [
        (&["create"][..], "planc: \"create\" requires exactly 1 argument(s)"),
        (&["create", "a", "b"], "planc: \"create\" requires exactly 1 argument(s)"),
        (&["list", "a"], "planc: \"list\" requires exactly 0 argument(s)"),
        (&["kill"], "planc: \"kill\" requires a minimum of 1 argument(s)"),
        (&["ps"], "planc: \"ps\" requires a minimum of 1 argument(s)"),
        (&["pause"], "planc: \"pause\" requires exactly 1 argument(s)"),
        (&["features", "a"], "planc: \"features\" requires exactly 0 argument(s)"),
    ] {
        let output = Command::new(PLANC).arg0("planc").args(args).output().unwrap();
        fails(&output, 1, message);
        assert!(text(&output.stdout).starts_with("Incorrect Usage.\n\nNAME:\n   planc "), "{args:?}");
    }
}

#[test]
fn bad_arguments() {
    fails(&planc(&["--root", "/", "list"]), 1, "option --root argument should not be set to /");
    fails(&planc(&["--log-format", "x", "list"]), 1, "invalid log-format: \"x\"");
    fails(&planc(&["list", "-f", "x"]), 1, "invalid format option");
    fails(&planc(&["pause", ""]), 1, "container id cannot be empty");
    fails(&planc(&["state", ""]), 1, "container id cannot be empty");
    let long = "x".repeat(2000);
    for id in ["../x", ".", "a/b", &long] {
        let output = planc(&["state", id]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("msg=\"invalid container ID format"), "{output:?}");
    }
}

#[test]
fn the_log_has_the_error_as_its_last_line() {
    let scratch = Scratch::new("log");
    let log = scratch.join("log.json");
    let log = log.to_str().unwrap();
    for lines in 1..=2 {
        let output = planc(&["--log", log, "--log-format", "json", "--debug", "list", "-f", "x"]);
        assert_eq!(text(&output.stderr), "invalid format option\n");
        let written = fs::read_to_string(log).unwrap();
        let errors: Vec<serde_json::Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let errors: Vec<_> = errors.iter().filter(|line| line["level"] == "error").collect();
        assert_eq!(errors.len(), lines, "it is appended to");
        assert_eq!(errors[lines - 1]["msg"], "invalid format option");
        assert!(written.lines().last().unwrap().contains("\"error\""));
    }
    assert_eq!(fs::metadata(log).unwrap().permissions().mode() & 0o7133, 0, "0644, less the umask");
    let nowhere = planc(&["--log", "/nosuch/log", "list"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("cannot open the log /nosuch/log"), "{nowhere:?}");
}

#[test]
fn spec_writes_once() {
    let scratch = Scratch::new("spec");
    let dir = scratch.0.to_str().unwrap();
    let first = planc(&["spec", "-b", dir]);
    assert!(first.status.success() && first.stdout.is_empty() && first.stderr.is_empty(), "{first:?}");
    let written = fs::read(scratch.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&written).unwrap();
    assert_eq!(config["process"]["args"], serde_json::json!(["sh"]));
    fails(&planc(&["spec", "--bundle", dir]), 1, "file config.json exists. Remove it first");
    assert_eq!(fs::read(scratch.join("config.json")).unwrap(), written);
    let here = Command::new(PLANC).arg("spec").current_dir(&scratch.0).output().unwrap();
    fails(&here, 1, "file config.json exists. Remove it first");
}

#[test]
fn a_failed_write_to_stdout_is_an_error() {
    let said = |stdout: Stdio| {
        let output = Command::new(PLANC).arg("--version").stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        text(&output.stderr).to_owned()
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert!(said(writer.into()).contains("cannot write to the standard output: Broken pipe"));
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert!(said(full.into()).contains("No space left on device"));
    // A descriptor that cannot be written gives EBADF, as a closed one would.
    assert!(said(File::open("/dev/null").unwrap().into()).contains("Bad file descriptor"));
}

#[test]
fn list_of_nothing() {
    let scratch = Scratch::new("list");
    let root = scratch.join("root");
    let missing = Command::new(PLANC).arg("--root").arg(&root).arg("list").output().unwrap();
    assert!(missing.status.code() == Some(1) && text(&missing.stderr).contains("there is no such directory"));
    fs::create_dir(&root).unwrap();
    let list = |args: &[&str]| {
        let output = Command::new(PLANC).arg("--root").arg(&root).arg("list").args(args).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        text(&output.stdout).to_owned()
    };
    assert_eq!(list(&[]), "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
    assert_eq!(list(&["--format=json"]), "null\n");
    assert_eq!(list(&["-q"]), "");
}

#[test]
fn containers_that_do_not_exist() {
    let scratch = Scratch::new("missing");
    let root = scratch.join("root");
    let planc = |args: &[&str]| Command::new(PLANC).arg("--root").arg(&root).args(args).output().unwrap();
    for args in [
        &["state", "id"][..],
        &["start", "id"],
        &["kill", "id"],
        &["kill", "-a", "id", "9"],
        &["delete", "id"],
        &["ps", "id", "-ef"],
        &["pause", "id"],
        &["resume", "id"],
    ] {
        fails(&planc(args), 1, "container does not exist");
    }
    // Most commands have no use for it, and engines pass it to all.
    let systemd = Command::new(PLANC).arg("--systemd-cgroup").arg("--root").arg(&root).args(["ps", "id"]).output();
    fails(&systemd.unwrap(), 1, "container does not exist");
    let forced = planc(&["delete", "--force", "id"]);
    assert!(forced.status.success() && forced.stderr.is_empty(), "{forced:?}");
}

/// A bundle whose config.json is what `planc spec` writes, changed by `change`.
fn bundle(scratch: &Scratch, change: impl FnOnce(&mut serde_json::Value)) -> PathBuf {
    let path = scratch.join("bundle");
    fs::create_dir_all(path.join("rootfs")).unwrap();
    assert!(planc(&["spec", "-b", path.to_str().unwrap()]).status.success());
    let config = path.join("config.json");
    let mut value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    change(&mut value);
    fs::write(config, serde_json::to_vec(&value).unwrap()).unwrap();
    path
}

fn explain(bundle: &Path, args: &[&str]) -> Output {
    Command::new(PLANC).arg("explain").arg("-b").arg(bundle).args(args).output().unwrap()
}

#[test]
fn explain_tells_the_steps() {
    let scratch = Scratch::new("explain");
    let bundle = bundle(&scratch, |config| config["process"]["terminal"] = false.into());
    let lines = explain(&bundle, &[]);
    assert!(lines.status.success(), "{lines:?}");
    let json = explain(&bundle, &["--json"]);
    let plan: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(text(&lines.stdout).lines().count(), steps.len());
    assert!(steps.len() > 10, "{}", steps.len());
    for (index, step) in steps.iter().enumerate() {
        assert_eq!(step["number"], index + 1);
        assert!(step["actor"] == "host" || step["actor"] == "init");
        assert!(step["op"].is_string() && step["origin"].is_string());
        assert!(text(&lines.stdout).contains(step["sentence"].as_str().unwrap()));
    }
    let hostname = steps.iter().find(|step| step["origin"] == "/hostname").unwrap();
    let detail = explain(&bundle, &["--step", &hostname["number"].to_string()]);
    let detail = text(&detail.stdout);
    assert!(detail.starts_with(&format!("step {} of {}, in the container\n", hostname["number"], steps.len())));
    assert!(detail.contains("\nconfig.json /hostname\n\""), "{detail}");
    let beyond = (steps.len() + 1).to_string();
    let message = format!("there is no step {beyond}: the plan has {}", steps.len());
    fails(&explain(&bundle, &["--step", &beyond]), 1, &message);
    assert!(!scratch.join("root").exists());
}

#[test]
fn explain_of_a_broken_config_names_the_place() {
    let scratch = Scratch::new("broken");
    let bundle = bundle(&scratch, |config| {
        config["process"]["terminal"] = false.into();
        config["mounts"][1]["options"] = serde_json::json!(["size=1k", "nosuch=\u{0}"]);
    });
    let output = explain(&bundle, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(text(&output.stderr).contains("config.json /mounts/1/options/1"), "{output:?}");
    let missing = explain(&scratch.join("nosuch"), &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(missing.stdout.is_empty());
}
