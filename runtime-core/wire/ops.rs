//! Every op, on one page. The sentence is what `planc explain` prints, and what stands behind "cannot" in an error.

use core::fmt;

use super::codec::{List, Reader, Sink, Text, Wire};
use super::tree::Tree;
use super::types::*;
use super::unit::{Property, Systemd};

macro_rules! ops {
    ($(#[$edoc:meta])* $enum:ident: $(
        $(#[$doc:meta])*
        $tag:literal $op:ident { $($field:ident: $ty:ty),* } => $sentence:literal $(, $arg:expr)*;
    )*) => {
        $(#[$edoc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[allow(missing_docs, reason = "fields are named in the op's sentence and explained by their types")]
        pub enum $enum<'a> { $($(#[$doc])* $op { $($field: $ty),* },)* }

        impl<'a> $enum<'a> {
            /// Its name, as `planc explain --json` gives it.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$op { .. } => stringify!($op),)* }
            }

            /// Appends the fields and returns the tag.
            pub(super) fn encode(&self, out: &mut impl Sink) -> u16 {
                match self { $(Self::$op { $($field),* } => { let _ = &out; $($field.put(out);)* $tag })* }
            }

            /// Reads the fields of the op with this tag; all of `body` must be used.
            pub(super) fn decode(tag: u16, body: &'a [u8]) -> Option<Self> {
                let mut from = Reader::new(body);
                let op = match tag {
                    $($tag => Self::$op { $($field: <$ty>::get(&mut from)?),* },)*
                    _ => return None,
                };
                from.is_empty().then_some(op)
            }
        }

        impl fmt::Display for $enum<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(#[allow(unused_variables, reason = "a sentence need not name every field")]
                    Self::$op { $($field),* } => write!(f, $sentence $(, $arg)*),)*
                }
            }
        }
    };
}

