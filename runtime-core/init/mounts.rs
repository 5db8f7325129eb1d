//! Mounts are detached objects: every attribute is set before anybody can see them, and one move_mount attaches them.

use core::ffi::CStr;
use core::sync::atomic::Ordering;

use crate::isolate::recursion;
use crate::paths::{Links, Spot, is_directory};
use crate::sys::{
    self, AT_EMPTY_PATH, AT_RECURSIVE, Errno, FSCONFIG_CMD_CREATE, FSCONFIG_CMD_RECONFIGURE, FSCONFIG_SET_FD,
    FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, Fd, O_DIRECTORY, OPEN_TREE_CLONE, S_IFMT,
};
use crate::wire::{Attributes, Device, InitOp, List, Ns, Param, Place, Propagation, Slot, Spaces, Target, Text, Tree};
use crate::{Init, Slots, note};

const RDONLY: u64 = 1;
const NOSUID: u64 = 2;
const NODEV: u64 = 4;
const NOEXEC: u64 = 8;
/// What a mount of another user namespace keeps (mount_namespaces(7)): MOUNT_ATTR_NODIRATIME is the last of it.
const LOCKABLE: u64 = RDONLY | NOSUID | NODEV | NOEXEC | 0x80;
/// What statfs(2) calls a procfs.
const PROC_SUPER_MAGIC: u64 = 0x9fa0;
/// A sysfs.
const SYSFS_MAGIC: u64 = 0x6265_6572;
const MS_SLAVE: u64 = 1 << 19;
/// Where the root filesystem is attached on the stage.
const STAGE_ROOT: &CStr = c"root";

/// Changes the propagation of every mount of this namespace.
pub(crate) fn propagate(kind: Propagation) -> Result<(), Errno> {
    sys::mount_setattr(Fd::CWD, c"/", recursion(kind.recursive), 0, 0, kind.kind)
}

/// Sets what a mount, and what is mounted below it, shall be; each propagation in the order it was asked for.
fn set(
    mount: Fd,
    attributes: &Attributes,
    recursive_attributes: &Attributes,
    propagation: &List<'_, Propagation>,
) -> Result<(), Errno> {
    for (flags, asked) in [(AT_RECURSIVE, recursive_attributes), (0, attributes)] {
        if !asked.is_none() {
            sys::mount_setattr(mount, c"", flags, asked.set, asked.clear, 0)?;
        }
    }
    for kind in propagation.iter() {
        sys::mount_setattr(mount, c"", recursion(kind.recursive), 0, 0, kind.kind)?;
    }
    Ok(())
}

/// A tmpfs over a directory of the runtime's own: the working directory leads to it, and follows it into a copy of this
/// mount namespace.
pub(crate) fn make_stage(init: &Init, at: &CStr) -> Result<(), Errno> {
    let stage =
        new_filesystem(init, c"tmpfs", |fs| sys::fsconfig(fs, FSCONFIG_SET_STRING, Some(c"mode"), Some(c"0755"), 0))?;
    let stage = mount_of(init, stage, NOSUID | NODEV)?;
    sys::mkdirat(stage, STAGE_ROOT, 0o755)?;
    sys::move_mount(stage, Fd::CWD, at)?;
    sys::fchdir(stage)?;
    sys::close(stage);
    Ok(())
}

pub(crate) fn stage_tree(init: &Init, op: &InitOp<'_>) -> Result<(), Errno> {
    let InitOp::StageTree { number, tree, recursive, attributes, recursive_attributes, propagation } = op else {
        return Err(Errno::INVAL);
    };
    let tree = copy(init, tree, *recursive)?;
    set(tree, attributes, recursive_attributes, propagation)?;
    let mut digits = [0; 6];
    let name = stage_name(*number, &mut digits)?;
    if is_directory(tree)? {
        sys::mkdirat(Fd::CWD, name, 0o755)?;
    } else {
        sys::mknodat(Fd::CWD, name, sys::S_IFREG | 0o644, 0)?;
    }
    sys::move_mount(tree, Fd::CWD, name)?;
    sys::close(tree);
    Ok(())
}

