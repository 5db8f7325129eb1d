use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

/// A directory with a FIFO for each stream.
struct Scene(PathBuf);

impl Scene {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("planc-stdio-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        for stream in ["stdin", "stdout", "stderr"] {
            mkfifo(&directory.join(stream), Mode::S_IRWXU).unwrap();
        }
        Self(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn paths(&self) -> Paths {
        let [stdin, stdout, stderr] = ["stdin", "stdout", "stderr"].map(|name| self.path(name));
        Paths { stdin, stdout, stderr, terminal: false }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn own() -> (u32, u32) {
    (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
}

fn reader() -> Reader<'static> {
    Reader { id: "c", namespace: "n", owner: own(), input_is_closed: false }
}

#[test]
fn fifos_are_opened_without_anybody_at_the_other_end() {
    let scene = Scene::new("fifos");
    let streams = Streams::open(&scene.paths(), false, &reader()).unwrap();
    assert!(streams.given.stdin.is_some() && streams.given.stdout.is_some() && streams.given.stderr.is_some());
    assert_eq!(streams.lines.len(), 3);
    assert!(matches!(streams.input, Input::Open(_)));
}

#[test]
fn a_closed_input_has_no_writer() {
    let scene = Scene::new("closed");
    let paths = Paths { stdin: scene.path("stdin"), ..Paths::default() };
    let streams = Streams::open(&paths, false, &Reader { input_is_closed: true, ..reader() }).unwrap();
    assert!(matches!(streams.input, Input::Closed));
    assert!(streams.given.stdout.is_none() && streams.logger.is_none());
}

#[test]
fn what_cannot_be_opened_is_told_by_name() {
    let scene = Scene::new("refused");
    File::create(scene.0.join("plain")).unwrap();
    let of = |stdin: &str, stdout: &str| Paths { stdin: stdin.into(), stdout: stdout.into(), ..Paths::default() };
    for (paths, why) in [
        (of(&scene.path("plain"), ""), "it is no FIFO"),
        (of("", &scene.path("none")), "No such file or directory"),
        (of("file:///a", ""), "is no FIFO: nothing else can be read"),
        (of("", "binary:///none/at/all"), "cannot start the logging program /none/at/all"),
        (of("", "vsock://a"), "unknown STDIO scheme"),
    ] {
        let failure = Streams::open(&paths, false, &reader()).unwrap_err();
        assert!(failure.message.contains(why), "{failure}");
    }
    assert!(Streams::open(&scene.paths(), true, &reader()).unwrap_err().message.contains("asks for a terminal"));
}

#[test]
fn with_a_terminal_there_is_no_stderr_whatever_is_named() {
    let scene = Scene::new("terminal");
    let paths = Paths { terminal: true, stderr: scene.path("none"), ..scene.paths() };
    let streams = Streams::open(&paths, true, &reader()).unwrap();
    assert!(streams.terminal.is_some() && streams.given.stderr.is_none());
    assert!(!scene.0.join("none").exists());
}

#[test]
fn what_is_no_fifo_is_written_to_as_it_is() {
    let scene = Scene::new("plain");
    std::fs::write(scene.0.join("log"), "before\n").unwrap();
    let sink = Place::read("stdout", &scene.path("log")).unwrap().open("stdout").unwrap().unwrap();
    File::from(sink.to).write_all(b"after\n").unwrap();
    assert_eq!(std::fs::read_to_string(scene.0.join("log")).unwrap(), "before\nafter\n");
    let null = Place::read("stdout", "/dev/null").unwrap().open("stdout").unwrap().unwrap();
    assert!(null.hold.is_none());
}

#[test]
fn a_file_is_appended_to() {
    let scene = Scene::new("file");
    let log = scene.0.join("deep/er.log");
    let uri = format!("file://{}", log.display());
    for _ in 0..2 {
        let sink = Place::read("stdout", &uri).unwrap().open("stdout").unwrap().unwrap();
        File::from(sink.to).write_all(b"line\n").unwrap();
    }
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "line\nline\n");
}

#[test]
fn a_program_gets_the_streams_and_says_when_it_is_ready() {
    let scene = Scene::new("program");
    let script = scene.0.join("log.sh");
    let text = "#!/bin/sh\nout=$1; echo \"$# $2 $CONTAINER_ID $CONTAINER_NAMESPACE\" > $out\nexec 5>&-\ncat <&3 >> $out\ncat <&4 >> $out\n";
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let out = scene.0.join("out");
    // The name of the argument is what the script writes to.
    let uri = format!("binary://{}?{}=v", script.display(), out.display());
    let paths = Paths { stdout: uri.clone(), stderr: uri, ..Paths::default() };
    let streams = Streams::open(&paths, false, &reader()).unwrap();
    assert!(streams.lines.is_empty());
    File::from(streams.given.stdout.unwrap()).write_all(b"from stdout\n").unwrap();
    File::from(streams.given.stderr.unwrap()).write_all(b"from stderr\n").unwrap();
    let pid = rustix::process::Pid::from_raw(streams.logger.unwrap().pid() as i32).unwrap();
    rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
    let mut said = String::new();
    File::open(out).unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "2 v c n\nfrom stdout\nfrom stderr\n");
}

#[test]
fn a_program_that_ends_at_once_is_told() {
    let paths = Paths { stdout: "binary:///bin/false".into(), ..Paths::default() };
    let failure = Streams::open(&paths, false, &reader()).unwrap_err();
    assert_eq!(failure.message, "cannot start the logging program /bin/false: it ended at once");
}
