//! The mounts of config.json, in its order: what each of them is made of is decided here, and only attached by init.

use std::ffi::{CStr, CString};
use std::path::Path;

use oci_spec::runtime::Mount;

pub(super) use sources::stage;
use sources::{Source, inside, source_tree};

use super::departure::Carried;
use super::mount_ids::{Mapped, MountIds};
use super::mount_options::{ALL_TAKEN, Copy, Data, Options, RDONLY, Reaches, short};
use super::plan::Draft;
use super::text::{below, cleaned, listed, path_text, text, utf8};
use super::{Invalid, Request, lsm, rootfs};
use crate::wire::{Attributes, HostOp, InitOp, List, Ns, Param, Place, Propagation, Slot, Target, Text, Tree};

mod of_hosts;
mod sources;

/// What the container's filesystem is put together from.
#[derive(Debug)]
pub(super) struct Mounts {
    mounts: Vec<Planned>,
    ids: MountIds,
}

/// One mount, decided.
#[derive(Debug)]
struct Planned {
    origin: String,
    what: What,
    attributes: Attributes,
    /// What of the attributes nobody named.
    implied: u64,
    propagation: Vec<Propagation>,
    /// Where it is attached, from the container's root.
    path: CString,
    rule: Target,
}

#[derive(Debug)]
enum What {
    /// A new filesystem.
    Filesystem {
        fstype: CString,
        source: Option<CString>,
        params: Vec<Data>,
        /// Whether it has the permissions of the directory that it covers.
        covered_mode: bool,
        /// A read-only tmpfs below which later mounts and devices need their mount points: it is made so at the end.
        read_only_at_the_end: bool,
        copy_up: Option<CopyUp>,
        /// The SELinux label of everything in it.
        context: Option<CString>,
        /// The joined pid namespace that a procfs is to show.
        pid: Option<Slot>,
    },
    /// A copy of something of the host.
    Copied { source: CString, from: Source, recursive: bool, recursive_attributes: Attributes, ids: Option<Mapped> },
    /// What is mounted there already, changed.
    Changed { params: Vec<Data>, recursive_attributes: Attributes },
}

/// `tmpcopyup`: what the directory of the filesystem takes over from the one it covers.
#[derive(Clone, Copy, Debug)]
struct CopyUp {
    mode: bool,
    owner: bool,
}

/// What attaching the mounts left open.
#[derive(Debug, Default)]
pub(super) struct Attached {
    /// The directory mounted at /dev.
    pub(super) dev: Option<Slot>,
    /// Whether /dev is somebody else's, with nothing to be made in it.
    pub(super) dev_is_copied: bool,
    /// Whether what is mounted below /dev is mounted for the host as well.
    pub(super) dev_is_shared: bool,
    read_only: Vec<(String, Slot, CString)>,
}

const SLAVE: u64 = 1 << 19;
const SHARED: u64 = 1 << 20;

/// What stands for one mount while it is decided.
struct Asked<'a> {
    origin: &'a str,
    mount: &'a Mount,
    path: String,
    options: Options,
    ids: Option<Mapped>,
}

/// Filesystems of the kernel's own: superblocks are shared between containers or hold no data, so that `ro` is the
/// mount's and never the superblock's.
const OF_THE_KERNEL: [&str; 6] = ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup2"];

/// What lxcfs and its like may cover; everything else in /proc is the kernel's (CVE-2019-16884).
const MAY_COVER_PROC: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

impl Mounts {
    /// Decides every mount.
    pub(super) fn read(request: &Request<'_>, plan: &mut Draft) -> Result<Self, Invalid> {
        lsm::mount_label(request.linux, request.facts)?;
        let (mut mounts, mut ids) = (Vec::<Planned>::new(), MountIds::default());
        for (origin, mount) in listed("/mounts", request.spec.mounts().as_ref()) {
            mounts.push(read(request, &origin, mount, &mut ids, plan)?);
        }
        sources::decide(request, &mut mounts)?;
        Ok(Self { mounts, ids })
    }

    /// The host makes what ids are mapped by.
    pub(super) fn make_id_maps(&self, plan: &mut Draft) {
        self.ids.make(plan);
    }

