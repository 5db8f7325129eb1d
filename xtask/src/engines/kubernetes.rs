//! A node of Kubernetes and its control plane: go builds the programs of both once.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Variables, cri};
use crate::containerd;
use crate::run::{Result, bounded, stdout, succeed};

/// What is built.
pub(super) const VERSION: &str = "1.36.3";

const MODULE: &str = "k8s.io/kubernetes";
/// etcd's server, in the version that Kubernetes itself is tested with.
const ETCD: &str = "go.etcd.io/etcd/server/v3";

/// The programs of Kubernetes. The first two make a node that can be asked.
const PROGRAMS: [&str; 6] =
    ["kubelet", "kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"];

/// How long all of them may take to build, in minutes, and etcd.
const LIMITS: (u32, u32) = (40, 15);

/// Makes it all below `folder`. What the scenarios are told, as variables.
///
/// # Errors
/// What cannot be had: then nothing is known of the runtime.
pub(super) fn prepare(folder: &Path) -> Result<Variables> {
    let programs = match std::env::var_os("KUBERNETES").map(PathBuf::from) {
        Some(given) => whole(given)?,
        None => built(&folder.join("kubernetes").join(VERSION))?,
    };
    let containerd = containerd::newest().ok_or("there is no containerd")?;
    Ok(vec![
        ("KUBERNETES", programs),
        ("CONTAINERD", containerd),
        ("REGISTRY", cri::registry(&folder.join("kubernetes"))?),
    ])
}

/// A folder that has them all.
fn whole(folder: PathBuf) -> Result<PathBuf> {
    let missing: Vec<&str> =
        PROGRAMS.iter().copied().chain(["etcd"]).filter(|program| !folder.join(program).is_file()).collect();
    if missing.is_empty() { Ok(folder) } else { Err(format!("{} lacks {}", folder.display(), missing.join(", "))) }
}

fn built(folder: &Path) -> Result<PathBuf> {
    if let Ok(programs) = whole(folder.join("bin")) {
        return Ok(programs);
    }
    println!("     building Kubernetes v{VERSION}: this may take half an hour, once");
    module(folder)?;
    let go = |minutes, words: &[&str]| {
        let mut go = bounded(minutes, "go", &["build", "-mod=mod", "-trimpath", "-ldflags"]);
        let minor = VERSION.split('.').nth(1).unwrap_or_default();
        let linked = "k8s.io/component-base/version.git";
        go.arg(format!("-s -w -X {linked}Version=v{VERSION} -X {linked}Major=1 -X {linked}Minor={minor}")).args(words);
        succeed(go.current_dir(folder).env("CGO_ENABLED", "0"))
    };
    let commands: Vec<String> = PROGRAMS.iter().map(|program| format!("{MODULE}/cmd/{program}")).collect();
    let words: Vec<&str> = ["-o", "bin/"].into_iter().chain(commands.iter().map(String::as_str)).collect();
    go(LIMITS.0, &words)?;
    go(LIMITS.1, &["-o", "bin/etcd", ETCD])?;
    whole(folder.join("bin"))
}

/// A module that asks for Kubernetes and etcd. Kubernetes takes its own parts from folders that its module has not: what
/// needs it says where they are, each in the version that was released with it.
fn module(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    let at = format!("{MODULE}@v{VERSION}");
    let file = folder.join("go.mod");
    // What asks for Kubernetes and does not say where its parts are cannot be loaded by go.
    std::fs::write(&file, "module planc.invalid/kubernetes\n").map_err(|why| format!("{}: {why}", file.display()))?;
    let go = |words: &[&str]| {
        let mut go = bounded(10, "go", words);
        go.current_dir(folder);
        go
    };
    let own = downloaded(&stdout(&mut go(&["mod", "download", "-json", &at]))?)?;
    let own = std::fs::read_to_string(&own).map_err(|why| format!("{}: {why}", own.display()))?;
    let edits = edits(&own)?;
    let words: Vec<&str> = ["mod", "edit"].into_iter().chain(edits.iter().map(String::as_str)).collect();
    succeed(&mut go(&words))
}

/// Where go has put the go.mod of what it downloaded.
fn downloaded(told: &str) -> Result<PathBuf> {
    let told: Value = serde_json::from_str(told).map_err(|why| format!("go mod download: {why}"))?;
    told["GoMod"].as_str().map(PathBuf::from).ok_or_else(|| format!("go mod download: {}", told["Error"]))
}

/// The words for `go mod edit`, by Kubernetes' own go.mod.
fn edits(own: &str) -> Result<Vec<String>> {
    let lines = || own.lines().map(str::trim);
    let staged = VERSION.replacen("1.", "0.", 1);
    let mut edits: Vec<String> = lines()
        .filter_map(|line| line.trim_start_matches("replace ").split_once(" => ./staging/"))
        .map(|(module, _)| format!("-replace={module}={module}@v{staged}"))
        .collect();
    if edits.is_empty() {
        return Err(format!("the go.mod of {MODULE} v{VERSION} names none of its parts"));
    }
    let etcd = lines().find_map(|line| line.strip_prefix(ETCD)?.split_whitespace().next());
    let etcd = etcd.ok_or_else(|| format!("the go.mod of {MODULE} v{VERSION} does not name {ETCD}"))?;
    edits.extend([format!("-require={MODULE}@v{VERSION}"), format!("-require={ETCD}@{etcd}")]);
    Ok(edits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_the_same_release() {
        let own = "require (\n\tgo.etcd.io/etcd/server/v3 v3.6.8 // indirect\n)\n\
                   replace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n)\nreplace k8s.io/cri-api => ./staging/src/x\n";
        let edits = edits(own).unwrap_or_else(|why| panic!("{why}"));
        let wanted = ["k8s.io/api", "k8s.io/cri-api"].map(|part| format!("-replace={part}={part}@v0.36.3"));
        assert_eq!(edits[..2], wanted);
        assert_eq!(edits[2..], ["-require=k8s.io/kubernetes@v1.36.3", "-require=go.etcd.io/etcd/server/v3@v3.6.8"]);
        assert!(super::edits("module k8s.io/kubernetes\n").is_err());
        assert!(downloaded(r#"{"Error": "not found"}"#).is_err_and(|why| why.contains("not found")));
    }
}
