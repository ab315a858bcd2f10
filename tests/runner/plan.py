#!/usr/bin/python3
"""Joins the tests of several build folders into one ctest run, in suites with a time budget each.

  plan.py OUT [--long] [--suite NAME]... BUILD=LABEL,LABEL... ...

Takes from each build folder the tests with one of the labels named for it and writes
OUT/CTestTestfile.cmake. Suites run one after the other; after each stands a test named
budget_<suite> that fails if the suite took longer than it may. Every test is wrapped by `timed`,
which keeps its times, its output and why it skipped what it skipped.
"""
import json
import os
import subprocess
import sys

# Suite -> budget in seconds and the labels it is made of. What has none of the labels is `rest`.
SUITES = {
    "unit_and_simulation": (600, ("unit", "sim")),
    "rest": (120, ("tidy", "net", "vm")),
    "fuzzing": (90, ("fuzz",)),
    "performance": (120, ("perf",)),
    "end_to_end": (330, ("e2e",)),
    "cluster": (420, ("cluster",)),
}
BUILD_BUDGET_S = 1800

HERE = os.path.dirname(os.path.realpath(__file__))
COPIED = ("LABELS", "TIMEOUT", "SKIP_RETURN_CODE", "RUN_SERIAL", "ENVIRONMENT", "PROCESSORS", "COST",
          "WORKING_DIRECTORY", "RESOURCE_LOCK", "WILL_FAIL", "PASS_REGULAR_EXPRESSION",
          "FAIL_REGULAR_EXPRESSION", "SKIP_REGULAR_EXPRESSION", "DEPENDS")


def quoted(text):
    """A CMake bracket argument: nothing inside it is special."""
    return f"[==[{text}]==]"


def tests_of(build):
    shown = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], check=True,
                           capture_output=True, text=True).stdout
    for test in json.loads(shown)["tests"]:
        test["properties"] = {item["name"]: item["value"] for item in test.get("properties", [])}
        yield test


def line_of(name, command, properties):
    written = [f"add_test({quoted(name)} {' '.join(quoted(part) for part in command)})"]
    for key, value in properties.items():
        if isinstance(value, bool):
            value = "TRUE" if value else "FALSE"
        elif isinstance(value, list):
            value = ";".join(value)
        written.append(f"set_tests_properties({quoted(name)} PROPERTIES {key} {quoted(value)})")
    return "\n".join(written) + "\n"


def main():
    arguments = sys.argv[1:]
    out, long, only, builds = None, False, [], []
    while arguments:
        argument = arguments.pop(0)
        if argument == "--long":
            long = True
        elif argument == "--suite":
            only.append(arguments.pop(0))
        elif out is None:
            out = argument
        else:
            builds.append(argument.split("=", 1))
    suites = {suite: [] for suite in SUITES}
    taken = set()
    for build, labels in builds:
        for test in tests_of(build):
            own = test["properties"].get("LABELS", ["unit"])
            if not set(own) & set(labels.split(",")) or ("long" in own and not long):
                continue
            suite = next((suite for suite, (_, parts) in SUITES.items() if set(parts) & set(own)),
                         "rest")
            if only and suite not in only and not set(only) & set(own) and test["name"] not in only:
                continue
            if "command" not in test or not os.path.exists(test["command"][0]):
                sys.exit(f"plan: {build}: the program of test {test['name']} is not built")
            if test["name"] in taken:
                sys.exit(f"plan: two tests are called {test['name']}")
            taken.add(test["name"])
            suites[suite].append(test)
    if not taken:
        sys.exit(f"plan: no test belongs to {' '.join(only) or 'any suite'}")

    limit = (lambda seconds: 0) if long else (lambda seconds: seconds)
    text, before = "", []
    os.makedirs(out, exist_ok=True)
    budgets = [("packages_and_build", BUILD_BUDGET_S, [])]
    budgets += [(suite, SUITES[suite][0], tests) for suite, tests in suites.items() if tests]
    for suite, seconds, tests in budgets:
        for test in tests:
            properties = {key: value for key, value in test["properties"].items() if key in COPIED}
            properties["DEPENDS"] = properties.get("DEPENDS", []) + before
            command = [os.path.join(HERE, "timed"), out, suite, test["name"], *test["command"]]
            text += line_of(test["name"], command, properties)
        text += line_of(f"budget_{suite}",
                        [os.path.join(HERE, "budget"), out, suite, str(limit(seconds))],
                        {"DEPENDS": before + [test["name"] for test in tests], "LABELS": ["budget"],
                         "RUN_SERIAL": True})
        before = [f"budget_{suite}"]
    with open(os.path.join(out, "CTestTestfile.cmake"), "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
