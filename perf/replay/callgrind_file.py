"""Reads what callgrind wrote (--dump-instr=yes): the cost of each instruction, and of each call."""
import collections
import os
import re

Cost = collections.namedtuple("Cost", "file function address line count")


class CallgrindFile:
    """costs: Cost of every instruction by itself. calls: Cost of what a call at that place cost,
    the called function and all that it called included."""

    def __init__(self, path):
        self.costs, self.calls = [], []
        self._names = {"file": {}, "function": {}}
        with open(path, encoding="utf-8") as lines:
            self._read(lines)

    def total(self):
        return sum(cost.count for cost in self.costs)

    def _name(self, kind, text):
        """Names are written once, as "(7) name"; later only the number stands there."""
        match = re.match(r"\((\d+)\)(?: (.*))?$", text)
        if not match:
            return text
        number, value = match.groups()
        if value is not None:
            self._names[kind][number] = os.path.normpath(value) if kind == "file" else value
        return self._names[kind].get(number, "?")

    def _read(self, lines):
        file = function = "?"
        address = line_number = 0
        after_call = False  # the line after calls= is the cost of the call
        for text in lines:
            text = text.rstrip("\n")
            if text.startswith(("fl=", "fi=", "fe=")):
                file = self._name("file", text[3:])
            elif text.startswith("fn="):
                function = self._name("function", text[3:])
            elif text.startswith(("cfi=", "cfl=")):
                self._name("file", text[4:])
            elif text.startswith("cfn="):
                self._name("function", text[4:])
            elif text.startswith("calls="):
                after_call = True
            elif text and (text[0] in "+-*" or text[0].isdigit()):
                places = text.split(" ")
                address = moved(address, places[0])
                line_number = moved(line_number, places[1])
                if len(places) > 2:
                    cost = Cost(file, function, address, line_number, int(places[2]))
                    (self.calls if after_call else self.costs).append(cost)
                after_call = False


def moved(before, text):
    """Places are absolute, or relative to the one before."""
    if text == "*":
        return before
    if text[0] == "+":
        return before + int(text[1:], 0)
    if text[0] == "-":
        return before - int(text[1:], 0)
    return int(text, 0)
