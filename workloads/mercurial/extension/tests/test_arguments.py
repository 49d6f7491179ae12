# SPDX-License-Identifier: GPL-2.0-or-later
"""Nonsense in the arguments of wire commands over SSH: one sentence, and the session goes on."""

import unittest

import support


class Arguments(support.Case):
    def test_nonsense_is_one_sentence_and_the_session_goes_on(self):
        tip = self.client.commit("a")
        self.client.push(self.ssh)
        connection, to, answers, errors = support.serve(self.ssh, "r")
        wdir, nowhere = "ff" * 20, "ab" * 20
        for command, expected in (
            (request("known", nodes="zz", **{"*": []}), b"nodes of known must be hashes of 40 hexadecimal digits"),
            (request("between", pairs=nowhere), b"pairs of between must be pairs"),
            (request("branches", nodes=wdir), b"unknown revision"),
            (request("changegroup", roots=nowhere), b"unknown revision"),
            (request("changegroupsubset", bases=tip, heads=nowhere), b"unknown revision"),
            (request("getbundle", **{"*": [("heads", "f" * 39)]}), b"heads of getbundle must be hashes"),
            (request("batch", cmds="nothing ", **{"*": []}), b"cmds of batch has nothing, which is no command"),
            (request("batch", cmds="known nodes", **{"*": []}), b"cmds of batch has nodes where name=value belongs"),
        ):
            with self.subTest(command=command):
                to.write(command)
                self.assertEqual(answers.readline(), b"\n")
                self.assertIn(expected, errors.readline())
                while errors.readline() != b"-\n":
                    pass
                to.write(b"heads\n")
                self.assertEqual(answers.readline(), b"41\n")
                self.assertEqual(answers.readline(), tip.encode() + b"\n")
        to.write(request("known", nodes=wdir, **{"*": []}))
        self.assertEqual((answers.readline(), answers.read(1)), (b"1\n", b"0"))
        for file in (to, answers, errors):
            file.close()
        connection.close()


def request(command, **arguments):
    """As a client sends it over SSH; `*` is a list of pairs."""
    text = command.encode() + b"\n"
    for name, value in arguments.items():
        if name == "*":
            text += b"* %d\n" % len(value) + b"".join(one(*pair) for pair in value)
        else:
            text += one(name, value)
    return text


def one(name, value):
    return b"%s %d\n%s" % (name.encode(), len(value), value.encode())


if __name__ == "__main__":
    unittest.main()
