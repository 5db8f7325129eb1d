//! Idmapped mounts (mount_setattr(2), MOUNT_ATTR_IDMAP; runtime-spec config.md#posix-platform-mounts): whose files are seen
//! with other owners than they have. The id maps are a user namespace's: the container's own where it is joined, else one
//! that the host makes for them, since who enters the container's could map nothing of the host's any more.

use oci_spec::runtime::Mount;

use super::mount_options::Options;
use super::plan::Draft;
use super::text::below;
use super::{Invalid, Request, idmap};
use crate::wire::{HostOp, IdMap, List, Ns, Slot};

/// The user namespaces that are made for id maps, each once.
#[derive(Debug, Default)]
pub(super) struct MountIds(Vec<Made>);

#[derive(Debug)]
struct Made {
    origin: String,
    uids: Vec<IdMap>,
    gids: Vec<IdMap>,
    slot: Slot,
}

/// What the ids of a mount are mapped by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapped {
    pub(super) ids: Slot,
    /// Whether those of the mounts below it are mapped as well.
    pub(super) deep: bool,
}

impl MountIds {
    /// Decides how the ids of one mount are mapped. Mappings without an option mean `idmap`, and an option without mappings
    /// means the container's.
    pub(super) fn read(
        &mut self,
        request: &Request<'_>,
        origin: &str,
        mount: &Mount,
        options: &Options,
        plan: &mut Draft,
    ) -> Result<Option<Mapped>, Invalid> {
        let at = |name: &str| below(origin, name);
        let uids = idmap::lines(&at("uidMappings"), mount.uid_mappings().as_ref())?;
        let gids = idmap::lines(&at("gidMappings"), mount.gid_mappings().as_ref())?;
        let place = match (options.idmap, uids.is_empty(), gids.is_empty()) {
            (None, true, true) => return Ok(None),
            (Some(asked), true, true) => below(&at("options"), asked.option),
            (_, true, false) => return Err(Invalid::new(at("uidMappings"), BOTH)),
            (_, false, true) => return Err(Invalid::new(at("gidMappings"), BOTH)),
            (_, false, false) => at("uidMappings"),
        };
        if options.remount.is_some() || options.copy.is_none() && mount.typ().as_deref() != Some("bind") {
            return Err(Invalid::new(place, "only the ids of a bind mount can be mapped"));
        }
        let spaces = &request.spaces;
        if !request.facts.is_privileged() {
            let why = "mapping the ids of a mount takes CAP_SYS_ADMIN over its filesystem, which a rootless caller has not \
                       (mount_setattr(2))";
            return Err(Invalid::unsupported(place, why));
        }
        if spaces.has_user() && !spaces.is_staged() {
            let why = "the ids of a mount cannot be mapped in a joined mount namespace of a user namespace";
            return Err(Invalid::unsupported(place, why));
        }
        let deep = options.idmap.is_some_and(|asked| asked.recursive);
        let (uids, gids) = match (uids.is_empty(), spaces.joined(Ns::User)) {
            (false, _) => (uids, gids),
            (true, Some(ids)) => return Ok(Some(Mapped { ids, deep })),
            (true, None) if spaces.has_user() => (request.ids.uids.clone(), request.ids.gids.clone()),
            (true, None) => {
                let why = "without uidMappings and gidMappings the container's are meant, which has no user namespace";
                return Err(Invalid::new(place, why));
            }
        };
        let ids = self.slot(place, uids, gids, plan)?;
        Ok(Some(Mapped { ids, deep }))
    }

    fn slot(&mut self, origin: String, uids: Vec<IdMap>, gids: Vec<IdMap>, plan: &mut Draft) -> Result<Slot, Invalid> {
        if let Some(made) = self.0.iter().find(|made| made.uids == uids && made.gids == gids) {
            return Ok(made.slot);
        }
        let slot = plan.slot()?;
        self.0.push(Made { origin, uids, gids, slot });
        Ok(slot)
    }

    /// The host makes them before init is born, which inherits them.
    pub(super) fn make(&self, plan: &mut Draft) {
        for Made { origin, uids, gids, slot } in &self.0 {
            let (uids, gids) = (List::new(uids), List::new(gids));
            plan.host(origin, HostOp::MakeUserNamespace { uids, gids, slot: *slot });
        }
    }
}

const BOTH: &str = "an idmapped mount needs both uidMappings and gidMappings";
