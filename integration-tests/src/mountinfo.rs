//! The lines of /proc/PID/mountinfo (proc_pid_mountinfo(5)).

use std::path::{Path, PathBuf};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The numbers of its filesystem, `MAJOR:MINOR`.
    pub device: String,
    /// Where it is mounted, as its mount namespace sees it.
    pub point: PathBuf,
    /// Which directory of the filesystem is its root.
    pub root: PathBuf,
    /// The options of this mount, in the kernel's order.
    pub options: Vec<String>,
    /// `shared:N`, `master:N`, `unbindable`: none when it is private.
    pub propagation: Vec<String>,
    /// The type of the filesystem.
    pub fstype: String,
    /// What the filesystem was mounted from.
    pub source: String,
    /// The options of the filesystem.
    pub super_options: Vec<String>,
}

impl Mount {
    /// Whether the mount itself has an option.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|own| own == option)
    }

    /// Whether the filesystem has an option.
    pub fn filesystem_has(&self, option: &str) -> bool {
        self.super_options.iter().any(|own| own == option)
    }
}

/// The mounts of a mountinfo file, in its order.
///
/// # Panics
/// When a line is none of a mountinfo file.
pub fn parse(text: &str) -> Vec<Mount> {
    text.lines().map(|line| parse_line(line).unwrap_or_else(|| panic!("no mountinfo line: {line:?}"))).collect()
}

/// The topmost mount at `point`.
pub fn at(mounts: &[Mount], point: impl AsRef<Path>) -> Option<&Mount> {
    mounts.iter().rev().find(|mount| mount.point == point.as_ref())
}

fn parse_line(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let right: Vec<&str> = right.splitn(3, ' ').collect();
    let [_id, _parent, device, root, point, options, propagation @ ..] = left.as_slice() else { return None };
    let [fstype, source, super_options] = right.as_slice() else { return None };
    Some(Mount {
        device: (*device).to_owned(),
        point: PathBuf::from(unescape(point)),
        root: PathBuf::from(unescape(root)),
        options: list(options),
        propagation: propagation.iter().map(|&each| each.to_owned()).collect(),
        fstype: (*fstype).to_owned(),
        source: unescape(source),
        super_options: list(super_options),
    })
}

fn list(options: &str) -> Vec<String> {
    options.split(',').map(str::to_owned).collect()
}

/// The kernel writes space, tab, newline and backslash as octal numbers.
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (code, character)| text.replace(code, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let text = "36 35 98:0 /a /mnt\\0402 rw,noatime shared:1 master:2 - ext4 /dev/root rw,errors=continue\n\
                    37 36 0:5 / /mnt\\0402 ro - tmpfs none rw";
        let mounts = parse(text);
        assert_eq!(mounts[0].point, Path::new("/mnt 2"));
        assert_eq!(mounts[0].root, Path::new("/a"));
        assert_eq!(mounts[0].propagation, ["shared:1", "master:2"]);
        assert!(mounts[0].has("noatime") && mounts[0].filesystem_has("errors=continue"));
        assert_eq!(at(&mounts, "/mnt 2").unwrap().fstype, "tmpfs");
        assert!(at(&mounts, "/elsewhere").is_none());
    }
}
