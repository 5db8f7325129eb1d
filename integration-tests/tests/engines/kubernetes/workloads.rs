//! Jobs, Deployments and Services.

use integration_tests::engines::kubernetes::{apply, ends, ready};
use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    a_job,
    a_job_that_fails,
    a_deployment_scaled,
    a_deployment_rolled_out,
    a_service,
    a_port_of_the_node,
    a_port_of_the_host,
    many_at_once,
}

fn a_job(k8s: &Session) {
    apply(
        k8s,
        "
        apiVersion: batch/v1
        kind: Job
        metadata: {name: sum}
        spec:
          completions: 3
          parallelism: 2
          completionMode: Indexed
          template:
            spec:
              restartPolicy: Never
              containers: [{name: one, image: busybox, command: [sh, -c, 'echo $((40 + JOB_COMPLETION_INDEX))']}]
    ",
    );
    k8s.ok("kubectl wait --for=condition=Complete job/sum --timeout=40s");
    k8s.prints("kubectl logs -l job-name=sum | sort", "40\n41\n42");
}

fn a_job_that_fails(k8s: &Session) {
    apply(
        k8s,
        "
        apiVersion: batch/v1
        kind: Job
        metadata: {name: fails}
        spec:
          backoffLimit: 5
          podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [42]}}]}
          template:
            spec:
              restartPolicy: Never
              containers: [{name: one, image: busybox, command: [sh, -c, exit 42]}]
    ",
    );
    k8s.ok("kubectl wait --for=condition=Failed job/fails --timeout=40s");
    k8s.prints("kubectl get job fails -o jsonpath='{.status.failed}'", "1");
}

/// A web server of two copies.
fn web(k8s: &Session) {
    apply(
        k8s,
        "
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web}
        spec:
          replicas: 2
          selector: {matchLabels: {app: web}}
          template:
            metadata: {labels: {app: web}}
            spec:
              terminationGracePeriodSeconds: 1
              containers:
              - name: web
                image: busybox
                command: [sh, -c, 'mkdir /www; echo $WORD > /www/index.html; exec httpd -f -p 80 -h /www']
                env: [{name: WORD, value: first}]
                readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
    ",
    );
    k8s.ok("kubectl rollout status deployment/web --timeout=50s");
}

fn a_deployment_scaled(k8s: &Session) {
    web(k8s);
    k8s.ok("kubectl scale deployment/web --replicas=3");
    k8s.ok("kubectl rollout status deployment/web --timeout=50s");
    k8s.prints("kubectl get pods -l app=web --field-selector status.phase=Running -o name | wc -l", "3");
    k8s.ok("kubectl scale deployment/web --replicas=1");
    k8s.wait("[ $(kubectl get pods -l app=web -o name | wc -l) = 1 ]");
}

fn a_deployment_rolled_out(k8s: &Session) {
    web(k8s);
    let words = "for ip in $(kubectl get pods -l app=web -o jsonpath='{.items[*].status.podIP}'); do wget -T 2 -t 1 -qO- http://$ip || true; done";
    k8s.prints(words, "first\nfirst");
    k8s.ok("kubectl set env deployment/web WORD=second && kubectl rollout status deployment/web --timeout=50s");
    k8s.wait(&format!("[ \"$({words} | xargs)\" = 'second second' ]"));
    k8s.ok("kubectl rollout undo deployment/web && kubectl rollout status deployment/web --timeout=50s");
    k8s.wait(&format!("[ \"$({words} | xargs)\" = 'first first' ]"));
}

fn a_service(k8s: &Session) {
    web(k8s);
    k8s.ok("kubectl expose deployment web --port=8080 --target-port=80");
    let address = k8s.ok("kubectl get service web -o jsonpath='{.spec.clusterIP}'");
    k8s.wait(&format!("wget -T 2 -qO- http://{address}:8080 | grep first"));
    // A pod that comes later is told by its environment.
    ends(k8s, "asks", "Succeeded", "
        restartPolicy: Never
        containers: [{name: one, image: busybox, command: [sh, -c, 'wget -qO- http://$WEB_SERVICE_HOST:$WEB_SERVICE_PORT']}]
    ");
    k8s.prints("kubectl logs asks", "first");
}

fn a_port_of_the_node(k8s: &Session) {
    web(k8s);
    k8s.ok("kubectl expose deployment web --port=80 --type=NodePort");
    let port = k8s.ok("kubectl get service web -o jsonpath='{.spec.ports[0].nodePort}'");
    k8s.wait(&format!("wget -T 2 -qO- http://10.89.0.1:{port} | grep first"));
}

fn a_port_of_the_host(k8s: &Session) {
    ready(
        k8s,
        "port",
        "
        containers: [{name: one, image: nginx, ports: [{containerPort: 80, hostPort: 12091}]}]
    ",
    );
    k8s.wait("wget -T 2 -qO- http://10.89.0.1:12091 | grep hello");
}

fn many_at_once(k8s: &Session) {
    web(k8s);
    k8s.ok("kubectl scale deployment/web --replicas=15");
    k8s.ok("kubectl rollout status deployment/web --timeout=55s");
    k8s.prints("kubectl get pods -l app=web -o jsonpath='{.items[*].status.containerStatuses[0].restartCount}' | tr ' ' '\\n' | sort -u", "0");
}
