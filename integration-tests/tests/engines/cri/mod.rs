//! What people do with `crictl`, and what a kubelet does through CRI.

mod network;
mod pods;

use integration_tests::engines::Scenario;

pub(crate) const SCENARIOS: &[&[Scenario]] = &[pods::SCENARIOS, network::SCENARIOS];
