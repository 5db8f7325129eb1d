//! An overlay of any number of layers, whose names may be long.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use rustix::fs::CWD;
use rustix::mount::{MountFlags, OpenTreeFlags, mount, open_tree};

use runtime_core::{MountAttributes, MountIds, set_mount_attributes};

use super::filesystem::Filesystem;
use super::options::{IdMaps, Options};
use super::place::{Place, detach, directory, link};
use super::{ATTR_RDONLY, PRIVATE, Refusal, set_attributes};

/// What fsconfig(2) takes for a value, without its NUL.
const LONGEST_VALUE: usize = 255;

/// What mount(2) takes for all of its data, without its NUL, on every architecture.
const LONGEST_DATA: usize = 4095;

/// A new overlay that is attached nowhere. `place` is where it will be: idmapped layers are mounted there while it is made.
pub(super) fn overlay(source: &str, options: &Options<'_>, place: &Place) -> Result<OwnedFd, Refusal> {
    let lowerdir = options.value("lowerdir").unwrap_or_default();
    let Some(ids) = &options.ids else { return of_layers(source, options, lowerdir, place) };
    let mut mapped = Vec::new();
    let made = map_layers(lowerdir, ids, place, &mut mapped)
        .map_err(|error| Refusal::of("map the ids of the layers", error))
        .and_then(|()| of_layers(source, options, &links(&mapped), place));
    detach(mapped);
    made
}

/// Layers have to be mounted somewhere (KERNEL(6.15): no longer); the overlay keeps copies of its own.
fn map_layers(lowerdir: &str, ids: &IdMaps, place: &Place, mapped: &mut Vec<OwnedFd>) -> io::Result<()> {
    let ids = MountIds::new(&ids.uids, &ids.gids)?;
    for layer in lowerdir.split(':') {
        let tree = open_tree(CWD, layer, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
        let change = MountAttributes { set: ATTR_RDONLY, propagation: PRIVATE, ..MountAttributes::default() };
        set_mount_attributes(tree.as_fd(), change, false)?;
        ids.map(tree.as_fd(), false)?;
        place.attach(tree.as_fd(), "")?;
        mapped.push(tree);
    }
    Ok(())
}

fn links(layers: &[OwnedFd]) -> String {
    layers.iter().map(|layer| link(layer.as_fd())).collect::<Vec<_>>().join(":")
}

fn of_layers(source: &str, options: &Options<'_>, lowerdir: &str, place: &Place) -> Result<OwnedFd, Refusal> {
    if lowerdir.len() <= LONGEST_VALUE {
        let all = Some(lowerdir).filter(|layers| !layers.is_empty());
        return by_description(source, options, |fs| all.map_or(Ok(()), |all| fs.set("lowerdir", Some(all))));
    }
    if lowerdir.contains('\\') || lowerdir.contains("::") {
        // What only a list of layers can say.
        return by_data(source, options, lowerdir, place);
    }
    let each = |fs: &Filesystem| lowerdir.split(':').try_for_each(|layer| fs.set("lowerdir+", Some(layer)));
    by_description(source, options, each).or_else(|refusal| {
        // KERNEL(6.5): before, there is one value for all layers, and it may not be longer than any other.
        if refusal.errno != Some(Errno::EINVAL as i32) {
            return Err(refusal);
        }
        by_data(source, options, lowerdir, place).map_err(|_| refusal)
    })
}

/// By fsopen(2); `lower` says which layers.
fn by_description(
    source: &str,
    options: &Options<'_>,
    lower: impl FnOnce(&Filesystem) -> Result<(), Refusal>,
) -> Result<OwnedFd, Refusal> {
    let fs = Filesystem::new("overlay", source, &options.flags)?;
    lower(&fs)?;
    let mut held = Vec::new();
    for (key, value) in options.data.iter().filter(|(key, _)| *key != "lowerdir") {
        let Some(long) = value.filter(|path| path.len() > LONGEST_VALUE) else {
            fs.set(key, *value)?;
            continue;
        };
        let opened = directory(long).map_err(|error| Refusal::of(&format!("open the {key}"), error))?;
        fs.set(key, Some(&link(opened.as_fd())))?;
        held.push(opened);
    }
    fs.mount(options.attributes)
}

/// By mount(2), with descriptors in place of layers whose names are too long, and then as if it had never been attached.
pub(super) fn by_data(source: &str, options: &Options<'_>, lowerdir: &str, place: &Place) -> Result<OwnedFd, Refusal> {
    let failed = |error: io::Error| Refusal::of("mount the overlay", error);
    let data = |lowerdir: &str| {
        let others = options.data.iter().filter(|(key, _)| *key != "lowerdir");
        let words =
            others.map(|(key, value)| value.map_or_else(|| (*key).to_owned(), |value| format!("{key}={value}")));
        words.chain([format!("lowerdir={lowerdir}")]).collect::<Vec<_>>().join(",")
    };
    let mut held = Vec::new();
    let mut text = data(lowerdir);
    if text.len() > LONGEST_DATA && !lowerdir.contains('\\') && !lowerdir.contains("::") {
        held = lowerdir.split(':').map(directory).collect::<io::Result<Vec<_>>>().map_err(failed)?;
        text = data(&links(&held));
    }
    if text.len() > LONGEST_DATA {
        let why = format!("{} bytes of options are more than this kernel takes", text.len());
        return Err(Refusal { message: why, errno: None });
    }
    let text = std::ffi::CString::new(text).map_err(|error| failed(error.into()))?;
    let flags = if options.flags.contains(&"ro") { MountFlags::RDONLY } else { MountFlags::empty() };
    let below = place.open("").map_err(failed)?;
    mount(source, link(below.as_fd()), "overlay", flags, Some(text.as_c_str()))
        .map_err(|errno| failed(errno.into()))?;
    drop(held);
    let attached = place.open("").map_err(failed)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(&attached, "", flags).map_err(|errno| failed(errno.into()));
    detach(vec![attached]);
    let tree = tree?;
    set_attributes(tree.as_fd(), options.attributes).map_err(failed)?;
    Ok(tree)
}
