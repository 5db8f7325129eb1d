//! From `podman create` to `podman rm`.

use integration_tests::engines::session::Session;

integration_tests::scenarios! {
    create_and_start,
    initialized_before_it_is_started,
    start_attached,
    start_again,
    stop,
    stop_signal,
    kill,
    kill_by_a_signal_it_takes,
    restart,
    restart_on_failure,
    pause,
    wait,
    remove_by_force,
    cleaned_up,
    attach,
    many_at_once,
    a_name_that_is_taken,
    an_end_before_its_time,
}

fn create_and_start(podman: &Session) {
    podman.ok("podman create --name one busybox sh -c 'echo ran'");
    podman.prints("podman inspect -f '{{.State.Status}}' one", "created");
    podman.ok("podman start one && podman wait one");
    podman.prints("podman logs one", "ran");
}

fn initialized_before_it_is_started(podman: &Session) {
    podman.ok("podman create --name one busybox sh -c 'echo ran; sleep 1000'");
    podman.ok("podman init one");
    podman.prints("podman inspect -f '{{.State.Status}}' one; podman logs one", "initialized");
    podman.ok("podman start one");
    podman.wait("test \"$(podman logs one)\" = ran");
}

fn start_attached(podman: &Session) {
    podman.ok("podman create --name one busybox sh -c 'echo ran; exit 4'");
    podman.fails("podman start -a one", 4, "ran");
}

fn start_again(podman: &Session) {
    podman.ok("podman run --name one busybox sh -c 'echo x >> /file; cat /file'");
    podman.prints("podman start -a one", "x\nx");
}

fn stop(podman: &Session) {
    podman.ok("podman run -d --name one busybox sh -c 'trap \"exit 3\" TERM; echo ready; while :; do sleep 0.1; done'");
    podman.wait("podman logs one | grep ready");
    podman.ok("podman stop one");
    podman.prints("podman inspect -f '{{.State.Status}} {{.State.ExitCode}}' one", "exited 3");
    // Who does not end is killed.
    podman.ok("podman run -d --name two busybox sleep 1000 && podman stop -t 1 two");
    podman.prints("podman inspect -f '{{.State.ExitCode}}' two", "137");
}

fn stop_signal(podman: &Session) {
    let program = "sh -c 'trap \"exit 12\" USR2; echo ready; while :; do sleep 0.1; done'";
    podman.ok(&format!("podman run -d --name one --stop-signal USR2 busybox {program}"));
    podman.wait("podman logs one | grep ready");
    podman.ok("podman stop one");
    podman.prints("podman wait one", "12");
}

fn kill(podman: &Session) {
    podman.ok("podman run -d --name one busybox sleep 1000 && podman kill one");
    podman.prints("podman wait one", "137");
    podman.fails("podman kill one", 125, "container state improper");
}

fn kill_by_a_signal_it_takes(podman: &Session) {
    podman
        .ok("podman run -d --name one busybox sh -c 'trap \"echo hup\" HUP; echo ready; while :; do sleep 0.1; done'");
    podman.wait("podman logs one | grep ready");
    podman.ok("podman kill -s HUP one");
    podman.wait("podman logs one | grep hup");
    podman.prints("podman inspect -f '{{.State.Running}}' one", "true");
}

fn restart(podman: &Session) {
    podman.ok("podman run -d --name one busybox sleep 1000");
    let before = podman.ok("podman inspect -f '{{.State.Pid}}' one");
    podman.ok("podman restart -t 0 one");
    let after = podman.ok("podman inspect -f '{{.State.Pid}}' one");
    assert_ne!(before, after);
    podman.prints("podman exec one echo again", "again");
}

fn restart_on_failure(podman: &Session) {
    podman.ok("podman run -d --name one --restart on-failure:2 busybox sh -c 'echo ran; exit 1'");
    podman.wait("test $(podman inspect -f '{{.RestartCount}} {{.State.Status}}' one | tr ' ' -) = 2-exited");
    podman.prints("podman logs one", "ran\nran\nran");
}

fn pause(podman: &Session) {
    podman.ok("podman run -d --name one busybox sh -c 'while :; do echo x; sleep 0.1; done'");
    podman.ok("podman pause one");
    podman.prints("podman inspect -f '{{.State.Status}}' one", "paused");
    let before = podman.ok("podman logs one | wc -l");
    podman.fails("podman exec one true", 255, "container state improper");
    podman.prints("sleep 1; podman logs one | wc -l", &before);
    podman.ok("podman unpause one");
    podman.wait(&format!("test $(podman logs one | wc -l) -gt {before}"));
}

fn wait(podman: &Session) {
    podman.ok("podman run -d --name one busybox sh -c 'sleep 1; exit 8'");
    podman.prints("podman wait one", "8");
    podman.prints("podman ps -a --format '{{.Status}}' | grep -o '(8)'", "(8)");
}

fn remove_by_force(podman: &Session) {
    podman.ok("podman run -d --name one busybox sh -c 'trap : TERM; while :; do sleep 0.1; done'");
    podman.fails("podman rm one", 2, "cannot remove container");
    podman.ok("podman rm -f -t 0 one");
    podman.fails("podman container exists one", 1, "");
}

fn cleaned_up(podman: &Session) {
    podman.ok("podman run -d --name one busybox true && podman wait one && podman container cleanup one");
    podman.prints("podman inspect -f '{{.State.Status}} {{.State.Pid}}' one", "exited 0");
    // Its root filesystem is mounted no longer.
    podman.ok("! grep -q $(podman inspect -f '{{.Id}}' one)/ /proc/mounts");
}

fn attach(podman: &Session) {
    podman.ok("podman run -d -i --name one busybox sh -c 'read word; echo got $word; exit 2'");
    let printed = podman.typed("podman attach one", "it\n");
    assert!(printed.out().starts_with("got it\n"), "{printed:?}");
    podman.prints("podman wait one", "2");
}

fn many_at_once(podman: &Session) {
    podman.ok("for n in 1 2 3 4 5 6; do podman run -d --name c$n busybox sleep 1000 & done; wait");
    podman.prints("podman ps -q | wc -l", "6");
    podman.ok("podman kill --all");
    podman.wait("test -z \"$(podman ps -q)\"");
}

fn a_name_that_is_taken(podman: &Session) {
    podman.ok("podman create --name one busybox && podman rename one two");
    podman.ok("podman create --name one busybox");
    podman.fails("podman rename one two", 125, "already in use");
}

fn an_end_before_its_time(podman: &Session) {
    podman.ok("podman run -d --name one busybox sleep 1000");
    podman.ok("kill -9 $(podman inspect -f '{{.State.Pid}}' one)");
    podman.prints("podman wait one", "137");
    podman.ok("podman rm one");
}
