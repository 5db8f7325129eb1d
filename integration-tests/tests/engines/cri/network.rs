//! How pods are reached.

use integration_tests::engines::cri::{container, image, pod};
use integration_tests::engines::session::Session;
use serde_json::json;

integration_tests::scenarios! {
    a_port_of_the_host,
    a_forwarded_port,
    an_own_address,
    pods_reach_each_other,
    the_network_of_the_host,
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
    let id = container(cri, &pod, "web", served());
    // Who forwards to nobody ends.
    cri.wait(&format!("crictl logs {id} | grep serves"));
    let get = format!("for i in $(seq 50); do {SERVED}12081 && break; sleep 0.1; done");
    cri.says(&format!("crictl port-forward {pod} 12081:80 > forward.log 2>&1 & {get}; kill $!"), "hello");
}

fn an_own_address(cri: &Session) {
    let pod = pod(cri, "address", json!({}));
    let id = container(cri, &pod, "sleeps", json!({"command": ["sleep", "1000"]}));
    let address = cri.ok(&format!("crictl inspectp -o go-template --template '{{{{.status.network.ip}}}}' {pod}"));
    cri.says(&format!("crictl exec --sync {id} ip address show eth0"), &address);
}

fn pods_reach_each_other(cri: &Session) {
    let web = pod(cri, "web", json!({}));
    container(cri, &web, "web", served());
    let address = cri.ok(&format!("crictl inspectp -o go-template --template '{{{{.status.network.ip}}}}' {web}"));
    let asks = pod(cri, "asks", json!({}));
    let id = container(cri, &asks, "asks", json!({"command": ["sleep", "1000"]}));
    cri.wait(&format!("crictl exec --sync {id} wget -qO- http://{address} | grep hello"));
}

fn the_network_of_the_host(cri: &Session) {
    // NODE is 2 (NamespaceMode, api.proto of CRI).
    let options = json!({"security_context": {"namespace_options": {"network": 2}}});
    let pod = pod(cri, "node", json!({"hostname": "", "linux": options}));
    container(
        cri,
        &pod,
        "web",
        json!({"image": {"image": image("nginx:1.14-2")}, "command": ["/usr/sbin/nginx", "12082"], "linux": options}),
    );
    cri.wait(&format!("{SERVED}12082 | grep hello"));
}
