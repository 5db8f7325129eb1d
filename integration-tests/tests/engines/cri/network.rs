//! How pods are reached.

use integration_tests::engines::cri::{container, image, pod};
use integration_tests::engines::session::Session;
use serde_json::json;

integration_tests::scenarios! {
    a_port_of_the_host,
    a_forwarded_port,
    an_own_address,
}

/// What the image answers.
const SERVED: &str = "wget -qO- http://127.0.0.1:";

fn served() -> serde_json::Value {
    json!({"image": {"image": image("nginx:1.14-2")}})
}

fn a_port_of_the_host(cri: &Session) {
    let pod = pod(cri, "port", json!({"port_mappings": [{"container_port": 80, "host_port": 12080}]}));
    container(cri, &pod, "web", served());
    cri.wait(&format!("{SERVED}12080 | grep hello"));
}

fn a_forwarded_port(cri: &Session) {
    let pod = pod(cri, "forward", json!({}));
    container(cri, &pod, "web", served());
    let get = format!("for i in $(seq 50); do {SERVED}12081 && break; sleep 0.1; done");
    cri.says(&format!("crictl port-forward {pod} 12081:80 > forward.log 2>&1 & {get}; kill $!"), "hello");
}

fn an_own_address(cri: &Session) {
    let pod = pod(cri, "address", json!({}));
    let id = container(cri, &pod, "sleeps", json!({"command": ["sleep", "1000"]}));
    let address = cri.ok(&format!("crictl inspectp -o go-template --template '{{{{.status.network.ip}}}}' {pod}"));
    cri.says(&format!("crictl exec --sync {id} ip address show eth0"), &address);
}
