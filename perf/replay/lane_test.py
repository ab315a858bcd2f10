#!/usr/bin/env python3
"""Tests of the lane's own arithmetic: reading callgrind's files, splitting them, judging a gate."""
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import split  # noqa: E402  pylint: disable=wrong-import-position
from callgrind_file import CallgrindFile  # noqa: E402  pylint: disable=wrong-import-position


def load_gate():
    path = os.path.join(os.path.dirname(HERE), "gate")
    loader = importlib.machinery.SourceFileLoader("gate", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("gate", loader))
    loader.exec_module(module)
    return module


SAMPLE = """# callgrind format
positions: instr line
events: Ir

ob=(1) /top/build/program
fl=(1) /top/build/../dataplane/worker.cc
fn=(1) millrace::Worker::turn(millrace::Instant) [clone .isra.0]
0x1000 10 5
+4 +1 7
fi=(2) /top/dataplane/tcp/tcp.cc
+12 20 100
fe=(1)
cfi=(3) /top/shm/snapshot.cc
cfn=(2) millrace::shm::other()
calls=3 0x3000 1
0x1010 12 900

fl=(3)
fn=(2)
0x3000 1 400
* +9 500

fl=(4) /usr/lib/string.c
fn=(3) __memcpy_avx_unaligned_erms
0x4000 0 50
"""


def make_tree(test):
    """A folder with the sources that SAMPLE speaks of; gone when the test is over."""
    folder = tempfile.TemporaryDirectory()
    test.addCleanup(folder.cleanup)
    top = os.path.realpath(folder.name)
    for path in ("dataplane/worker.cc", "dataplane/tcp/tcp.cc", "shm/snapshot.cc"):
        os.makedirs(os.path.join(top, os.path.dirname(path)), exist_ok=True)
        with open(os.path.join(top, path), "w", encoding="utf-8") as file:
            file.write("uint32_t Worker::turn(Instant now) {\n"
                       "  const Snapshot& snapshot = cell_.enter(options_.number);\n"
                       "  net_.tcp().end_reading();\n"
                       "  return sent;\n")
    return top


class CallgrindFileTest(unittest.TestCase):
    def setUp(self):
        self.top = make_tree(self)
        self.counted = self.read(self.top)

    @staticmethod
    def read(compiled_at):
        with tempfile.NamedTemporaryFile("w", suffix=".callgrind") as file:
            file.write(SAMPLE.replace("/top/", compiled_at + "/"))
            file.flush()
            return CallgrindFile(file.name)

    def test_places_are_followed(self):
        places = [(cost.address, cost.line, cost.count) for cost in self.counted.costs]
        self.assertEqual(places, [(0x1000, 10, 5), (0x1004, 11, 7), (0x1010, 20, 100),
                                  (0x3000, 1, 400), (0x3000, 10, 500), (0x4000, 0, 50)])

    def test_a_call_is_not_a_cost_of_its_own(self):
        self.assertEqual(self.counted.total(), 5 + 7 + 100 + 400 + 500 + 50)
        self.assertEqual([(call.address, call.count) for call in self.counted.calls],
                         [(0x1010, 900)])

    def test_rooms_are_where_the_source_stands(self):
        rooms = {"dataplane": 12, "dataplane/tcp": 100, "shm": 900, "memcpy (C library)": 50}
        self.assertEqual(dict(split.by_room(self.counted, self.top)), rooms)
        # Out of a compiler cache, from another checkout.
        self.assertEqual(dict(split.by_room(self.read("/elsewhere/checkout"), self.top)), rooms)

    def test_inlined_library_code_counts_for_who_used_it(self):
        self.assertEqual(split.room_of("/usr/include/c++/12/bit", "millrace::tcp::Tcp::write()",
                                       "/top"), "dataplane/tcp")
        self.assertEqual(split.room_of("/usr/include/immintrin.h",
                                       "char const* millrace::http::scan()", "/top"),
                         "dataplane/http")


class StageTest(unittest.TestCase):
    def test_a_stage_is_the_call_on_its_line(self):
        top = make_tree(self)
        for compiled_at in (top, "/elsewhere/checkout"):
            names = [split.stage_named(f"{compiled_at}/dataplane/worker.cc:{line}", top) for line in (1, 2, 3, 4)]
            self.assertEqual(names, ["turn itself", "cell_.enter", "net_.tcp().end_reading", "turn itself"])


class GateTest(unittest.TestCase):
    def setUp(self):
        self.gate = load_gate()

    def judge(self, counted, committed):
        return self.gate.compare({name: {"instructions": count}
                                  for name, count in counted.items()}, committed)

    def test_a_step_up_beyond_the_tolerance_fails(self):
        above, below = self.judge({"a": 1021.0, "b": 1019.0}, {"a": 1000.0, "b": 1000.0})
        self.assertEqual(len(above), 1)
        self.assertIn("a: 1021 is 2.1 % above 1000", above[0])
        self.assertEqual(below, [])

    def test_a_step_down_is_to_be_committed(self):
        above, below = self.judge({"a": 970.0, "b": 985.0}, {"a": 1000.0, "b": 1000.0})
        self.assertEqual(above, [])
        self.assertEqual(below, ["a fell by 3.0 %"])

    def test_rows_must_be_the_same_on_both_sides(self):
        above, _ = self.judge({"new": 1.0}, {"gone": 1.0})
        self.assertEqual(len(above), 2)


if __name__ == "__main__":
    unittest.main()
