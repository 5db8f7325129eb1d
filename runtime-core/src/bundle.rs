//! A bundle: a directory with a config.json (runtime-spec bundle.md).

use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use crate::error::{Error, ErrorKind, Result};
use crate::spec;

/// A directory with a config.json, loaded.
#[derive(Clone, Debug)]
pub struct Bundle {
    path: PathBuf,
    spec: Spec,
    /// What `spec` was read from: it goes into the container's state, since later changes of config.json are none of the
    /// container's (runtime-spec runtime.md#lifecycle).
    json: Vec<u8>,
    warnings: Vec<String>,
}

impl Bundle {
    /// Loads `path`/config.json. A relative `path` is made absolute.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is none, [`ErrorKind::InvalidSpec`] with the place in it that is wrong.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let absolute = absolute(path)?;
        let json = spec::read(&absolute.join("config.json"))?;
        let (spec, warnings) = spec::parse(&json)?;
        Ok(Self { path: absolute, spec, json, warnings })
    }

    /// A bundle whose config.json need not exist: `spec` stands for it. A relative `path` is made absolute.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where `path` is empty, [`ErrorKind::InvalidSpec`] where `spec` has what config.json cannot.
    pub fn new(path: impl AsRef<Path>, spec: &Spec) -> Result<Self> {
        let path = path.as_ref();
        let absolute = absolute(path)?;
        let invalid = |error| Error::new(ErrorKind::InvalidSpec, format!("cannot write config.json: {error}"));
        let json = serde_json::to_vec(spec).map_err(invalid)?;
        // Through the same door as a file: what is ignored or refused there is here.
        let (spec, warnings) = spec::parse(&json)?;
        Ok(Self { path: absolute, spec, json, warnings })
    }

    /// The bundle's directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What config.json says.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What config.json says, as it was read.
    pub(crate) fn json(&self) -> &[u8] {
        &self.json
    }

    /// The root filesystem's directory (config.md#root), absolute.
    pub fn rootfs(&self) -> PathBuf {
        self.spec.root().as_ref().map_or_else(PathBuf::new, |root| self.path.join(root.path()))
    }

    /// What was ignored in config.json, where the runtime-spec asks for a warning.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|error| Error::new(ErrorKind::NotFound, format!("cannot find the bundle {}: {error}", path.display())))
}
