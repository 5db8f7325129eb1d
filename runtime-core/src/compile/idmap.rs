//! The id maps of a user namespace (user_namespaces(7), runtime-spec config-linux.md#user-namespace-mappings).

use oci_spec::runtime::{Linux, LinuxIdMapping};

use super::Invalid;
use super::namespaces::Namespaces;
use super::plan::Draft;
use super::text::listed;
use crate::facts::Facts;
use crate::wire::{HostOp, IdMap, List, Ns};

/// Where config.json has the uids.
pub(super) const UIDS: &str = "/linux/uidMappings";
/// Where config.json has the gids.
pub(super) const GIDS: &str = "/linux/gidMappings";

/// The kernel takes no more lines (UID_GID_MAP_MAX_EXTENTS).
const LINES: usize = 340;

/// The id maps; both are empty where there is no user namespace, or one is joined whose maps config.json does not tell.
#[derive(Debug)]
pub(super) struct IdMaps {
    pub(super) uids: Vec<IdMap>,
    pub(super) gids: Vec<IdMap>,
    uids_by: Writer,
    gids_by: Writer,
    setgroups: Setgroups,
    /// Whether setgroups(2) is given up for the map.
    deny_setgroups: bool,
}

/// Who writes a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    /// The caller: it has the privileges, or maps nothing but its own id.
    Caller,
    /// newuidmap or newgidmap, which have them, and know the ids that the caller was given (subuid(5)).
    Program,
}

impl Writer {
    /// Without privileges the kernel takes one line of the caller's own id (user_namespaces(7)).
    fn of(lines: &[IdMap], own: u32, facts: &Facts) -> Self {
        let is_own = matches!(lines, [line] if line.count == 1 && line.outside == own);
        if facts.is_privileged() || is_own { Self::Caller } else { Self::Program }
    }
}

/// Whether setgroups(2) is permitted where the program will run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setgroups {
    /// It is.
    Allowed,
    /// It is not, and nobody can change that any more.
    Denied,
    /// That depends on who made the user namespace that is joined.
    Unknown,
}

impl IdMaps {
    pub(super) fn read(linux: &Linux, spaces: &Namespaces, facts: &Facts) -> Result<Self, Invalid> {
        let uids = lines(UIDS, linux.uid_mappings().as_ref())?;
        let gids = lines(GIDS, linux.gid_mappings().as_ref())?;
        for (pointer, lines) in [(UIDS, &uids), (GIDS, &gids)] {
            if !spaces.has_user() && !lines.is_empty() {
                let why = "user namespace mappings specified, but user namespace isn't enabled in the config";
                return Err(Invalid::new(pointer, why));
            }
            if spaces.is_new(Ns::User) && lines.is_empty() {
                let why = "user namespaces enabled, but no namespace path to join nor mappings to apply specified";
                return Err(Invalid::new(pointer, why));
            }
            if !lines.is_empty() && !contains(lines, 0) {
                return Err(Invalid::new(pointer, "the container's root (id 0) is not mapped"));
            }
        }
        let uids_by = Writer::of(&uids, facts.euid, facts);
        let gids_by = Writer::of(&gids, facts.egid, facts);
        // Without privileges the kernel takes a map of one's own gid only from who gives setgroups(2) up.
        let deny_setgroups = spaces.is_new(Ns::User) && gids_by == Writer::Caller && !facts.is_privileged();
        let setgroups = if deny_setgroups || facts.setgroups_denied {
            Setgroups::Denied
        } else if spaces.joined(Ns::User).is_some() && !facts.is_privileged() {
            Setgroups::Unknown
        } else {
            Setgroups::Allowed
        };
        Ok(Self { uids, gids, uids_by, gids_by, setgroups, deny_setgroups })
    }

    /// Whether the program's groups can be set.
    pub(super) fn setgroups(&self) -> Setgroups {
        self.setgroups
    }

    /// Whether a uid is mapped, as far as config.json tells.
    pub(super) fn has_uid(&self, id: u32) -> bool {
        self.uids.is_empty() || contains(&self.uids, id)
    }

    /// Which uid of the caller's user namespace one of the container's is; `None` where config.json does not tell.
    pub(super) fn uid_outside(&self, id: u32) -> Option<u32> {
        self.uids.iter().find_map(|line| {
            let offset = id.checked_sub(line.inside).filter(|offset| *offset < line.count)?;
            Some(line.outside + offset)
        })
    }

