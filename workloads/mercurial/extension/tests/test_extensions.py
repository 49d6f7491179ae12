# SPDX-License-Identifier: GPL-2.0-or-later
"""Extensions in the server's own hgrc: what stores beside the log is refused at the start, everything else works."""

import os
import unittest

from support import Case

REFUSED = (
    "largefiles =",
    "hgext.largefiles =",
    "hgext/lfs =",
    "lfs =",
    "narrow =",
    "remotefilelog =",
    "sqlitestore =",
    "mine = /somewhere/hgext/largefiles",
    "mine = /somewhere/lfs/",
    "pushlog = /somewhere/pushlog.py",
    "hggit =",
)
ALLOWED = ("acl =", "notify =", "highlight =", "rebase =", "largefiles = !", "lfs = !/lfs", "own = %s")


class Extensions(Case):
    def test_refused(self):
        for number, line in enumerate(REFUSED):
            with self.subTest(line=line), self.assertRaises(AssertionError) as failed:
                self.instance("refused%d" % number, config="[extensions]\n%s" % line)
            said = str(failed.exception).splitlines()[1:]
            self.assertEqual(len(said), 1, said)
            self.assertIn("cannot be switched on here: ", said[0])
            self.assertRegex(said[0], r"^the extension '\w+' \(.*hgrc:\d+\)")

    def test_allowed(self):
        own = os.path.join(self.root, "own.py")
        with open(own, "w") as file:
            file.write("def reposetup(ui, repo):\n    pass\n")
        lines = [line % own if "%" in line else line for line in ALLOWED]
        self.restart("[extensions]\n%s" % "\n".join(lines))
        self.client.commit("a")
        self.client.push(self.ssh)
        self.assertEqual(len(self.gate.records), 1)

    def test_a_client_with_largefiles_is_told(self):
        with open(os.path.join(self.client.root, "large"), "w") as file:
            file.write("x" * 1000)
        self.client.run("add", "--large", "large", "--config", "extensions.largefiles=")
        self.client.run("commit", "-m", "large", "--config", "extensions.largefiles=")
        output = self.client.push(self.ssh, "--config", "extensions.largefiles=", expect=None)
        self.assertRegex(output, "abort: .* does not appear to be a largefile store")
        self.assertEqual(self.gate.records, [])


if __name__ == "__main__":
    unittest.main()
