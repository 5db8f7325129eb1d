//! The network of a container: bridges, names, ports.

use integration_tests::engines::session::Session;
use integration_tests::harness::Need;

/// Docker's bridges translate addresses.
const NAT: Need = Need::Works("iptables -t nat -L -n");

integration_tests::scenarios! {
    bridge [NAT],
    none,
    host_reaches_it [NAT],
    it_reaches_another [NAT],
    published_port [NAT],
    published_on_any_port [NAT],
    published_udp_port [NAT],
    port_is_taken [NAT],
    names_in_a_network [NAT],
    aliases [NAT],
    networks_are_apart [NAT],
    link [NAT],
    connected_while_it_runs [NAT],
    disconnected_while_it_runs [NAT],
    fixed_address [NAT],
    mac_address [NAT],
    internal_network [NAT],
    restarted_keeps_its_port [NAT],
}

/// Starts `NAME`, which serves its own name at port 80.
fn serving(docker: &Session, name: &str, flags: &str) {
    docker.ok(&format!(
        "docker run -d --name {name} {flags} busybox sh -c 'mkdir /www; echo {name} > /www/index.html; exec httpd -f -p 80 -h /www'"
    ));
    docker.wait(&format!("docker exec {name} wget -qO- 127.0.0.1"));
}

fn bridge(docker: &Session) {
    docker.prints("docker run --rm busybox ls /sys/class/net | tr '\\n' ' '", "eth0 lo ");
    docker.prints(
        "docker run --rm busybox ip route | sed -n 1p | cut -d ' ' -f 1,2,3",
        &docker.ok("echo default via $(ip -4 -br address show docker0 | awk '{print $3}' | cut -d / -f 1)"),
    );
}

fn none(docker: &Session) {
    docker.prints("docker run --rm --network none busybox sh -c 'ls /sys/class/net; ip route'", "lo");
    docker
        .prints("docker run --rm --network none busybox ping -c 1 -W 1 127.0.0.1 | grep -c '1 packets received'", "1");
}

fn host_reaches_it(docker: &Session) {
    serving(docker, "one", "");
    docker.prints("curl -s $(address one)", "one");
}

fn it_reaches_another(docker: &Session) {
    serving(docker, "one", "");
    docker.prints("docker run --rm busybox wget -qO- $(address one)", "one");
    docker.prints("docker run --rm busybox ping -c 1 -W 2 $(address one) | grep -c '1 packets received'", "1");
}

fn published_port(docker: &Session) {
    serving(docker, "one", "-p 8080:80");
    docker.prints("curl -s 127.0.0.1:8080; docker port one 80 | sed -n 1p", "one\n0.0.0.0:8080");
    docker.prints("docker rm -f one > /dev/null; curl -s 127.0.0.1:8080 || echo nobody", "nobody");
}

fn published_on_any_port(docker: &Session) {
    serving(docker, "one", "--expose 80 -P");
    docker.prints("curl -s $(docker port one 80 | sed -n 1p)", "one");
}

fn published_udp_port(docker: &Session) {
    // Who sends to nobody is told so by ICMP: a log daemon listens.
    docker
        .ok("docker run -d --name one -p 127.0.0.1:5514:514/udp busybox sh -c 'syslogd -n -R 127.0.0.1:9 -L -O /got'");
    docker.prints("docker port one", "514/udp -> 127.0.0.1:5514");
    docker.ok("grep -q ':158A ' /proc/net/udp");
}

fn port_is_taken(docker: &Session) {
    docker.ok("docker run -d --name one -p 8080:80 busybox sleep 1000");
    docker.fails("docker run --name two -p 8080:80 busybox true", 125, "port is already allocated");
    docker.prints("docker run --rm -p 8081:80 busybox echo hello", "hello");
}

fn names_in_a_network(docker: &Session) {
    docker.ok("docker network create net");
    serving(docker, "one", "--network net");
    docker.prints("docker run --rm --network net busybox wget -qO- http://one", "one");
    docker.prints(
        "docker run --rm --network net busybox cat /etc/resolv.conf | grep nameserver",
        "nameserver 127.0.0.11",
    );
}

fn aliases(docker: &Session) {
    docker.ok("docker network create net");
    serving(docker, "one", "--network net --network-alias db");
    docker.prints("docker run --rm --network net busybox wget -qO- http://db", "one");
}

fn networks_are_apart(docker: &Session) {
    docker.ok("docker network create net; docker network create other");
    serving(docker, "one", "--network net");
    docker.ok("! docker run --rm --network other busybox nslookup one");
    docker.fails("docker run --rm --network other busybox ping -c 1 -W 1 $(address one net)", 1, "100% packet loss");
}

fn link(docker: &Session) {
    serving(docker, "one", "-e COLOUR=red");
    docker.prints("docker run --rm --link one:web busybox sh -c 'wget -qO- http://web'", "one");
}

fn connected_while_it_runs(docker: &Session) {
    docker.ok("docker network create net");
    serving(docker, "one", "--network net");
    docker.ok("docker run -d --name two busybox sleep 1000; docker network connect net two");
    docker.prints(
        "docker exec two ls /sys/class/net | tr '\\n' ' '; docker exec two wget -qO- http://one",
        "eth0 eth1 lo one",
    );
}

fn disconnected_while_it_runs(docker: &Session) {
    docker.ok("docker network create net; docker run -d --name one --network net busybox sleep 1000; docker network disconnect net one");
    docker.prints("docker exec one ls /sys/class/net", "lo");
}

fn fixed_address(docker: &Session) {
    docker.ok("docker network create --subnet 10.77.0.0/24 net");
    docker.says("docker run --rm --network net --ip 10.77.0.42 busybox ip -4 address show eth0", "inet 10.77.0.42/24");
}

fn mac_address(docker: &Session) {
    docker.prints(
        "docker run --rm --mac-address 02:42:0a:0b:0c:0d busybox cat /sys/class/net/eth0/address",
        "02:42:0a:0b:0c:0d",
    );
}

fn internal_network(docker: &Session) {
    docker.ok("docker network create --internal net");
    serving(docker, "one", "--network net");
    serving(docker, "two", "");
    docker.prints("docker run --rm --network net busybox wget -qO- http://one", "one");
    docker.fails("docker run --rm --network net busybox ping -c 1 -W 1 $(address two)", 1, "");
}

fn restarted_keeps_its_port(docker: &Session) {
    serving(docker, "one", "-p 8080:80");
    docker.ok("docker restart -t 0 one");
    docker.wait("test \"$(curl -s 127.0.0.1:8080)\" = one");
}
