//! The example programs that embed the crate, built by path and from its package (`EMBED_PROGRAMS`, folders with a colon
//! between them): each runs eight containers at once, and leaves nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test gives its verdict")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use integration_tests::bundle::Bundle;
use integration_tests::lane::Lane;
use integration_tests::oracle::Snapshot;
use integration_tests::runtime::Call;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let folders: Vec<PathBuf> =
        std::env::var_os("EMBED_PROGRAMS").iter().flat_map(|folders| std::env::split_paths(folders)).collect();
    let mut trials = Vec::new();
    for (way, folder) in ["by_path", "packaged"].into_iter().zip(0..) {
        for program in ["threaded", "asynchronous"] {
            let path = folders.get(folder).map(|folder| folder.join(program));
            let body = move || match (Lane::current(), path) {
                (Lane::Outside, _) => Ok(Completion::ignored_with("containers are run in a lane only")),
                (_, None) => Ok(Completion::ignored_with("EMBED_PROGRAMS names no programs (cargo xtask test does)")),
                (_, Some(path)) => runs(&path).map(|()| Completion::Completed),
            };
            trials.push(Trial::ignorable_test(format!("{program}_{way}"), body));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn runs(program: &Path) -> Result<(), Failed> {
    let dir = std::env::temp_dir().canonicalize()?.join(format!("planc-embed-{}", std::process::id()));
    let bundle = Bundle::new(dir.join("bundle"));
    let root = dir.join("root");
    fs::create_dir(&root)?;
    let before = Snapshot::take(&[&root]);
    let words = [program, &root, &bundle.dir().join("rootfs")];
    let done = Call::new(words, &dir.join("output")).done();
    let left = before.settle(&[&root]);
    before.restore();
    fs::remove_dir_all(&dir)?;
    done.ok();
    assert_eq!(left, [""; 0]);
    let said: BTreeSet<&str> = done.stdout.lines().collect();
    let wanted: Vec<String> = (0..8).map(|code| format!("exited with Some({code})")).collect();
    assert_eq!(said, wanted.iter().map(String::as_str).collect(), "{done}");
    Ok(())
}
