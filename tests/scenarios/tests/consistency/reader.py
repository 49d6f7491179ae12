"""A reader who asks another mirror each time, and remembers what was seen."""

import http.client
import threading
import urllib.parse

PAUSE_SECONDS = 0.02
RETRY_AFTER_SECONDS = 0.5
ANSWER_WITHIN_SECONDS = 20
MAX_FOUND = 20


class Reader(threading.Thread):
    def __init__(self, dice, paths, ready):
        super().__init__(daemon=True)
        self.dice, self.paths = dice, paths
        self.ready = ready
        self.stopped = threading.Event()
        # While everything is down nobody is expected to answer.
        self.outage = False
        # (mirror, path, bookmark) -> hashes in the order in which that mirror showed them.
        self.shown = {}
        self.seen = {path: [] for path in paths}
        # One process at a time, and nothing more.
        self.one_fails = True
        self.asked = self.failed = self.twice_with_several = 0
        # What the second try of a read met while one process at a time failed.
        self.twice = []
        self.failures = {}
        self.found = []

    def run(self):
        while not self.stopped.wait(PAUSE_SECONDS):
            ready = self.ready
            places = [("balancer", ready["http"])] * 2
            places += [("mirror %d" % number, url) for number, url in enumerate(ready["mirrors"])]
            name, base = self.dice.choice(places)
            path = self.dice.choice(self.paths)
            try:
                self.ask(name, base, path)
            except (OSError, http.client.HTTPException, ValueError) as why:
                # A mirror that was killed does not answer; behind the balancer there is another.
                if name == "balancer" and not self.outage and ready is self.ready:
                    self.again(base, path, why)

    def again(self, base, path, why):
        self.failed += 1
        self.failures[repr(why)[:120]] = self.failures.get(repr(why)[:120], 0) + 1
        self.stopped.wait(RETRY_AFTER_SECONDS)
        try:
            self.ask("balancer", base, path)
        except (OSError, http.client.HTTPException, ValueError) as again:
            if self.one_fails:
                self.twice.append("%r, then %r" % (why, again))
            else:
                self.twice_with_several += not self.outage

    def ask(self, name, base, path):
        self.asked += 1
        seen = self.seen[path]
        if seen and self.dice.random() < 0.5:
            self.ask_for(name, base, path, self.dice.choice(seen[-50:]))
            return
        text = self.get(base, path, {"cmd": "listkeys", "namespace": "bookmarks"}).decode()
        for line in text.splitlines():
            bookmark, _tab, node = line.partition("\t")
            row = self.shown.setdefault((name, path, bookmark), [])
            if not row or row[-1] != node:
                row.append(node)
            if node not in seen:
                seen.append(node)

    def ask_for(self, name, base, path, node):
        answer = self.get(base, path, {"cmd": "lookup", "key": node})
        if answer != b"1 %s\n" % node.encode() and len(self.found) < MAX_FOUND:
            self.found.append("%s does not know %s of %s, which was seen: %r" % (name, node, path, answer[:200]))

    def get(self, base, path, query):
        connection = http.client.HTTPConnection(base.split("//")[1].rstrip("/"), timeout=ANSWER_WITHIN_SECONDS)
        try:
            connection.request("GET", "/%s?%s" % (path, urllib.parse.urlencode(query)))
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status in (404, 410) and len(self.found) < MAX_FOUND:
            self.found.append("%s: %s %s: %d" % (base, path, query, answer.status))
        if answer.status != 200:
            raise ValueError("status %d: %r" % (answer.status, body[:80]))
        return body

    def went_back(self, numbers):
        """Where one mirror showed an older state after a newer one; `numbers` tells how old a hash is."""
        found = []
        for (name, path, bookmark), nodes in self.shown.items():
            row = [numbers[node] for node in nodes if node in numbers]
            if name != "balancer" and row != sorted(row):
                found.append("%s went back in %s: %s was at %s" % (name, path, bookmark, row))
        return found

    def stop(self):
        self.stopped.set()
        self.join()