/// The name of a tree on the stage: its number.
fn stage_name(number: u16, digits: &mut [u8; 6]) -> Result<&CStr, Errno> {
    let mut rest = number;
    let mut start = 5;
    for (place, digit) in digits.iter_mut().enumerate().rev().skip(1) {
        *digit = b'0' + (rest % 10) as u8;
        start = place;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    CStr::from_bytes_with_nul(digits.get(start..).unwrap_or_default()).map_err(|_| Errno::INVAL)
}

/// A detached copy of a tree of the host, kept for a later step: its ids are mapped while nobody can see it.
pub(crate) fn copy_tree(
    init: &Init,
    source: &CStr,
    recursive: bool,
    ids: Option<Slot>,
    deep: bool,
    slot: Slot,
) -> Result<(), Errno> {
    let tree = sys::open_tree(Fd::CWD, source, OPEN_TREE_CLONE | recursion(recursive))
        .inspect_err(|_| note(init, Text(source)))?;
    init.slots.set(slot, tree);
    let Some(ids) = ids else { return Ok(()) };
    match sys::map_ids(tree, recursion(deep), init.slots.get(ids)?) {
        // What the kernel says of a filesystem that cannot do it; open_tree(2) says it of other things.
        Err(Errno::INVAL) => Err(Errno::OPNOTSUPP),
        mapped => mapped,
    }
}

/// Changes what is mounted at a place: its filesystem where there are parameters, then the mount.
pub(crate) fn remount(init: &Init, op: &InitOp<'_>) -> Result<(), Errno> {
    let InitOp::Remount { params, attributes, recursive_attributes, propagation, place } = op else {
        return Err(Errno::INVAL);
    };
    let mount = Spot::of(init.slots, place)?.find(Links::Follow, 0)?;
    if params.iter().next().is_some() {
        let fs = sys::fspick(mount)?;
        let done = parameters(init, fs, None, params)
            .and_then(|()| sys::fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, None, None, 0))
            .inspect_err(|_| note_log(init, fs));
        sys::close(fs);
        done?;
    }
    let done = set(mount, attributes, recursive_attributes, propagation);
    sys::close(mount);
    done
}

/// A detached copy of a tree of the host.
fn copy(init: &Init, tree: &Tree<'_>, recursive: bool) -> Result<Fd, Errno> {
    let flags = OPEN_TREE_CLONE | recursion(recursive);
    match tree {
        Tree::Path(path) => sys::open_tree(Fd::CWD, path.0, flags),
        // What was put on the stage has been cut to measure already, and what it covers is locked to it.
        Tree::Staged(number, _) => sys::open_tree(Fd::CWD, stage_name(*number, &mut [0; 6])?, flags | AT_RECURSIVE),
        Tree::Held(slot, _) => init.slots.take(*slot),
        Tree::Inside(path) => copy_at(init, &Place { base: Slot::ROOT, skip: 0, path: *path }, recursive),
    }
}

/// A detached copy of what is at a place of the container.
fn copy_at(init: &Init, place: &Place<'_>, recursive: bool) -> Result<Fd, Errno> {
    let source = Spot::of(init.slots, place)?.find(Links::Follow, 0)?;
    let copy = sys::open_tree(source, c"", OPEN_TREE_CLONE | AT_EMPTY_PATH | recursion(recursive));
    sys::close(source);
    copy
}

/// A copy that the host is to map the ids of: it stays init's, whose descriptor keeps it from being dissolved.
pub(crate) fn copy_inside(init: &mut Init, place: &Place<'_>, recursive: bool, slot: Slot) -> Result<(), Errno> {
    let copy = copy_at(init, place, recursive)?;
    init.for_host = Some(sys::open_tree(copy, c"", AT_EMPTY_PATH)?);
    init.slots.set(slot, copy);
    Ok(())
}

pub(crate) fn attach_rootfs(
    init: &Init,
    tree: &Tree<'_>,
    at: Option<Text<'_>>,
    propagation: &List<'_, Propagation>,
) -> Result<(), Errno> {
    let root = copy(init, tree, true)?;
    set(root, &Attributes::NONE, &Attributes::NONE, propagation)?;
    sys::move_mount(root, Fd::CWD, at.map_or(STAGE_ROOT, |at| at.0))?;
    init.slots.set(Slot::ROOT, root);
    Ok(())
}

