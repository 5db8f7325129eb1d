//! This program's own code, as it is mapped.

use std::io;
use std::os::linux::fs::MetadataExt;
use std::ptr::NonNull;

use nix::sys::mman::{MmapAdvise, madvise};
use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};

/// Unmaps the pages of this program's code and constants. They are in the page cache, and come back when they are needed.
pub(crate) fn give_back() -> io::Result<()> {
    let inode = std::fs::metadata("/proc/self/exe")?.st_ino();
    let maps = Process::myself().and_then(|own| own.maps()).map_err(io::Error::other)?;
    for map in maps.iter().filter(|map| map.inode == inode && is_constant(map)) {
        let (begin, end) = map.address;
        let Some(begin_at) = NonNull::new(begin as *mut libc::c_void) else { continue };
        // SAFETY: a private mapping of a file that nobody may write, and that was never written to: what is read there after
        // this is read from the same file again.
        unsafe { madvise(begin_at, (end - begin) as usize, MmapAdvise::MADV_DONTNEED)? };
    }
    Ok(())
}

/// Whether nothing was ever written to a mapping: code, or the part of the file that begins with its header. What the dynamic
/// linker has written to (PT_GNU_RELRO) is read-only as well, and begins elsewhere.
fn is_constant(map: &MemoryMap) -> bool {
    let is_private = map.perms.contains(MMPermissions::READ | MMPermissions::PRIVATE);
    let is_fixed = !map.perms.contains(MMPermissions::WRITE);
    let is_code = map.perms.contains(MMPermissions::EXECUTE);
    matches!(map.pathname, MMapPath::Path(_)) && is_private && is_fixed && (is_code || map.offset == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_goes_on_without_it() {
        let resident = || {
            let maps = Process::myself().unwrap().smaps().unwrap();
            let inode = std::fs::metadata("/proc/self/exe").unwrap().st_ino();
            let own = maps.iter().filter(|map| map.inode == inode && is_constant(map));
            own.map(|map| map.extension.map["Rss"]).sum::<u64>()
        };
        let before = resident();
        give_back().unwrap();
        let after = resident();
        assert!(after < before, "{before} and then {after} bytes");
    }
}
