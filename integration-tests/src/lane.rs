//! Where the tests run: inside a lane, or on a machine whose containers are none of their business.

use std::env;
use std::process::Command;

/// The modules whose tests are run with systemd.
pub const WITH_SYSTEMD: [&str; 7] = ["systemd", "systemd_bus", "resources", "lifecycle", "exec", "pause", "ps"];

/// What the lane script says in `LANE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// No lane: no container may be run.
    Outside,
    /// This machine's kernel, in namespaces of its own; the controllers of the v2 hierarchy may be missing.
    Native,
    /// User Mode Linux: all capabilities, all controllers, another kernel.
    Uml,
    /// The same with systemd as pid 1.
    UmlSystemd,
}

impl Lane {
    /// The lane this process is in.
    ///
    /// # Panics
    /// When `LANE` is none of the lanes: a misspelt one must not look like none.
    pub fn current() -> Self {
        match env::var("LANE").as_deref() {
            Err(_) | Ok("") => Self::Outside,
            Ok("native") => Self::Native,
            Ok("uml") => Self::Uml,
            Ok("uml-systemd") => Self::UmlSystemd,
            Ok(other) => panic!("LANE={other:?} is not a lane"),
        }
    }

    /// Starts what the lane would start by itself at some time, so that no test is blamed for it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn settle(self) -> Result<(), String> {
        if self != Self::UmlSystemd {
            return Ok(());
        }
        let start = ["start", "dbus.service", "systemd-logind.service", "user.slice"];
        let ended = Command::new("systemctl").args(start).status().map_err(|error| format!("systemctl: {error}"))?;
        if ended.success() { Ok(()) } else { Err(format!("systemctl {}: {ended}", start.join(" "))) }
    }

    /// Whether a test, by its module, is run here. Where systemd is pid 1, those are that have to do with cgroups.
    pub fn runs(self, test: &str) -> bool {
        let module = test.split("::").next().unwrap_or_default();
        self != Self::UmlSystemd || WITH_SYSTEMD.contains(&module)
    }

    /// How many times longer than on the machine itself a thing may take.
    pub fn patience(self) -> u32 {
        match self {
            Self::Outside | Self::Native => 1,
            Self::Uml | Self::UmlSystemd => 4,
        }
    }
}
