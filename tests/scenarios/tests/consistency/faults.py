"""What is done to the processes of an installation."""

import json
import os
import signal
import subprocess
import threading
import time

FREEZE_SECONDS = (0.5, 6)


def processes(supervisor):
    """`{pid: name}` of all below the supervisor: an instance's name, or `zygote of NAME`, or `hg of NAME`."""
    parents, commands = {}, {}
    for word in os.listdir("/proc"):
        if not word.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % word) as file:
                fields = file.read().rpartition(")")[2].split()
            with open("/proc/%s/cmdline" % word, "rb") as file:
                commands[int(word)] = file.read().decode("utf-8", "replace").split("\0")
            parents[int(word)] = int(fields[1])
        except (OSError, ValueError):
            continue
    names = {supervisor: "supervisor"}
    # A child may have a lower number than its parent.
    for _depth in range(5):
        for pid, parent in parents.items():
            if parent in names and pid not in names:
                names[pid] = name_of(commands[pid], names[parent])
    del names[supervisor]
    return names


def name_of(words, parent):
    if "--config" in words:
        return os.path.basename(words[words.index("--config") + 1]).removesuffix(".json")
    if parent.startswith("zygote of "):
        return "hg of " + parent.removeprefix("zygote of ")
    return "zygote of " + parent


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Faults:
    def __init__(self, dice, order, say):
        self.dice, self.say = dice, say
        self.supervisor, self.data, self.hgd = order["supervisor"], order["data"], order["hgd"]
        self.frozen = []
        # What runs while nothing fails.
        self.usual = self.running()

    def some(self, kinds):
        """One process, each kind as likely as any other."""
        found = {}
        for pid, name in processes(self.supervisor).items():
            found.setdefault(name, []).append(pid)
        names = sorted(name for name in found if not kinds or name.split(" ")[0].split("-")[0] in kinds)
        name = self.dice.choice(names)
        return name, self.dice.choice(sorted(found[name]))

    def one(self, kinds=()):
        name, pid = self.some(kinds)
        if self.dice.random() < 0.5:
            self.say("kill -9 of %s" % name)
            send(pid, signal.SIGKILL)
        else:
            seconds = self.dice.uniform(*FREEZE_SECONDS)
            self.say("freeze of %s for %.1f s" % (name, seconds))
            self.freeze(pid, seconds)

    def freeze(self, pid, seconds):
        send(pid, signal.SIGSTOP)
        timer = threading.Timer(seconds, send, (pid, signal.SIGCONT))
        timer.start()
        self.frozen.append((timer, pid))

    def several(self):
        for _number in range(self.dice.choice([2, 3, 4])):
            self.one()

    def all_frozen(self):
        self.say("freeze of everything for 2 s")
        for pid in processes(self.supervisor):
            self.freeze(pid, 2)

    def switchover(self):
        self.say("switchover")
        command = [self.hgd, "promote", "--data-dir", self.data]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode:
            self.say("switchover: " + done.stderr.strip().replace("\n", " / "))

    def lasts(self):
        """What is left to be seen of the last fault; None when all is as before it."""
        if any(timer.is_alive() for timer, _pid in self.frozen):
            return "a process is frozen"
        missing = self.usual - self.running()
        if missing:
            return "not running: %s" % ", ".join(sorted(missing))
        asked = subprocess.run(
            [self.hgd, "status", "--data-dir", self.data, "-o", "json"], capture_output=True, text=True, timeout=60
        )
        if asked.returncode:
            return asked.stderr.strip()
        status = json.loads(asked.stdout)
        if status["master"] is None:
            return "no master"
        late = [one["name"] for one in status["instances"] if not one["inSync"]]
        late += [one["name"] for one in status["mirrors"] if one["state"] != "Active"]
        return "not as far as the others: %s" % ", ".join(late) if late else None

    def running(self):
        return {name for name in processes(self.supervisor).values() if not name.startswith("hg of ")}

    def passes(self, seconds):
        """Waits until the last fault is over; what is left of it when that is too long."""
        until = time.monotonic() + seconds
        left = self.lasts()
        while left and time.monotonic() < until:
            threading.Event().wait(0.2)
            left = self.lasts()
        return left

    def over(self):
        for timer, pid in self.frozen:
            timer.cancel()
            send(pid, signal.SIGCONT)
        self.frozen.clear()
