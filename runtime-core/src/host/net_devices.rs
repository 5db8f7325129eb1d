//! Network devices (runtime-spec config-linux.md#network-devices): moved into a container's network namespace with their
//! names and addresses, and back again where the container is not made after all.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat};
use serde::{Deserialize, Serialize};

use super::netlink::{Message, NLM_F_CREATE_EXCL, Refusal, Socket, attributes, number};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_NEW_IFINDEX: u16 = 49;
const IFF_UP: u32 = 1;

/// An interface of a network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Link {
    index: u32,
    up: bool,
    /// Its hardware address, by which it is known again.
    hardware: Vec<u8>,
}

/// struct ifinfomsg
const LINK_HEADER: usize = 16;

fn link_header(index: u32, flags: u32, change: u32) -> [u8; LINK_HEADER] {
    let mut header = [0; LINK_HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&change.to_ne_bytes());
    header
}

fn link_of(answer: &[u8]) -> Option<Link> {
    let (index, flags) = (number(answer, 4)?, number(answer, 8)?);
    let mut attributes = attributes(answer.get(LINK_HEADER..)?);
    let hardware = attributes.find(|(kind, _)| *kind == IFLA_ADDRESS).map_or(&[][..], |(_, value)| value).to_vec();
    Some(Link { index, up: flags & IFF_UP != 0, hardware })
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Address {
    family: u8,
    prefix: u8,
    scope: u8,
    /// Its attributes, as the kernel takes them again.
    attributes: Vec<(u16, Vec<u8>)>,
}

/// Which of an interface's addresses are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// Those that the rest of the network knows (RT_SCOPE_UNIVERSE).
    Global,
    /// All.
    Any,
}

const RT_SCOPE_UNIVERSE: u8 = 0;
const IFA_F_PERMANENT: u32 = 0x80;
const IFA_FLAGS: u16 = 8;

/// struct ifaddrmsg
const ADDRESS_HEADER: usize = 8;

impl Address {
    /// Of this interface and permanent, without what the kernel found out about it. Its label would be the old name;
    /// without one it is the new.
    fn of(answer: &[u8], index: u32) -> Option<Self> {
        /// IFA_ADDRESS, _LOCAL, _BROADCAST, _ANYCAST, _RT_PRIORITY, _PROTO
        const KEPT: [u16; 6] = [1, 2, 4, 5, 9, 11];
        /// IFA_F_NODAD, _HOMEADDRESS, _MANAGETEMPADDR, _NOPREFIXROUTE, _MCAUTOJOIN
        const KEPT_FLAGS: u32 = 0x02 | 0x10 | 0x100 | 0x200 | 0x400;
        let [family, prefix, flags, scope] = *answer.first_chunk::<4>()?;
        let all: Vec<_> = attributes(answer.get(ADDRESS_HEADER..)?).collect();
        let wide = all.iter().find(|(kind, _)| *kind == IFA_FLAGS).and_then(|(_, value)| number(value, 0));
        let flags = wide.unwrap_or(u32::from(flags));
        if number(answer, 4)? != index || flags & IFA_F_PERMANENT == 0 {
            return None;
        }
        let kept = all.into_iter().filter(|(kind, _)| KEPT.contains(kind));
        let mut attributes: Vec<_> = kept.map(|(kind, value)| (kind, value.to_vec())).collect();
        attributes.push((IFA_FLAGS, (flags & KEPT_FLAGS).to_ne_bytes().to_vec()));
        Some(Self { family, prefix, scope, attributes })
    }

    /// Adds it to an interface.
    fn message(&self, index: u32) -> Message {
        let mut header = [self.family, self.prefix, 0, self.scope, 0, 0, 0, 0];
        header[4..].copy_from_slice(&index.to_ne_bytes());
        let message = Message::new(RTM_NEWADDR, &header);
        self.attributes.iter().fold(message, |message, (kind, value)| message.with(*kind, value))
    }
}