    /// Whether a devpts can stand at /dev/pts: one that is mounted there, or what a copy of the host's tree has there.
    pub(super) fn may_have_devpts(&self) -> bool {
        let is_new = |mount: &&Planned| !matches!(mount.what, What::Changed { .. });
        let last =
            self.mounts.iter().filter(is_new).rfind(|mount| matches!(mount.path.to_bytes(), b"/dev" | b"/dev/pts"));
        last.is_some_and(|mount| match &mount.what {
            What::Filesystem { fstype, .. } => fstype.as_c_str() == c"devpts" && mount.path.as_c_str() == c"/dev/pts",
            What::Copied { recursive, .. } => *recursive || mount.path.as_c_str() == c"/dev/pts",
            What::Changed { .. } => false,
        })
    }
}

/// Where the cgroup filesystem of a container is.
const CGROUPS: &CStr = c"/sys/fs/cgroup";

impl Mounts {
    /// The mount by which the container can write to its cgroup, by its place in config.json: the last one at
    /// /sys/fs/cgroup, where it is a cgroup filesystem with the source `cgroup` and not read-only (runtime-spec
    /// config-linux.md#cgroup-ownership).
    pub(super) fn writable_cgroup(&self) -> Option<&str> {
        let at_cgroups = self.mounts.iter().filter(|mount| mount.path.as_c_str() == CGROUPS);
        at_cgroups.fold(None, |writable, mount| {
            let is_read_only = mount.attributes.set & RDONLY != 0;
            match &mount.what {
                What::Changed { .. } => writable.filter(|_| !is_read_only),
                What::Filesystem { fstype, source, .. } => {
                    let is_of_cgroups = fstype.as_c_str() == c"cgroup2" && source.as_deref() == Some(c"cgroup");
                    (is_of_cgroups && !is_read_only).then_some(mount.origin.as_str())
                }
                What::Copied { .. } => None,
            }
        })
    }
}

fn read(
    request: &Request<'_>,
    origin: &str,
    mount: &Mount,
    ids: &mut MountIds,
    plan: &mut Draft,
) -> Result<Planned, Invalid> {
    let path = destination(request, origin, mount, plan)?;
    let options = Options::read(origin, mount.options().as_deref().unwrap_or_default())?;
    let ids = ids.read(request, origin, mount, &options, plan)?;
    let asked = Asked { origin, mount, path, options, ids };
    let fstype = mount.typ().as_deref().unwrap_or_default();
    if let Some(option) = asked.options.copy_up {
        let origin = below(&below(origin, "options"), option);
        if asked.options.copy.is_some() || asked.options.remount.is_some() || fstype != "tmpfs" {
            return Err(Invalid::new(origin, "tmpcopyup is an option of a new tmpfs"));
        }
    }
    if asked.options.remount.is_some() {
        return remount(asked, fstype, plan);
    }
    match (asked.options.copy, fstype) {
        (Some(copy), _) => bind(request, asked, copy, plan),
        // The spec's table knows only the options; crun takes the type too, and no filesystem has this name.
        (None, "bind") => bind(request, asked, Copy::Mount, plan),
        (None, "" | "none") => {
            Err(Invalid::new(below(origin, "type"), "a mount needs a type, or the option bind or rbind"))
        }
        (None, fstype) => filesystem(request, asked, fstype, plan),
    }
}

/// Where a mount goes, cleaned.
fn destination(request: &Request<'_>, origin: &str, mount: &Mount, plan: &mut Draft) -> Result<String, Invalid> {
    let origin = below(origin, "destination");
    let asked = utf8(&origin, mount.destination())?;
    if asked.is_empty() {
        return Err(Invalid::new(origin, "a mount needs a destination"));
    }
    if !asked.starts_with('/') {
        plan.warn(format!("mount destination {asked} is not absolute, it is taken from / ({origin})"));
    }
    let mut path = cleaned(asked);
    if let Some(inside) = inside(request, asked) {
        plan.warn(format!("mount destination {asked} begins with the root filesystem's, {inside} is meant ({origin})"));
        path = inside;
    }
    if path == "/" {
        return Err(Invalid::new(origin, "a mount would cover the root filesystem"));
    }
    if path.starts_with("/proc/") && !MAY_COVER_PROC.contains(&path.as_str()) {
        return Err(Invalid::new(origin, format!("{path:?} cannot be mounted because it is inside /proc")));
    }
    Ok(path)
}

