//! Programs of engines that Debian does not have, or not as people use them today: go builds each once.

use std::path::{Path, PathBuf};

use crate::run::{Result, bounded, succeed};

/// A program, and the Go package that it is built from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tool {
    /// The variable in which the scenarios find its path.
    pub(super) variable: &'static str,
    pub(super) name: &'static str,
    package: &'static str,
    version: &'static str,
    /// Whether it is a package's tests, or else its program.
    is_test: bool,
    /// What is linked into it.
    flags: &'static str,
    /// Its build tags, where some of it is C.
    c: Option<&'static str>,
    /// How many minutes each step may take.
    minutes: u32,
}

/// The second generation of Compose, as people have it today. Debian's is of the first.
pub(super) const COMPOSE: Tool = Tool {
    variable: "COMPOSE",
    name: "docker-compose",
    package: "github.com/docker/compose/v2/cmd",
    version: "v2.35.1",
    is_test: false,
    flags: "-X github.com/docker/compose/v2/internal.Version=v2.35.1",
    c: None,
    minutes: 30,
};

/// The daemon as people have it from Docker 29 on. Debian's is of before 23, from which on a runtime may be a shim.
pub(super) const DOCKERD: Tool = Tool {
    variable: "DOCKERD",
    name: "dockerd",
    package: "github.com/moby/moby/v2/cmd/dockerd",
    version: "v2.0.0-beta.24",
    is_test: false,
    flags: "-X github.com/moby/moby/v2/dockerversion.Version=v2.0.0-beta.24",
    c: None,
    minutes: 40,
};

/// A runc that knows time namespaces, which the newer daemon gives every container. Debian's does not.
pub(super) const RUNC: Tool = Tool {
    variable: "NEWER_RUNC",
    name: "runc",
    package: "github.com/opencontainers/runc",
    version: "v1.4.3",
    is_test: false,
    flags: "",
    c: Some("seccomp"),
    minutes: 10,
};

/// The client of CRI, and the tests of what serves it.
pub(super) const CRI: [Tool; 2] = [
    cri("crictl", "sigs.k8s.io/cri-tools/cmd/crictl", false),
    cri("critest", "sigs.k8s.io/cri-tools/cmd/critest", true),
];

const fn cri(name: &'static str, package: &'static str, is_test: bool) -> Tool {
    let flags = "-X sigs.k8s.io/cri-tools/pkg/version.Version=v1.36.0";
    Tool { variable: "CRI_TOOLS", name, package, version: "v1.36.0", is_test, flags, c: None, minutes: 20 }
}

impl Tool {
    /// Its path; `None`, said aloud, where it cannot be built.
    pub(super) fn get(&self, folder: &Path) -> Option<PathBuf> {
        let told = |why: &String| println!("NOT RUN with {} {}: {why}", self.name, self.version);
        self.built(&folder.join(self.name)).inspect_err(told).ok()
    }

    /// A link to it in a folder, by its name.
    ///
    /// # Errors
    /// Why it cannot be built.
    pub(super) fn linked(&self, folder: &Path, links: &Path) -> Result<()> {
        let (program, link) = (self.built(&folder.join(self.name))?, links.join(self.name));
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(&program, &link).map_err(|why| format!("{}: {why}", link.display()))
    }

    /// Its name and version.
    pub(super) fn version(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    fn built(&self, folder: &Path) -> Result<PathBuf> {
        let program = folder.join(self.version);
        if program.is_file() {
            return Ok(program);
        }
        std::fs::create_dir_all(folder).map_err(|why| format!("{}: {why}", folder.display()))?;
        // Its own go.mod has lines that `go install` refuses. A module that asks for nothing else takes the same versions.
        let _ = std::fs::remove_file(folder.join("go.mod"));
        let package = format!("{}@{}", self.package, self.version);
        let output = program.to_string_lossy();
        let flags = format!("-s -w {}", self.flags);
        let tags = self.c.unwrap_or("");
        let own = &["-trimpath", "-tags", tags, "-ldflags", &flags, "-o", &output, self.package][..];
        let (get, build): (&[&str], &[&str]) =
            if self.is_test { (&["get", "-t", &package], &["test", "-c"]) } else { (&["get", &package], &["build"]) };
        for step in [&["mod", "init", "planc.invalid/tool"], get, &[build, own].concat()] {
            let c = if self.c.is_some() { "1" } else { "0" };
            succeed(bounded(self.minutes, "go", step).current_dir(folder).env("CGO_ENABLED", c))?;
        }
        Ok(program)
    }
}
