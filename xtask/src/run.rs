//! Programs run to their end, bounded in time, and what cargo says about the workspace.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;

/// What went wrong, for the person at the terminal.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// A command under `timeout`, run at the root of the workspace; past `minutes` it is killed with its children.
pub(crate) fn bounded<S: AsRef<OsStr>>(minutes: u32, program: impl AsRef<OsStr>, arguments: &[S]) -> Command {
    let mut command = tied("timeout");
    // --foreground is left out: timeout's own process group is what lets it end cargo's children too.
    command.args(["--kill-after=10s", &format!("{minutes}m")]).arg(program).args(arguments);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// A command that gets SIGTERM when this program ends, however it ends: it may be in a process group of its own, out of
/// reach of a Ctrl-C.
pub(crate) fn tied(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// Runs `command` with this program's own output.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|why| not_started(command, &why))?;
    verdict(command, status)
}

/// Runs `command` and returns its stdout; stderr is this program's own.
pub(crate) fn stdout(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|why| not_started(command, &why))?;
    verdict(command, output.status)?;
    String::from_utf8(output.stdout).map_err(|_| format!("{} printed what is not UTF-8", shown(command)))
}

/// Runs `command` and shows each line of its stdout to `see`. Returns whether it succeeded.
pub(crate) fn watch(command: &mut Command, mut see: impl FnMut(&str)) -> Result<bool> {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|why| not_started(command, &why))?;
    for line in lines(&mut child) {
        see(&line);
    }
    child.wait().map(|status| status.success()).map_err(|why| format!("{}: {why}", shown(command)))
}

fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let output = child.stdout.take().map(BufReader::new);
    output.into_iter().flat_map(|mut reader| {
        std::iter::from_fn(move || {
            let mut line = Vec::new();
            match reader.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => None,
                Ok(_) => Some(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned()),
            }
        })
    })
}

fn verdict(command: &Command, status: ExitStatus) -> Result<()> {
    match status.code() {
        Some(0) => Ok(()),
        Some(124) => Err(format!("{} did not end in time", shown(command))),
        _ => Err(format!("{}: {status}", shown(command))),
    }
}

fn not_started(command: &Command, why: &std::io::Error) -> String {
    format!("{}: {why}", shown(command))
}

/// The command without what [`tied`] and [`bounded`] put in front of it.
fn shown(command: &Command) -> String {
    let words: Vec<_> =
        [command.get_program()].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    let in_front = match words.iter().map(AsRef::as_ref).collect::<Vec<&str>>()[..] {
        ["setpriv", _, _, _, "timeout", ..] => 7,
        ["setpriv", ..] => 4,
        _ => 0,
    };
    let words = &words[in_front..];
    let program = words[0].rsplit('/').next().unwrap_or(&words[0]);
    [&[program.into()], &words[1..]].concat().join(" ")
}

/// A program or test binary that cargo built.
#[derive(Debug)]
pub(crate) struct Built {
    /// The target's name in its Cargo.toml.
    pub(crate) name: String,
    /// `bin`, `test`, `bench` …
    pub(crate) kind: String,
    /// The executable.
    pub(crate) path: PathBuf,
}

/// Runs `cargo ARGUMENTS` and returns every executable that it names.
pub(crate) fn build(minutes: u32, arguments: &[&str]) -> Result<Vec<Built>> {
    executables(&mut bounded(minutes, cargo(), arguments))
}

fn executables(command: &mut Command) -> Result<Vec<Built>> {
    let messages = stdout(command.arg("--message-format=json-render-diagnostics"))?;
    Ok(messages.lines().filter_map(|line| executable(&serde_json::from_str(line).ok()?)).collect())
}

fn executable(message: &Value) -> Option<Built> {
    let target = &message["target"];
    Some(Built {
        path: message["executable"].as_str()?.into(),
        name: target["name"].as_str()?.to_owned(),
        kind: target["kind"][0].as_str()?.to_owned(),
    })
}

/// Builds planc as it is given to people and returns its path.
pub(crate) fn release_planc() -> Result<PathBuf> {
    release("runtime-cli", "planc")
}

