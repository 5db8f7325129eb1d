//! The storage of a registry, laid out as the distribution registry keeps it, so that a lane without a network can pull.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::run::{Result, bounded, stdout};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Where the storage is filled.
#[derive(Debug)]
pub(super) struct Registry {
    folder: PathBuf,
}

/// A blob that is stored.
#[derive(Debug)]
pub(super) struct Blob {
    /// In hexadecimal digits.
    sha256: String,
    size: u64,
}

impl Blob {
    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": format!("sha256:{}", self.sha256), "size": self.size})
    }
}

impl Registry {
    /// An empty one, in the place of what was there.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let _ = std::fs::remove_dir_all(folder);
        let registry = Self { folder: folder.join("docker/registry/v2") };
        make(&registry.folder.join("blobs/sha256"))?;
        Ok(registry)
    }

    /// Stores a file: a layer, not compressed.
    pub(super) fn file(&self, file: &Path) -> Result<Blob> {
        let copy = self.folder.join("blobs/sha256/new");
        std::fs::copy(file, &copy).map_err(|why| format!("{}: {why}", copy.display()))?;
        let sum = stdout(bounded(5, "sha256sum", &["--binary"]).arg(&copy))?;
        let sha256 = sum.split_whitespace().next().unwrap_or_default().to_owned();
        let size = copy.metadata().map_err(|why| why.to_string())?.len();
        let place = self.folder.join("blobs/sha256").join(&sha256[..2]).join(&sha256);
        make(&place)?;
        std::fs::rename(&copy, place.join("data")).map_err(|why| format!("{}: {why}", place.display()))?;
        Ok(Blob { sha256, size })
    }

    fn json(&self, value: &Value) -> Result<Blob> {
        let file = self.folder.join("json");
        std::fs::write(&file, value.to_string()).map_err(|why| format!("{}: {why}", file.display()))?;
        self.file(&file)
    }

    /// An image of these layers under each of the tags. `config` is what the containers get of it: `Env`, `Entrypoint` …
    pub(super) fn image(&self, repository: &str, tags: &[&str], config: &Value, layers: &[&Blob]) -> Result<()> {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", layer.sha256)).collect();
        let config = self.json(&json!({
            "architecture": architecture,
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": ids},
        }))?;
        let manifest = self.json(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(CONFIG),
            "layers": layers.iter().map(|layer| layer.descriptor(LAYER)).collect::<Vec<_>>(),
        }))?;
        let repository = self.folder.join("repositories").join(repository);
        for blob in layers.iter().copied().chain([&config]) {
            link(&repository.join("_layers/sha256").join(&blob.sha256), blob)?;
        }
        let manifests = repository.join("_manifests");
        link(&manifests.join("revisions/sha256").join(&manifest.sha256), &manifest)?;
        for tag in tags {
            let tag = manifests.join("tags").join(tag);
            link(&tag.join("current"), &manifest)?;
            link(&tag.join("index/sha256").join(&manifest.sha256), &manifest)?;
        }
        Ok(())
    }
}

fn link(folder: &Path, blob: &Blob) -> Result<()> {
    make(folder)?;
    let file = folder.join("link");
    std::fs::write(&file, format!("sha256:{}", blob.sha256)).map_err(|why| format!("{}: {why}", file.display()))
}

fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|why| format!("{}: {why}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_found_by_its_digest() {
        let folder = std::env::temp_dir().join(format!("planc-registry-{}", std::process::id()));
        let registry = Registry::new(&folder).expect("a registry");
        let file = folder.join("hello");
        std::fs::write(&file, "hello\n").expect("a file");
        let layer = registry.file(&file).expect("a blob");
        let digest = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        assert_eq!((layer.sha256.as_str(), layer.size), (digest, 6));
        registry.image("a/b", &["1", "2"], &json!({}), &[&layer]).expect("an image");
        let kept = folder.join("docker/registry/v2");
        let read = |path: String| std::fs::read_to_string(kept.join(path)).expect("a file of the registry");
        assert_eq!(read(format!("blobs/sha256/58/{digest}/data")), "hello\n");
        assert_eq!(read(format!("repositories/a/b/_layers/sha256/{digest}/link")), format!("sha256:{digest}"));
        let manifest = read("repositories/a/b/_manifests/tags/2/current/link".to_owned());
        assert_eq!(read("repositories/a/b/_manifests/tags/1/current/link".to_owned()), manifest);
        let hex = manifest.trim_start_matches("sha256:");
        assert!(read(format!("blobs/sha256/{}/{hex}/data", &hex[..2])).contains(digest));
        std::fs::remove_dir_all(&folder).expect("an own folder");
    }
}
