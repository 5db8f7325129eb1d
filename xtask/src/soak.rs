//! `cargo xtask soak`: very many calls to one shim, which is no larger after them.

use crate::lane::Lane;
use crate::run::{Result, build, release_shim, root, succeed};

/// How many processes join, where nothing is said.
const EXECS: &str = "200000";
/// How many minutes a run of that many may take.
const MINUTES: u64 = 120;

/// `soak [--execs N] [--minutes M]`: with both, whichever comes first ends it.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let (mut execs, mut minutes) = (EXECS.to_owned(), MINUTES);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let number = arguments.next().ok_or_else(|| format!("{argument} wants a number"))?;
        let wrong = |why| format!("{argument} {number}: {why}");
        match argument.as_str() {
            "--execs" => execs = number.parse::<u64>().map_err(wrong)?.to_string(),
            "--minutes" => minutes = number.parse().map_err(wrong)?,
            unknown => return Err(format!("unknown argument {unknown:?}")),
        }
    }
    let shim = release_shim()?;
    let built = build(20, &["test", "--quiet", "--no-run", "-p", "integration-tests", "--test", "soak"])?;
    let soak = built.iter().find(|built| built.name == "soak").ok_or("cargo built no test named soak")?;
    let mut lane = Lane::Native.command()?;
    let seconds = minutes * 60;
    lane.env("SHIM", shim).env("SOAK_EXECS", execs).env("SOAK_SECONDS", seconds.to_string());
    // Beside that time: for the other test, and for what is built up and down.
    lane.env("LANE_TIMEOUT", (seconds + 600).to_string()).current_dir(root().join("integration-tests"));
    succeed(lane.arg(&soak.path).arg("--nocapture"))
}
