#!/usr/bin/env python3
"""What a user may ask of perf/run, goals, compare, gate and replay.sh, and what is refused: status 2, and one
line that names the place. Nothing is measured."""
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

PERF = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.dont_write_bytecode = True


def program(name):
    """A program without .py as a module."""
    loader = importlib.machinery.SourceFileLoader("perf_" + name, os.path.join(PERF, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


RUN = program("run")


def asked(*words):
    with mock.patch.object(sys, "argv", ["perf/run", *words]):
        return RUN.options()


def refused(*words):
    """What perf/run says to it; its status must be 2."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            asked(*words)
        except SystemExit as end:
            assert end.code == 2, (words, end.code)
            return said.getvalue()
    raise AssertionError(f"{words} is taken")


class Run(unittest.TestCase):
    def test_refusals_name_the_option(self):
        for words, expected in (
                (("--blocks", "x"), "--blocks"), (("--blocks", "0"), "--blocks 0: must be 1 to 1000"),
                (("--window", "nan"), "--window nan"), (("--rate", "9"), "--rate 9"),
                (("--connections", "60001"), "--connections 60001"), (("--steal", "-1"), "--steal -1"),
                (("--others", "101"), "--others 101"), (("--patience", "inf"), "--patience inf"),
                (("--rate",), "--rate"), (("--nope",), "--nope"), (("word",), "word"), (("--block", "1"), "--block"),
                (("--full", "--smoke"), "--smoke"), (("--json", ""), "--json"), (("--json", "/"), "--json /"),
                (("--html", "/nowhere/o.html"), "--html /nowhere/o.html"), (("--build", "/nowhere"), "--build /nowhere"),
                (("--json", "/tmp/o", "--html", "/tmp/./o"), "--html /tmp/./o"),
                (("--without-replay", "--without-memif", "--without-veths"), "nothing is left")):
            said = refused(*words)
            self.assertIn(expected, said)
            self.assertEqual(said.count("\n"), 1, said)

    def test_a_folder_without_the_programs_is_named(self):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()) as said:
            with self.assertRaises(SystemExit) as end:
                RUN.build(asked("--build", folder), print)
        self.assertEqual(end.exception.code, 2)
        self.assertIn(f"--build {folder}: dataplane/millrace-dataplane", said.getvalue())

    def test_every_option_has_a_line_of_help_and_the_other_way_round(self):
        with contextlib.redirect_stdout(io.StringIO()) as said, self.assertRaises(SystemExit) as end:
            asked("--help")
        self.assertFalse(end.exception.code)
        for name in ("--full", "--smoke", "--json", "--html", "--rate", "--connections", "--blocks", "--window",
                     "--patience", "--others", "--steal", "--build", "--without-replay", "--without-memif",
                     "--without-veths"):
            self.assertIn(name, said.getvalue())

    def test_options_reach_the_settings(self):
        settings = RUN.settings_of(asked("--rate", "123", "--connections", "7", "--blocks", "3", "--window", "0.5",
                                         "--patience", "0", "--others", "100", "--steal", "0"))
        for name, value in (("rate", 123), ("connections", 7), ("blocks", 3), ("window_seconds", 0.5),
                            ("patience_seconds", 0), ("others_percent_max", 100), ("steal_percent_max", 0),
                            ("mode", "quick"), ("share_blocks", 3)):
            self.assertEqual(settings[name], value, name)
        usual = RUN.settings_of(asked("--full"))
        self.assertEqual((usual["mode"], usual["blocks"], usual["share_blocks"]), ("full", 16, 8))
        # More blocks than a lane has by itself are the CPU campaign's only.
        self.assertEqual(RUN.settings_of(asked("--blocks", "99"))["share_blocks"], 5)

    def test_lane_m_follows_blocks_and_windows(self):
        mode = RUN.memif_mode(asked("--full", "--blocks", "2", "--window", "0.5"))
        self.assertEqual((mode["blocks"], mode["crowd_blocks"], mode["window"]), (2, 2, 0.5))
        self.assertEqual(RUN.memif_mode(asked("--full"))["crowd_blocks"], 5)

    def expected(self, *words, peers=0):
        given = asked(*words)
        return RUN.expected_seconds(given, RUN.settings_of(given), peers)

    def test_what_a_run_is_said_to_take(self):
        quick, full = self.expected(), self.expected("--full", peers=2)
        self.assertLess(quick[0], 600)  # what docs/performance.md says
        self.assertTrue(4000 < full[0] < 6600, full)  # an hour and a half
        for quiet, most in (quick, full):
            self.assertLess(quiet, most)
        parts = [self.expected("--full", *[f"--without-{name}" for name in left_out], peers=2)[0] for left_out in (
            ("replay", "memif"), ("replay", "veths"), ("memif", "veths"))]
        self.assertAlmostEqual(sum(parts), full[0])
        self.assertLess(self.expected("--full", "--blocks", "1", "--window", "0.3", peers=2)[0], 400)


class Others(unittest.TestCase):
    def refused(self, *command):
        done = subprocess.run([os.path.join(PERF, command[0]), *command[1:]], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False, timeout=50)
        self.assertEqual(done.returncode, 2, (command, done.stderr))
        self.assertNotIn("Traceback", done.stderr)
        return done.stderr

    def test_goals_and_compare(self):
        for words in ((), ("--nope",), ("a", "b", "c")):
            self.assertIn("perf/goals FILE", self.refused("goals", *words))
            self.assertIn("perf/compare BEFORE", self.refused("compare", *words))
        self.assertIn("/nowhere: No such file", self.refused("goals", "/nowhere"))
        self.assertIn("/nowhere: No such file", self.refused("compare", "/nowhere", "/nowhere"))
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write('{"kind": "millrace-perf", "format": 1}')
            file.flush()
            self.assertIn(f"{file.name}: machine is missing", self.refused("goals", file.name))

    def test_gate_and_replay(self):
        for words, expected in ((("--nope",), "--nope"), (("--program", "/nowhere"), "--program /nowhere")):
            self.assertIn(expected, self.refused("gate", *words))
        for words, expected in ((("--nope",), "perf/replay.sh --scenario"), (("--scenario",), "--scenario"),
                                (("--program", "/nowhere"), "--program /nowhere"),
                                (("--program", "/nowhere", "--list"), "--program /nowhere")):
            self.assertIn(expected, self.refused("replay.sh", *words))

    def test_peers_and_smoke(self):
        self.assertIn("nope", self.refused("peers/get", "nope"))
        self.assertIn("folder", self.refused("smoke.sh"))
        self.assertIn("folder", self.refused("smoke.sh", "/nowhere"))


class Replay(unittest.TestCase):
    """count.py, which replay.sh calls with its options."""

    def refused(self, *words):
        sys.path.insert(0, os.path.join(PERF, "replay"))
        import count  # pylint: disable=import-outside-toplevel,import-error
        with mock.patch.object(sys, "argv", ["count.py", "--program", "p", *words]), \
                contextlib.redirect_stderr(io.StringIO()) as said, self.assertRaises(SystemExit) as end:
            count.parse([{"name": "a"}])
        self.assertEqual(end.exception.code, 2)
        return said.getvalue()

    def test_values(self):
        for words, expected in ((("--requests", "0"), "--requests 0: must be"), (("--times", "-1"), "--times -1"),
                                (("--times", "1002"), "--times 1002"), (("--scenario", "b"), "--scenario"),
                                (("--json", "/nowhere/o"), "--json /nowhere/o"), (("--json", "/"), "--json /"),
                                (("--keep", "/nowhere"), "--keep /nowhere")):
            self.assertIn(expected, self.refused(*words))


if __name__ == "__main__":
    unittest.main()
