//! A path of the container: resolved by the kernel below a directory that is held open, one openat2 at a time. It is
//! never joined to another string and never given to a call that would resolve it from the host's root.

use core::ffi::CStr;

use crate::Slots;
use crate::sys::{
    self, Errno, Fd, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, RESOLVE_BENEATH, RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, S_IFDIR, S_IFMT,
};
use crate::wire::Place;

/// PATH_MAX: longer ones the kernel refuses.
pub(crate) const PATH_MAX: usize = 4096;

/// How often a resolution that raced with a rename is tried again (openat2(2), EAGAIN).
const TRIES: u32 = 128;

/// Whether symbolic links of the container are followed, inside its root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    Follow,
    /// None at all, in no component.
    Refuse,
    /// Those on the way; the last component is what it is.
    FollowButLast,
}

/// A place with its base opened: the directory, and the rest of the path from there.
pub(crate) struct Spot<'a> {
    pub(crate) base: Fd,
    pub(crate) rest: &'a CStr,
}

impl<'a> Spot<'a> {
    pub(crate) fn of(slots: &Slots, place: &Place<'a>) -> Result<Self, Errno> {
        let bytes = place.path.0.to_bytes_with_nul().get(usize::from(place.skip)..).ok_or(Errno::INVAL)?;
        let leading = bytes.iter().take_while(|byte| **byte == b'/').count();
        let rest = CStr::from_bytes_with_nul(bytes.get(leading..).ok_or(Errno::INVAL)?).map_err(|_| Errno::INVAL)?;
        Ok(Self { base: slots.get(place.base)?, rest: if rest.is_empty() { c"." } else { rest } })
    }

    /// Opens what is there as a place (O_PATH).
    pub(crate) fn find(&self, links: Links, flags: u32) -> Result<Fd, Errno> {
        find(self.base, self.rest, links, flags)
    }

    /// The directory, made with its parents (0755) where it is missing.
    pub(crate) fn directory(&self, links: Links) -> Result<Fd, Errno> {
        match self.find(links, O_DIRECTORY) {
            Err(Errno::NOENT) => make(self.base, self.rest, links, Kind::Directory),
            found => found,
        }
    }

    /// The directory in which the last component is to be made, and that component.
    pub(crate) fn parent(&self) -> Result<Parent, Errno> {
        let bytes = self.rest.to_bytes();
        let split = bytes.iter().rposition(|byte| *byte == b'/');
        let (above, name) = match split {
            None => (None, bytes),
            Some(at) => (bytes.get(..at), bytes.get(at + 1..).unwrap_or_default()),
        };
        if matches!(name, b"" | b"." | b"..") {
            return Err(Errno::EXIST);
        }
        let name = Name::new(name)?;
        let directory = match above {
            None | Some(b"") => Directory { fd: self.base, owned: false },
            Some(above) => {
                let above = Name::<PATH_MAX>::new(above)?;
                let spot = Spot { base: self.base, rest: above.text()? };
                Directory { fd: spot.directory(Links::Follow)?, owned: true }
            }
        };
        Ok(Parent { directory, name })
    }

    /// The file, made empty (0644) where it is missing, with its parents.
    pub(crate) fn file(&self, links: Links) -> Result<Fd, Errno> {
        match self.find(links, 0) {
            Err(Errno::NOENT) => make(self.base, self.rest, links, Kind::File),
            found => found,
        }
    }
}

/// A directory that is closed after use, unless it is a slot's.
pub(crate) struct Directory {
    pub(crate) fd: Fd,
    owned: bool,
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.owned {
            sys::close(self.fd);
        }
    }
}

/// Where something is to be made.
pub(crate) struct Parent {
    pub(crate) directory: Directory,
    name: Name<PATH_MAX>,
}

impl Parent {
    pub(crate) fn name(&self) -> Result<&CStr, Errno> {
        self.name.text()
    }

    /// Makes an empty file; one that is there already stays as it is.
    pub(crate) fn make_file(&self) -> Result<(), Errno> {
        match make_file(self.directory.fd, self.name()?) {
            Err(Errno::EXIST) => Ok(()),
            made => made,
        }
    }

    /// What is there now, no link followed.
    pub(crate) fn find(&self) -> Result<Fd, Errno> {
        find(self.directory.fd, self.name()?, Links::Refuse, 0)
    }
}

