//! What both programs do: describe a container that exits with a given code, and run it to its end.

use std::path::{Path, PathBuf};

use runtime_core::oci_spec::runtime::Spec;
use runtime_core::{Bundle, Container, CreateOptions, Deletion, Error, Id, Runtime, Stdio, spec};

/// The containers of this program.
pub struct Containers {
    runtime: Runtime,
    rootfs: PathBuf,
}

impl Containers {
    /// `root` is where their states are, `rootfs` the root filesystem of all of them.
    pub fn new(root: &Path, rootfs: &Path) -> Self {
        Self { runtime: Runtime::new(root), rootfs: rootfs.to_owned() }
    }

    /// Starts a container whose program exits with `code`.
    pub fn start(&self, id: &str, code: u8) -> Result<Container, Error> {
        let id = Id::new(id)?;
        let bundle = Bundle::new(&self.rootfs, &self.config(code))?;
        let container = self.runtime.create(&id, &bundle, &CreateOptions::default(), Stdio::default())?;
        container.start()?;
        Ok(container)
    }

    /// Removes a container that has ended.
    pub fn remove(&self, container: &Container) -> Result<(), Error> {
        self.runtime.delete(&Id::new(container.id())?, Deletion::Stopped)
    }

    /// What `planc spec` writes, with a program of our own.
    fn config(&self, code: u8) -> Spec {
        let mut spec = spec::default_config(None);
        if let Some(root) = spec.root_mut() {
            root.set_path(self.rootfs.clone());
        }
        if let Some(process) = spec.process_mut() {
            process.set_terminal(Some(false));
            process.set_args(Some(["/bin/sh".into(), "-c".into(), format!("exit {code}")].into()));
        }
        spec
    }
}

/// The arguments of both programs: the states' directory, and the root filesystem.
pub fn arguments() -> Result<Containers, String> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    match (arguments.next(), arguments.next()) {
        (Some(root), Some(rootfs)) => Ok(Containers::new(&root, &rootfs)),
        _ => Err("usage: PROGRAM STATE-DIRECTORY ROOTFS".to_owned()),
    }
}
