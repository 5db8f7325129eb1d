//! Swarm: one node, which is its own manager.

use super::docker;
use super::session::Session;
use crate::runtime::Runtime;

/// Every stack and service with its tasks, and what they were given.
const CLEANING: &str = "docker stack ls --format '{{.Name}}' | xargs -r docker stack rm
    docker service ls -q | xargs -r docker service rm
    docker node update --availability active $(docker node ls -q)
    for i in $(seq 100); do [ -n \"$(docker ps -aq)\" ] || break; sleep 0.1; done
    docker ps -aq | xargs -r docker rm -fv
    docker secret ls -q | xargs -r docker secret rm; docker config ls -q | xargs -r docker config rm
    docker volume prune -f; docker network prune -f";

/// Starts dockerd, and the swarm.
#[track_caller]
pub fn start(runtime: &Runtime) -> Session {
    // A daemon of a swarm has no containers that outlive it.
    let mut session = docker::start_with(runtime, &[]);
    session.ok("docker swarm init --advertise-addr 127.0.0.1");
    session.cleaned_by(CLEANING);
    session
}