impl Socket {
    /// The interface with this name.
    fn link(&self, name: &str) -> Result<Option<Link>, Refusal> {
        self.get(Message::new(RTM_GETLINK, &link_header(0, 0, 0)).with_text(IFLA_IFNAME, name))
    }

    /// Whether the interface with this index is that one.
    fn has(&self, index: u32, link: &Link) -> Result<bool, Refusal> {
        let found = self.get(Message::new(RTM_GETLINK, &link_header(index, 0, 0)))?;
        Ok(found.is_some_and(|found| found.hardware == link.hardware))
    }

    fn get(&self, message: Message) -> Result<Option<Link>, Refusal> {
        match self.ask(message, 0) {
            Err(refusal) if refusal.errno == Errno::ENODEV => Ok(None),
            answers => Ok(answers?.first().and_then(|answer| link_of(answer))),
        }
    }

    /// An index that no interface of this namespace has.
    fn free_index(&self) -> Result<u32, Refusal> {
        let links = self.dump(Message::new(RTM_GETLINK, &link_header(0, 0, 0)))?;
        let greatest = links.iter().filter_map(|answer| link_of(answer)).map(|link| link.index).max();
        Ok(greatest.unwrap_or(0) + 1)
    }

    fn addresses(&self, index: u32) -> Result<Vec<Address>, Refusal> {
        let answers = self.dump(Message::new(RTM_GETADDR, &[0; ADDRESS_HEADER]))?;
        Ok(answers.iter().filter_map(|answer| Address::of(answer, index)).collect())
    }

    /// Moves an interface into another namespace, where it has another name and index: one request, under one lock.
    fn give(&self, from: u32, namespace: BorrowedFd<'_>, name: &str, to: u32) -> Result<(), Refusal> {
        let message = Message::new(RTM_NEWLINK, &link_header(from, 0, 0))
            .with(IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes())
            .with_text(IFLA_IFNAME, name)
            .with(IFLA_NEW_IFINDEX, &to.to_ne_bytes());
        self.ask(message, 0).map(drop)
    }

    /// Gives an interface its addresses. One that it has got already is no error.
    fn address(&self, index: u32, addresses: &[Address], scope: Scope) -> Result<(), Refusal> {
        let meant = |address: &&Address| scope == Scope::Any || address.scope == RT_SCOPE_UNIVERSE;
        for address in addresses.iter().filter(meant) {
            match self.ask(address.message(index), NLM_F_CREATE_EXCL) {
                Err(refusal) if refusal.errno == Errno::EEXIST => {}
                added => drop(added?),
            }
        }
        Ok(())
    }

    fn up(&self, index: u32) -> Result<(), Refusal> {
        self.ask(Message::new(RTM_NEWLINK, &link_header(index, IFF_UP, IFF_UP)), 0).map(drop)
    }
}

/// Whether the caller's network namespace has an interface of this name.
pub(crate) fn is_there(name: &str) -> Result<bool, Refusal> {
    Ok(Socket::open()?.link(name)?.is_some())
}

/// Why a device was not moved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotMoved {
    /// The caller's namespace has none of this name.
    Missing,
    /// The container's has one of this name.
    Taken,
    /// The container's namespace is the caller's.
    NotPrivate,
    /// The kernel did not do it.
    Refused(Refusal),
}

impl<E: Into<Refusal>> From<E> for NotMoved {
    fn from(refusal: E) -> Self {
        Self::Refused(refusal.into())
    }
}

/// A device that was moved, or was about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Moved {
    name: String,
    before: Link,
    /// Its index in the container.
    index: u32,
    addresses: Vec<Address>,
}

/// The devices of the host that a container got.
///
/// Its socket keeps the container's network namespace alive, and with it what was moved there.
#[derive(Debug)]
pub(crate) struct NetDevices {
    own: OwnedFd,
    namespace: OwnedFd,
    outside: Socket,
    inside: Socket,
    moved: Vec<Moved>,
}

