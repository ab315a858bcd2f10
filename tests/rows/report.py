"""What is tested of each row: tests/rows/T [NUMBER...], tests/rows/H [NUMBER...]

Without numbers one line a row: its rule, how many wire scripts, unit tests and files of other tests
carry its id, and how many of its mutants were caught (mutants.result). With numbers everything by
name.
"""
import sys

import rows


def caught(row, results):
    """How many mutants of the row were caught, and all of them."""
    names = [mutant.name for mutant in rows.mutants() if mutant.row == row]
    return sum(results.get(name, ("not run",))[0] == "caught" for name in names), names


def print_row(row, rule, units, others, results):
    scripts = rows.scripts_of(row)
    count, names = caught(row, results)
    print(f"{row}: {rule}")
    for script in scripts:
        print(f"  script  {script.removesuffix('.tcp')}")
    if row in rows.MATRIX_ROWS:
        print("  script  script_T01_matrix: every state, set of flags and place")
    for test in units.get(row, []):
        print(f"  unit    {test}")
    for path in others.get(row, []):
        print(f"  other   {path}")
    for name in names:
        outcome, by, commit = results.get(name, ("not run", "", ""))
        print(f"  mutant  {name}: {outcome} {by} {commit}".rstrip())
    return count == len(names)


def main(letter, arguments):
    known = rows.rules(letter)
    wanted = [letter + argument.lstrip(letter).lstrip("0") for argument in arguments]
    if not all(row in known for row in wanted):
        print(f"usage: tests/rows/{letter} [NUMBER...] (rows of docs/testing.md)", file=sys.stderr)
        return 2
    units, others, results = rows.unit_tests(), rows.other_tests(), rows.results()
    for row in wanted:
        print_row(row, known[row], units, others, results)
    if wanted:
        return 0
    print(f"{'row':4} {'scripts':>7} {'unit':>5} {'other':>5} {'mutants':>8}  rule")
    bare, untried = [], []
    for row, rule in sorted(known.items(), key=lambda item: rows.number_of(item[0])):
        scripts = [name for name in rows.scripts_of(row) if not name.startswith("DISABLED_")]
        count, names = caught(row, results)
        mutants = f"{count}/{len(names)}" if names else "-"
        if len(scripts) + len(units.get(row, [])) + len(others.get(row, [])) == 0:
            bare.append(row)
        if count == 0 or count < len(names):
            untried.append(row)
        print(f"{row:<4} {len(scripts):7} {len(units.get(row, [])):5} "
              f"{len(others.get(row, [])):5} {mutants:>8}  {rule}")
    print(f"{len(known)} rows; without a test: {' '.join(bare) or 'none'}; "
          f"without a mutant that was caught: {' '.join(untried) or 'none'}")
    return 0
