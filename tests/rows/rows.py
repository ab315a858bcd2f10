"""The rows of docs/testing.md (T1 to T54, H1 to H40), the tests that carry their ids, and their mutants.

A mutant turns a rule off. It is a file mutants/T03_name.mutant:

    # T3: a reset counts anywhere in the window.
    file dataplane/tcp/input.cc
    -    if (segment.seq != c.rcv_nxt) {
    +    if (false) {
    also tcp_test

Lines with - must stand in the file, in a row and in one place only, white space aside; they are
replaced by the lines with +. Several such pairs, in several files, make one mutant. `also PROGRAM`
names a test program whose tests of the row are run beside the wire scripts.
"""
import os
import re
import subprocess

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "../.."))
MUTANTS = os.path.join(TOP, "tests/rows/mutants")
RESULT = os.path.join(TOP, "tests/rows/mutants.result")
# Rows that the table of states and events is about.
MATRIX_ROWS = {"T1", "T2", "T3", "T4", "T5", "T31", "T32", "T52"}


class BadMutant(Exception):
    """The file cannot be read, or does not apply any more."""


def row_of(name):
    """T3 of T03_what; None when there is none."""
    match = re.match(r"(?:DISABLED_)?([TH])0*(\d+)_", name)
    return match.group(1) + match.group(2) if match else None


def number_of(row):
    return int(row[1:])


def rules(letter):
    """Row -> what it asks for, out of docs/testing.md."""
    found = {}
    with open(os.path.join(TOP, "docs/testing.md"), encoding="utf-8") as file:
        for line in file:
            match = re.match(rf"\| ((?:{letter}\d+(?:, | to )?)+) \| ([^|]+) \|", line)
            if not match:
                continue
            numbers = [int(number) for number in re.findall(r"\d+", match.group(1))]
            if " to " in match.group(1):
                numbers = range(numbers[0], numbers[-1] + 1)
            found.update(dict.fromkeys((f"{letter}{number}" for number in numbers), match.group(2).strip()))
    return found


def files_of_tree():
    """Every file of the repository, committed or not."""
    listed = subprocess.run(
        ["git", "-C", TOP, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, check=True).stdout.decode()
    return [name for name in sorted(set(filter(None, listed.split("\0"))))
            if os.path.isfile(os.path.join(TOP, name))]


def scripts_of(row, top=TOP):
    """Wire scripts of the row, those of known mistakes as well."""
    return sorted(name for name in os.listdir(os.path.join(top, "tests/script/rows"))
                  if row_of(name) == row)


def ids_in(text):
    """T3, T36 and T4 of T03, T_36 and T3_T4 in a name or a sentence."""
    return {letter + number for letter, number in re.findall(r"(?<![A-Za-z0-9])([TH]) ?0*(\d+)(?![0-9])",
                                                             text.replace("_", " "))}


def unit_tests():
    """Row -> names of GoogleTest tests, as Suite.Name, and of the cases of their tables."""
    found = {}
    for path in files_of_tree():
        if not path.endswith(("_test.cc", "_cases.cc")):
            continue
        with open(os.path.join(TOP, path), encoding="utf-8") as file:
            text = file.read()
        names = [f"{suite}.{name}" for suite, name in re.findall(r"TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", text)]
        # The first word of a case; what a loop or a helper adds to it is not seen here.
        names += [f"case {name}" for name in re.findall(r'"((?:[TH]\d+_)+\w*)"', text)]
        for name in names:
            for row in ids_in(name.split(".")[-1]):
                found.setdefault(row, []).append(name)
    return found


def other_tests():
    """Row -> files of other tests (simulations, real tools, comparisons) that name it."""
    found = {}
    for path in files_of_tree():
        if not path.startswith("tests/") or path.startswith(("tests/rows/", "tests/script/rows/")):
            continue
        with open(os.path.join(TOP, path), encoding="utf-8", errors="replace") as file:
            for row in ids_in(file.read()):
                found.setdefault(row, []).append(path)
    return found


class Mutant:
    """One file of mutants/."""

    def __init__(self, path):
        self.path = path
        self.name = os.path.basename(path).removesuffix(".mutant")
        self.row = row_of(self.name)
        self.also = []
        self.edits = []  # file, lines that go, lines that come
        with open(path, encoding="utf-8") as file:
            self._read(file.read().splitlines())
        if self.row is None or not self.edits:
            raise BadMutant(f"{path}: a name T03_what and an edit are wanted")

    def _read(self, lines):
        target = None
        for number, line in enumerate(lines, 1):
            if line.startswith("file "):
                target = line.split()[1]
                self.edits.append((target, [], []))
            elif line.startswith("also "):
                self.also.append(line.split()[1])
            elif line[:1] in ("-", "+") and target:
                if line[0] == "-" and self.edits[-1][2]:
                    self.edits.append((target, [], []))
                self.edits[-1][1 if line[0] == "-" else 2].append(line[1:])
            elif line.strip() and not line.startswith("#"):
                raise BadMutant(f"{self.path}:{number}: neither file, also, -, + nor #")

    def apply(self, text_of):
        """File -> its text with the edits; text_of(path) gives the text without."""
        changed = {}
        for path, old, new in self.edits:
            lines = changed.get(path, text_of(path)).splitlines()
            wanted = [line.strip() for line in old]
            places = [at for at in range(len(lines) - len(wanted) + 1)
                      if [line.strip() for line in lines[at:at + len(wanted)]] == wanted]
            if not wanted or len(places) != 1:
                raise BadMutant(f"{self.name}: stands {len(places)} times in {path}: "
                                f"{wanted[0] if wanted else 'nothing'}")
            lines[places[0]:places[0] + len(wanted)] = new
            changed[path] = "\n".join(lines) + "\n"
        return changed


def mutants():
    return [Mutant(os.path.join(MUTANTS, name)) for name in sorted(os.listdir(MUTANTS))
            if name.endswith(".mutant")]


def results():
    """Name of a mutant -> (outcome, by what, commit)."""
    found = {}
    if os.path.exists(RESULT):
        with open(RESULT, encoding="utf-8") as file:
            for line in file:
                words = line.split()
                if words and not line.startswith("#"):
                    found[words[0]] = (words[1], " ".join(words[2:-1]), words[-1])
    return found