/// A filesystem context; `configure` sets its parameters. The kernel's words are noted where it refuses.
fn new_filesystem(init: &Init, fstype: &CStr, configure: impl FnOnce(Fd) -> Result<(), Errno>) -> Result<Fd, Errno> {
    let fs = sys::fsopen(fstype)?;
    create(init, fs, configure)?;
    Ok(fs)
}

/// Sets the parameters of a filesystem context and makes its superblock.
fn create(init: &Init, fs: Fd, configure: impl FnOnce(Fd) -> Result<(), Errno>) -> Result<(), Errno> {
    let made = configure(fs).and_then(|()| sys::fsconfig(fs, FSCONFIG_CMD_CREATE, None, None, 0));
    made.inspect_err(|_| note_log(init, fs))
}

/// The mount of a filesystem context, which is closed. The kernel's words are noted where it refuses.
fn mount_of(init: &Init, fs: Fd, attributes: u64) -> Result<Fd, Errno> {
    let mount = sys::fsmount(fs, attributes).inspect_err(|_| note_log(init, fs));
    sys::close(fs);
    mount
}

/// Copies what the kernel logged about a filesystem context into the note: a message a read, "e text" where it is an
/// error, "w text" and "i text" where it is less. The first error says why; what came before it may only be remarks.
fn note_log(init: &Init, fs: Fd) {
    let mut buffer = [0; 512];
    while let Ok(count) = sys::read(fs, &mut buffer) {
        let message = buffer.get(..count).unwrap_or_default();
        let (kind, text) = message.split_at_checked(2).unwrap_or((b"", message));
        init.recorder.write_note(text.trim_ascii());
        if kind == b"e " || count == 0 {
            return;
        }
    }
}

/// Sets the parameters in order; one that is refused is named by its place in config.json.
fn parameters(init: &Init, fs: Fd, source: Option<Text<'_>>, params: &List<'_, Param<'_>>) -> Result<(), Errno> {
    if let Some(source) = source {
        sys::fsconfig(fs, FSCONFIG_SET_STRING, Some(c"source"), Some(source.0), 0)?;
    }
    for param in params.iter() {
        let command = if param.value.is_some() { FSCONFIG_SET_STRING } else { FSCONFIG_SET_FLAG };
        sys::fsconfig(fs, command, Some(param.key.0), param.value.map(|value| value.0), 0).inspect_err(|_| {
            init.recorder.option.store(param.option.map_or(0, |option| u32::from(option) + 1), Ordering::Relaxed);
        })?;
    }
    Ok(())
}

pub(crate) fn mount(init: &Init, op: &InitOp<'_>) -> Result<(), Errno> {
    let InitOp::Mount { fstype, source, params, attributes, propagation, target, rule, keep, pid, covered_mode } = op
    else {
        return Err(Errno::INVAL);
    };
    let mode = if *covered_mode { mode_at(init, target)? } else { None };
    let make = || {
        let fs = new_filesystem(init, fstype.0, |fs| {
            parameters(init, fs, *source, params)?;
            mode.map_or(Ok(()), |mode| set_mode(fs, mode))
        })?;
        mount_of(init, fs, attributes.set)
    };
    let mounted = match pid {
        None => make()?,
        Some(pid) => mount_for(init, init.slots.get(*pid)?, op, make)?,
    };
    set(mounted, &Attributes::NONE, &Attributes::NONE, propagation)?;
    attach(init.slots, mounted, target, *rule)?;
    match keep {
        Some(slot) => init.slots.set(*slot, mounted),
        None => sys::close(mounted),
    }
    Ok(())
}

/// The permissions of the directory at a place; none where none is there yet.
fn mode_at(init: &Init, place: &Place<'_>) -> Result<Option<u32>, Errno> {
    let directory = match Spot::of(init.slots, place)?.find(Links::Follow, O_DIRECTORY) {
        Err(Errno::NOENT) => return Ok(None),
        directory => directory?,
    };
    let status = sys::statx(directory, c"", false);
    sys::close(directory);
    Ok(Some(status?.mode & 0o7777))
}