ops! {
    /// What the host performs.
    HostOp:
    /// Journals the id; the directory is made with mkdir, which is what makes the id unique.
    1 ClaimId { path: Text<'a> } => "make the state directory {path}";
    /// Fails before anything is made where the root filesystem is missing.
    2 CheckRootfs { path: Text<'a> } => "look up the directory of the root filesystem {path}";
    /// `path` starts at the hierarchy's mount point `root`.
    /// `controllers`, separated by spaces, are handed down to it by every cgroup above it that can.
    3 CreateCgroup { root: Text<'a>, path: Text<'a>, controllers: Text<'a> } => "make the cgroup {path}";
    /// BPF_PROG_TYPE_CGROUP_DEVICE instructions, 8 bytes each.
    4 FilterDevices { program: &'a [u8] } => "attach a device filter of {} instructions", program.len() / 8;
    /// The type of what is opened is checked with NS_GET_NSTYPE.
    5 OpenNamespace { ns: Ns, path: Text<'a>, slot: Slot } => "open the {ns} namespace {path} as {slot}";
    /// A SOCK_SEQPACKET socket `start.sock` in the state directory.
    6 ListenForStart { slot: Slot } => "listen for start as {slot}";
    /// vfork-clone, and execveat of the sealed init program.
    7 SpawnInit { spaces: Spaces, into_cgroup: bool } => "spawn init with {spaces} new namespaces";
    /// user_namespaces(7); without privileges one line of the caller's own id. An empty list is not written.
    8 WriteIdMaps { uids: List<'a, IdMap>, gids: List<'a, IdMap>, deny_setgroups: bool }
        => "write {} uid and {} gid maps", uids.len(), gids.len();
    /// prlimit(2) from outside, for an init that lost the host's privileges to a user namespace.
    9 LimitInit { name: Text<'a>, resource: u32, soft: u64, hard: u64 } => "limit {} to {soft}:{hard}", Bare(*name);
    /// From here on the container is created, and outlives the runtime.
    10 RecordState {} => "record the state";
    /// The same at once, of an init that nobody starts: so that nobody waits for it later.
    48 RecordBirth {} => "record the state, with init as it is born";
    /// Written under another name and renamed, without a newline.
    11 WritePidFile { path: Text<'a> } => "write the pid to {path}";
    /// The container's, for a process that joins it. `below` is resolved inside of it, never out of it. Where the kernel
    /// takes no process in a cgroup with controlled children, and none below was asked for, it is that of `init`.
    12 OpenCgroup { path: Text<'a>, below: Option<Text<'a>>, init: u32 } => "open the cgroup {path}{}", Below(below);
    /// By the pidfd through which it was seen to be the container's init.
    13 OpenInit { pid: u32, slot: Slot } => "open the container's init, process {pid}, as {slot}";
    /// Of the container's init, for a container in the host's mount namespace: /proc/PID/root (proc(5)).
    38 OpenRoot { pid: u32, slot: Slot } => "open the root directory of process {pid} as {slot}";
    /// The last word of the host before a process that joins becomes the program: without it the process ends.
    14 CheckInit {} => "check that the container still runs";
    /// One write to a file of the container's cgroup (Documentation/admin-guide/cgroup-v2.rst).
    15 SetCgroup { file: Text<'a>, value: &'a [u8], missing: Missing<'a> }
        => "set {} to \"{}\"{missing}", Bare(*file), value.escape_ascii();
    /// Journalled before the first hook: whatever ends the container from here on, its poststop hooks are run.
    16 OwePoststop {} => "owe the poststop hooks from here on";
    /// In the runtime's namespaces; the step ends with the hook, or with its time.
    17 RunHook { hook: Hook<'a> } => "run the {hook}";
    /// mount_setattr(2) with MOUNT_ATTR_IDMAP of the copy that came with init's turn: init has no privileges over its
    /// filesystem any more. `deep`: what is mounted below as well.
    91 MapCopy { ids: Slot, deep: bool } => "have the ids of that copy{} mapped by {ids}", Deep(*deep);
    /// newuidmap(1): ids that the caller was given (subuid(5)).
    24 HaveUidsMapped { maps: List<'a, IdMap> } => "let newuidmap write {} uid maps", maps.len();
    /// newgidmap(1): ids that the caller was given (subgid(5)).
    25 HaveGidsMapped { maps: List<'a, IdMap> } => "let newgidmap write {} gid maps", maps.len();
    /// In which nothing runs: what an idmapped mount takes its id maps from (mount_setattr(2), MOUNT_ATTR_IDMAP).
    36 MakeUserNamespace { uids: List<'a, IdMap>, gids: List<'a, IdMap>, slot: Slot }
        => "make a user namespace of {} uid and {} gid maps as {slot}", uids.len(), gids.len();
    /// The directory, and those of its files that the kernel lists in /sys/kernel/cgroup/delegate (cgroups(7)). One that was
    /// there before the container keeps its owner.
    29 OwnCgroup { uid: u32 } => "give the cgroup to uid {uid}";
    /// To a SOCK_STREAM socket, with SCM_RIGHTS (unix(7)).
    28 SendPidfd { socket: Text<'a> } => "send a pidfd of init to {socket}";
    /// A SOCK_STREAM connection for each process that is filtered: now, so that create fails where nobody listens.
    32 ConnectSeccompAgent { path: Text<'a>, slot: Slot } => "connect to the seccomp agent at {path} as {slot}";
    /// One message on a SOCK_STREAM socket: the name of the pty, and its master (SCM_RIGHTS).
    20 SendTerminal { path: Text<'a> } => "send the terminal to {path}";
    /// Fails before anything is made where the device is missing.
    40 FindNetDevice { name: Text<'a> } => "find the network device {}", Bare(*name);
    /// rtnetlink(7): one RTM_NEWLINK moves and renames it; then it gets its permanent global addresses again, and is up.
    /// Journalled where the namespace is joined, and so outlives the container.
    41 MoveNetDevice { name: Text<'a>, inside: Text<'a>, joined: Option<Text<'a>> }
        => "move the network device {} into the container, there {}", Bare(*name), Bare(*inside);
    /// In the resctrl that is mounted at `root`; without a name it is the default one. `own`: it goes with the container. One
    /// that is there must have these schemata; without any it must be there (Documentation/filesystems/resctrl.rst).
    44 MakeClos { root: Text<'a>, name: Text<'a>, own: bool, schemata: List<'a, Text<'a>> }
        => "{} {} of the resctrl at {root}", Clos(*own, schemata), Class(*name);
    /// One write to its file `schemata`. A shared CLOS that was there already has them.
    45 SetSchemata { lines: &'a [u8] } => "give the CLOS the schemata \"{}\"", lines.trim_ascii_end().escape_ascii();
    /// Fails where there is one of this name: it would not be the container's alone.
    46 MakeMonitoringGroup { path: Text<'a> } => "make the monitoring group {path}";
    /// One write of init's pid to its file `tasks`; what is born of init is in it as well.
    47 EnterGroup { path: Text<'a> } => "put init into the resctrl group {path}";
    /// For whoever called the runtime: an attached run, or a program that embeds it.
    21 KeepTerminal {} => "keep the terminal for the caller";
    /// StartTransientUnit (org.freedesktop.systemd1(5)) with init in it; the step ends when the job is done and init is
    /// seen in `path`, which starts at the cgroup of that systemd.
    22 StartUnit {
        root: Text<'a>, path: Text<'a>, unit: Text<'a>, by: Systemd, properties: List<'a, Property<'a>>,
        controllers: Text<'a>
    } => "have {by} start the unit {unit}, and init in it at {path}";
    /// What config.json asks of the unit that is about to be started.
    23 SetProperty { property: Property<'a> } => "ask for {property} of the unit";
    /// SetUnitProperties, until the next boot.
    26 ChangeUnit { property: Property<'a> } => "ask for {property} of the running unit";
    /// AttachProcessesToUnit: whom the caller may not move, and so not have born there, its systemd has moved by the host's.
    27 EnterUnit { unit: Text<'a>, below: Option<Text<'a>> }
        => "have the user's systemd put init into the unit {unit}{}, unless it was born there", Below(below);
}

ops! {
    /// What init performs.
    InitOp:
    /// Not dumpable is init's first instruction already; this adds PR_SET_PDEATHSIG.
    1 Harden {} => "become undumpable, and die if the runtime dies";
    /// Ignored ones too: execve keeps SIG_IGN.
    2 ResetSignals {} => "restore every signal's default action and unblock all";
    /// close_range(2) behind the inherited slots.
    3 CloseOthers {} => "close every descriptor that the plan does not name";
    /// Written to /proc/self/oom_score_adj while /proc is the host's.
    4 SetOomScore { score: i32 } => "set oom_score_adj to {score}";
    /// setns(2). Of a pid or time namespace it decides where children are born.
    5 Join { ns: Ns, slot: Slot } => "join the {ns} namespace in {slot}";
    /// unshare(2)
    6 Unshare { spaces: Spaces } => "make new {spaces} namespaces";
    /// The id maps of a process that is not dumpable belong to root.
    7 AllowMaps {} => "be dumpable while the id maps are written";
    /// Again, before anything is joined.
    8 Undump {} => "be undumpable again";
    /// In the user namespace, so that what is made next belongs to mapped ids.
    9 BecomeRoot {} => "become uid 0 and gid 0 of the user namespace";
    /// clone3(CLONE_PARENT): the child is the host's, and goes on with the next step.
    10 Refork {} => "be born again into the new namespaces";
    /// setsid(2)
    11 NewSession {} => "lead a new session";
    /// mount_setattr(2) of the root directory.
    12 Propagate { kind: Propagation } => "make the mounts of the host {kind}";
    /// A tmpfs nobody else sees; init's working directory, so that it is found again after unshare. Not over the root
    /// directory: a process whose root is covered counts as chrooted, and may make no user namespace (unshare(2), EPERM).
    13 MakeStage { at: Text<'a> } => "make a stage for the host's trees over {at}";
    /// Copied on the stage in the host's user namespace: entering another one locks its flags and what it covers.
    83 StageTree {
        number: u16, tree: Tree<'a>, recursive: bool, attributes: Attributes, recursive_attributes: Attributes,
        propagation: List<'a, Propagation>
    } => "stage a copy of {tree}{}", Options(attributes, recursive_attributes, propagation);
    /// open_tree(2), and mount_setattr(2) with MOUNT_ATTR_IDMAP where `ids` are mapped: by who has privileges over the
    /// filesystem. `deep`: those of what is mounted below as well.
    81 CopyTree { source: Text<'a>, recursive: bool, ids: Option<Slot>, deep: bool, slot: Slot }
        => "copy {source} as {slot}{}", Mapped(*ids, *deep);
    /// setns(2) into a mount namespace that has none of the host's mounts, so that nobody copies those. What is taken from the
    /// host has been copied by then.
    104 LeaveMounts { slot: Slot } => "leave the host's mounts for the few of {slot}";
    /// The tree becomes the directory from which every later path is resolved.
    15 AttachRootfs { tree: Tree<'a>, at: Option<Text<'a>>, propagation: List<'a, Propagation> }
        => "take {tree} as the root filesystem";
    /// fsopen(2), fsconfig(2), fsmount(2), and one move_mount(2). `covered_mode`: with the permissions of the directory that
    /// is there already, if one is.
    16 Mount {
        fstype: Text<'a>, source: Option<Text<'a>>, params: List<'a, Param<'a>>, attributes: Attributes,
        propagation: List<'a, Propagation>, target: Place<'a>, rule: Target, keep: Option<Slot>, pid: Option<Slot>,
        covered_mode: bool
    } => "mount {} at {target}{}", Bare(*fstype), Options(attributes, &Attributes::NONE, propagation);
    /// open_tree(2), mount_setattr(2), and one move_mount(2). `implied`: what of `attributes` nobody named. Where it is locked
    /// (mount_namespaces(7)) it stays as it is.
    17 Bind {
        tree: Tree<'a>, recursive: bool, attributes: Attributes, implied: u64, recursive_attributes: Attributes,
        propagation: List<'a, Propagation>, target: Place<'a>, rule: Target
    } => "bind {tree} to {target}{}{}", Options(&named(*attributes, *implied), recursive_attributes, propagation),
        Alone(*implied);
    /// A detached copy of what is mounted in the container by now. It goes to the host with init's next turn, and stays in
    /// the slot.
    90 CopyInside { place: Place<'a>, recursive: bool, slot: Slot } => "copy what is at {place} as {slot}";
    /// Of what is mounted there: fspick(2) and fsconfig(2) where there are parameters, and mount_setattr(2). What is not
    /// named stays as it is.
    80 Remount {
        params: List<'a, Param<'a>>, attributes: Attributes, recursive_attributes: Attributes,
        propagation: List<'a, Propagation>, place: Place<'a>
    } => "change the mount at {place}{}", Options(attributes, recursive_attributes, propagation);
    /// Kept open for [`Self::CopyUp`]; made where it is missing.
    84 CoverDirectory { place: Place<'a>, slot: Slot } => "open {place}, which is about to be covered, as {slot}";
    /// `mode`, `owner`: whether the mount's own directory gets the covered one's. What is mounted below is left out.
    85 CopyUp { from: Slot, to: Slot, path: Text<'a>, mode: bool, owner: bool } => "fill {path} with what it covers";
    /// For a tmpfs below which later steps had to make mount points.
    18 SetReadOnly { slot: Slot, path: Text<'a> } => "make {path} read-only, now that it is furnished";
    /// Kept open for the steps that fill it.
    19 OpenDirectory { place: Place<'a>, slot: Slot } => "open {place} as {slot}";
    /// A node that is there already must be the same.
    20 MakeDevice { place: Place<'a>, device: Device, uid: u32, gid: u32 } => "make the device {place} ({device})";
    /// Where mknod(2) is not permitted. The host's node is checked to be the device.
    21 BindDevice { place: Place<'a>, source: Tree<'a>, device: Device } => "bind the host's {source} to {place} ({device})";
    /// A link, or whatever else is there already, is left as it is.
    22 MakeLink { place: Place<'a>, target: Text<'a> } => "link {place} to {target}";
    /// pivot_root(".", "."), then the old root is detached.
    23 PivotRoot {} => "make the root filesystem the root";
    /// MS_MOVE and chroot, for a root that cannot be pivoted (an initramfs). What is mounted at `others` is detached first: it
    /// would be out of sight, and a procfs or sysfs of it would permit new ones with nothing masked (mount_namespaces(7)).
    86 MoveRoot { others: List<'a, Text<'a>> }
        => "detach {} mounts of the host, move the root filesystem to the root, and change to it", others.len();
    /// open_tree(2), setns(2) and chroot(2), for a container that shares the host's mount namespace: the root filesystem was put
    /// together in another one, which ends with this; the copy is mounted nowhere.
    101 ReturnWithRoot { host: Slot }
        => "copy the root filesystem, return to the mount namespace in {host}, and change to the copy";
    /// open_tree(2) of /dev/null, checked to be 1:3 (CVE-2025-31133), and read-only.
    25 TakeNull { slot: Slot } => "take a read-only copy of /dev/null as {slot}";
    /// One for every masked directory, so that one superblock serves them all.
    26 MakeEmpty { slot: Slot, context: Option<Text<'a>> }
        => "make an empty read-only tmpfs as {slot}{}", Labelled(context);
    /// A path that is not there is skipped.
    27 Mask { place: Place<'a>, null: Slot, empty: Slot } => "mask {place}";
    /// A path that is not there is skipped.
    28 Protect { place: Place<'a> } => "make {place} read-only";
    /// root.readonly
    29 ProtectRoot {} => "make the root filesystem read-only";
    /// fsopen(2): nothing in the container can stand in its way. `host`: a copy of the host's, where a new one is denied.
    30 OpenProc { slot: Slot, host: bool } => "open a procfs of init's own as {slot}";
    /// Resolved below the `sys` directory of that procfs.
    31 WriteSysctl { proc: Slot, key: Text<'a>, value: &'a [u8] } => "set {} to \"{}\"", Bare(*key), value.escape_ascii();
    /// sethostname(2)
    32 SetHostname { name: &'a [u8] } => "set the host name to \"{}\"", name.escape_ascii();
    /// setdomainname(2)
    33 SetDomainname { name: &'a [u8] } => "set the domain name to \"{}\"", name.escape_ascii();
    /// setrlimit(2), while init has the host's privileges.
    34 Limit { name: Text<'a>, resource: u32, soft: u64, hard: u64 } => "limit {} to {soft}:{hard}", Bare(*name);
    /// keyctl(2). A kernel without keyrings, or a full quota, is no error.
    35 JoinKeyring { name: Text<'a>, permissions: u32 } => "join a new session keyring {name}";
    /// prctl(PR_CAPBSET_DROP) of all others.
    36 Bound { keep: u64 } => "bound capabilities to {keep:#x}";
    /// setgroups, setgid, setuid in this order, keeping capabilities. No groups at all where setgroups is denied.
    37 SetUser { uid: u32, gid: u32, groups: Option<List<'a, u32>> } => "become uid {uid}, gid {gid}{}", Groups(groups);
    /// One capset(2), then each ambient one. What follows may use no capability the container has not.
    38 SetCapabilities { sets: Capabilities } => "hold capabilities {:#x}, ambient {:#x}", sets.permitted, sets.ambient;
    /// umask(2)
    39 SetUmask { mask: u32 } => "set the umask to {mask:04o}";
    /// prctl(PR_SET_NO_NEW_PRIVS)
    40 NoNewPrivileges {} => "gain no privileges by execve";
    /// Before the user is changed; where this is denied it is tried again after.
    41 EnterDirectory { path: Text<'a> } => "enter {path}, made if missing";
    /// getcwd(2) must lie inside the container's root (CVE-2024-21626).
    42 VerifyDirectory { path: Text<'a> } => "verify that {path} is inside the container";
    /// The first candidate that is a file the user may execute.
    43 FindProgram { name: Text<'a>, candidates: List<'a, Text<'a>> } => "find {name} in the container";
    /// The sixth field of the uid's line in /etc/passwd, or "/".
    44 FindHome { uid: u32 } => "look up the home directory of uid {uid}";
    /// The death of whoever made the container is nothing to it from here on.
    45 OutliveRuntime {} => "outlive the runtime";
    /// accept4(2): who connects is the host of the second act.
    46 AwaitStart { listener: Slot } => "wait for start";
    /// Everything but the turn socket is closed first, not only marked (CVE-2024-21626). `home`: which of `env` it replaces.
    47 Execute { args: List<'a, Text<'a>>, env: List<'a, Text<'a>>, home: Option<u16> } => "execute {}", Joined(args);
    /// One setns(2) with a pidfd: the namespaces of the container's init, all at once.
    48 JoinAll { spaces: Spaces, init: Slot } => "join the {spaces} namespaces of the process in {init}";
    /// The root of the mount namespace that was joined becomes the directory from which every later path is resolved.
    49 TakeRoot {} => "take the root of the joined mount namespace";
    /// chroot(2), before [`Self::TakeRoot`]: it is no other in the mount namespace.
    102 JoinRoot { slot: Slot } => "join the root directory in {slot}";
    /// As `EnterDirectory`, and nothing is made.
    50 ChangeDirectory { path: Text<'a> } => "enter {path}";
    /// A container that waits for start holds no directory and no mount.
    51 CloseSlots { keep: List<'a, Slot> } => "close every slot but {}", Joined(keep);
    /// JSON (runtime-spec runtime.md#state) up to what only init knows: the status, and its own pid.
    52 HoldState { state: &'a [u8] } => "hold the state that hooks are given, {} bytes", state.len();
    /// By a child of init, in init's namespaces and with its rights; the step ends with the hook, or with its time.
    53 RunHookInside { hook: Hook<'a> } => "run the {hook}";
    /// Below /proc the namespaces of a process that is not dumpable are closed to an unprivileged caller's hooks (proc(5)).
    54 AllowHooks {} => "be dumpable while the host's hooks are run";
    /// Again, before anything of the container's is run.
    55 EndHooks {} => "be undumpable behind the host's hooks";
    /// A new pty of the devpts at `pts` (pts(4)), whose other end is opened by TIOCGPTPEER: no path leads to it. Its master
    /// goes to the host with init's next turn.
    56 OpenTerminal { pts: Place<'a>, uid: u32, size: Option<WindowSize>, onlcr: bool, slot: Slot }
        => "open a terminal{} on {pts} for uid {uid} as {slot}", OfSize(size);
    /// By descriptor, over a file that is made where none is.
    57 BindConsole { place: Place<'a>, terminal: Slot } => "bind the terminal in {terminal} to {place}";
    /// ioctl(TIOCSCTTY) and dup3(2); from here on nothing of the caller's streams is left.
    58 TakeTerminal { terminal: Slot } => "take the terminal in {terminal} as controlling terminal and standard streams";
    /// fchown(2) of those standard streams that lie on the kernel's own pipefs (pipe(7)), so that the user may open
    /// /dev/stdout again. Nothing else that a caller can hand over is touched: no path leads to such a pipe.
    103 OwnStreams { uid: u32 } => "make uid {uid} the owner of the standard streams that are anonymous pipes";
    /// setgroups(2) with none. A joined user namespace may deny it for good (user_namespaces(7)); that is no error.
    60 LeaveGroups {} => "leave every group, unless the user namespace denies it";
    /// As [`Self::SetOomScore`], by who may not lower it below what an administrator set: that is no error.
    61 TryOomScore { score: i32 } => "set oom_score_adj to {score}, if that is permitted";
    /// Instructions of 8 bytes and flags, as seccomp(2) takes them, for startContainer hooks and for the program. `raised`:
    /// what a process that may gain privileges needs to install it, until execve(2) takes that away.
    62 HoldSeccomp { flags: u32, program: &'a [u8], raised: Option<Capabilities> }
        => "hold a seccomp filter of {} instructions{}", program.len() / 8, Flags(*flags);
    /// The container process state without the pid, for the next process that is filtered.
    63 HoldSeccompAgent { socket: Slot, state: &'a [u8] } => "hold the connection {socket} for the seccomp listener";
    /// After it no system call is made but execve(2). The listener is sent by a thread that has no filter, and that
    /// execve(2) ends.
    64 InstallSeccomp {} => "install the seccomp filter";
    /// sched_setaffinity(2): the caller may be pinned, which is nothing to the container.
    67 ResetAffinity {} => "run on any CPU";
    /// A bit set. CPUs that the cgroup has not are no error: what runs on them only brings the process there.
    72 TryAffinity { cpus: &'a [u8] } => "run on the CPUs {} for now, if it may", Numbers(cpus);
    /// A bit set.
    73 SetAffinity { cpus: &'a [u8] } => "run on the CPUs {}", Numbers(cpus);
    /// sched_setattr(2)
    68 SetScheduler { attributes: SchedulerAttributes } => "set the scheduling policy {}", attributes.policy;
    /// ioprio_set(2)
    69 SetIoPriority { value: u16 } => "set the I/O priority, class {}, level {}", value >> 13, value & 0x1fff;
    /// personality(2)
    70 SetPersonality { persona: u32 } => "set the personality {persona:#x}";
    /// set_mempolicy(2): a mode with its flags, and a bit set.
    71 SetMemoryPolicy { mode: u32, nodes: &'a [u8] } => "set the memory policy {mode:#x} of nodes {}", Numbers(nodes);
    /// Written to /proc/self/timens_offsets, before a process is in the namespace. Dumpable for that one write: the file of
    /// a process that is not belongs to root.
    74 SetTimeOffsets { lines: &'a [u8] } => "set the clocks off: {}", lines.trim_ascii_end().escape_ascii();
    /// One write to a file below thread-self/attr of that procfs (proc_pid_attr(5)); what is read back must begin with
    /// `expect`.
    75 WriteLabel { proc: Slot, file: Text<'a>, value: Text<'a>, expect: Text<'a> }
        => "label itself: {} in attr/{}", Quoted(*value), Bare(*file);
    /// fsetxattr(2) of security.selinux on the root of a mount that takes no `context=` (mqueue).
    76 LabelMount { slot: Slot, label: Text<'a> } => "label the mount in {slot}: {}", Quoted(*label);
    /// SIOCSIFFLAGS (netdevice(7)): in a network namespace that is new even the loopback interface is down.
    77 RaiseLoopback {} => "set the loopback interface up";
}

/// What of SECCOMP_FILTER_FLAG_* is set, behind a sentence.
struct Flags(u32);

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [(1, "LOG"), (2, "SPEC_ALLOW"), (3, "NEW_LISTENER"), (5, "WAIT_KILLABLE_RECV")];
        flags.iter().filter(|(bit, _)| self.0 >> bit & 1 == 1).try_for_each(|(_, name)| write!(f, ", {name}"))
    }
}

/// A cgroup below another one.
struct Below<'a>(&'a Option<Text<'a>>);

impl fmt::Display for Below<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |path| write!(f, ", and {path} below it"))
    }
}

/// The numbers of a bit set.
struct Numbers<'a>(&'a [u8]);

impl fmt::Display for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits =
            self.0.iter().enumerate().flat_map(|(at, byte)| (0..8).map(move |bit| (at * 8 + bit, byte >> bit & 1)));
        let numbers = bits.filter(|(_, bit)| *bit == 1).map(|(number, _)| number);
        for (n, number) in numbers.enumerate() {
            write!(f, "{}{number}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// A text without quotes: names that are words.
struct Bare<'a>(Text<'a>);

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.bytes().escape_ascii())
    }
}

/// What is done about a CLOS: by whether it is the container's own, and by what it must have.
struct Clos<'a>(bool, &'a List<'a, Text<'a>>);

impl fmt::Display for Clos<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.0, self.1.is_empty()) {
            (true, _) => "make",
            (false, true) => "find",
            (false, false) => "make, or find with its schemata,",
        })
    }
}

/// The name of a CLOS; the default one has none.
struct Class<'a>(Text<'a>);

impl fmt::Display for Class<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.bytes().is_empty() { f.write_str("the default CLOS") } else { write!(f, "the CLOS {}", self.0) }
    }
}

/// A label behind a sentence.
struct Labelled<'a>(&'a Option<Text<'a>>);

impl fmt::Display for Labelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |label| write!(f, ", labelled {label}"))
    }
}

/// A text between quotes, escaped once.
struct Quoted<'a>(Text<'a>);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.bytes().escape_ascii())
    }
}

/// The size of a terminal behind its name.
struct OfSize<'a>(&'a Option<WindowSize>);

impl fmt::Display for OfSize<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |size| write!(f, " of {size}"))
    }
}

/// Whether what is mounted below is meant too.
struct Deep(bool);

impl fmt::Display for Deep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 { " and those of what is mounted below it" } else { "" })
    }
}

/// What the ids of a copy are mapped by, if they are.
struct Mapped(Option<Slot>, bool);

impl fmt::Display for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Some(ids), deep) = self else { return Ok(()) };
        write!(f, ", its ids{} mapped by {ids}", Deep(*deep))
    }
}

/// Attributes without what nobody named.
const fn named(attributes: Attributes, implied: u64) -> Attributes {
    Attributes { set: attributes.set, clear: attributes.clear & !implied }
}

/// Whether the flags that were named are all that a mount is to have.
struct Alone(u64);

impl fmt::Display for Alone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 == 0 { "" } else { ", and no other flag" })
    }
}

/// The options of a mount behind its sentence.
struct Options<'a>(&'a Attributes, &'a Attributes, &'a List<'a, Propagation>);

impl fmt::Display for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_none() {
            write!(f, ", {}", self.0)?;
        }
        if !self.1.is_none() {
            write!(f, ", recursively {}", self.1)?;
        }
        self.2.iter().try_for_each(|kind| write!(f, ", {kind}"))
    }
}

/// The supplementary groups behind their sentence.
struct Groups<'a>(&'a Option<List<'a, u32>>);

impl fmt::Display for Groups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str(", keeping its groups"),
            Some(groups) if groups.is_empty() => f.write_str(", no groups"),
            Some(groups) => write!(f, ", groups {}", Joined(groups)),
        }
    }
}