/// What a namespace is known by: its device and inode.
type Identity = (u64, u64);

fn identity(namespace: &OwnedFd) -> nix::Result<Identity> {
    fstat(namespace).map(|status| (status.st_dev, status.st_ino))
}

fn open_namespace(path: &Path) -> nix::Result<OwnedFd> {
    open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
}

impl NetDevices {
    /// For the network namespace of a process, which must not end meanwhile.
    pub(crate) fn of(pid: u32) -> Result<Self, NotMoved> {
        let namespace = open_namespace(Path::new(&format!("/proc/{pid}/ns/net")))?;
        let devices = Self::between(open_namespace(Path::new(OWN))?, namespace)?;
        if identity(&devices.own)? == identity(&devices.namespace)? {
            return Err(NotMoved::NotPrivate);
        }
        Ok(devices)
    }

    fn between(own: OwnedFd, namespace: OwnedFd) -> nix::Result<Self> {
        let inside = Socket::open_in(namespace.as_fd())?;
        Ok(Self { outside: Socket::open()?, own, namespace, inside, moved: Vec::new() })
    }

    /// Finds out all about the device `name` of the caller's namespace before [`Self::take`] moves it.
    pub(crate) fn find(&mut self, name: &str, inside: &str) -> Result<(), NotMoved> {
        let before = self.outside.link(name)?.ok_or(NotMoved::Missing)?;
        if self.inside.link(inside)?.is_some() {
            return Err(NotMoved::Taken);
        }
        let addresses = self.outside.addresses(before.index)?;
        let index = self.inside.free_index()?;
        self.moved.push(Moved { name: name.to_owned(), before, index, addresses });
        Ok(())
    }

    /// Moves the device that was found last, with its addresses that are global and permanent; there it is up, and called
    /// `inside`. `%d` in that name is a number the kernel chooses.
    pub(crate) fn take(&self, inside: &str) -> Result<(), NotMoved> {
        let Some(Moved { before, index, addresses, .. }) = self.moved.last() else { return Err(NotMoved::Missing) };
        self.outside.give(before.index, self.namespace.as_fd(), inside, *index)?;
        self.inside.address(*index, addresses, Scope::Global)?;
        self.inside.up(*index)?;
        Ok(())
    }

    /// What is to be known of them by whoever gives them back in another process's stead; `path` is where their namespace
    /// is found.
    pub(crate) fn record(&self, path: &Path) -> nix::Result<MovedRecord> {
        Ok(MovedRecord {
            path: path.to_owned(),
            namespace: identity(&self.namespace)?,
            own: identity(&self.own)?,
            devices: self.moved.clone(),
        })
    }

    /// Gives all of them back, the last first, as they were: with their names, indexes and permanent addresses, and up
    /// where they were up.
    ///
    /// # Errors
    /// The name of the first one for which that failed, and why.
    pub(crate) fn give_back(mut self) -> Result<(), (String, Refusal)> {
        let mut result = Ok(());
        while let Some(moved) = self.moved.pop() {
            let given = self.give_one_back(&moved);
            result = result.and(given.map_err(|refusal| (moved.name, refusal)));
        }
        result
    }

    /// One that is not there was not moved, or is somebody else's by now. Its index may be another one's by now.
    fn give_one_back(&self, moved: &Moved) -> Result<(), Refusal> {
        if !self.inside.has(moved.index, &moved.before)? {
            return Ok(());
        }
        let give = |index| self.inside.give(moved.index, self.own.as_fd(), &moved.name, index).map(|()| index);
        let index = match give(moved.before.index) {
            Err(refusal) if refusal.errno == Errno::EBUSY => give(self.outside.free_index()?)?,
            given => given?,
        };
        self.outside.address(index, &moved.addresses, Scope::Any)?;
        if moved.before.up { self.outside.up(index) } else { Ok(()) }
    }
}

/// The caller's network namespace.
const OWN: &str = "/proc/thread-self/ns/net";

