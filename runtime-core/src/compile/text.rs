//! What every chapter of the plan is written with: refusals, JSON pointers, and strings the kernel can be given.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Invalid;

impl Invalid {
    /// What config.json may never ask for.
    pub(crate) fn new(origin: impl Into<String>, why: impl Into<String>) -> Self {
        Self { origin: origin.into(), why: why.into(), unsupported: false }
    }

    /// What config.json may ask for, but not here.
    pub(crate) fn unsupported(origin: impl Into<String>, why: impl Into<String>) -> Self {
        Self { origin: origin.into(), why: why.into(), unsupported: true }
    }
}

/// Appends `token` to a JSON pointer, escaped (RFC 6901 section 3).
pub(crate) fn below(pointer: &str, token: impl Display) -> String {
    format!("{pointer}/{}", token.to_string().replace('~', "~0").replace('/', "~1"))
}

/// A string the kernel can be given.
pub(super) fn text(origin: &str, string: impl AsRef<[u8]>) -> Result<CString, Invalid> {
    CString::new(string.as_ref()).map_err(|_| Invalid::new(origin, "it contains a NUL character"))
}

/// A path as a string the kernel can be given, short enough for it (PATH_MAX).
pub(super) fn path_text(origin: &str, path: &Path) -> Result<CString, Invalid> {
    const PATH_MAX: usize = 4096;
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() >= PATH_MAX {
        return Err(Invalid::new(origin, format!("a path of {} bytes is longer than the kernel takes", bytes.len())));
    }
    text(origin, bytes)
}

/// A path of the container without `.`, `..`, doubled and trailing slashes: absolute, and `..` of `/` is `/`.
pub(super) fn cleaned(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

/// A path of config.json as a string. It came from JSON, so that it is UTF-8, unless an embedder made it otherwise.
pub(super) fn utf8<'a>(origin: &str, path: &'a Path) -> Result<&'a str, Invalid> {
    path.to_str().ok_or_else(|| Invalid::new(origin, "it is not UTF-8"))
}

/// The entries of a map in the order of their keys: a HashMap's own order is another one in each run.
#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "here the order is made")]
pub(super) fn sorted<V>(map: Option<&std::collections::HashMap<String, V>>) -> Vec<(&str, &V)> {
    let mut entries: Vec<_> = map.into_iter().flat_map(|map| map.iter()).map(|(k, v)| (k.as_str(), v)).collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    entries
}

/// The elements of a list and their pointers.
pub(super) fn listed<'a, T>(pointer: &'a str, list: Option<&'a Vec<T>>) -> impl Iterator<Item = (String, &'a T)> {
    list.into_iter().flatten().enumerate().map(move |(index, item)| (format!("{pointer}/{index}"), item))
}

/// The paths of a list and their pointers, cleaned, each only once.
pub(super) fn paths_once(pointer: &'static str, list: Option<&Vec<String>>) -> Result<Vec<(String, CString)>, Invalid> {
    let mut seen = BTreeSet::new();
    let mut paths = Vec::new();
    for (origin, path) in listed(pointer, list) {
        if !path.starts_with('/') {
            return Err(Invalid::new(origin, format!("the path {path:?} is not absolute")));
        }
        let path = cleaned(path);
        if path == "/" {
            return Err(Invalid::new(origin, "the container's root itself is meant"));
        }
        if seen.insert(path.clone()) {
            let path = path_text(&origin, Path::new(&path))?;
            paths.push((origin, path));
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_escaped() {
        assert_eq!(below("/linux/sysctl", "net/ipv4~x"), "/linux/sysctl/net~1ipv4~0x");
        assert_eq!(below("/process/env", 7), "/process/env/7");
    }

    #[test]
    fn paths_are_cleaned_inside_the_root() {
        for (path, clean) in [("/", "/"), ("a//b/", "/a/b"), ("/../../etc", "/etc"), ("/a/./b/../c", "/a/c"), ("", "/")]
        {
            assert_eq!(cleaned(path), clean, "{path:?}");
        }
    }

    #[test]
    fn a_path_listed_twice_counts_once() {
        let list = vec!["/proc/kcore".to_owned(), "/proc//kcore/".to_owned(), "/sys".to_owned()];
        let paths = paths_once("/linux/maskedPaths", Some(&list)).unwrap();
        assert_eq!(
            paths,
            [("/linux/maskedPaths/0".into(), c"/proc/kcore".into()), ("/linux/maskedPaths/2".into(), c"/sys".into())]
        );
        assert_eq!(paths_once("/x", Some(&vec!["rel".to_owned()])).unwrap_err().origin, "/x/0");
        assert_eq!(paths_once("/x", Some(&vec!["/..".to_owned()])).unwrap_err().origin, "/x/0");
    }
}
