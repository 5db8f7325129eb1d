//! `linux.resources.memory` (runtime-spec config-linux.md#memory).

use oci_spec::runtime::LinuxMemory;

use super::settings::{IfMissing, Settings};
use crate::compile::Invalid;

const LIMIT: &str = "/linux/resources/memory/limit";
const RESERVATION: &str = "/linux/resources/memory/reservation";
const SWAP: &str = "/linux/resources/memory/swap";

/// What swap is asked for as: as much as there is.
const UNLIMITED: i64 = -1;

pub(super) fn read(memory: &LinuxMemory, settings: &mut Settings<'_>) -> Result<(), Invalid> {
    let limit = amount(LIMIT, memory.limit())?;
    let reservation = amount(RESERVATION, memory.reservation())?;
    let swap = swap(limit, amount(SWAP, memory.swap())?)?;
    // First, so that a memory.max that shrinks does not push out to swap what has no room there by then.
    if let Some(swap) = swap {
        // Without swap accounting there is no file, and nothing to limit.
        let missing = if matches!(swap, UNLIMITED | 0) { IfMissing::Skip } else { IfMissing::Fail };
        settings.set_or(SWAP, "memory.swap.max", bytes(swap), missing)?;
    }
    if let Some(limit) = limit {
        settings.set(LIMIT, "memory.max", bytes(limit))?;
    }
    if let Some(reservation) = reservation {
        settings.set(RESERVATION, "memory.low", bytes(reservation))?;
    }
    for (name, is_asked) in [
        ("kernel", memory.kernel().is_some_and(|kernel| kernel != 0)),
        ("kernelTCP", memory.kernel_tcp().is_some_and(|kernel| kernel != 0)),
        ("swappiness", memory.swappiness().is_some()),
        ("disableOOMKiller", memory.disable_oom_killer() == Some(true)),
    ] {
        if is_asked {
            settings.ignore(&format!("/linux/resources/memory/{name}"), &format!("memory.{name}"));
        }
    }
    Ok(())
}

/// An amount in bytes, or [`UNLIMITED`]. By Go's habit 0 is as good as nothing.
fn amount(origin: &str, bytes: Option<i64>) -> Result<Option<i64>, Invalid> {
    match bytes {
        None | Some(0) => Ok(None),
        Some(bytes) if bytes < UNLIMITED => {
            Err(Invalid::new(origin, format!("{bytes} is no amount of memory; -1 is no limit")))
        }
        bytes => Ok(bytes),
    }
}

/// What memory.swap.max is for a `swap` that counts memory and swap together. The texts are runc's.
fn swap(limit: Option<i64>, both: Option<i64>) -> Result<Option<i64>, Invalid> {
    match (limit, both) {
        (Some(UNLIMITED), None) | (_, Some(UNLIMITED)) => Ok(Some(UNLIMITED)),
        (_, None) => Ok(None),
        (None | Some(UNLIMITED), Some(_)) => Err(Invalid::new(SWAP, "unable to set swap limit without memory limit")),
        (Some(limit), Some(both)) if both < limit => {
            Err(Invalid::new(SWAP, "memory+swap limit should be >= memory limit"))
        }
        (Some(limit), Some(both)) => Ok(Some(both - limit)),
    }
}

fn bytes(amount: i64) -> String {
    if amount == UNLIMITED { "max".to_owned() } else { amount.to_string() }
}
