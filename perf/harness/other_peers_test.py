#!/usr/bin/env python3
"""Peers that may be missing: found or named with the reason, and a campaign that touches no goal."""
import os
import random
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))

from perf.harness import estimates, goals, other_peers, report, results  # noqa: E402  pylint: disable=wrong-import-position

COST = {"millrace": 10.0, "nginx": 30.0, "haproxy": 25.0, "envoy": 80.0}
GET = """#!/bin/sh
[ "$1" = --found ] || exit 9
case $2 in envoy) echo 'envoy: /a folder/envoy 1.2.3' ;; *) echo "$2: not measured here: because" ;; esac
"""


def campaign(name, arms, void=()):
    noise, windows = random.Random(1), []
    for block in range(1, 5):
        for arm in estimates.there_and_back(arms):
            windows.append({"arm": arm, "block": block, "cpu_us": COST[arm] * noise.uniform(0.98, 1.02),
                            "p50_us": 9.0, "p99_us": 90.0, "rate": 9_000.0, "steal_percent": 0.0,
                            "wall_us": 1e6, "stolen_us": 0.0,
                            "why_void": ["rate 9000 is not 10000"] if arm in void else []})
    return {"name": name, "arms": list(arms), "rate_asked": {arm: 10_000 for arm in arms}, "windows": windows}


def run(void=()):
    name = other_peers.campaign_name("envoy")
    campaigns = {"cpu": campaign("cpu", ("millrace", "nginx", "haproxy")),
                 name: campaign(name, other_peers.arms("envoy"), void)}
    return {"started": "", "settings": {}, "replay": {"not_measured": "left out"}, "campaigns": campaigns,
            "machine": {"cpu": "", "kernel": "", "commit": ""},
            "self_tests": results.self_tests(None, {}, campaigns), "metrics": results.metrics({}, campaigns)}


class Found(unittest.TestCase):
    def found(self, script):
        said = []
        with tempfile.TemporaryDirectory() as top:
            folder = os.path.join(top, "perf", "peers")
            os.makedirs(folder)
            if script:
                with open(os.path.join(folder, "get"), "w", encoding="utf-8") as file:
                    file.write(script)
                os.chmod(file.name, 0o755)
            return other_peers.found(top, said.append), said

    def test_each_is_found_or_said_why_not(self):
        found, said = self.found(GET)
        self.assertEqual(found, {"envoy": "1.2.3"})
        self.assertEqual(said[1], "traefik: not measured here: because")

    def test_what_cannot_be_asked_is_not_there(self):
        for script in (None, "#!/bin/sh\nexit 1\n"):
            found, said = self.found(script)
            self.assertEqual(found, {})
            self.assertTrue(all(": not measured here: " in line for line in said), said)


class Campaign(unittest.TestCase):
    def test_has_a_ratio_and_leaves_the_goals_as_they_are(self):
        result = run()
        self.assertAlmostEqual(result["metrics"]["cpu_envoy.cpu_us.ratio.envoy"]["median"], 10 / 80, delta=0.01)
        with_it = goals.rows(result)
        result["metrics"] = {name: metric for name, metric in result["metrics"].items()
                             if not other_peers.is_campaign(name)}
        self.assertEqual(list(with_it), list(goals.rows(result)))

    def test_one_that_does_not_bear_the_rate_voids_nobody_else(self):
        found = run(void=("envoy",))["metrics"]
        self.assertIn("cpu.cpu_us.ratio.haproxy", found)
        self.assertNotIn("cpu_envoy.cpu_us.ratio.envoy", found)

    def test_report_has_a_picture_of_it_or_says_that_there_is_none(self):
        self.assertIn("0.125 of Envoy&#x27;s", report.page(run()))
        self.assertIn("No block without a void window", report.page(run(void=("envoy",))))


if __name__ == "__main__":
    unittest.main()
