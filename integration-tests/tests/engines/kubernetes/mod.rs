//! What people do with `kubectl`, on a node whose pods the shim under test runs.

mod pods;

use integration_tests::engines::Scenario;

pub(crate) const SCENARIOS: &[&[Scenario]] = &[pods::SCENARIOS];
