//! What people do with Docker, by subject.

mod run;

use integration_tests::engines::Scenario;

pub(crate) const SCENARIOS: &[&[Scenario]] = &[run::SCENARIOS];
