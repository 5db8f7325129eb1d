//! The example program, built as somebody else's would be: with the crate by path, and with the crate as it is packaged.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Result, bounded, cargo, root, succeed, target_directory};

/// The dependency as the example's Cargo.toml has it.
const BY_PATH: &str = "runtime-core = { path = \"../../runtime-core\" }";

/// Where the programs are: a folder for each way.
pub(crate) fn build() -> Result<Vec<PathBuf>> {
    let folder = target_directory()?.join("embed");
    let example = root().join("examples/embed");
    let by_path = build_in(&example, &folder.join("by-path"))?;
    let packaged = example_with(&package(&folder)?, &example, &folder.join("example"))?;
    Ok(vec![by_path, build_in(&packaged, &folder.join("packaged"))?])
}

/// Builds the example in `source`, with the versions that its Cargo.lock names.
fn build_in(source: &Path, target: &Path) -> Result<PathBuf> {
    let manifest = source.join("Cargo.toml");
    let arguments = ["build", "--quiet", "--bins", "--manifest-path", text(&manifest)?, "--target-dir", text(target)?];
    succeed(&mut bounded(15, cargo(), &arguments))?;
    Ok(target.join("debug"))
}

/// Packages the crate and unpacks what would be uploaded.
fn package(folder: &Path) -> Result<PathBuf> {
    let target = folder.join("package");
    let arguments = ["package", "--quiet", "-p", "runtime-core", "--no-verify", "--allow-dirty", "--target-dir"];
    succeed(bounded(5, cargo(), &arguments).arg(&target))?;
    let version = env!("CARGO_PKG_VERSION");
    let unpacked = folder.join(format!("runtime-core-{version}"));
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).map_err(|why| format!("{}: {why}", unpacked.display()))?;
    }
    let tarball = target.join(format!("package/runtime-core-{version}.crate"));
    succeed(bounded(2, "tar", &["-xzf", text(&tarball)?]).arg("-C").arg(folder))?;
    Ok(unpacked)
}

/// A copy of the example that depends on the crate in `dependency`.
fn example_with(dependency: &Path, example: &Path, copy: &Path) -> Result<PathBuf> {
    let failed = |path: &Path, why: &std::io::Error| format!("{}: {why}", path.display());
    fs::create_dir_all(copy.join("src/bin")).map_err(|why| failed(copy, &why))?;
    for file in ["Cargo.lock", "src/lib.rs", "src/bin/threaded.rs", "src/bin/asynchronous.rs"] {
        fs::copy(example.join(file), copy.join(file)).map_err(|why| failed(&example.join(file), &why))?;
    }
    let manifest = example.join("Cargo.toml");
    let by_path = fs::read_to_string(&manifest).map_err(|why| failed(&manifest, &why))?;
    let by_package = by_path.replace(BY_PATH, &format!("runtime-core = {{ path = {:?} }}", text(dependency)?));
    if by_package == by_path {
        return Err(format!("{} does not have the line {BY_PATH}", manifest.display()));
    }
    fs::write(copy.join("Cargo.toml"), by_package).map_err(|why| failed(copy, &why))?;
    Ok(copy.to_owned())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))
}
