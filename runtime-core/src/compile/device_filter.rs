//! `linux.resources.devices` to a `BPF_PROG_TYPE_CGROUP_DEVICE` program (runtime-spec
//! config-linux.md#allowed-device-list).
//!
//! The rules become a table, and the table a program. Their order matters to the table only: it holds which access each
//! device has in the end, and nothing twice, so rules that say the same in other words give the same program.

mod program;
mod rule;
mod table;
#[cfg(test)]
mod tests;

use oci_spec::runtime::LinuxDeviceCgroup;

use super::Invalid;
use rule::{Access, BUILT_IN, Rule};
use table::Table;

/// Where the rules stand in config.json.
const ORIGIN: &str = "/linux/resources/devices";

/// The program that allows what `rules`, and after them the built-in ones, allow: eBPF instructions of 8 bytes each.
///
/// The rules are taken in order, and a later one overrides an earlier one for each of the accesses it names. What no
/// rule names is denied.
///
/// # Errors
/// A rule with a type, an access or a number that there is not; more rules than a program has room for.
pub(crate) fn compile(rules: &[LinuxDeviceCgroup]) -> Result<Vec<u8>, Invalid> {
    let mut table = Table::default();
    for (index, rule) in rules.iter().enumerate() {
        table.apply(&Rule::read(rule, index)?);
        // Each cell costs an instruction. Seen here, so that no list of rules can make the table large first.
        if table.cells() > program::MOST_INSTRUCTIONS {
            return Err(too_long());
        }
    }
    BUILT_IN.iter().for_each(|rule| table.apply(rule));
    program::of(&table).ok_or_else(too_long)
}

/// What of the rules names no access, and is ignored.
pub(crate) fn ignored(rules: &[LinuxDeviceCgroup]) -> impl Iterator<Item = String> {
    rules.iter().enumerate().filter_map(|(index, rule)| {
        let letters = rule.access().as_deref()?;
        let unknown = Access::unknown(letters);
        let why = || {
            format!("device access {letters:?} has more than r, w and m, which is ignored ({ORIGIN}/{index}/access)")
        };
        (!unknown.is_empty()).then(why)
    })
}

/// Whether a program allows every access to every device, so that it is as good as none.
pub(crate) fn allows_all(program: &[u8]) -> bool {
    let mut table = Table::default();
    table.apply(&Rule::ALLOW_ALL);
    program::of(&table).is_some_and(|all| all == program)
}

fn too_long() -> Invalid {
    let most = program::MOST_INSTRUCTIONS;
    let why = format!("the device rules need a filter of more than {most} instructions");
    Invalid { origin: ORIGIN.to_owned(), why, unsupported: true }
}
