# Runs the bundle of $1 under strace with the planc of $2, in a lane; one log a command in $1.
set -eu
cd "$1"
planc=$2
traced() { # NAME ARG...: strace's log goes to NAME.log; -f because init is a process of its own
  log=$1; shift
  strace -f -o "$log.log" "$planc" --root "$PWD/state" "$@"
}
status() { "$planc" --root "$PWD/state" state counted 2> /dev/null | grep -o '"status": *"[a-z]*"' || true; }
wait_for() {
  for _ in $(seq 200); do
    case $(status) in *"$1"*) return ;; esac
    sleep 0.05
  done
  echo "the container is $(status), not $1, after 10 seconds" >&2
  exit 1
}
traced run run --bundle bundle once
traced create create --bundle bundle counted & # strace follows init to its end, so it stays beside the rest
wait_for created
traced exec exec counted /bin/true
traced start start counted
wait
wait_for stopped
traced delete delete counted
