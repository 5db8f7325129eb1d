//! Compose, on a Docker Engine of its own: the one that `COMPOSE` names, or Debian's.

use std::fs;
use std::path::Path;

use super::docker;
use super::session::Session;
use crate::runtime::Runtime;

/// The two-service application of Docker's own tutorial: a page that counts its visits in Redis.
const APP: &str = r#"import os, signal, sys
import redis
from flask import Flask

app = Flask(__name__)
cache = redis.Redis(host=os.environ.get("REDIS_HOST", "redis"), port=6379)

@app.route("/")
def hello():
    return "%s %d\n" % (os.environ.get("GREETING", "visits"), cache.incr("visits"))

@app.route("/file")
def content():
    return open("/code/file").read()

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
app.run(host="0.0.0.0", port=5000)
"#;

const DOCKERFILE: &str = r#"FROM debian
WORKDIR /code
COPY app.py file ./
EXPOSE 5000
CMD ["python3", "-u", "app.py"]
"#;

/// Starts dockerd, with the images `busybox` and `debian`, which has Flask and Redis.
#[track_caller]
pub fn start(runtime: &Runtime) -> Session {
    let mut session = docker::start(runtime);
    let debian = Session::images().join("debian.tar");
    session.ok(&format!("docker import -c 'ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin' {} debian", debian.display()));
    let compose = std::env::var("COMPOSE").unwrap_or_else(|_| "/usr/bin/docker-compose".to_owned());
    session.program("docker-compose", compose);
    session.set("COMPOSE_PROJECT_NAME", "app");
    // What a build of it says is for people who watch.
    session.set("BUILDKIT_PROGRESS", "plain");
    session
}

/// A project's folder, with the application and this file of Compose; it is the folder of the returned path.
pub fn project(session: &Session, compose: &str) -> String {
    let folder = session.path("project");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    for (name, text) in
        [("app.py", APP), ("Dockerfile", DOCKERFILE), ("file", "of the image\n"), ("docker-compose.yml", compose)]
    {
        fs::write(folder.join(name), text).unwrap();
    }
    word(&folder)
}

fn word(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