fn bind(request: &Request<'_>, asked: Asked<'_>, copy: Copy, plan: &mut Draft) -> Result<Planned, Invalid> {
    let origin = below(asked.origin, "source");
    let source = asked.mount.source().as_deref().unwrap_or(Path::new(""));
    if source.as_os_str().is_empty() {
        return Err(Invalid::new(origin, "a bind mount needs a source"));
    }
    let is_proc = asked.path == "/proc";
    if is_proc && cleaned(utf8(&origin, source)?) != "/proc" {
        return Err(Invalid::new(origin, "\"/proc\" cannot be mounted because it is not of type proc"));
    }
    ignore_parameters(&asked, plan);
    // A relative one is the bundle's (runtime-spec config.md#mounts).
    let what = What::Copied {
        source: path_text(&origin, &request.launch.bundle.join(source))?,
        from: Source::Host,
        recursive: copy == Copy::Tree,
        recursive_attributes: asked.options.recursive_attributes(),
        ids: asked.ids,
    };
    let (attributes, implied) = asked.options.replacing_attributes();
    let mut planned = planned(asked, what, attributes, Target::LikeSource)?;
    planned.implied = implied;
    if rootfs::shares(request) && planned.propagation.iter().all(|asked| asked.kind != SHARED) {
        // Only what is asked to be shared stays the host's peer.
        planned.propagation.insert(0, Propagation { kind: SLAVE, recursive: true });
    }
    Ok(planned)
}

/// What is copied has its filesystem's parameters already, and so has who shares it.
fn ignore_parameters(asked: &Asked<'_>, plan: &mut Draft) {
    let data = asked.options.data.iter().map(|data| (data.key.to_string_lossy(), data.option));
    let flags = asked.options.superblock.iter().map(|flag| (flag.word.into(), flag.option));
    for (word, option) in data.chain(flags) {
        let origin = below(&below(asked.origin, "options"), option);
        plan.warn(format!("a bind mount has no filesystem-specific options: {word:?} is ignored ({origin})"));
    }
}

/// The flags of a filesystem beside `ro`, as it takes them.
fn flags(asked: &Asked<'_>, fstype: &str, new: bool, plan: &mut Draft) -> Result<Vec<Data>, Invalid> {
    let mut params = Vec::new();
    for flag in &asked.options.superblock {
        let origin = below(&below(asked.origin, "options"), flag.option);
        match flag.reaches(fstype, new) {
            Reaches::As(word) => params.push(Data { key: text(&origin, word)?, value: None, option: flag.option }),
            Reaches::Already => {}
            Reaches::Never => plan.warn(format!("{fstype} takes no {:?}, it is ignored ({origin})", flag.word)),
        }
    }
    Ok(params)
}

/// What is mounted there already is changed where it is: with `bind` only the mount, which alone has `ro` and its like in
/// any case, since its filesystem may be others' as well.
fn remount(asked: Asked<'_>, fstype: &str, plan: &mut Draft) -> Result<Planned, Invalid> {
    let mut params = Vec::new();
    if asked.options.copy.is_some() {
        ignore_parameters(&asked, plan);
    } else {
        params.extend(flags(&asked, fstype, false, plan)?);
        params.extend(asked.options.data.iter().cloned());
    }
    let recursive_attributes = asked.options.recursive_attributes();
    let attributes = asked.options.attributes();
    planned(asked, What::Changed { params, recursive_attributes }, attributes, Target::LikeSource)
}

fn planned(asked: Asked<'_>, what: What, attributes: Attributes, rule: Target) -> Result<Planned, Invalid> {
    let path = path_text(&below(asked.origin, "destination"), Path::new(&asked.path))?;
    let propagation = asked.options.propagation;
    let rule = if Path::new(&asked.path).starts_with("/proc") { Target::OfProc } else { rule };
    Ok(Planned { origin: asked.origin.to_owned(), what, attributes, implied: 0, propagation, path, rule })
}

