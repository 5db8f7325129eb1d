//! Command lines that are launched in turn, and what each launch took.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use crate::results;

/// Rounds that are not counted: page cache, cgroup and namespace caches fill.
pub(crate) const WARM_UP: usize = 5;

/// Who takes part: a name, the command line of one launch, and what it took, in milliseconds.
pub(crate) struct Contender {
    pub(crate) name: String,
    words: Vec<String>,
    /// What a launch leaves behind is removed by this one, which is not timed.
    after: Option<Vec<String>>,
    pub(crate) times: Vec<f64>,
}

impl Contender {
    pub(crate) fn new(name: impl Into<String>, words: &[&str]) -> Self {
        Self { name: name.into(), words: owned(words), after: None, times: Vec::new() }
    }

    /// One who was launched already.
    pub(crate) fn launched(name: &str, times: Vec<f64>) -> Self {
        Self { times, ..Self::new(name, &[]) }
    }

    /// The same, with a command that removes what a launch leaves behind.
    pub(crate) fn followed_by(self, words: &[&str]) -> Self {
        Self { after: Some(owned(words)), ..self }
    }

    /// One launch to its end.
    pub(crate) fn launch(&self) -> Result<f64, String> {
        let time = launch(&self.words)?;
        self.after.as_deref().map_or(Ok(time), |after| launch(after).map(|_| time))
    }

    /// Itself, where one launch succeeds; else a NOT RUN line.
    pub(crate) fn able(self) -> Option<Self> {
        let failure = self.launch().err();
        if let Some(why) = &failure {
            results::not_run(&self.name, why);
        }
        failure.is_none().then_some(self)
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn launch(words: &[String]) -> Result<f64, String> {
    let complaints = complaints().try_clone().map_err(|error| error.to_string())?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(complaints);
    let begin = Instant::now();
    let status = command.status().map_err(|error| format!("{}: {error}", words[0]))?;
    let time = begin.elapsed().as_secs_f64() * 1000.0;
    if status.success() { Ok(time) } else { Err(format!("{status}: {}", complaint())) }
}

/// A file, not a pipe: reading would be timed, and a container that outlives its command would hold the pipe open.
fn complaints() -> &'static File {
    static FILE: OnceLock<File> = OnceLock::new();
    FILE.get_or_init(|| {
        let _ = fs::remove_file(path());
        OpenOptions::new().create(true).append(true).open(path()).expect("a temporary file")
    })
}

/// The last two lines of it.
fn complaint() -> String {
    let text = fs::read(path()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(2)..].join("; ")
}

fn path() -> std::path::PathBuf {
    env::temp_dir().join(format!("planc-bench-{}.stderr", std::process::id()))
}

/// Removes the file.
pub(crate) fn forget_complaints() {
    let _ = fs::remove_file(path());
}

/// How many rounds are counted: `ROUNDS`, or `usual`.
pub(crate) fn rounds(usual: usize) -> usize {
    env::var("ROUNDS").ok().map_or(usual, |rounds| rounds.parse().expect("ROUNDS is no number"))
}

/// Launches each once a round, in an order that turns, so that nobody always comes behind the same one.
pub(crate) fn launch_in_turn(contenders: &mut [Contender], rounds: usize) -> Result<(), String> {
    let count = contenders.len();
    for round in 0..WARM_UP + rounds {
        for place in 0..count {
            let contender = &mut contenders[(place + round) % count];
            let time = contender.launch().map_err(|why| format!("{} in round {round}: {why}", contender.name))?;
            if round >= WARM_UP {
                contender.times.push(time);
            }
        }
    }
    Ok(())
}

/// A race that was run.
pub(crate) struct Race(pub(crate) Vec<Contender>);

impl Race {
    /// Runs it, and leaves its table.
    pub(crate) fn run(title: &str, mut contenders: Vec<Contender>, rounds: usize) -> Result<Self, String> {
        launch_in_turn(&mut contenders, rounds)?;
        results::race(title, "ms", &contenders);
        Ok(Self(contenders))
    }

    /// The times of the one with this name.
    pub(crate) fn times(&self, name: &str) -> Option<&[f64]> {
        self.0.iter().find(|contender| contender.name == name).map(|contender| &*contender.times)
    }

    /// The times of two.
    pub(crate) fn pair(&self, one: &str, other: &str) -> Option<(&[f64], &[f64])> {
        self.times(one).zip(self.times(other))
    }
}
