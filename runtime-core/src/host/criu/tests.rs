//! Conversations with a criu that is a shell script, and what is found in logs.

use std::ffi::CString;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::message::{Kind, Request, Response};
use super::*;

fn script(name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::temp_dir().join(format!("planc-criu-{}-{name}", std::process::id()));
    // The request is read first, as criu does.
    std::fs::write(&path, format!("#!/bin/sh\ndd bs=99999 count=1 <&3 >/dev/null 2>&1\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

fn conversation(name: &str, text: &str, silence: Duration) -> Result<Response, Failure> {
    let path = script(name, text);
    let criu = Criu {
        path: CString::new(path.to_str().unwrap()).unwrap(),
        environment: vec![c"PATH=/usr/bin:/bin".to_owned()],
        version: 0,
    };
    let null = null().unwrap();
    let mut swrk = criu.begin(&Birth::of(null.as_fd())).unwrap();
    let limits = Limits { silence, watched: None };
    let answer = swrk.converse(&Request::of(Kind::Version), &limits, &mut |_| Ok(()));
    swrk.end();
    std::fs::remove_file(path).unwrap();
    answer
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn an_answer() {
    // `dd` writes a packet of the shell's one printf, whatever its bytes are.
    let answer =
        conversation("answer", r"printf '\010\012\020\001\122\004\010\004\020\002' | dd bs=99 >&3 2>/dev/null", LONG);
    let version = answer.unwrap().version.unwrap();
    assert_eq!((version.major, version.minor), (4, 2));
}

#[test]
fn one_that_ends_says_so() {
    let failure = conversation("ends", "exit 7", LONG).unwrap_err();
    assert_eq!(failure.to_string(), "criu failed: it ended without an answer: exit status 7");
    let failure = conversation("killed", "kill -9 $$", LONG).unwrap_err();
    assert_eq!(failure.to_string(), "criu failed: it ended without an answer: SIGKILL");
}

#[test]
fn one_that_keeps_silent_is_not_waited_for() {
    let begin = Instant::now();
    let failure = conversation("silent", "exec sleep 100", Duration::from_millis(400)).unwrap_err();
    assert!(matches!(failure, Failure::Silent(_)), "{failure}");
    assert!(begin.elapsed() < LONG, "{:?}", begin.elapsed());
}

#[test]
fn one_that_works_is_waited_for() {
    let work = r"end=$(( $(date +%s) + 2 )); while [ $(date +%s) -lt $end ]; do :; done";
    let answer = format!("{work}\nprintf '\\010\\012\\020\\001' | dd bs=99 >&3 2>/dev/null");
    assert!(conversation("works", &answer, Duration::from_millis(800)).is_ok());
}

#[test]
fn what_is_no_answer_is_refused() {
    let failure = conversation("garbled", r"printf '\377\377' | dd bs=99 >&3 2>/dev/null", LONG).unwrap_err();
    assert!(matches!(failure, Failure::Garbled), "{failure}");
    // Of another request.
    let failure = conversation("other", r"printf '\010\001\020\001' | dd bs=99 >&3 2>/dev/null", LONG).unwrap_err();
    assert!(matches!(failure, Failure::Garbled), "{failure}");
    let failure =
        conversation("no", r"printf '\010\012\020\000\070\026' | dd bs=99 >&3 2>/dev/null", LONG).unwrap_err();
    assert_eq!(failure.to_string(), "criu failed: type VERSION errno 22");
}

#[test]
fn the_first_error_of_a_log() {
    let directory = std::env::temp_dir().join(format!("planc-criu-log-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let open = |path: &Path| OwnedFd::from(std::fs::File::open(path).unwrap());
    let log = "(00.000001) Error (criu/util.c:642): exited, status=1\n(00.01) Warn  (a)\n\
               (00.02) Error (criu/vdso.c:381): \u{1b}[31mvdso\n(00.03) Error (b): later\n";
    std::fs::File::create(directory.join("dump.log")).unwrap().write_all(log.as_bytes()).unwrap();
    std::os::unix::fs::symlink("dump.log", directory.join("link")).unwrap();
    let directory_fd = open(&directory);
    let found = first_error_in(&directory_fd, "dump.log").unwrap();
    assert_eq!(found, "(00.02) Error (criu/vdso.c:381): \\u{1b}[31mvdso");
    assert_eq!(first_error_in(&directory_fd, "link"), None);
    assert_eq!(first_error_in(&directory_fd, "missing"), None);
    assert_eq!(first_error_in(&directory_fd, "."), None);
    std::fs::remove_dir_all(directory).unwrap();
}
