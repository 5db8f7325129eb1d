//! Controllers: handed down from the root of the hierarchy to a container's cgroup, and why one is not there
//! (cgroups(7), cgroup.subtree_control).

use std::path::Path;

use nix::errno::Errno;

use super::Cgroup;

const OFFERED: &str = "cgroup.controllers";
const HANDED_DOWN: &str = "cgroup.subtree_control";

/// Hands `controllers`, separated by spaces, down to the cgroup `path`, which is below `root`, through every cgroup above
/// it. What cannot be is left: nothing may need it, and what does says so.
pub(crate) fn hand_down(root: &Path, path: &Path, cgroup: &Cgroup, controllers: &str) {
    let present = cgroup.read(OFFERED).unwrap_or_default();
    let is_missing = |name: &&str| !has(&present, name);
    let missing: Vec<_> = controllers.split(' ').filter(|name| !name.is_empty()).filter(is_missing).collect();
    if missing.is_empty() {
        return;
    }
    for above in ancestors(root, path) {
        let Ok(cgroup) = Cgroup::open(above) else { continue };
        if may_hand_down(&cgroup) {
            hand_on(&cgroup, &missing);
        }
    }
}

/// Whether its children may have controllers at all: not where it has processes of its own. Some controllers could be
/// handed down even then, but that would make it the root of a threaded subtree, and its children unfit for containers.
fn may_hand_down(cgroup: &Cgroup) -> bool {
    // Only the host's root has no type, and that one may.
    cgroup.own_processes().is_ok_and(|processes| processes.is_empty())
        || cgroup.read("cgroup.type") == Err(Errno::ENOENT)
}

fn hand_on(cgroup: &Cgroup, controllers: &[&str]) {
    let offered = cgroup.read(OFFERED).unwrap_or_default();
    let offered: Vec<_> =
        controllers.iter().filter(|name| has(&offered, name)).map(|name| format!("+{name}")).collect();
    if !offered.is_empty() && cgroup.write(HANDED_DOWN, offered.join(" ").as_bytes()).is_err() {
        // One that cannot be keeps the others back.
        for name in &offered {
            let _ = cgroup.write(HANDED_DOWN, name.as_bytes());
        }
    }
}

/// Why the controller of `file` is not in the cgroup `path`; `None` where it is, so that it is the file that is missing.
pub(super) fn why_missing(path: &Path, file: &str) -> Option<String> {
    let controller = file.split('.').next()?;
    if controller == "cgroup" || has(&Cgroup::open(path).ok()?.read(OFFERED).ok()?, controller) {
        return None;
    }
    let root = path.ancestors().take_while(|above| above.join(OFFERED).exists()).last()?;
    for above in ancestors(root, path) {
        let cgroup = Cgroup::open(above).ok()?;
        if has(&cgroup.read(HANDED_DOWN).ok()?, controller) {
            continue;
        }
        let place = above.display();
        let why = if may_hand_down(&cgroup) {
            match cgroup.write(HANDED_DOWN, format!("+{controller}").as_bytes()) {
                Ok(()) => continue,
                Err(Errno::ENOENT) => "it is not handed down to that one",
                Err(Errno::EACCES | Errno::EPERM | Errno::EROFS) => "the caller may not do that",
                Err(errno) => errno.desc(),
            }
        } else {
            "it has processes of its own (cgroups(7), \"no internal processes\")"
        };
        return Some(format!("the controller {controller} cannot be handed down by {place}: {why}"));
    }
    None
}

/// The cgroups above `path`, from `root` on.
fn ancestors<'a>(root: &'a Path, path: &'a Path) -> Vec<&'a Path> {
    let mut above: Vec<_> = path.ancestors().skip(1).take_while(|above| above.starts_with(root)).collect();
    above.reverse();
    above
}

fn has(list: &str, name: &str) -> bool {
    list.split_ascii_whitespace().any(|present| present == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cgroup_above_from_the_root_on() {
        let above = ancestors(Path::new("/c"), Path::new("/c/a/b"));
        assert_eq!(above, [Path::new("/c"), Path::new("/c/a")]);
        assert!(ancestors(Path::new("/c"), Path::new("/c")).is_empty());
    }
}