fn filesystem(request: &Request<'_>, asked: Asked<'_>, fstype: &str, plan: &mut Draft) -> Result<Planned, Invalid> {
    let fstype = if fstype == "cgroup" { "cgroup2" } else { fstype };
    if asked.path == "/proc" && fstype != "proc" {
        let why = "\"/proc\" cannot be mounted because it is not of type proc";
        return Err(Invalid::new(below(asked.origin, "type"), why));
    }
    let of_namespace = match fstype {
        "proc" => Some(Ns::Pid),
        "sysfs" => Some(Ns::Network),
        "mqueue" => Some(Ns::Ipc),
        "cgroup2" => Some(Ns::Cgroup),
        _ => None,
    };
    if let Some(ns) = of_namespace.filter(|ns| !request.spaces.owns(*ns)) {
        return host_view(request, asked, fstype, ns, plan);
    }
    let pid = request.spaces.joined(Ns::Pid).filter(|_| fstype == "proc");
    let options = &asked.options;
    let of_the_kernel = OF_THE_KERNEL.contains(&fstype);
    let mut attributes = options.new_attributes();
    if fstype == "cgroup2" && !request.cgroup.is_made() && attributes.set & RDONLY == 0 {
        // CVE-2023-25809: what it shows is the caller's.
        plan.warn(format!("the container has no cgroup of its own, so it may not write to any ({})", asked.origin));
        attributes.set |= RDONLY;
    }
    let read_only = attributes.set & RDONLY != 0;
    let read_only_at_the_end = read_only && fstype == "tmpfs";
    if read_only_at_the_end {
        attributes.set &= !RDONLY;
    }
    let mut params = Vec::new();
    if read_only && !of_the_kernel {
        let option = asked.mount.options().as_deref().unwrap_or_default();
        let option = option.iter().rposition(|option| option == "ro" || option == "rro").unwrap_or_default();
        params.push(Data { key: c"ro".to_owned(), value: None, option: option as u16 });
    }
    params.extend(flags(&asked, fstype, true, plan)?);
    params.extend(options.data.iter().filter(|data| !drop_gid(request, &asked, fstype, data, plan)).cloned());
    let origin = below(asked.origin, "source");
    let source = asked.mount.source().as_deref().map(|source| utf8(&origin, source)).transpose()?;
    let says = |key: &CStr| params.iter().any(|data: &Data| data.key.as_c_str() == key);
    let copy_up = options.copy_up.map(|_| CopyUp { mode: !says(c"mode"), owner: !says(c"uid") && !says(c"gid") });
    let what = What::Filesystem {
        covered_mode: fstype == "tmpfs" && copy_up.is_none() && !says(c"mode"),
        copy_up,
        fstype: text(&below(asked.origin, "type"), fstype)?,
        source: source.filter(|source| !source.is_empty()).map(|source| short(&origin, source)).transpose()?,
        params,
        read_only_at_the_end,
        context: context(request, &asked, fstype)?,
        pid,
    };
    let real = of_the_kernel && fstype != "tmpfs";
    planned(asked, what, attributes, if real { Target::RealDirectory } else { Target::Directory })
}

/// It takes a label only once it is mounted.
const MQUEUE: &str = "mqueue";

/// `linux.mountLabel`, unless the mount's own options say a label. It needs no quotes: fsconfig(2) takes a value whole.
fn context(request: &Request<'_>, asked: &Asked<'_>, fstype: &str) -> Result<Option<CString>, Invalid> {
    let has_own = asked.options.data.iter().any(|data| lsm::is_context(data.key.to_bytes()));
    let Some(label) = lsm::mount_label(request.linux, request.facts)?.filter(|_| !has_own) else { return Ok(None) };
    (lsm::takes_context(fstype) || fstype == MQUEUE).then(|| short(lsm::MOUNT, label)).transpose()
}

/// Engines ask for `gid=5` (tty) whatever is mapped; the kernel refuses a gid that is not.
fn drop_gid(request: &Request<'_>, asked: &Asked<'_>, fstype: &str, data: &Data, plan: &mut Draft) -> bool {
    let gid = data.value.as_ref().and_then(|value| value.to_str().ok()?.parse().ok());
    let is_unmapped = fstype == "devpts"
        && data.key.as_c_str() == c"gid"
        && request.spaces.has_user()
        && gid.is_some_and(|gid| !request.ids.has_gid(gid));
    if is_unmapped {
        let origin = below(&below(asked.origin, "options"), data.option);
        plan.warn(format!("the gid of devpts is not mapped in the user namespace, it is ignored ({origin})"));
    }
    is_unmapped
}

