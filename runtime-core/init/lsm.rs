//! The labels of Linux security modules, written where the kernel takes them: below /proc, which must be that.

use core::ffi::CStr;

use crate::sys::{
    self, Errno, Fd, O_DIRECTORY, O_PATH, O_RDWR, RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
};

/// Whatever is mounted over a part of the procfs is refused (CVE-2019-19921, CVE-2025-52881): it is another mount.
const WITHIN: u64 = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS;

/// Writes the calling thread's own label, and reads it back: a label that is not there would be no confinement.
pub(crate) fn write_label(proc: Fd, file: &CStr, value: &CStr, expect: &CStr) -> Result<(), Errno> {
    let within = |at, path, flags, more| sys::openat2(at, path, flags, 0, WITHIN | more);
    // That link is one of text, and the kernel's.
    let thread = within(proc, c"thread-self", O_PATH | O_DIRECTORY, 0)?;
    let attributes = within(thread, c"attr", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
    sys::close(thread);
    let attributes = attributes?;
    let attribute = within(attributes, file, O_RDWR, RESOLVE_NO_SYMLINKS);
    sys::close(attributes);
    let attribute = attribute?;
    let written = sys::write(attribute, value.to_bytes()).and_then(|()| verify(attribute, expect.to_bytes()));
    sys::close(attribute);
    written
}

/// SELinux takes it for whatever filesystem, also for one without extended attributes.
pub(crate) fn label_mount(mount: Fd, label: &CStr) -> Result<(), Errno> {
    let root = sys::openat2(mount, c".", O_DIRECTORY, 0, RESOLVE_BENEATH)?;
    let labelled = sys::fsetxattr(root, c"security.selinux", label.to_bytes_with_nul());
    sys::close(root);
    labelled
}

/// The longest label that is compared.
const LONGEST: usize = 4096;

/// What is read must begin with all of `expect`; a mode, a level or nothing may follow it.
fn verify(attribute: Fd, expect: &[u8]) -> Result<(), Errno> {
    let mut buffer = [0; LONGEST];
    sys::rewind(attribute)?;
    let count = sys::read(attribute, &mut buffer)?;
    let read = buffer.get(..count).unwrap_or_default();
    let is_taken = match read.strip_prefix(expect) {
        Some(rest) => matches!(rest.first(), None | Some(b' ' | b'\n' | 0)) || (!expect.is_empty() && rest.starts_with(b":")),
        None => false,
    };
    if is_taken { Ok(()) } else { Err(Errno::PROTO) }
}
