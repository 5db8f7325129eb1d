//! What people do with `crictl`, and what a kubelet does through CRI.

mod limits;
mod network;
mod pods;
mod streams;

use integration_tests::engines::Scenario;

pub(crate) const SCENARIOS: &[&[Scenario]] =
    &[pods::SCENARIOS, streams::SCENARIOS, limits::SCENARIOS, network::SCENARIOS];
