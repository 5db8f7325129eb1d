# The ordinary commands, in a lane, those first that call the least: commands.sh FOLDER PLANC BUNDLE BUNDLE-THAT-SLEEPS
# FUNCTIONS-OF-A-COMMAND. The functions that they call are appended to FOLDER/functions.
set -eu
cd "$1"
export PROGRAM=$2 FUNCTIONS=$PWD/called
bundle=$3
sleeper=$4
script=$5
called() { # ARG...
  rm -f called
  timeout 60 gdb -q -batch -ex 'set startup-with-shell off' -x "$script" --args "$PROGRAM" --root "$PWD/state" "$@" \
    < /dev/null > gdb.log 2>&1 || true
  cat called >> functions || { cat gdb.log >&2; exit 1; } # gdb does not fail where its script does
}
"$PROGRAM" --root "$PWD/state" run --detach --bundle "$sleeper" runs < /dev/null > start.log 2>&1 || { cat start.log >&2; exit 1; }
called kill runs WINCH
called state runs
called list
called delete --force runs
"$PROGRAM" --root "$PWD/state" run --detach --bundle "$sleeper" runs < /dev/null > start.log 2>&1 || { cat start.log >&2; exit 1; }
called exec runs /bin/true
"$PROGRAM" --root "$PWD/state" delete --force runs
called run --bundle "$bundle" once
called create --bundle "$sleeper" created
called start created
called delete --force created
