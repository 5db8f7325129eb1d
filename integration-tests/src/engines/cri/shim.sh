#!/bin/sh
# A shim for a lane without the controller cpu: CRI asks for cpu.shares 2 of every sandbox, and no setting of containerd's
# says otherwise. That one wish, and no other, is taken out of the sandbox's config.json before the shim that is judged,
# whichever it is, starts in the bundle.
for word in "$@"; do
  if [ "$word" = start ] && [ -f config.json ]; then
    sed -i 's/"cpu":{"shares":2}/"cpu":{}/' config.json
  fi
done
exec @SHIM@ "$@"
