"""Does what chance wants against two servers and compares: `sameness.py JSON`.

JSON: `{"folder", "page", "seeds": [n...], "steps", "ours": PLACES, "plain": PLACES, "repositories": [path...],
"markers": [bool...]}`, one repository for each seed, which exchanges markers or not; PLACES: `{"ssh", "sshUrl",
"mirrors": [url...], "status"?}`. Says for each `{"seed", "step": how far it came, "differs": [what...], "steps":
[what was done last...]}`.
"""

import json
import os
import random
import sys
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import steps as stepping
from differences import Differences
from mercurial import extensions, ui as uimod
from world import NAMESPACES, Hooks, World, install_hooks

# Of a sequence that differs.
SHOWN_STEPS = 8


class Sequence:
    def __init__(self, seed, order, path, markers, differences):
        self.dice = random.Random(seed)
        self.differences = differences
        self.folder = os.path.join(order["folder"], "sequence-%d" % seed)
        self.worlds = [World(name, self.folder, order[name], path) for name in ("ours", "plain")]
        self.steps = stepping.Steps(self.dice, self.worlds[1], markers)
        self.known = {}
        self.trace = []

    def run(self, count):
        """Answers what differs, and after how many steps."""
        for number, actions in enumerate(self.steps.all(count)):
            self.trace.append(json.dumps(actions, ensure_ascii=False))
            found = self.step(number, actions)
            if found:
                return number, found
        return count, []

    def step(self, number, actions):
        ours, plain = (self.do(world, actions) for world in self.worlds)
        found = []
        for (action, one), (_action, other) in zip(ours, plain):
            found += self.compare(action, one, other)
        self.worlds[0].settle()
        states = [{name: world.state(name) for name in stepping.CLIENTS} for world in self.worlds]
        for name in stepping.CLIENTS:
            found += different("state of " + name, states[0][name], states[1][name])
        for row in (row for state in states[1].values() for row in state.get("changesets", ())):
            self.known[row[:40]] = None
        if any("{ssh}" in json.dumps(action) for action in actions):
            found += self.compare_discovery(number)
        return found

    def do(self, world, actions):
        results = []
        for action in actions:
            if "write" in action:
                name, text = action["write"]
                path = os.path.join(world.client(action["client"]), name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            elif "remove" in action:
                world.remove(action["remove"])
            elif "look" in action:
                results.append((action, world.state(action["client"])))
            else:
                between = action.get("between")
                Hooks.unknown = action.get("without", ())
                Hooks.between = between and (lambda between=between: results.extend(self.do(world, between)))
                results.append((action, world.hg(action["client"], action["hg"])))
                Hooks.between, Hooks.unknown = None, ()
        return results

    def compare(self, action, ours, plain):
        if "look" in action:
            return different("state of " + action["client"], ours, plain)
        ours.remote = self.differences.without_ours(ours.remote)
        words = " ".join(action["hg"])
        if self.differences.meant(words, ours.__dict__, plain.__dict__):
            return []
        return different("hg " + words, ours.__dict__, plain.__dict__)

    def questions(self):
        nodes = [*self.known, "f" * 40]
        names = [*stepping.BOOKMARKS, *stepping.BRANCHES, *stepping.TAGS, "tip", "0", "nosuch", "0" * 40]
        names = [name for name in names if name.isascii()]
        keys = [*self.dice.sample(names, 3), *self.dice.sample(nodes, min(len(nodes), 3))]
        keys.append(self.dice.choice(nodes)[:12])
        return [
            ("heads", {}),
            ("branchmap", {}),
            ("known", {"nodes": " ".join(nodes)}),
            *[("listkeys", {"namespace": name}) for name in NAMESPACES],
            *[("lookup", {"key": key}) for key in keys],
        ]

    def compare_discovery(self, number):
        questions = self.questions()
        ours, plain = self.worlds
        right = plain.discovery(questions, 0)
        found = []
        answered = [
            ("mirror %d" % mirror, ours.discovery(questions, mirror)) for mirror in range(len(ours.places["mirrors"]))
        ]
        for where, answers in answered:
            found += self.compare_answers(where, answers, right)
        if number % 4 == 0:
            questions = [question for question in questions if question[1].get("key") != ""]
            found += self.compare_answers("ssh", ours.discovery_by_ssh(questions), plain.discovery_by_ssh(questions))
        return found

    def compare_answers(self, where, ours, plain):
        found = []
        if len(ours) == 1 < len(plain):
            return ["%s: %s" % (where, ours)]
        for question in sorted(set(ours) | set(plain)):
            one, other = ours.get(question), plain.get(question)
            if one != other and not self.differences.meant(question, one, other):
                found.append("%s: %s: ours %s, plain %s" % (where, question, one, other))
        return found


def different(where, ours, plain):
    found = []
    for key in sorted(set(ours) | set(plain)):
        one, other = ours.get(key), plain.get(key)
        if one == other:
            continue
        if isinstance(one, list) and isinstance(other, list):
            only = [row for row in one if row not in other], [row for row in other if row not in one]
            if any(only):
                one, other = only
        found.append("%s: %s: ours %r, plain %r" % (where, key, one, other))
    return found


def main():
    order = json.loads(sys.argv[1])
    extensions.loadall(uimod.ui.load())
    install_hooks()
    differences = Differences(order["page"])
    for seed, path, markers in zip(order["seeds"], order["repositories"], order["markers"]):
        sequence = Sequence(seed, order, path, markers, differences)
        try:
            number, found = sequence.run(order["steps"])
        except Exception:
            number, found = -1, [traceback.format_exc()]
        steps = sequence.trace[-SHOWN_STEPS:] if found else []
        print(json.dumps({"seed": seed, "step": number, "differs": found, "steps": steps}), flush=True)


main()