    /// Whether a gid is mapped, as far as config.json tells.
    pub(super) fn has_gid(&self, id: u32) -> bool {
        self.gids.is_empty() || contains(&self.gids, id)
    }
}

/// The maps of a new user namespace are written, by whom the kernel takes them from.
pub(super) fn write(ids: &IdMaps, plan: &mut Draft) {
    let by_caller = |lines, by| List::new(if by == Writer::Caller { lines } else { &[] });
    let (uids, gids) = (by_caller(&ids.uids, ids.uids_by), by_caller(&ids.gids, ids.gids_by));
    if !uids.is_empty() || !gids.is_empty() {
        plan.host(UIDS, HostOp::WriteIdMaps { uids, gids, deny_setgroups: ids.deny_setgroups });
    }
    if ids.uids_by == Writer::Program {
        plan.host(UIDS, HostOp::HaveUidsMapped { maps: List::new(&ids.uids) });
    }
    if ids.gids_by == Writer::Program {
        plan.host(GIDS, HostOp::HaveGidsMapped { maps: List::new(&ids.gids) });
    }
}

fn contains(lines: &[IdMap], id: u32) -> bool {
    lines.iter().any(|line| id.checked_sub(line.inside).is_some_and(|offset| offset < line.count))
}

/// Checks what the kernel would refuse with a bare EINVAL.
pub(super) fn lines(pointer: &str, list: Option<&Vec<LinuxIdMapping>>) -> Result<Vec<IdMap>, Invalid> {
    let mut lines: Vec<IdMap> = Vec::new();
    for (origin, mapping) in listed(pointer, list) {
        let line = IdMap { inside: mapping.container_id(), outside: mapping.host_id(), count: mapping.size() };
        if line.count == 0 {
            return Err(Invalid::new(origin, "an id mapping of size 0"));
        }
        if line.inside.checked_add(line.count).is_none() || line.outside.checked_add(line.count).is_none() {
            return Err(Invalid::new(origin, "an id mapping reaches past the greatest id"));
        }
        let meets = |a: u32, b: u32, count: u32| a < b + count && b < a + line.count;
        if lines.iter().any(|l| meets(line.inside, l.inside, l.count) || meets(line.outside, l.outside, l.count)) {
            return Err(Invalid::new(origin, "an id mapping overlaps an earlier one"));
        }
        if lines.len() == LINES {
            return Err(Invalid::new(origin, format!("more than {LINES} id mappings")));
        }
        lines.push(line);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::LinuxIdMappingBuilder;
    use proptest::prelude::*;

    use super::*;

    fn mapping(inside: u32, outside: u32, size: u32) -> LinuxIdMapping {
        LinuxIdMappingBuilder::default().container_id(inside).host_id(outside).size(size).build().unwrap()
    }

    #[test]
    fn what_the_kernel_would_refuse_is_refused_with_its_place() {
        for (second, why) in [
            (mapping(5, 300_000, 0), "size 0"),
            (mapping(u32::MAX, 300_000, 1), "greatest"),
            (mapping(70_000, u32::MAX - 5, 10), "greatest"),
            (mapping(65_535, 300_000, 1), "overlaps"),
            (mapping(70_000, 165_535, 1), "overlaps"),
        ] {
            let invalid = lines(UIDS, Some(&vec![mapping(0, 100_000, 65_536), second])).unwrap_err();
            assert_eq!(invalid.origin, "/linux/uidMappings/1");
            assert!(invalid.why.contains(why), "{invalid}");
        }
        assert!(lines(GIDS, Some(&vec![mapping(0, 1000, 1), mapping(1, 100_000, 65_536)])).is_ok());
    }

    proptest! {
        #[test]
        fn an_accepted_map_is_a_bijection(list in prop::collection::vec((0u32..40, 0u32..40, 0u32..8), 0..6)) {
            let list: Vec<_> = list.into_iter().map(|(a, b, n)| mapping(a, b, n)).collect();
            if let Ok(lines) = lines(UIDS, Some(&list)) {
                let pairs = || lines.iter().flat_map(|l| (0..l.count).map(|n| (l.inside + n, l.outside + n)));
                let inside: std::collections::BTreeSet<_> = pairs().map(|(inside, _)| inside).collect();
                let outside: std::collections::BTreeSet<_> = pairs().map(|(_, outside)| outside).collect();
                prop_assert_eq!(inside.len(), pairs().count());
                prop_assert_eq!(outside.len(), pairs().count());
                for id in 0..64 {
                    prop_assert_eq!(contains(&lines, id), inside.contains(&id));
                }
            }
        }
    }
}
