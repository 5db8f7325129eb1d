//! Why planc does not pass some tests of the public suites: read by the commands, which fail where a reason is missing or
//! is needed no longer.

use super::judge::Reason;

/// Of the OCI validation suite. None of these tests is passed by runc or crun either.
pub(super) const OCI: &[Reason] = &[];

/// Of runc's suite: tests that runc passes, at most ten in a place.
pub(super) const BATS: &[Reason] = &[];
