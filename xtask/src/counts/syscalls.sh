# Runs bundles under strace with a runtime, in a lane: syscalls.sh FOLDER RUNTIME BUNDLE; one log a command in FOLDER.
set -eu
cd "$1"
runtime=$2
bundle=$3
traced() { # NAME ARG...: strace's log goes to NAME.log; -f because init is a process of its own
  log=$1; shift
  strace -f -o "$log.log" "$runtime" --root "$PWD/state" "$@"
}
status() { "$runtime" --root "$PWD/state" state counted 2> /dev/null | grep -o '"status": *"[a-z]*"' || true; }
wait_for() {
  for _ in $(seq 400); do
    case $(status) in *"$1"*) return ;; esac
    sleep 0.05
  done
  echo "the container is $(status), not $1, after 20 seconds" >&2
  exit 1
}
traced features features > /dev/null || rm features.log # crun 1.8 does not have it
traced run run --bundle "$bundle" once
traced create create --bundle "$bundle" counted & # strace follows init to its end, so it stays beside the rest
wait_for created
traced state state counted > /dev/null
traced list list > /dev/null
traced kill kill counted WINCH
traced exec exec counted /bin/true
traced start start counted
wait
wait_for stopped
traced delete delete counted