/// Gives the root directory of a new tmpfs its permissions.
fn set_mode(fs: Fd, mode: u32) -> Result<(), Errno> {
    let digits = [9, 6, 3, 0].map(|shift| b'0' + (mode >> shift & 7) as u8);
    let [a, b, c, d] = digits;
    let text = [a, b, c, d, 0];
    let text = CStr::from_bytes_with_nul(&text).map_err(|_| Errno::INVAL)?;
    sys::fsconfig(fs, FSCONFIG_SET_STRING, Some(c"mode"), Some(text), 0)
}

/// A procfs of another pid namespace than init's.
// KERNEL(6.18): fsconfig "pidns" says which. Before, a short-lived child born there makes the mount and leaves it in the
// descriptor table that it shares; docs/decisions/shared-pid-namespace.md says what a neighbour can see of it.
fn mount_for(init: &Init, pid: Fd, op: &InitOp<'_>, make: impl FnOnce() -> Result<Fd, Errno>) -> Result<Fd, Errno> {
    let InitOp::Mount { fstype, source, params, attributes, .. } = op else { return Err(Errno::INVAL) };
    let fs = sys::fsopen(fstype.0)?;
    if sys::fsconfig(fs, FSCONFIG_SET_FD, Some(c"pidns"), None, pid.0).is_ok() {
        create(init, fs, |fs| parameters(init, fs, *source, params))?;
        return mount_of(init, fs, attributes.set);
    }
    // The number that the child's mount will have.
    let place = fs;
    sys::setns(pid, Spaces::default().with(crate::wire::Ns::Pid).0)?;
    let Some(child) = sys::fork_sharing_descriptors()? else {
        let made = make().and_then(|mount| sys::dup3(mount, place, sys::O_CLOEXEC).map(|()| sys::close(mount)));
        sys::exit(made.err().map_or(0, |errno| errno.0));
    };
    match sys::wait_for(child)? {
        0 => Ok(place),
        status => Err(Errno((status >> 8) & 0xff)),
    }
}

pub(crate) fn bind(init: &Init, op: &InitOp<'_>) -> Result<(), Errno> {
    let InitOp::Bind { tree, recursive, attributes, implied, recursive_attributes, propagation, target, rule } = op
    else {
        return Err(Errno::INVAL);
    };
    let source = copy(init, tree, *recursive).inspect_err(|_| note(init, tree.path()))?;
    match set(source, attributes, recursive_attributes, propagation) {
        // Locked: what was asked for in so many words is asked for again, and the rest stays as it is.
        Err(Errno::PERM) if *implied != 0 => {
            let attributes = Attributes { set: attributes.set, clear: attributes.clear & !(implied & LOCKABLE) };
            set(source, &attributes, recursive_attributes, propagation)
        }
        done => done,
    }?;
    attach(init.slots, source, target, *rule)?;
    sys::close(source);
    Ok(())
}

/// Attaches a detached mount at a place of the container, which is made where it is missing.
fn attach(slots: &Slots, mount: Fd, place: &Place<'_>, rule: Target) -> Result<(), Errno> {
    let spot = Spot::of(slots, place)?;
    let target = match rule {
        Target::Directory => spot.directory(Links::Follow)?,
        Target::RealDirectory => spot.directory(Links::Refuse)?,
        Target::LikeSource if is_directory(mount)? => spot.directory(Links::Follow)?,
        Target::LikeSource => spot.file(Links::Follow)?,
        Target::OfProc if is_directory(mount)? => spot.directory(Links::Refuse)?,
        Target::OfProc => spot.file(Links::Refuse)?,
    };
    // compile lets by its own name only what is listed; a link of the image leads to the rest (CVE-2019-16884).
    let attached = if rule != Target::OfProc && sys::filesystem(target)? == PROC_SUPER_MAGIC {
        Err(Errno::XDEV)
    } else {
        sys::move_mount(mount, target, c"")
    };
    sys::close(target);
    attached
}

