//! Every engine.

use std::path::Path;

use super::{Variables, cri, docker, images, kubernetes, tools};
use crate::lane::Lane;
use crate::packages::{self, Package};
use crate::run::Result;

/// An engine, or a way to use one.
pub(super) struct Engine {
    pub(super) name: &'static str,
    /// As pages call it.
    pub(super) title: &'static str,
    /// Where it is run unless another lane is named.
    pub(super) lane: Lane,
    pub(super) packages: &'static [Package],
    /// What is not Debian's: the scenarios do without it where it cannot be built.
    pub(super) tools: &'static [tools::Tool],
    /// Programs that `prepare` finds or makes, which are asked for their versions: each by the variable that names it or its
    /// folder, and its name there.
    pub(super) programs: &'static [(&'static str, &'static str)],
    /// What its scenarios have images of.
    pub(super) images: &'static [images::Image],
    /// Makes what it needs beside that, below a folder: variables for the scenarios.
    pub(super) prepare: fn(&Path) -> Result<Variables>,
    /// Whether planc is under it as a shim, and runc with a shim of containerd's.
    pub(super) by_shim: bool,
    /// How many minutes a run may take.
    pub(super) minutes: u32,
}

/// What most of them are.
const PLAIN: Engine = Engine {
    name: "",
    title: "",
    lane: Lane::Native,
    packages: packages::DOCKER,
    tools: &[],
    programs: &[],
    images: &[images::BUSYBOX],
    prepare: |_| Ok(Variables::new()),
    by_shim: false,
    minutes: 30,
};

/// In the order of `all`.
pub(super) const ENGINES: &[Engine] = &[
    Engine { name: "docker", title: "Docker Engine", ..PLAIN },
    Engine { name: "docker-userns", title: "Docker Engine with userns-remap", ..PLAIN },
    Engine {
        name: "docker-shim",
        title: "Docker Engine with shims",
        packages: packages::DOCKER_SHIM,
        tools: &[tools::DOCKERD, tools::RUNC],
        prepare: docker::prepare,
        by_shim: true,
        ..PLAIN
    },
    Engine {
        name: "tutorial",
        title: "The steps of Docker's tutorials",
        packages: packages::COMPOSE,
        images: &[images::BUSYBOX, images::DEBIAN],
        ..PLAIN
    },
    Engine {
        name: "compose",
        title: "Compose",
        packages: packages::COMPOSE,
        tools: &[tools::COMPOSE],
        images: &[images::BUSYBOX, images::DEBIAN],
        ..PLAIN
    },
    Engine { name: "swarm", title: "Swarm", ..PLAIN },
    Engine { name: "podman", title: "Podman as root", packages: packages::PODMAN, ..PLAIN },
    Engine {
        name: "podman-rootless",
        title: "Podman as a user without privilege",
        packages: packages::PODMAN,
        ..PLAIN
    },
    Engine {
        name: "podman-systemd",
        title: "Podman with systemd's cgroups",
        lane: Lane::UmlSystemd,
        packages: packages::PODMAN,
        ..PLAIN
    },
    Engine { name: "buildah", title: "Buildah", packages: packages::PODMAN, ..PLAIN },
    Engine {
        name: "cri",
        title: "containerd's CRI",
        packages: packages::CRI,
        programs: &[("CONTAINERD", ""), ("CRI_TOOLS", "crictl")],
        images: &[],
        prepare: cri::prepare,
        by_shim: true,
        ..PLAIN
    },
    Engine {
        name: "kubernetes",
        title: "Kubernetes",
        packages: packages::CRI,
        programs: &[("CONTAINERD", ""), ("KUBERNETES", "kubelet"), ("KUBERNETES", "etcd")],
        images: &[],
        prepare: kubernetes::prepare,
        by_shim: true,
        minutes: 45,
        ..PLAIN
    },
];
