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
    warnings: Vec<String>,
}

impl Bundle {
    /// Loads `path`/config.json. A relative `path` is made absolute.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is none, [`ErrorKind::InvalidSpec`] with the place in it that is wrong.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let absolute = std::path::absolute(path).map_err(|error| {
            Error::new(ErrorKind::NotFound, format!("cannot find the bundle {}: {error}", path.display()))
        })?;
        let (spec, warnings) = spec::load(&absolute)?;
        Ok(Self { path: absolute, spec, warnings })
    }

    /// The bundle's directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What config.json says.
    pub fn spec(&self) -> &Spec {
        &self.spec
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