/// A string with its NUL.
struct Name<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Name<N> {
    fn new(from: &[u8]) -> Result<Self, Errno> {
        let mut bytes = [0; N];
        // The last byte stays NUL.
        if from.len() >= N {
            return Err(Errno::NAMETOOLONG);
        }
        for (to, from) in bytes.iter_mut().zip(from) {
            *to = *from;
        }
        Ok(Self { bytes, length: from.len() })
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The path in which a link's text takes the place of what is from `start` to `end`; an absolute one is the root's.
    fn spliced(&self, start: usize, end: usize, link: &[u8]) -> Result<Self, Errno> {
        let above = if link.starts_with(b"/") { &[] } else { self.bytes().get(..start).unwrap_or_default() };
        let rest = self.bytes().get(end..).unwrap_or_default();
        let mut path = Self { bytes: [0; N], length: 0 };
        for byte in above.iter().chain(link).chain(rest) {
            // The last byte stays NUL.
            let place = path.bytes.get_mut(path.length).filter(|_| path.length + 1 < N).ok_or(Errno::NAMETOOLONG)?;
            *place = *byte;
            path.length += 1;
        }
        Ok(path)
    }

    fn text(&self) -> Result<&CStr, Errno> {
        let bytes = self.bytes.get(..=self.length).ok_or(Errno::NAMETOOLONG)?;
        CStr::from_bytes_with_nul(bytes).map_err(|_| Errno::INVAL)
    }
}

fn find(base: Fd, path: &CStr, links: Links, flags: u32) -> Result<Fd, Errno> {
    let resolve = RESOLVE_NO_MAGICLINKS
        | match links {
            Links::Follow | Links::FollowButLast => RESOLVE_IN_ROOT,
            Links::Refuse => RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS,
        };
    let flags = O_PATH | flags | if links == Links::FollowButLast { O_NOFOLLOW } else { 0 };
    let mut answer = Err(Errno::AGAIN);
    for _ in 0..TRIES {
        answer = sys::openat2(base, path, flags, 0, resolve);
        if !matches!(answer, Err(Errno::AGAIN)) {
            break;
        }
    }
    answer
}

/// Makes an empty file where nothing is, not even a link.
fn make_file(at: Fd, name: &CStr) -> Result<(), Errno> {
    let flags = O_CREAT | O_EXCL | O_NOFOLLOW | sys::O_WRONLY;
    sys::openat2(at, name, flags, 0o644, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS).map(sys::close)
}

/// What is made at the end of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
}

/// How many links that lead nowhere are followed, as the kernel does others (path_resolution(7)).
const LINKS_MAX: u32 = 40;

/// Makes what is missing of a path. The text of a link that leads nowhere takes its place in the path, which is then
/// resolved again, from the container's root: so what is made is where the link will lead.
fn make(base: Fd, path: &CStr, links: Links, kind: Kind) -> Result<Fd, Errno> {
    let mut path = Name::<PATH_MAX>::new(path.to_bytes())?;
    for _ in 0..LINKS_MAX {
        match make_or_follow(base, &path, links, kind)? {
            Made::Last(fd) => return Ok(fd),
            Made::Not(other) => path = other,
        }
    }
    Err(Errno::LOOP)
}

/// What came of making a path.
enum Made {
    /// All of it is there: its last component.
    Last(Fd),
    /// A link leads nowhere; this path says where.
    Not(Name<PATH_MAX>),
}

/// The part that exists is resolved by the kernel, every new component is made in a directory that is held open.
fn make_or_follow(base: Fd, path: &Name<PATH_MAX>, links: Links, kind: Kind) -> Result<Made, Errno> {
    let mut at = Directory { fd: base, owned: false };
    let mut made = false;
    let mut end = 0;
    for component in path.bytes().split(|byte| *byte == b'/') {
        let start = end;
        end += component.len();
        if !matches!(component, b"" | b".") {
            let is_last = path.bytes().get(end..).is_none_or(|rest| rest.iter().all(|byte| *byte == b'/'));
            let is_file = is_last && kind == Kind::File;
            let flags = if is_file { 0 } else { O_DIRECTORY };
            let next = if made {
                Err(Errno::NOENT)
            } else {
                let prefix = Name::<PATH_MAX>::new(path.bytes().get(..end).unwrap_or_default())?;
                find(base, prefix.text()?, links, flags)
            };
            let next = match next {
                Err(Errno::NOENT) if component == b".." => return Err(Errno::INVAL),
                Err(Errno::NOENT) => {
                    made = true;
                    let name = Name::<256>::new(component)?;
                    let name = name.text()?;
                    let done = if is_file { make_file(at.fd, name) } else { sys::mkdirat(at.fd, name, 0o755) };
                    match done {
                        Err(Errno::EXIST) if links == Links::Follow => {
                            if let Some(path) = followed(path, start, end, at.fd, name)? {
                                return Ok(Made::Not(path));
                            }
                        }
                        Err(Errno::EXIST) => {}
                        done => done?,
                    }
                    find(at.fd, name, Links::Refuse, flags)?
                }
                next => next?,
            };
            at = Directory { fd: next, owned: true };
        }
        end += 1;
    }
    // The caller's from here on.
    at.owned = false;
    Ok(Made::Last(at.fd))
}

/// The path with the text of a link for its component from `start` to `end`; `None` where that is no link.
fn followed(
    path: &Name<PATH_MAX>,
    start: usize,
    end: usize,
    at: Fd,
    name: &CStr,
) -> Result<Option<Name<PATH_MAX>>, Errno> {
    let mut link = [0; PATH_MAX];
    match sys::readlinkat(at, name, &mut link) {
        Err(Errno::INVAL) => Ok(None),
        length => path.spliced(start, end, link.get(..length?).unwrap_or_default()).map(Some),
    }
}

/// Whether a descriptor is a directory.
pub(crate) fn is_directory(fd: Fd) -> Result<bool, Errno> {
    Ok(sys::statx(fd, c"", false)?.mode & S_IFMT == S_IFDIR)
}
