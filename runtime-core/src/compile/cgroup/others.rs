//! The smaller members of `linux.resources`: pids, hugepageLimits, rdma, network, unified.

use oci_spec::runtime::{LinuxHugepageLimit, LinuxNetwork, LinuxResources};

use super::settings::{IfMissing, Settings};
use crate::compile::Invalid;
use crate::compile::text::{below, sorted};

const HUGEPAGES: &str = "/linux/resources/hugepageLimits";
const RDMA: &str = "/linux/resources/rdma";
const UNIFIED: &str = "/linux/resources/unified";

/// config-linux.md#pids: a negative limit is none. 0 is one that init alone fills; so is 1, which systemd has as well.
pub(super) fn pids(limit: i64, settings: &mut Settings<'_>) -> Result<(), Invalid> {
    let origin = "/linux/resources/pids/limit";
    match u64::try_from(limit) {
        Ok(limit) => settings.set(origin, "pids.max", limit.max(1)),
        // Where nothing counts processes, none is too many.
        Err(_) if !settings.has("pids") => Ok(()),
        Err(_) => settings.set(origin, "pids.max", "max"),
    }
}

/// config-linux.md#huge-page-limits
pub(super) fn hugepages(limits: Option<&Vec<LinuxHugepageLimit>>, settings: &mut Settings<'_>) -> Result<(), Invalid> {
    for (index, limit) in limits.into_iter().flatten().enumerate() {
        let origin = below(HUGEPAGES, index);
        let size = limit.page_size();
        if !is_page_size(size) {
            let why = format!("{size:?} is no page size: it is a number and KB, MB or GB");
            return Err(Invalid::new(below(&origin, "pageSize"), why));
        }
        let value = match limit.limit() {
            -1 => "max".to_owned(),
            bytes if bytes >= 0 => bytes.to_string(),
            bytes => return Err(Invalid::new(below(&origin, "limit"), format!("{bytes} is no amount of memory"))),
        };
        let origin = below(&origin, "limit");
        settings.set(&origin, &format!("hugetlb.{size}.max"), &value)?;
        settings.set_or(&origin, &format!("hugetlb.{size}.rsvd.max"), &value, IfMissing::Skip)?;
    }
    Ok(())
}

/// `^[1-9][0-9]*[KMG]B$`
fn is_page_size(size: &str) -> bool {
    let number = size.strip_suffix('B').and_then(|size| size.strip_suffix(['K', 'M', 'G']));
    number.is_some_and(|number| {
        !number.is_empty() && !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// config-linux.md#rdma
pub(super) fn rdma(resources: &LinuxResources, settings: &mut Settings<'_>) -> Result<(), Invalid> {
    for (device, limits) in sorted(resources.rdma().as_ref()) {
        let origin = below(RDMA, device);
        if device.is_empty() || device.contains(char::is_whitespace) {
            return Err(Invalid::new(origin, format!("{device:?} is no name of a device")));
        }
        let keys = [("hca_handle", limits.hca_handles()), ("hca_object", limits.hca_objects())];
        let limits: Vec<_> = keys.iter().filter_map(|(key, limit)| Some(format!("{key}={}", (*limit)?))).collect();
        if limits.is_empty() {
            return Err(Invalid::new(origin, "it needs hcaHandles, hcaObjects, or both"));
        }
        settings.set(&origin, "rdma.max", format!("{device} {}", limits.join(" ")))?;
    }
    Ok(())
}

/// config-linux.md#network: traffic is marked by the cgroup's own identity in v2, by who filters it.
pub(super) fn network(network: &LinuxNetwork, settings: &mut Settings<'_>) -> Result<(), Invalid> {
    if network.class_id().is_some_and(|class| class != 0) {
        settings.ignore("/linux/resources/network/classID", "network.classID");
    }
    if network.priorities().as_ref().is_some_and(|priorities| !priorities.is_empty()) {
        settings.ignore("/linux/resources/network/priorities", "network.priorities");
    }
    Ok(())
}

/// The files of the cgroup core that limit something. Of the others, those that can be written move processes, end them,
/// or say what the cgroup is: no limits.
const CORE: [&str; 3] = ["cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure"];

/// config-linux.md#unified
pub(super) fn unified(resources: &LinuxResources, settings: &mut Settings<'_>) -> Result<(), Invalid> {
    for (file, value) in sorted(resources.unified().as_ref()) {
        let origin = below(UNIFIED, file);
        let is_name = file.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let Some((controller, name)) = file.split_once('.').filter(|_| is_name && file.len() <= 255) else {
            return Err(Invalid::new(origin, format!("{file:?} is no file of a cgroup controller")));
        };
        if controller.is_empty() || name.is_empty() || (controller == "cgroup" && !CORE.contains(&file)) {
            return Err(Invalid::new(origin, format!("{file:?} is no file of a cgroup controller")));
        }
        if controller != "cgroup" && !settings.has(controller) {
            let why = format!("unified resource {file:?} can't be set: controller {controller:?} not available");
            return Err(Invalid::unsupported(origin, why));
        }
        let lines = value.split('\n').filter(|line| !line.is_empty());
        let mut count = 0;
        for line in lines {
            // A file with a line for each device takes one line at a time.
            settings.push(&origin, file, line, IfMissing::Fail)?;
            count += 1;
        }
        if count == 0 {
            settings.push(&origin, file, "\n", IfMissing::Fail)?;
        }
    }
    Ok(())
}