/// The journal of devices that go to a namespace which outlives the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MovedRecord {
    path: PathBuf,
    namespace: Identity,
    own: Identity,
    devices: Vec<Moved>,
}

impl MovedRecord {
    /// Gives them back, whoever was to do so. Why not, in words.
    pub(crate) fn give_back(&self) -> Result<(), String> {
        let names: Vec<_> = self.devices.iter().map(|moved| moved.name.as_str()).collect();
        let failed = |why: &str| Err(format!("network devices ({}) were not given back: {why}", names.join(", ")));
        let opened = open_namespace(Path::new(OWN)).and_then(|own| Ok((identity(&own)?, own)));
        let (here, own) = match opened {
            Ok((here, own)) => (here, own),
            Err(errno) => return failed(errno.desc()),
        };
        if here != self.own {
            return failed("they came from another network namespace than the caller's");
        }
        let namespace = open_namespace(&self.path).and_then(|there| Ok((identity(&there)?, there)));
        let there = match namespace {
            Ok((identity, there)) if identity == self.namespace => there,
            _ => return self.are_all_here().or_else(|_| failed("the network namespace that they went to is gone")),
        };
        match NetDevices::between(own, there) {
            Err(errno) => failed(errno.desc()),
            Ok(devices) => {
                NetDevices { moved: self.devices.clone(), ..devices }.give_back().or_else(|(name, refusal)| {
                    failed(&format!("{name}: {}", refusal.said.as_deref().unwrap_or(refusal.errno.desc())))
                })
            }
        }
    }

    /// Whether the caller's namespace has all of them: those that had not been moved yet, or that the kernel gave back.
    fn are_all_here(&self) -> Result<(), NotMoved> {
        let own = Socket::open()?;
        for moved in &self.devices {
            let found = own.link(&moved.name)?;
            if found.is_none_or(|found| found.hardware != moved.before.hardware) {
                return Err(NotMoved::Missing);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of an address: `flags` in the header and, where given, in 32 bits.
    fn answer(index: u32, flags: u8, wide: Option<u32>) -> Vec<u8> {
        let mut bytes = vec![2, 24, flags, 0];
        bytes.extend_from_slice(&index.to_ne_bytes());
        let mut attribute = |kind: u16, value: &[u8]| {
            bytes.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        };
        attribute(1, &[10, 0, 0, 1]);
        attribute(2, &[10, 0, 0, 1]);
        // IFA_LABEL
        attribute(3, b"eth0\0");
        attribute(6, &[0; 16]);
        if let Some(wide) = wide {
            attribute(IFA_FLAGS, &wide.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn only_permanent_addresses_of_the_interface_are_kept() {
        assert!(Address::of(&answer(7, 0x80, Some(0x80)), 7).is_some());
        assert!(Address::of(&answer(7, 0x80, None), 7).is_some());
        assert_eq!(Address::of(&answer(7, 0x80, Some(0x80)), 8), None, "another interface's");
        assert_eq!(Address::of(&answer(7, 0, Some(0)), 7), None, "of a lease");
        assert_eq!(Address::of(&answer(7, 0, None)[..6], 7), None, "cut short");
    }

    #[test]
    fn what_the_kernel_found_out_is_not_repeated() {
        // IFA_F_TENTATIVE and IFA_F_SECONDARY are its own; IFA_F_NODAD and IFA_F_NOPREFIXROUTE were asked for.
        let address = Address::of(&answer(7, 0x80, Some(0x80 | 0x40 | 0x01 | 0x02 | 0x200)), 7).unwrap();
        let kinds: Vec<_> = address.attributes.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [1, 2, IFA_FLAGS], "no label, no cache info");
        assert_eq!(address.attributes[2].1, 0x202u32.to_ne_bytes());
        assert_eq!((address.family, address.prefix, address.scope), (2, 24, RT_SCOPE_UNIVERSE));
    }
}
