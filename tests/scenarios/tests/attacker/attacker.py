"""Honest clients beside an attacker: `attacker.py JSON` with `{"folder", "seed", "seconds", "ssh", "base", "http",
"path", "own", "foreign", "writer", "supervisor"}`, where `writer` is the program of a writer, a python and its script.

Says `{"rates": {attack: [pushes, reads, failed reads a second, megabytes of the largest process, of the largest
instance]}, "wrong": [answers that nobody should get]}`, first those of nobody's attack.
"""

import http.client
import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from attacks import ATTACKS, Target

LARGE_BYTES = 24 << 20
QUIET_SECONDS = 1
# A reader who takes what there is would measure how busy the machine is.
PACE_SECONDS = 0.02
# So many pages, then a clone of a repository that is small.
PAGES = 10


class Honest:
    """One who pushes as fast as they are answered, and one who reads."""

    def __init__(self, order):
        self.order = order
        self.pushes = self.reads = self.failed = 0
        command = [
            *order["writer"],
            "honest",
            order["path"],
            os.path.join(order["folder"], "honest"),
            str(order["seed"]),
            order["ssh"],
        ]
        self.writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.writer.stdin.write("url %s/%s\n" % (order["base"], order["path"]))
        self.writer.stdin.flush()
        threading.Thread(target=self.push, daemon=True).start()
        threading.Thread(target=self.read, daemon=True).start()

    def push(self):
        for line in self.writer.stdout:
            self.pushes += "pushed" in json.loads(line)

    def read(self):
        host = self.order["http"].split("//")[1].rstrip("/")
        pace = threading.Event()
        pages = ["/%s/json-rev/tip" % self.order["path"]] * PAGES
        paths = itertools.cycle([*pages, "/%s?cmd=changegroup&roots=%s" % (self.order["own"], "0" * 40)])
        while not pace.wait(PACE_SECONDS):
            try:
                connection = http.client.HTTPConnection(host, timeout=20)
                connection.request("GET", next(paths))
                answer = connection.getresponse()
                answer.read()
                connection.close()
                self.reads += answer.status == 200
                self.failed += answer.status != 200
            except (OSError, http.client.HTTPException):
                self.failed += 1

    def rates(self, seconds, supervisor):
        begun, before = time.monotonic(), (self.pushes, self.reads, self.failed)
        largest, wait = [0, 0], threading.Event()
        while time.monotonic() < begun + seconds:
            wait.wait(0.25)
            largest = map(max, largest, largest_megabytes(supervisor))
        took = time.monotonic() - begun
        after = (self.pushes, self.reads, self.failed)
        return [round((new - old) / took, 2) for old, new in zip(before, after)] + list(largest)


def largest_megabytes(supervisor):
    """Of all processes below it, and of its own children only, the instances."""
    parents, sizes = {}, {}
    for word in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % word) as file:
                fields = file.read().rpartition(")")[2].split()
            parents[int(word)], sizes[int(word)] = int(fields[1]), int(fields[21]) * 4096 >> 20
        except (OSError, ValueError):
            continue
    below = {supervisor}
    for _depth in range(5):
        below |= {pid for pid, parent in parents.items() if parent in below}
    instances = [pid for pid, parent in parents.items() if parent == supervisor]
    return [max((sizes.get(pid, 0) for pid in pids), default=0) for pids in (below, instances)]


def prepare(order):
    """A description to backtrack on, a small clone, and a file that is read slowly; answers the file's address."""
    folder = os.path.join(order["folder"], "prepared")
    hg = [*order["hg"], "--config", "ui.ssh=" + order["ssh"], "--config", "ui.username=a"]
    subprocess.run([*hg, "init", folder], check=True)
    small = [*hg, "-R", folder, "commit", "-q", "-m", "small", "--config", "ui.allowemptycommit=yes"]
    subprocess.run(small, check=True, cwd=folder)
    own = "%s/%s" % (order["base"], order["own"])
    subprocess.run([*hg, "-R", folder, "push", "-q", own], check=True, stderr=subprocess.DEVNULL)
    with open(os.path.join(folder, "large"), "wb") as file:
        file.write(random.Random(order["seed"]).randbytes(LARGE_BYTES))
    commit = [*hg, "--config", "ui.large-file-limit=0", "-R", folder, "commit", "-qA", "-m", "a" * 40 + "!"]
    subprocess.run(commit, check=True, cwd=folder)
    url = "%s/%s" % (order["base"], order["path"])
    subprocess.run([*hg, "-R", folder, "push", "-q", url], check=True, stderr=subprocess.DEVNULL)
    log = [*hg, "-R", folder, "log", "-r", ".", "-T", "{node}"]
    node = subprocess.run(log, check=True, capture_output=True, text=True)
    return "/%s/raw-file/%s/large" % (order["path"], node.stdout)


def main():
    order = json.loads(sys.argv[1])
    order["large"] = prepare(order)
    honest = Honest(order)
    wait = threading.Event()
    honest.rates(QUIET_SECONDS, order["supervisor"])
    rates = {"nobody": honest.rates(order["seconds"], order["supervisor"])}
    attacks = [attack for attack in ATTACKS if order.get("only") in (None, attack.__name__)]
    wrong = []
    for attack in attacks:
        target = Target(order)
        thread = threading.Thread(target=attack, args=(target,), daemon=True)
        thread.start()
        wait.wait(QUIET_SECONDS)
        rates[attack.__name__] = honest.rates(order["seconds"], order["supervisor"])
        target.stopped.set()
        thread.join()
        wrong += target.wrong[:1]
        wait.wait(QUIET_SECONDS)
    print(json.dumps({"rates": rates, "wrong": wrong}), flush=True)
    honest.writer.kill()


main()