/// The filesystem of a namespace that the container's user namespace does not own cannot be made there (EPERM): what is
/// shown of the caller's is a copy of the host's.
fn host_view(
    request: &Request<'_>,
    asked: Asked<'_>,
    fstype: &str,
    ns: Ns,
    plan: &mut Draft,
) -> Result<Planned, Invalid> {
    let joined = request.spaces.joined(ns).is_some();
    let source = match fstype {
        "proc" | "mqueue" if joined => {
            let why = format!("{fstype} of a joined {ns} namespace cannot be mounted in a new user namespace");
            return Err(Invalid::unsupported(below(asked.origin, "type"), why));
        }
        "proc" => Path::new("/proc"),
        "mqueue" => Path::new("/dev/mqueue"),
        "sysfs" => Path::new("/sys"),
        _ => &super::cgroup::hierarchy(request.facts)?.mount,
    };
    for data in &asked.options.data {
        let origin = below(&below(asked.origin, "options"), data.option);
        plan.warn(format!("the {fstype} is the host's, {:?} is ignored ({origin})", data.key));
    }
    let mut attributes = asked.options.attributes();
    // What lies below comes along, since a user namespace may not uncover it (EINVAL): below /sys are cgroups, which the
    // caller's user may write (CVE-2023-25809).
    let mut below_it = Attributes { set: attributes.set & ALL_TAKEN, clear: 0 };
    if matches!(fstype, "sysfs" | "cgroup2") {
        if attributes.set & RDONLY == 0 {
            plan.warn(format!("the {fstype} is the host's, and therefore read-only ({})", asked.origin));
        }
        attributes.set |= ALL_TAKEN;
        below_it.set |= ALL_TAKEN;
    }
    // The host's own flags and access times stay.
    attributes = Attributes { set: attributes.set & !Attributes::ATIME, clear: 0 };
    let source = path_text(asked.origin, source)?;
    let what = What::Copied { source, from: Source::Host, recursive: true, recursive_attributes: below_it, ids: None };
    planned(asked, what, attributes, Target::RealDirectory)
}

/// Attaches the mounts in order.
pub(super) fn attach(
    request: &Request<'_>,
    mounts: &Mounts,
    carried: &Carried,
    plan: &mut Draft,
) -> Result<Attached, Invalid> {
    let mut attached = Attached::default();
    let dev = mounts.dev();
    for (index, mount) in mounts.mounts.iter().enumerate() {
        let target = Place { base: Slot::ROOT, skip: 0, path: Text(&mount.path) };
        match &mount.what {
            What::Copied { .. } => attach_copy(request, mount, target, carried, plan)?,
            What::Changed { params, recursive_attributes } => {
                change(mount, params, *recursive_attributes, target, plan);
                if mount.attributes.clear & RDONLY != 0 {
                    attached.read_only.retain(|(_, _, path)| *path != mount.path);
                }
            }
            What::Filesystem { .. } => {
                if let Some(slot) = attach_filesystem(mount, target, plan)? {
                    attached.read_only.push((mount.origin.clone(), slot, mount.path.clone()));
                }
            }
        }
        if dev == Some(index) {
            attached.dev_is_copied = matches!(mount.what, What::Copied { .. });
            attached.dev_is_shared =
                attached.dev_is_copied && mount.propagation.iter().any(|asked| asked.kind == SHARED);
            if !attached.dev_is_copied {
                // Opened before a later mount can come in between.
                let slot = plan.slot()?;
                plan.init(&mount.origin, InitOp::OpenDirectory { place: target, slot });
                attached.dev = Some(slot);
            }
        }
    }
    Ok(attached)
}

/// Changes what is mounted at a place.
fn change(mount: &Planned, params: &[Data], recursive_attributes: Attributes, place: Place<'_>, plan: &mut Draft) {
    let params = as_params(params);
    let op = InitOp::Remount {
        params: List::new(&params),
        attributes: mount.attributes,
        recursive_attributes,
        propagation: List::new(&mount.propagation),
        place,
    };
    plan.init(&mount.origin, op);
}

