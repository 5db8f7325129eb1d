//! A node of Kubernetes with its control plane: etcd, the API's server, the controllers, the scheduler, a kubelet, the proxy
//! of services, and containerd with the shim under test, whose handler is `planc` and is the default too.
//!
//! `KUBERNETES` is the folder of the programs; the other variables are those of [`super::cri`].

mod specs;

use std::fs;
use std::path::Path;

use serde_json::json;

use super::cri;
use super::session::Session;
use crate::lane::Lane;
use crate::runtime::Runtime;

/// The address of the node.
const NODE: &str = "10.89.0.1";

/// The programs, by the names they have in the folder.
const PROGRAMS: [&str; 7] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"];

/// Before the daemons: mounts that are seen by those who are told to see them, as on a host with systemd, an address that
/// is not the loopback's, and the key that the pods' tokens are signed with.
const HOST: &str = "mount --make-rshared /; ip link add node type bridge; ip address add 10.89.0.1/16 dev node; \
    ip link set node up; ip route add default via 10.89.0.2 dev node; openssl genrsa -out tokens.key 2048";

/// A node without a reason to keep pods away, and what each of them has a token of.
const READY: &str = "kubectl get serviceaccount default && kubectl wait --for=condition=Ready node/node --timeout=1s && \
    [ -z \"$(kubectl get nodes -o jsonpath='{.items[*].spec.taints}')\" ]";

/// The class that pods name.
const CLASS: &str = "
    apiVersion: node.k8s.io/v1
    kind: RuntimeClass
    metadata:
      name: planc
    handler: planc
";

/// Starts all of it.
#[track_caller]
pub fn start(runtime: &Runtime) -> Session {
    let cleaning = include_str!("cleaning.sh");
    let mut session = Session::new(runtime, Path::new("/run/kubernetes"), cleaning, include_str!("rests.sh"));
    let programs = cri::given("KUBERNETES");
    for program in PROGRAMS {
        session.program(program, programs.join(program));
    }
    session.set("KUBECONFIG", session.path("kubeconfig").to_str().unwrap());
    session.ok(HOST);
    write(&session);
    specs::grant_what_is_there(&session);
    cri::serve(&mut session);
    control_plane(&session);
    let kubelet = include_str!("kubelet.sh");
    let own = ["unshare", "--mount", "--propagation", "unchanged", "bash", "-euc", kubelet];
    session.daemon("kubelet", &own, READY);
    let proxy = "kube-proxy --kubeconfig kubeconfig --hostname-override node --proxy-mode iptables --masquerade-all \
        --oom-score-adj 0 --conntrack-max-per-core 0 --conntrack-min 0 --conntrack-tcp-timeout-established 0 \
        --conntrack-tcp-timeout-close-wait 0";
    session.daemon("kube-proxy", &words(proxy), ": > /dev/tcp/127.0.0.1/10256");
    apply(&session, CLASS);
    session
}

fn control_plane(session: &Session) {
    session.daemon(
        "etcd",
        &words("etcd --data-dir etcd --unsafe-no-fsync --log-level warn"),
        ": > /dev/tcp/127.0.0.1/2379",
    );
    let server = format!(
        "kube-apiserver --etcd-servers http://127.0.0.1:2379 --cert-dir certificates --advertise-address {NODE} \
         --service-cluster-ip-range 10.96.0.0/16 --authorization-mode AlwaysAllow --token-auth-file tokens.csv \
         --service-account-issuer https://kubernetes.default.svc --service-account-key-file tokens.key \
         --service-account-signing-key-file tokens.key --allow-privileged \
         --kubelet-preferred-address-types InternalIP"
    );
    session.daemon("kube-apiserver", &words(&server), "kubectl get --raw /readyz");
    let controllers = "kube-controller-manager --kubeconfig kubeconfig --leader-elect=false \
        --service-account-private-key-file tokens.key --root-ca-file certificates/apiserver.crt";
    session.daemon("kube-controller-manager", &words(controllers), ": > /dev/tcp/127.0.0.1/10257");
    let scheduler = "kube-scheduler --kubeconfig kubeconfig --leader-elect=false";
    session.daemon("kube-scheduler", &words(scheduler), ": > /dev/tcp/127.0.0.1/10259");
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Writes what the daemons and kubectl read.
fn write(session: &Session) {
    let cluster = json!({"server": "https://127.0.0.1:6443", "insecure-skip-tls-verify": true});
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lane", "cluster": cluster}],
        "users": [{"name": "all", "user": {"token": "all"}}],
        "contexts": [{"name": "lane", "context": {"cluster": "lane", "user": "all"}}],
        "current-context": "lane",
    });
    fs::write(session.path("kubeconfig"), config.to_string()).unwrap();
    fs::write(session.path("tokens.csv"), "all,all,1,system:masters\n").unwrap();
    fs::write(session.path("kubelet.yaml"), include_str!("kubelet.yaml")).unwrap();
}

/// Starts containerd again, which was stopped.
#[track_caller]
pub fn containerd_again(session: &Session) {
    cri::containerd(session);
}

/// `kubectl apply` of this manifest.
#[track_caller]
pub fn apply(session: &Session, manifest: &str) {
    let printed = session.typed("kubectl apply -f -", manifest);
    assert!(printed.status.success(), "{manifest}: {printed:?}");
}

/// Applies a pod of this name, which it is labelled with too, and this `spec`, of which each line is indented.
#[track_caller]
pub fn pod(session: &Session, name: &str, spec: &str) {
    let head = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec:");
    apply(session, &format!("{head}\n{}", spec.trim_start_matches('\n')));
}

/// The same, and waits until it is ready.
#[track_caller]
pub fn ready(session: &Session, name: &str, spec: &str) {
    pod(session, name, spec);
    told(session, name, &format!("kubectl wait --for=condition=Ready pod/{name} --timeout={}s", patience()));
}

/// The same, and waits until it has come to this end: `Succeeded` or `Failed`.
#[track_caller]
pub fn ends(session: &Session, name: &str, phase: &str, spec: &str) {
    pod(session, name, spec);
    let wait = format!("kubectl wait --for=jsonpath='{{.status.phase}}'={phase} pod/{name} --timeout={}s", patience());
    told(session, name, &wait);
}

/// How many seconds a pod may take.
fn patience() -> u32 {
    40 * Lane::current().patience()
}

/// A script that must succeed; else what happened to the pod is told.
#[track_caller]
fn told(session: &Session, name: &str, script: &str) {
    let printed = session.sh(script);
    if !printed.status.success() {
        let events = session.sh(&format!(
            "kubectl get pod {name} -o jsonpath='{{.status.containerStatuses}}{{.status.initContainerStatuses}}'; echo; \
             kubectl get events --field-selector involvedObject.name={name} -o custom-columns=A:.reason,B:.message \
             --no-headers; kubectl logs {name} --all-containers --tail 5"
        ));
        panic!("{script}: {printed:?}: {}", events.out() + &events.err());
    }
}
