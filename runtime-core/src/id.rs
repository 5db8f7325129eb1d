//! The container's id: it names a directory and a cgroup, so what it may be is checked before anything else.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// A container's id: 1 to 255 of `[A-Za-z0-9_+.-]`, not `.` or `..`, and not beginning with `.` or `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(String);

/// What a file name leaves room for, and the longest id any engine makes is 64.
const LONGEST: usize = 255;

impl Id {
    /// Checks `id`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSpec`], in the words of runc where engines know them.
    pub fn new(id: &str) -> Result<Self> {
        let invalid = |why: &str| Err(Error::new(ErrorKind::InvalidSpec, format!("invalid container ID format: {why}")));
        if id.is_empty() {
            return Err(Error::new(ErrorKind::InvalidSpec, "container id cannot be empty"));
        }
        if id.len() > LONGEST {
            return invalid(&format!("{} bytes are more than {LONGEST}", id.len()));
        }
        if id.starts_with(['.', '-']) {
            return invalid("it begins with '.' or '-'");
        }
        if let Some(odd) = id.chars().find(|c| !(c.is_ascii_alphanumeric() || "_+.-".contains(*c))) {
            return invalid(&format!("it contains {odd:?}"));
        }
        Ok(Self(id.to_owned()))
    }

    /// The id as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_id_may_be() {
        for good in ["a", "a.b", "A_b+c-d", "0", &"x".repeat(LONGEST)] {
            assert_eq!(Id::new(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "../x", "a/b", ".hidden", "-flag", "a b", "ä", "a\n", &"x".repeat(2000)] {
            assert_eq!(Id::new(bad).unwrap_err().kind(), ErrorKind::InvalidSpec, "{bad:?}");
        }
    }
}