fn as_params(data: &[Data]) -> Vec<Param<'_>> {
    data.iter()
        .map(|data| Param { key: Text(&data.key), value: data.value.as_deref().map(Text), option: Some(data.option) })
        .collect()
}

fn attach_copy(
    request: &Request<'_>,
    mount: &Planned,
    target: Place<'_>,
    carried: &Carried,
    plan: &mut Draft,
) -> Result<(), Invalid> {
    let What::Copied { source, from, recursive, recursive_attributes, ids } = &mount.what else { return Ok(()) };
    let (tree, recursive_attributes) = match (from, *ids) {
        // What was staged has these already, locked.
        (Source::Stage(number), _) => (Tree::Staged(*number, Text(source)), Attributes::NONE),
        (Source::Host, ids) => (source_tree(mount, source, *recursive, ids, carried, plan)?, *recursive_attributes),
        (Source::Container(path), None) => (Tree::Inside(Text(path)), *recursive_attributes),
        (Source::Container(path), Some(Mapped { ids, deep })) => {
            let (place, slot) = (Place { base: Slot::ROOT, skip: 0, path: Text(path) }, plan.slot()?);
            plan.init(&mount.origin, InitOp::CopyInside { place, recursive: *recursive, slot });
            plan.host(&mount.origin, HostOp::MapCopy { ids, deep });
            (Tree::Held(slot, Text(path)), *recursive_attributes)
        }
    };
    // What was staged is nobody's peer already.
    let first = if *from == Source::Host { mount.apart(request, carried) } else { None };
    let propagation: Vec<_> = first.into_iter().chain(mount.propagation.iter().copied()).collect();
    let op = InitOp::Bind {
        tree,
        recursive: *recursive,
        attributes: mount.attributes,
        implied: mount.implied,
        recursive_attributes,
        propagation: List::new(&propagation),
        target,
        rule: mount.rule,
    };
    plan.init(&mount.origin, op);
    Ok(())
}

fn attach_filesystem(mount: &Planned, target: Place<'_>, plan: &mut Draft) -> Result<Option<Slot>, Invalid> {
    let What::Filesystem { fstype, source, params, covered_mode, read_only_at_the_end, copy_up, context, pid } =
        &mount.what
    else {
        return Ok(None);
    };
    let label = context.as_deref().map(Text);
    let is_late = fstype.as_bytes() == MQUEUE.as_bytes();
    let context = label.filter(|_| !is_late);
    let mut params = as_params(params);
    params.extend(context.map(|label| Param { key: Text(c"context"), value: Some(label), option: None }));
    let label = label.filter(|_| is_late);
    let covered = copy_up.map(|_| plan.slot()).transpose()?;
    if let Some(slot) = covered {
        plan.init(&mount.origin, InitOp::CoverDirectory { place: target, slot });
    }
    let keep = (*read_only_at_the_end || copy_up.is_some() || label.is_some()).then(|| plan.slot()).transpose()?;
    let op = InitOp::Mount {
        fstype: Text(fstype),
        source: source.as_deref().map(Text),
        params: List::new(&params),
        attributes: mount.attributes,
        propagation: List::new(&mount.propagation),
        target,
        rule: mount.rule,
        keep,
        pid: *pid,
        covered_mode: *covered_mode,
    };
    plan.init(&mount.origin, op);
    if let (Some(from), Some(to), Some(CopyUp { mode, owner })) = (covered, keep, *copy_up) {
        plan.init(&mount.origin, InitOp::CopyUp { from, to, path: Text(&mount.path), mode, owner });
    }
    if let (Some(slot), Some(label)) = (keep, label) {
        plan.init(lsm::MOUNT, InitOp::LabelMount { slot, label });
    }
    Ok(keep.filter(|_| *read_only_at_the_end))
}

/// What had to wait for its mount points becomes read-only.
pub(super) fn set_read_only(attached: &Attached, plan: &mut Draft) {
    for (origin, slot, path) in &attached.read_only {
        plan.init(origin, InitOp::SetReadOnly { slot: *slot, path: Text(path) });
    }
}
