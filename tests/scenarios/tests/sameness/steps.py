"""What clients do next, decided by chance from what the reference has. Both worlds then do the same.

A step is a list of actions: `{"client", "write": [name, text]}`, `{"client", "hg": words}` (`{ssh}` and `{0}`, `{1}`
stand for URLs, `{in:NAME}` for a client's folder) with `without` (capabilities that it is too old to know) and
`between` (actions of others after its discovery), or `{"remove": client}`.
"""

from mercurial.node import hex, nullrev

BOOKMARKS = ["one", "two", "three/four", "fünf"]
BRANCHES = ["default", "stable", "next", "b ü"]
TAGS = ["v1", "v2", "v 3"]
FILES = ["a", "b", "folder/c", "folder/ü"]
CLIENTS = ["alice", "bob", "old"]
ALL = ["--config", "experimental.evolution=all"]
# How old a client is: settings, and capabilities that it does not know.
AGES = [
    (12, [], []),
    (2, ["--config", "devel.legacy.exchange=bundle1"], []),
    (1, ["--config", "devel.legacy.exchange=phases"], []),
    (1, ["--config", "devel.legacy.exchange=bookmarks"], []),
    (1, ["--config", "devel.legacy.exchange=phases,bookmarks"], []),
    (1, ["--config", "devel.legacy.exchange=bundle1,phases,bookmarks"], []),
    (1, ["--config", "devel.legacy.exchange=bundle1"], ["getbundle", "known", "bundle2"]),
    (1, [], ["batch"]),
    (1, ["--config", "devel.legacy.exchange=bundle1"], ["branchmap", "pushkey", "bundle2"]),
]


