//! What people do with Compose, by subject.

mod app;
mod keys;

use integration_tests::engines::Scenario;
use integration_tests::engines::compose::project;
use integration_tests::engines::session::Session;

pub(crate) const SCENARIOS: &[&[Scenario]] = &[app::SCENARIOS, keys::SCENARIOS];

/// A project that is up: its commands are run in its folder, and it is taken down by the cleaning after a scenario.
struct Project<'s> {
    docker: &'s Session,
    folder: String,
}

impl<'s> Project<'s> {
    fn new(docker: &'s Session, compose: &str) -> Self {
        Self { docker, folder: project(docker, compose) }
    }

    /// `docker-compose` with these words, which must succeed; what it printed.
    #[track_caller]
    fn compose(&self, words: &str) -> String {
        self.docker.ok(&format!("cd {}; docker-compose {words}", self.folder))
    }

    /// The same of a script in the project's folder.
    #[track_caller]
    fn sh(&self, script: &str) -> String {
        self.docker.ok(&format!("cd {}; {script}", self.folder))
    }

    /// Waits until a script in the project's folder succeeds.
    #[track_caller]
    fn wait(&self, script: &str) {
        self.docker.wait(&format!("cd {}; {script}", self.folder));
    }

    /// What a shell prints in a service's container.
    #[track_caller]
    fn inside(&self, service: &str, script: &str) -> String {
        self.compose(&format!("exec -T {service} sh -c '{script}'"))
    }
}
