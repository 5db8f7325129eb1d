"""Inside gdb: runs a command, and writes the functions that it calls to a file, in the order of their first calls.

PROGRAM is planc with its symbols, FUNCTIONS the file. Those that the child calls between its birth and its execve are left out:
it shares planc's memory, but nobody traces it.
"""

import os
import subprocess

import gdb

program = os.environ["PROGRAM"]
names = {}
for line in subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout.splitlines():
    words = line.split()
    # What is not defined has no address.
    if len(words) == 3 and words[1] in "tTwW" and "3sys5clone" not in words[2]:
        names.setdefault(int(words[0], 16), words[2])

for setting in ["pagination off", "confirm off", "breakpoint always-inserted on", "follow-fork-mode parent"]:
    gdb.execute("set " + setting)
gdb.execute("handle all nostop noprint pass", to_string=True)
gdb.execute("starti", to_string=True)
mappings = gdb.execute("info proc mappings", to_string=True).splitlines()
base = min(int(line.split()[0], 16) for line in mappings if program in line)
called = []


class Entry(gdb.Breakpoint):
    def __init__(self, address):
        super().__init__("*%#x" % (base + address), internal=True)
        self.address = address

    def stop(self):
        called.append(names[self.address])
        self.enabled = False
        return False


for address in names:
    Entry(address)
gdb.execute("continue", to_string=True)
with open(os.environ["FUNCTIONS"], "w") as functions:
    functions.writelines(name + "\n" for name in called)
gdb.execute("quit")