class Steps:
    def __init__(self, dice, world, markers):
        self.dice = dice
        self.world = world
        # Whether the servers exchange markers.
        self.markers = markers
        self.number = 0
        self.clones = 0

    def all(self, count):
        """The clients, a history to begin with, and so many steps that chance wants, each made when it is its turn."""
        yield [{"client": None, "hg": ["clone", "-q", "{ssh}", "{in:%s}" % name]} for name in CLIENTS]
        yield [action for _ in range(3) for action in self.writes("alice")]
        yield [self.hg("alice", ["push", "{ssh}"])]
        if self.markers:
            yield from self.pruned_elsewhere()
        for _ in range(count):
            yield self.next()

    def pruned_elsewhere(self):
        """A client that learns phases by `listkeys` pulls after its own draft was hidden by somebody else."""
        # On what is public, so that it is a root of drafts.
        begin = [self.hg("alice", ["push", "--publish", "{ssh}"]), self.hg("old", ["pull", "-q", "-u", "{ssh}"])]
        yield [*begin, *self.writes("old"), self.hg("old", ["push", "{ssh}"])]
        draft = self.world.repo("old")[b"tip"].hex().decode()
        words = ["debugobsolete", "--record-parents", draft]
        yield [self.hg("alice", words) for words in (["pull", "{ssh}"], words, ["push", "{ssh}"])]
        legacy = ["--config", "devel.legacy.exchange=phases"]
        yield [self.hg("old", [*legacy, "pull", url]) for url in ("{0}", "{1}")]

    def next(self):
        client = self.dice.choice(CLIENTS)
        remote = self.dice.random() < 0.6
        kinds = (
            [
                (8, self.push),
                (6, self.pull),
                (2, self.look),
                (2, self.clone),
                (1, self.identify),
                (2, self.race),
                (1, self.pushkey),
                (1, self.bundle),
                (1, self.about),
            ]
            if remote
            else [
                (8, self.commit),
                (2, self.merge),
                (3, self.amend),
                (3, self.rebase),
                (2, self.prune),
                (1, self.graft),
                (3, self.phase),
                (4, self.bookmark),
                (2, self.tag),
                (1, self.strip),
                (1, self.close),
                (1, self.secret),
                (1, self.uncommit),
            ]
        )
        while True:
            self.repo = self.world.repo(client)
            actions = self.choose(kinds)(client)
            if actions:
                return actions

    # What there is to choose from.

    def choose(self, weighted):
        return self.dice.choices([row[1] for row in weighted], [row[0] for row in weighted])[0]

    def some(self, revs):
        revs = list(revs)
        return hex(self.repo[self.dice.choice(revs)].node()).decode() if revs else None

    def any(self):
        return self.some(list(self.repo)[-12:])

    def drafts(self):
        return [rev for rev in self.repo if self.repo[rev].mutable()]

    def heads(self):
        return [self.repo[node].rev() for node in self.repo.heads() if self.repo[node].rev() != nullrev]

    def named(self):
        """A name of a revision, of any kind, which the server may know or not.

        Not those that are not ASCII: Mercurial 6.3 answers them with error 500 over HTTP (docs/differences.md).
        """
        kinds = [
            self.any() or "tip",
            (self.any() or "tip")[:12],
            self.dice.choice(BOOKMARKS[:3]),
            self.dice.choice(BRANCHES[:3]),
            self.dice.choice(TAGS),
            "tip",
            "f" * 40,
            "0",
            "nosuch",
        ]
        return self.dice.choices(kinds, [6, 2, 2, 2, 1, 1, 1, 1, 1])[0]

    def hg(self, client, words, **more):
        more = {"client": client, "hg": words, **more}
        if client == "old":
            more["hg"] = ["--config", "experimental.evolution=", *words]
        return more

    def remote(self, client, words):
        """A command of a client that is as old as chance wants."""
        ages = [(weight, (settings, unknown)) for weight, settings, unknown in AGES]
        settings, unknown = self.choose(ages)
        return self.hg(client, [*settings, *words], without=unknown)

    def http(self):
        return self.dice.choice(["{0}", "{1}"])

    def any_url(self):
        return self.dice.choice(["{ssh}", self.http(), self.http()])

    # Local changes.

    def writes(self, client, *words):
        self.number += 1
        name = self.dice.choice(FILES)
        text = "%d of %d\n" % (self.number, self.dice.getrandbits(30))
        commit = ["commit", "-A", "-m", "change %d" % self.number, "-d", "%d 0" % self.number, *words]
        return [{"client": client, "write": [name, text]}, self.hg(client, commit)]

    def go(self, client, where):
        return [self.hg(client, ["update", "-q", "-C", where])] if where else []

    def commit(self, client):
        actions = self.go(client, self.dice.choice([None, self.some(self.heads()), self.any()]))
        if self.dice.random() < 0.25:
            actions.append(self.hg(client, ["branch", "-f", self.dice.choice(BRANCHES)]))
        for _ in range(self.dice.choice([1, 1, 2, 3])):
            actions += self.writes(client)
        return actions

    def secret(self, client):
        return self.writes(client, "--secret")

    def close(self, client):
        head = self.some(self.heads())
        return head and self.go(client, head) + self.writes(client, "--close-branch")

    def merge(self, client):
        heads = self.heads()
        if len(heads) < 2:
            return None
        one, two = self.dice.sample(heads, 2)
        self.number += 1
        words = ["commit", "-m", "merge %d" % self.number, "-d", "%d 0" % self.number]
        return [
            *self.go(client, self.some([one])),
            self.hg(client, ["merge", "-r", self.some([two])]),
            self.hg(client, words),
            self.hg(client, ["update", "-q", "-C", "."]),
        ]

    def amend(self, client):
        draft = self.some(self.drafts())
        if not draft:
            return None
        self.number += 1
        words = ["commit", "--amend", "-A", "-m", "amended %d" % self.number, "-d", "%d 0" % self.number]
        write = {"client": client, "write": [self.dice.choice(FILES), "amended %d\n" % self.number]}
        return [*self.go(client, draft), write, self.hg(client, words)]

    def rebase(self, client):
        draft = self.some(self.drafts())
        words = ["rebase", self.dice.choice(["-s", "-r", "-b"]), draft, "-d", self.any()]
        words += self.dice.choice([[], [], ["--keep"]])
        return draft and [
            self.hg(client, ["update", "-q", "-C", "."]),
            self.hg(client, words),
            self.hg(client, ["update", "-q", "-C", "."]),
        ]

    def uncommit(self, client):
        draft = self.some(self.drafts())
        return draft and [
            *self.go(client, draft),
            self.hg(client, ["uncommit", "--allow-dirty-working-copy"]),
            self.hg(client, ["update", "-q", "-C", "."]),
        ]

    def prune(self, client):
        draft = self.some(self.drafts())
        successors = self.dice.choice([[], [], [self.any()], [self.any(), self.any()]])
        words = ["debugobsolete", *([] if successors else ["--record-parents"]), draft, *dict.fromkeys(successors)]
        return draft and [self.hg(client, words), self.hg(client, ["update", "-q", "-C", "tip"])]

    def graft(self, client):
        one, two = self.any(), self.any()
        return one and [
            *self.go(client, one),
            self.hg(client, ["graft", "-r", two, "-d", "9 0"]),
            self.hg(client, ["update", "-q", "-C", "."]),
        ]

    def phase(self, client):
        phase = self.dice.choice(["--public", "--draft", "--secret"])
        force = self.dice.choice([[], ["--force"]])
        return self.any() and [self.hg(client, ["phase", phase, *force, "-r", self.any()])]

    def bookmark(self, client):
        name = self.dice.choice(BOOKMARKS)
        words = self.dice.choice(
            [
                ["-f", "-r", self.any() or "null", name],
                ["-f", "-r", self.any() or "null", name],
                ["-d", name],
                ["-f", name],
                ["-f", "-m", name, self.dice.choice(BOOKMARKS)],
            ]
        )
        return [self.hg(client, ["bookmark", *words])]

    def tag(self, client):
        self.number += 1
        words = self.dice.choice([["-f"], ["-f"], ["--remove"], ["-f", "--local"]])
        where = ["-r", self.any()] if words[0] != "--remove" else []
        date = [] if "--local" in words else ["-d", "%d 0" % self.number]
        return self.any() and [self.hg(client, ["tag", *words, *where, *date, self.dice.choice(TAGS)])]

    def strip(self, client):
        return self.any() and [self.hg(client, ["debugstrip", "--no-backup", self.any()])]

    # With the server.

    def push_words(self):
        words = ["push", "{ssh}"]
        for chance, more in [
            (0.5, ["-f"]),
            (0.3, ["-r", self.any() or "tip"]),
            (0.3, ["--new-branch"]),
            (0.15, ["--publish"]),
            (0.3, ["-B", self.dice.choice([*BOOKMARKS, "."])]),
            (0.1, ["-B", self.dice.choice(BOOKMARKS)]),
            (0.07, ["-b", self.dice.choice(BRANCHES)]),
            (0.07, ["--all-bookmarks"]),
            (0.05, ["--config", "experimental.auto-publish=abort"]),
            (0.05, ["--pushvars", "A=b"]),
            (0.05, ["--config", "experimental.bundle2.pushback=yes"]),
        ]:
            if self.dice.random() < chance:
                words += more
        return words

    def push(self, client):
        words = self.push_words()
        if self.dice.random() < 0.08:
            words[1] = self.http()
        return [self.remote(client, words)]

    def pull_words(self):
        words = ["pull", self.any_url()]
        for chance, more in [
            (0.3, ["-r", self.named()]),
            (0.2, ["-B", self.dice.choice(BOOKMARKS)]),
            (0.2, ["-u"]),
            (0.1, ["-f"]),
            (0.1, ["-b", self.dice.choice(BRANCHES[:3])]),
            (0.05, ["-r", self.named()]),
        ]:
            if self.dice.random() < chance:
                words += more
        return words

    def pull(self, client):
        return [self.remote(client, self.pull_words())]

    def look(self, client):
        words = [self.dice.choice(["incoming", "incoming", "outgoing"]), self.any_url(), "-T", "{node} {phase}\n"]
        words += self.dice.choice([[], [], ["-B"], ["-r", self.named()], ["-b", self.dice.choice(BRANCHES[:3])]])
        return [self.remote(client, words)]

    def identify(self, client):
        words = ["identify", self.any_url(), *self.dice.choice([[], ["-r", self.named()]])]
        return [self.remote(client, words + self.dice.choice([[], ["-B"], ["-i"], ["-i", "-B"], ["-n", "-t"]]))]

    def clone(self, _client):
        self.clones += 1
        name = "clone-%d" % self.clones
        words = [
            "clone",
            *self.dice.choice(
                [
                    [],
                    ["--pull"],
                    ["--stream"],
                    ["--stream"],
                    ["-r", self.named()],
                    ["-b", self.dice.choice(BRANCHES[:3])],
                    ["-u", self.named()],
                ]
            ),
        ]
        words += self.dice.choice([[], ["-U"]])
        made = self.remote(None, [*words, self.any_url(), "{in:%s}" % name])
        return [made, {"client": name, "look": True}, {"remove": name}]

    def race(self, client):
        other = self.dice.choice([name for name in CLIENTS if name != client])
        between = [*self.writes(other), self.remote(other, self.push_words())]
        if self.dice.random() < 0.3:
            between = [self.hg(other, ["bookmark", "-f", self.dice.choice(BOOKMARKS)]), *between[1:]]
        # One that is older sees a race with plain only by luck (docs/differences.md).
        push = self.hg(client, self.push_words())
        return [*self.writes(client), {**push, "between": between}]

    def pushkey(self, client):
        namespace, key, new = self.dice.choice(
            [
                ("bookmarks", self.dice.choice(BOOKMARKS), self.any() or ""),
                ("bookmarks", "x", "f" * 40),
                ("phases", self.any() or "0" * 40, "0"),
                ("bookmarks", self.dice.choice(BOOKMARKS), ""),
                ("nosuch", "a", "b"),
            ]
        )
        if self.dice.random() < 0.5:
            return [self.hg(client, ["debugpushkey", self.any_url(), self.dice.choice([namespace, "namespaces"])])]
        old = {"phases": "1"}.get(namespace, self.dice.choice(["", self.any() or ""]))
        return [self.hg(client, ["debugpushkey", "{ssh}", namespace, key, old, new])]

    def about(self, client):
        words = self.dice.choice([["debugcapabilities", self.any_url()], ["summary", "--remote"], ["paths", "-v"]])
        return [self.hg(client, [*words[:1], "--config", "paths.default=" + self.any_url(), *words[1:]])]

    def bundle(self, client):
        base = self.dice.choice([["--all"], ["--base", self.any() or "null"]])
        file = "{in:%s}/../bundle" % client
        words = ["bundle", *base, file, *([self.any_url()] if base[0] != "--all" else [])]
        return [self.remote(client, words), self.hg(client, ["incoming", file])]
