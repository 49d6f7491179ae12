"""Writers, a reader and what fails by chance: `consistency.py JSON`, then a line of JSON at a time both ways.

JSON: `{"folder", "seed", "seconds", "supervisor": pid, "data", "hgd", "ready", "ssh", "pythons": [...], "paths":
[...]}`. Asks with `{"killAll": true}` for a restart of everything, answered with `{"ready", "supervisor", "ssh"}`, and
says `{"ended": figures}` when all writers have had their last word. Then each line `{"places": {name: url}}` is
answered with `{"found": [what is amiss there...]}`.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time

try:
    from mercurial import initialization

    initialization.init()
except ImportError:
    pass  # only Mercurial 7.2 and newer want this

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from faults import Faults
from mercurial import exchange, extensions, hg, ui as uimod
from reader import Reader

# After a fault: while one fails at a time, when all is as before it.
BETWEEN_FAULTS_SECONDS = (4, 7)
PAUSE_SECONDS = (1, 3)
# Longer only when a fault has left something behind for ever.
OVER_WITHIN_SECONDS = 60
LAST_WORD_WITHIN_SECONDS = 120
SHOWN_SENTENCES = 12


class Writing:
    """A writer's process, and what it says."""

    def __init__(self, number, python, order):
        self.name = "writer-%d" % number
        self.path = order["paths"][number % len(order["paths"])]
        folder = os.path.join(order["folder"], self.name)
        command = [
            python,
            os.path.join(os.path.dirname(os.path.abspath(__file__)), "writer.py"),
            self.name,
            self.path,
            folder,
            str(order["seed"] * 100 + number),
            order["ssh"],
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pushed, self.failed, self.numbers, self.state = [], [], {}, None
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        for line in self.process.stdout:
            word = json.loads(line)
            if "pushed" in word:
                self.pushed.append(word["pushed"][1])
                self.numbers[word["head"]] = word["number"]
            elif "failed" in word:
                self.failed.append(word["failed"])
            else:
                self.state = word["state"]

    def push_to(self, base):
        self.process.stdin.write("url %s/%s\n" % (base, self.path))
        self.process.stdin.flush()

    def last_word(self, until):
        if not self.process.stdin.closed:
            self.process.stdin.close()
        self.thread.join(max(0, until - time.monotonic()))
        if self.state is None:
            self.process.kill()
        return self.state


def say(word):
    sys.stdout.write(json.dumps(word) + "\n")
    sys.stdout.flush()


def gaps(times):
    times = sorted(times)
    return max([later - earlier for earlier, later in zip(times, times[1:])], default=0)


class Run:
    def __init__(self, order):
        self.order = order
        self.dice = random.Random(order["seed"])
        self.begun = time.monotonic()
        pythons = order["pythons"]
        self.writers = [Writing(number, pythons[number % len(pythons)], order) for number in range(4)]
        self.faults = Faults(self.dice, order, self.tell)
        self.reader = Reader(random.Random(order["seed"]), order["paths"], order["ready"])
        self.left = []
        self.use(order)

    def tell(self, sentence):
        say({"said": "%5.1f s: %s" % (time.monotonic() - self.begun, sentence)})

    def use(self, order):
        self.faults.supervisor = order["supervisor"]
        self.reader.ready = order["ready"]
        for writer in self.writers:
            writer.push_to(order["base"])

    def chaos(self):
        """One fault at a time for half of it, then several, with everything at once in between."""
        self.reader.start()
        wait, end = threading.Event(), self.begun + self.order["seconds"]
        self.singly(wait, self.begun + self.order["seconds"] / 2)
        self.several_from, self.reader.one_fails = time.time(), False
        rounds = 0
        while time.monotonic() < end:
            wait.wait(self.dice.uniform(*BETWEEN_FAULTS_SECONDS))
            kinds = [self.kill_all, self.faults.several, self.faults.all_frozen, self.faults.several, self.faults.one]
            kinds[rounds % len(kinds)]()
            rounds += 1
        self.faults.over()

    def singly(self, wait, end):
        while time.monotonic() < end:
            wait.wait(self.dice.uniform(*PAUSE_SECONDS))
            self.dice.choice([self.faults.one] * 5 + [self.faults.switchover])()
            left = self.faults.passes(OVER_WITHIN_SECONDS)
            if left:
                self.left.append("%d s after a fault: %s" % (OVER_WITHIN_SECONDS, left))

    def kill_all(self):
        self.tell("kill -9 of everything")
        self.reader.outage = True
        self.faults.over()
        say({"killAll": True})
        self.use(json.loads(sys.stdin.readline()))
        self.reader.outage = False

    def figures(self):
        until = time.monotonic() + LAST_WORD_WITHIN_SECONDS
        states = [writer.last_word(until) for writer in self.writers]
        self.reader.stop()
        numbers = [writer.numbers for writer in self.writers]
        found = [*self.left, *self.reader.found]
        found += self.reader.went_back({key: n for some in numbers for key, n in some.items()})
        found += [
            "%s was never acknowledged: %s" % (writer.name, writer.failed[-1:])
            for writer, state in zip(self.writers, states)
            if state is None
        ]
        singly = [[at for at in writer.pushed if at < self.several_from] for writer in self.writers]
        sentences = {}
        for writer in self.writers:
            for _begin, _end, sentence in writer.failed:
                sentences[sentence] = sentences.get(sentence, 0) + 1
        most = sorted(sentences.items(), key=lambda row: -row[1])[:SHOWN_SENTENCES]
        return {
            "pushes": sum(len(writer.pushed) for writer in self.writers),
            "failedPushes": sum(len(writer.failed) for writer in self.writers),
            "gapOfAnybody": round(gaps([at for row in singly for at in row]), 1),
            "gapOfOne": round(max(gaps(row) for row in singly), 1),
            "gapWithSeveral": round(gaps([at for writer in self.writers for at in writer.pushed]), 1),
            "reads": self.reader.asked,
            "failedReads": self.reader.failed,
            "failedTwice": self.reader.twice,
            "failedTwiceWithSeveral": self.reader.twice_with_several,
            "failures": self.reader.failures,
            "sentences": dict(most),
            "found": found,
        }

    def look(self, places):
        """What is not there as the writers left it."""
        found = []
        for name, base in places.items():
            for path in self.order["paths"]:
                folder = os.path.join(self.order["folder"], "look-%s-%s" % (name, path.replace("/", "-")))
                states = [writer.state for writer in self.writers if writer.path == path and writer.state]
                found += compare(name, copy(self.order["ssh"], base + "/" + path, folder), states)
        return found


def copy(ssh, url, folder):
    ui = uimod.ui.load()
    for section, key, value in [
        (b"ui", b"ssh", os.fsencode(ssh)),
        (b"ui", b"quiet", b"yes"),
        (b"experimental", b"evolution", b"all"),
    ]:
        ui.setconfig(section, key, value, b"look")
    extensions.loadall(ui)
    number = 0
    while os.path.exists("%s-%d" % (folder, number)):
        number += 1
    repo = hg.repository(ui, os.fsencode("%s-%d" % (folder, number)), create=True)
    peer = hg.peer(repo, {}, os.fsencode(url))
    bookmarks = peer.listkeys(b"bookmarks")
    exchange.pull(repo, peer)
    peer.close()
    repo.invalidateall()
    changesets = {}
    for rev in repo:
        ctx = repo[rev]
        changesets.setdefault(ctx.branch().decode(), {})[ctx.hex().decode()] = ctx.phasestr().decode()
    return changesets, {key.decode(): node.decode() for key, node in bookmarks.items()}


def compare(name, copied, states):
    changesets, bookmarks = copied
    found = []
    for state in states:
        branch = state["branch"]
        there = changesets.get(branch, {})
        if there != state["changesets"]:
            lost = sorted(set(state["changesets"]) - set(there))
            other = {
                node: (there[node], phase)
                for node, phase in state["changesets"].items()
                if node in there and there[node] != phase
            }
            more = sorted(set(there) - set(state["changesets"]))
            found.append("%s: of %s lost %s, more %s, phases (there, here) %s" % (name, branch, lost, more, other))
        found += [
            "%s: bookmark %s is at %s, was left at %s" % (name, key, bookmarks.get(key), node)
            for key, node in state["bookmarks"].items()
            if bookmarks.get(key) != node
        ]
    return found


def main():
    run = Run(json.loads(sys.argv[1]))
    run.chaos()
    say({"ended": run.figures()})
    for line in sys.stdin:
        say({"found": run.look(json.loads(line)["places"])})


main()