/// The directory that is about to be covered, made where it is missing, kept open.
pub(crate) fn cover_directory(init: &Init, place: &Place<'_>, slot: Slot) -> Result<(), Errno> {
    let directory = Spot::of(init.slots, place)?.directory(Links::Follow)?;
    init.slots.set(slot, directory);
    Ok(())
}

pub(crate) fn set_read_only(mount: Fd) -> Result<(), Errno> {
    sys::mount_setattr(mount, c"", 0, RDONLY, 0, 0)
}

/// The old root lands on top of the new one, from where it is detached.
pub(crate) fn pivot_root(init: &Init) -> Result<(), Errno> {
    let old = sys::openat2(Fd::CWD, c"/", sys::O_PATH | O_DIRECTORY, 0, 0)?;
    sys::fchdir(init.slots.get(Slot::ROOT)?)?;
    sys::pivot_root()?;
    // Of a mount that is still shared with the host (rootfsPropagation) the host would lose what is detached here.
    sys::mount_setattr(old, c"", AT_RECURSIVE, 0, 0, MS_SLAVE)?;
    sys::close(old);
    sys::detach(c".")?;
    sys::chdir(c"/")
}

pub(crate) fn move_root(init: &Init, others: &List<'_, Text<'_>>) -> Result<(), Errno> {
    let root = init.slots.get(Slot::ROOT)?;
    sys::fchdir(root)?;
    sys::move_mount(root, Fd::CWD, c"/")?;
    // The paths are still those of the old root, and the container's own mounts are not to be met by them any more.
    for other in others.iter() {
        match sys::detach(other.0) {
            Err(errno) if !(is_locked(errno) || is_gone(errno)) => return Err(errno),
            _ => {}
        }
    }
    for other in others.iter() {
        let mount = match sys::open_tree(Fd::CWD, other.0, 0) {
            Err(errno) if is_gone(errno) => continue,
            mount => mount?,
        };
        let kind = sys::filesystem(mount);
        sys::close(mount);
        if matches!(kind?, PROC_SUPER_MAGIC | SYSFS_MAGIC) {
            cover(init, other.0)?;
        }
    }
    sys::chroot(c".")?;
    sys::chdir(c"/")
}

/// The mount namespace that is left ends with that, and what is mounted in it; but not the copy.
pub(crate) fn return_with_root(init: &Init, host: Slot) -> Result<(), Errno> {
    let old = init.slots.take(Slot::ROOT)?;
    let root = sys::open_tree(old, c"", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE)?;
    sys::close(old);
    init.slots.set(Slot::ROOT, root);
    sys::setns(init.slots.get(host)?, Ns::Mount.flag())?;
    change_root(root)
}

pub(crate) fn change_root(root: Fd) -> Result<(), Errno> {
    sys::fchdir(root)?;
    sys::chroot(c".")
}

/// A mount that only another user namespace may detach (mount_namespaces(7)), or none.
fn is_locked(errno: Errno) -> bool {
    matches!(errno, Errno::INVAL | Errno::PERM)
}

/// Gone, or out of reach, with what it was mounted on.
fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::ACCES | Errno::LOOP)
}

/// Puts an empty tmpfs over a mount that may not be detached.
fn cover(init: &Init, path: &CStr) -> Result<(), Errno> {
    let empty = empty_tmpfs(init, None)?;
    sys::move_mount(empty, Fd::CWD, path)?;
    sys::close(empty);
    Ok(())
}

/// One inode, its root directory, and no block.
fn empty_tmpfs(init: &Init, context: Option<Text<'_>>) -> Result<Fd, Errno> {
    let fs = new_filesystem(init, c"tmpfs", |fs| {
        if let Some(context) = context {
            sys::fsconfig(fs, FSCONFIG_SET_STRING, Some(c"context"), Some(context.0), 0)?;
        }
        sys::fsconfig(fs, FSCONFIG_SET_STRING, Some(c"nr_inodes"), Some(c"1"), 0)?;
        sys::fsconfig(fs, FSCONFIG_SET_STRING, Some(c"nr_blocks"), Some(c"1"), 0)?;
        sys::fsconfig(fs, FSCONFIG_SET_STRING, Some(c"mode"), Some(c"0755"), 0)
    })?;
    mount_of(init, fs, RDONLY | NOSUID | NODEV | NOEXEC)
}

