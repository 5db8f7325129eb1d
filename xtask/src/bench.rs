//! `cargo xtask bench`: the package `benches` in the native lane, with the release planc.

use crate::engines;
use crate::lane::Lane;
use crate::packages;
use crate::run::{Result, build, release_planc, release_shim, root, split_at_dashes, succeed};

/// Builds planc and every bench, and runs the benches one after another; what follows `--` goes to each.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let (own, passed) = split_at_dashes(arguments);
    if let Some(unknown) = own.first() {
        return Err(format!("unknown argument {unknown:?}; arguments for the benches follow --"));
    }
    packages::ensure(&[packages::BENCHES])?;
    let images = engines::for_bench(passed)?;
    let (planc, shim) = (release_planc()?, release_shim()?);
    let built = build(15, &["build", "--quiet", "--release", "-p", "benches", "--bins", "--benches"])?;
    if built.is_empty() {
        return Err("the package benches has no bench".to_owned());
    }
    for bench in &built {
        println!("     Running {} (lane native)", bench.name);
        let mut lane = Lane::Native.command()?;
        lane.envs(images.iter().map(|folder| ("ENGINE_IMAGES", folder))).env("LANE_DATA", "/media");
        lane.env("PLANC", &planc).env("SHIM", &shim).env("LANE_TIMEOUT", "1800").current_dir(root());
        succeed(lane.arg(&bench.path).args(passed))?;
    }
    Ok(())
}
