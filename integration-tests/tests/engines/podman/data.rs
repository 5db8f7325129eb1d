//! Files into containers and out of them, and images made of containers.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    copied_in,
    copied_out,
    committed,
    exported_and_imported,
    saved_and_loaded,
    built,
    built_from_a_program_of_the_image,
}

fn copied_in(podman: &Session) {
    podman.ok("podman run -d --name one busybox sleep 1000; echo x > in; podman cp in one:/tmp/in");
    podman.prints("podman exec one cat /tmp/in", "x");
}

fn copied_out(podman: &Session) {
    podman.ok("podman run --name one busybox sh -c 'mkdir /out; echo x > /out/file' && podman cp one:/out copied");
    podman.prints("cat copied/file", "x");
}

fn committed(podman: &Session) {
    podman.ok("podman run --name one busybox sh -c 'echo x > /file'");
    podman.ok("podman commit -q -c 'CMD [\"cat\", \"/file\"]' one committed");
    podman.prints("podman run --rm committed", "x");
    podman.ok("podman rmi -f committed");
}

fn exported_and_imported(podman: &Session) {
    podman.ok("podman run --name one busybox sh -c 'echo x > /file' && podman export -o one.tar one");
    podman.ok("podman import -q one.tar imported && rm one.tar");
    podman.prints("podman run --rm imported /bin/cat /file", "x");
    podman.ok("podman rmi -f imported");
}

fn saved_and_loaded(podman: &Session) {
    podman.ok("podman tag busybox saved && podman save -q -o saved.tar saved && podman rmi saved");
    podman.ok("podman load -q -i saved.tar && rm saved.tar");
    podman.prints("podman run --rm saved echo loaded", "loaded");
    podman.ok("podman rmi saved");
}

fn built(podman: &Session) {
    podman.ok("mkdir built && printf 'FROM busybox\\nCOPY file /etc/file\\nENV A=b\\nUSER user\\nCMD [\"sh\", \"-c\", \"cat /etc/file; echo $A; id -un\"]\\n' > built/Dockerfile && echo x > built/file");
    podman.ok("podman build -q -t built-image built");
    podman.prints("podman run --rm built-image", "x\nb\nuser");
    podman.ok("podman rmi -f built-image");
}

fn built_from_a_program_of_the_image(podman: &Session) {
    podman.ok("mkdir ran && printf 'FROM busybox\\nRUN mkdir /made && echo x > /made/file\\nRUN test $(cat /made/file) = x\\n' > ran/Containerfile");
    podman.ok("podman build -q --network none -t ran-image ran");
    podman.prints("podman run --rm ran-image cat /made/file", "x");
    podman.ok("podman rmi -f ran-image");
}
