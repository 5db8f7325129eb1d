//! An image of busybox, as `docker save` writes one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::bundle::Bundle;

/// What it is called.
pub const NAME: &str = "docker.io/planc/busybox:1";

/// Writes the archive of a root filesystem below `directory`. The image's program prints `of the image` and its own
/// environment's GREETING.
pub fn save(bundle: &Bundle, directory: &Path) -> PathBuf {
    fs::create_dir_all(directory).unwrap();
    tar(&directory.join("layer.tar"), &bundle.rootfs(""), &["."]);
    let sum = Command::new("sha256sum").arg(directory.join("layer.tar")).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap().split_whitespace().next().unwrap().to_owned();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Env": ["PATH=/bin", "GREETING=hello"],
            "Cmd": ["sh", "-c", "echo of the image $GREETING; echo to all > /written; cat /written"],
            "WorkingDir": "/tmp",
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{sum}")]},
    });
    fs::write(directory.join("config.json"), config.to_string()).unwrap();
    let manifest = json!([{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]);
    fs::write(directory.join("manifest.json"), manifest.to_string()).unwrap();
    let archive = directory.join("image.tar");
    tar(&archive, directory, &["manifest.json", "config.json", "layer.tar"]);
    archive
}

fn tar(archive: &Path, directory: &Path, what: &[&str]) {
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(directory).arg("-cf").arg(archive).args(what);
    assert!(tar.status().unwrap().success(), "{tar:?}");
}
