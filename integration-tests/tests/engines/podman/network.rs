//! Networks.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    published_port,
    a_network_with_names,
    an_address_of_its_choice,
    hosts_and_servers,
}

fn published_port(podman: &Session) {
    podman.ok("podman run -d --name one -p 127.0.0.1:8081:80 busybox httpd -f -h /etc");
    podman.prints("podman port one", "80/tcp -> 127.0.0.1:8081");
    podman.wait("busybox wget -q -O - http://127.0.0.1:8081/group | grep root:x:0:");
}

fn a_network_with_names(podman: &Session) {
    podman.ok("podman network create town");
    podman.ok("podman run -d --name web --network town busybox httpd -f -h /etc");
    podman.wait("podman run --rm --network town busybox wget -q -O - http://web/group | grep root:x:0:");
}

fn an_address_of_its_choice(podman: &Session) {
    podman.ok("podman network create --subnet 10.99.0.0/24 town");
    podman.prints(
        "podman run --rm --network town --ip 10.99.0.77 busybox ip -4 -o addr show eth0 | grep -o '10.99.0.77/24'",
        "10.99.0.77/24",
    );
}

fn hosts_and_servers(podman: &Session) {
    podman.prints(
        "podman run --rm --network none --add-host there:10.1.2.3 busybox grep -w there /etc/hosts | tr '\\t' ' '",
        "10.1.2.3 there",
    );
    podman.says(
        "podman run --rm --dns 10.9.8.7 --dns-search example.org busybox cat /etc/resolv.conf",
        "nameserver 10.9.8.7",
    );
}
