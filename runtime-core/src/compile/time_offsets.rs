//! `linux.timeOffsets` (runtime-spec config-linux.md#time-offset, time_namespaces(7)).

use super::namespaces::Namespaces;
use super::plan::Draft;
use super::text::{below, sorted};
use super::{Invalid, Request};
use crate::wire::{InitOp, Ns};

const MAP: &str = "/linux/timeOffsets";

/// The lines for timens_offsets; empty where none is asked for.
#[derive(Debug, Default)]
pub(super) struct TimeOffsets(String);

impl TimeOffsets {
    pub(super) fn read(request: &Request<'_>) -> Result<Self, Invalid> {
        let mut lines = String::new();
        for (clock, offset) in sorted(request.linux.time_offsets().as_ref()) {
            let origin = below(MAP, clock);
            if !matches!(clock, "monotonic" | "boottime") {
                return Err(Invalid::new(origin, format!("there is no clock {clock:?} with an offset")));
            }
            check(&request.spaces, &origin)?;
            let (seconds, nanoseconds) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
            if nanoseconds > 999_999_999 {
                return Err(Invalid::new(
                    below(&origin, "nanosecs"),
                    format!("{nanoseconds} ns are more than a second"),
                ));
            }
            lines += &format!("{clock} {seconds} {nanoseconds}\n");
        }
        Ok(Self(lines))
    }

    /// Before anybody is in the new namespace: from then on its clocks are fixed.
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn write(&self, plan: &mut Draft) {
        if !self.0.is_empty() {
            plan.init(MAP, InitOp::SetTimeOffsets { lines: self.0.as_bytes() });
        }
    }
}

fn check(spaces: &Namespaces, origin: &str) -> Result<(), Invalid> {
    if spaces.joined(Ns::Time).is_some() {
        return Err(Invalid::new(origin, "the time namespace is joined: its clocks are set"));
    }
    if !spaces.is_new(Ns::Time) {
        return Err(Invalid::new(origin, "time offsets need a new time namespace"));
    }
    Ok(())
}