/// Builds planc as it is given to people, but with its symbols, and returns its path.
pub(crate) fn planc_with_symbols() -> Result<PathBuf> {
    let folder = target_directory()?.join("symbols");
    let folder = folder.to_str().ok_or("the target directory's name is not UTF-8")?;
    let mut command = static_build(30, &["--quiet", "-p", "runtime-cli", "--bin", "planc", "--target-dir", folder])?;
    let built = executables(command.env("CARGO_PROFILE_RELEASE_STRIP", "none"))?;
    let program = built.into_iter().find(|built| built.name == "planc");
    Ok(program.ok_or("cargo built no planc")?.path)
}

/// Builds the shim as it is given to people and returns its path.
pub(crate) fn release_shim() -> Result<PathBuf> {
    release("shim", "containerd-shim-planc-v2")
}

fn release(package: &str, name: &str) -> Result<PathBuf> {
    let built = build_static(15, &["--quiet", "-p", package, "--bin", name])?;
    let program = built.into_iter().find(|built| built.name == name);
    Ok(program.ok_or_else(|| format!("cargo built no {name}"))?.path)
}

/// Runs `cargo build --release ARGUMENTS` for programs that need no dynamic linker (docs/decisions/static-programs.md). Paths of
/// this machine are not in them.
pub(crate) fn build_static(minutes: u32, arguments: &[&str]) -> Result<Vec<Built>> {
    executables(&mut static_build(minutes, arguments)?)
}

fn static_build(minutes: u32, arguments: &[&str]) -> Result<Command> {
    let target = static_target()?;
    // Only with a target named do the flags stay away from procedural macros, which are dynamic libraries.
    let mut command = bounded(minutes, cargo(), &["build", "--release", "--target", &target]);
    command.args(arguments).env("CARGO_ENCODED_RUSTFLAGS", flags().join("\x1f")).env_remove("RUSTFLAGS");
    command.env("PLANC_FIRST", "1");
    Ok(command)
}

/// What programs for people are built for: musl's target, or glibc's, said aloud, where the compiler cannot have that.
fn static_target() -> Result<String> {
    let host = host_target()?;
    let musl = host.replace("-gnu", "-musl");
    let is_there = || {
        let found = stdout(&mut bounded(1, rustc(), &["--print", "target-libdir", "--target", &musl]));
        found.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
    };
    if is_there() || (succeed(&mut bounded(5, "rustup", &["target", "add", &musl])).is_ok() && is_there()) {
        return Ok(musl);
    }
    eprintln!("xtask: no standard library of {musl}: the programs are made for {host}");
    Ok(host)
}

fn rustc() -> String {
    std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned())
}

fn flags() -> Vec<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    // Names that tell instances of a generic function apart, for runtime-cli/first.ld.
    let mut flags = ["-Ctarget-feature=+crt-static", "-Csymbol-mangling-version=v0"].map(str::to_owned).to_vec();
    flags.push(format!("--remap-path-prefix={}=/planc", root().display()));
    flags.extend(home.map(|home| format!("--remap-path-prefix={}=/cargo", home.display())));
    flags
}

/// The target of the compiler itself.
fn host_target() -> Result<String> {
    let said = stdout(&mut bounded(1, rustc(), &["--version", "--verbose"]))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc --version --verbose names no host".to_owned())
}

/// The folder that cargo builds in.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = stdout(&mut bounded(2, cargo(), &["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: Value = serde_json::from_str(&metadata).map_err(|why| format!("cargo metadata: {why}"))?;
    Ok(metadata["target_directory"].as_str().ok_or("cargo metadata names no target_directory")?.into())
}

/// The version of a crate that some package of the workspace depends on, and the folder of its sources.
pub(crate) fn dependency(name: &str) -> Result<(String, PathBuf)> {
    let metadata = stdout(&mut bounded(5, cargo(), &["metadata", "--format-version=1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&metadata).map_err(|why| format!("cargo metadata: {why}"))?;
    let package = metadata["packages"].as_array().into_iter().flatten().find(|package| package["name"] == name);
    let text = |key: &str| package.and_then(|package| package[key].as_str());
    let (Some(version), Some(manifest)) = (text("version"), text("manifest_path")) else {
        return Err(format!("{name} is no dependency"));
    };
    Ok((version.to_owned(), PathBuf::from(manifest).with_file_name("src")))
}

/// Splits `ARGUMENTS -- REST`.
pub(crate) fn split_at_dashes(arguments: &[String]) -> (&[String], &[String]) {
    match arguments.iter().position(|argument| argument == "--") {
        Some(at) => (&arguments[..at], &arguments[at + 1..]),
        None => (arguments, &[]),
    }
}