pub(crate) fn take_null(init: &Init, slot: Slot) -> Result<(), Errno> {
    let null = sys::open_tree(Fd::CWD, c"/dev/null", OPEN_TREE_CLONE)?;
    let status = sys::statx(null, c"", false)?;
    let Device { mode, major, minor } = Device::NULL;
    if (status.mode & S_IFMT, status.major, status.minor) != (mode & S_IFMT, major, minor) {
        return Err(Errno::INVAL);
    }
    sys::mount_setattr(null, c"", 0, RDONLY | NOSUID | NOEXEC, 0, 0)?;
    init.slots.set(slot, null);
    Ok(())
}

pub(crate) fn make_empty(init: &Init, slot: Slot, context: Option<Text<'_>>) -> Result<(), Errno> {
    init.slots.set(slot, empty_tmpfs(init, context)?);
    Ok(())
}

pub(crate) fn mask(init: &Init, place: &Place<'_>, null: Slot, empty: Slot) -> Result<(), Errno> {
    let target = match Spot::of(init.slots, place)?.find(Links::FollowButLast, 0) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        found => found?,
    };
    let slot = if is_directory(target)? { empty } else { null };
    let cover = init.slots.get(slot)?;
    // KERNEL(6.15): before, only a mount that is attached can be copied: so the first one is attached itself.
    if init.slots.attach(slot) {
        let again = sys::open_tree(cover, c"", OPEN_TREE_CLONE | AT_EMPTY_PATH)?;
        sys::move_mount(again, target, c"")?;
        sys::close(again);
    } else {
        sys::move_mount(cover, target, c"")?;
    }
    sys::close(target);
    Ok(())
}

/// Covers a place with a copy of itself that is read-only.
pub(crate) fn protect(init: &Init, place: &Place<'_>) -> Result<(), Errno> {
    let target = match Spot::of(init.slots, place)?.find(Links::FollowButLast, 0) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        found => found?,
    };
    let copy = sys::open_tree(target, c"", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE)?;
    sys::mount_setattr(copy, c"", AT_RECURSIVE, RDONLY, 0, 0)?;
    sys::move_mount(copy, target, c"")?;
    sys::close(copy);
    sys::close(target);
    Ok(())
}

pub(crate) fn open_proc(init: &Init, slot: Slot, host: bool) -> Result<(), Errno> {
    let proc = if host {
        sys::open_tree(Fd::CWD, c"/proc", OPEN_TREE_CLONE | AT_RECURSIVE)?
    } else {
        mount_of(init, new_filesystem(init, c"proc", |_| Ok(()))?, NOSUID | NODEV | NOEXEC)?
    };
    // A copy is of whatever is there.
    if sys::filesystem(proc)? != PROC_SUPER_MAGIC {
        return Err(Errno::NODEV);
    }
    init.slots.set(slot, proc);
    Ok(())
}

/// The directory at a place, kept open.
pub(crate) fn open_directory(init: &Init, place: &Place<'_>, slot: Slot) -> Result<(), Errno> {
    let directory = Spot::of(init.slots, place)?.find(Links::Follow, O_DIRECTORY)?;
    init.slots.set(slot, directory);
    Ok(())
}

/// Covers a file of the container with a device of the host, after checking that it is that device.
pub(crate) fn bind_device(init: &Init, place: &Place<'_>, source: &Tree<'_>, device: &Device) -> Result<(), Errno> {
    let node = copy(init, source, false)?;
    let status = sys::statx(node, c"", false)?;
    if (status.mode & S_IFMT, status.major, status.minor) != (device.mode & S_IFMT, device.major, device.minor) {
        return Err(Errno::INVAL);
    }
    let parent = Spot::of(init.slots, place)?.parent()?;
    parent.make_file()?;
    let target = parent.find()?;
    sys::move_mount(node, target, c"")?;
    sys::close(target);
    sys::close(node);
    Ok(())
}
