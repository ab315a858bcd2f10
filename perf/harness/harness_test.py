#!/usr/bin/env python3
"""The arithmetic, the verdicts and the report of the harness on made-up runs: no machine in it."""
import contextlib
import copy
import functools
import html.parser
import io
import json
import os
import random
import sys
import tempfile
import unittest
import unittest.mock

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))

from perf.harness import compare, counters, duration, estimates, generator, goals, lanes, load, machine, plots, report, results, veth_lane, windows  # noqa: E402  pylint: disable=wrong-import-position

estimates.RESAMPLES = 400  # each test makes a whole run's intervals
ARMS = ("millrace", "nginx", "haproxy")
COST = {"router": 4.0, "mirror": 8.0, "millrace": 10.0, "nginx": 30.0, "haproxy": 25.0}
P50 = {"router": 40.0, "mirror": 50.0, "millrace": 60.0, "nginx": 130.0, "haproxy": 140.0}
RATE = {"millrace": 200_000.0, "nginx": 60_000.0, "haproxy": 50_000.0}
FLAGS = {"node/p-millrace": "rx=on,tso=off", "load/l-millrace": "rx=on,tso=off"}


def window(arm, block, scale=1.0, why=()):
    place = lanes.place_of(arm)
    return {"arm": arm, "block": block, "cpu_us": COST[place] * scale, "core_us": 1.1 * COST[place] * scale,
            "p50_us": P50[place] * scale, "p99_us": 5 * P50[place] * scale, "p999_us": 9 * P50[place] * scale,
            "rate": RATE.get(place, 10_000.0) * scale, "rate_asked": 10_000.0, "full": "proxy",
            "proxy_core_percent": 99.0, "load_core_percent": 50.0,
            "wall_us": 1e6, "stolen_us": 200.0, "steal_percent": 0.01, "why_void": list(why)}


def campaign(name, arms, blocks, seed=1, rate=10_000.0, response_bytes=100):
    noise = random.Random(seed)
    found = {"name": name, "arms": list(arms), "rate_asked": {arm: rate for arm in arms},
             "work": {arm: {"connections": 64, "response_bytes": response_bytes} for arm in arms},
             "blocks_counted": blocks, "counters": {}, "windows": []}
    for block in range(1, blocks + 1):
        for arm in estimates.there_and_back(arms):
            found["windows"].append(window(arm, block, noise.uniform(0.98, 1.02)))
    return found


def scenario(name, instructions, routes=10, ticks=2000, unit="request"):
    return {"scenario": name, "instructions": instructions, "unit": unit, "routes": routes,
            "ticks": ticks, "ticks_least": ticks, "ticks_most": ticks,
            "by_room": {"tcp": instructions * 0.6, "http": instructions * 0.4},
            "by_stage": {"<receive>": instructions}}


def run(blocks=4, instructions=5000.0, commit="abc"):
    """A whole result, the caller's own."""
    return copy.deepcopy(made_run(blocks, instructions, commit))


@functools.cache
def made_run(blocks, instructions, commit):
    replay = {"scenarios": [scenario("keepalive_1", instructions), scenario("keepalive_64", 5000.0),
                            scenario("keepalive_1_logged", instructions),
                            scenario("routes_10000", 5100.0, 10_000, 2400),
                            scenario("routes_1000000", 7000.0, 1_000_000, 2800),
                            scenario("bulk_response", 4000.0, unit="1460_octets")],
              "octets_per_idle_connection": 300.0}
    campaigns = {found["name"]: found for found in (
        campaign("cpu", (*ARMS, "mirror"), blocks), campaign("busy", (*ARMS, "mirror"), blocks, 5),
        campaign("one_connection", ("router", *ARMS), blocks, 2, None),
        campaign("connections", ARMS, blocks, 3), campaign("capacity", ARMS, blocks, 4, None),
        campaign("bulk", (*ARMS, "mirror"), blocks, 6, 1_000.0, 65_536),
        campaign("at_70", ARMS, blocks, 7))}
    campaigns["at_70"]["shares"] = {arm: 0.7 for arm in ARMS}
    generator = {"rate_tested": 10_000, "rate_reached": 25_000.0, "ratio": 2.5, "holds": True,
                 "through": "mirror", "full": "load"}
    return {"format": results.FORMAT, "kind": results.KIND, "started": "2026-01-01T00:00:00+00:00",
            "seconds": 1, "settings": {"mode": "quick"}, "replay": replay, "campaigns": campaigns,
            "machine": {"cpu": "<made up>", "cores": 2, "architecture": "x86_64", "kernel": "6.18",
                        "commit": commit},
            "self_tests": results.self_tests(generator, {arm: [FLAGS] for arm in ARMS}, campaigns),
            "metrics": results.metrics(replay, campaigns, 2.6)}


def verdicts(result):
    return [(row["goal"], row["verdict"]) for row in goals.rows(result)]


def verdict_of(result, text):
    return next(row["verdict"] for row in goals.rows(result) if text in row["text"])


def printed(function, *arguments, **options):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = function(*arguments, **options)
    return status, out.getvalue()


class Estimates(unittest.TestCase):
    def test_interval_holds_the_median_and_needs_three(self):
        found = estimates.median_with_interval([1.0, 2.0, 3.0, 4.0, 100.0])
        self.assertEqual(found["median"], 3.0)
        self.assertLessEqual(found["low"], 3.0)
        self.assertGreaterEqual(found["high"], 3.0)
        self.assertIsNone(estimates.median_with_interval([1.0, 2.0])["low"])
        with self.assertRaises(ValueError):
            estimates.median_with_interval([])

    def test_interval_covers_as_often_as_it_says(self):
        noise = random.Random(7)
        hits = 0
        for trial in range(100):
            found = estimates.median_with_interval([noise.gauss(5, 1) for _ in range(15)], trial)
            hits += found["low"] <= 5 <= found["high"]
        self.assertGreaterEqual(hits, 85)
        self.assertLess(hits, 100)  # an interval that always covers is too wide to say anything

    def test_order_of_a_block_cancels_a_linear_drift(self):
        order = estimates.there_and_back(("a", "b"))
        self.assertEqual(order, ["a", "b", "b", "a"])
        block = {"a": [], "b": []}
        for at, arm in enumerate(order):
            block[arm].append({"cost": (10 if arm == "a" else 20) + at})
        drifted = estimates.paired_ratio([block], "a", "b", "cost")["median"]
        self.assertAlmostEqual(drifted, (20 + 3) / (40 + 3))

    def test_a_block_with_a_void_or_missing_window_is_left_out(self):
        found = campaign("cpu", ARMS, 3)["windows"]
        self.assertEqual(len(estimates.whole_blocks(found, ARMS)), 3)
        found[0]["why_void"] = ["others used the machine"]
        self.assertEqual(len(estimates.whole_blocks(found, ARMS)), 2)
        self.assertEqual(len(estimates.whole_blocks(found[:-1], ARMS)), 1)

    def test_a_void_window_that_was_measured_again_leaves_its_block_whole(self):
        found = campaign("cpu", ARMS, 1)["windows"]
        found.insert(1, {**found[1], "rate": 1.0, "why_void": [windows.STOLEN]})
        whole = estimates.whole_blocks(found, ARMS)
        self.assertEqual([len(whole[0][arm]) for arm in ARMS], [2] * len(ARMS))
        self.assertNotIn(1.0, [w["rate"] for arm in ARMS for w in whole[0][arm]])


LOAD = {"rate": 10_000.0, "requests": 10_000, "seconds": 1.0, "errors": {}, "busy_fraction": 0.3,
        "p50_us": 1.0}


class Windows(unittest.TestCase):
    def sample(self, at, proxy, napi, idle, steal=0, others=0, load_napi=0):
        def group(usage):
            return {"usage_usec": usage, "user_usec": usage // 2, "system_usec": usage - usage // 2}
        return {"at_us": at, "proxy": group(proxy), "napi": group(napi), "load_napi": group(load_napi),
                "cores": [(idle, steal), (at, 0)], "others_us": others}

    def window(self, load_figures=None, rate=10_000, **after):
        values = {"proxy": 100_000, "napi": 50_000, "idle": 800_000, **after}
        return windows.window("millrace", 1, self.sample(0, 0, 0, 0),
                              self.sample(1_000_000, **values), {**LOAD, **(load_figures or {})},
                              {"rate": rate, "steal": 0.5, "others": 5, "idle": 1.0})

    def test_cpu_of_the_napi_thread_counts(self):
        found = self.window()
        self.assertAlmostEqual(found["cpu_us"], 15.0)
        self.assertAlmostEqual(found["napi_us"], 5.0)
        self.assertEqual(found["why_void"], [])

    def test_all_that_the_core_did_is_beside_it_without_what_it_does_anyway(self):
        self.assertAlmostEqual(self.window()["core_us"], 20.0 - 1.0)

    def test_a_longer_count_of_time_does_not_make_requests_dearer(self):
        found = windows.window("millrace", 1, self.sample(0, 0, 0, 0),
                               self.sample(1_100_000, 110_000, 55_000, 880_000), dict(LOAD),
                               {"rate": None, "steal": 0.5, "others": 5, "idle": 0})
        self.assertAlmostEqual(found["cpu_us"], 15.0)

    def test_who_was_full(self):
        self.assertEqual(self.window()["full"], "neither")
        self.assertEqual(self.window(proxy=900_000, napi=80_000)["full"], "proxy")
        self.assertEqual(self.window({"busy_fraction": 0.6}, load_napi=390_000)["full"], "load")

    def test_what_makes_it_void(self):
        self.assertIn("failed=2", self.window({"errors": {"failed": 2}})["why_void"])
        self.assertIn("rate 9000 is not 10000",
                      self.window({"requests": 9_000, "rate": 9_000.0})["why_void"])
        self.assertEqual(self.window({"requests": 9_000}, rate=None)["why_void"], [])
        self.assertIn("time stolen by the host", self.window(steal=20_000)["why_void"])
        self.assertIn("others used 6 % of the machine", self.window(others=120_000)["why_void"])
        self.assertIn("the NAPI thread did nothing", self.window(napi=0)["why_void"])
        self.assertIn("nothing was answered", self.window({"requests": 0}, rate=None)["why_void"])

    def test_interrupts_of_our_own_work_are_no_strangers(self):
        self.assertEqual(self.window(idle=100_000)["why_void"], [])

    def test_strangers_at_the_start_are_nothing_that_a_core_does_by_itself(self):
        self.assertAlmostEqual(counters.idle_percent(1e6, 980_000, 0), 2.0)
        self.assertAlmostEqual(counters.idle_percent(1e6, 480_000, 500_000), 2.0)
        self.assertEqual(counters.idle_percent(1e6, 0, 1.9e6), 0.0)  # on the other core

    def test_time_of_a_process_holds_that_of_its_buried_children(self):
        line = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 5 6 7"
        self.assertAlmostEqual(counters.task_us(line), 100 * counters.TICK_US)


class Load(unittest.TestCase):
    def test_work_as_options(self):
        self.assertEqual(load.Work(5).options()[2:4], ["--schedule", "closed"])
        options = load.Work(5, rate=100, pace="poisson", one_request_each=True).options()
        self.assertEqual(options[2:4], ["--schedule", "poisson:100.000"])
        self.assertEqual(options[-2:], ["--lifetime", "request"])

    REACHED = {"rate": 20_000.0, "arm": "mirror", "full": "load"}

    def test_the_generator_must_bear_twice_the_highest_rate(self):
        found = {"a": campaign("a", ARMS, 1, rate=9_000.0), "b": campaign("b", ARMS, 1, rate=None)}
        self.assertTrue(veth_lane.generator_verdict(self.REACHED, found)["holds"])
        found["a"]["rate_asked"]["nginx"] = 10_001.0
        self.assertFalse(veth_lane.generator_verdict(self.REACHED, found)["holds"])
        self.assertFalse(veth_lane.generator_verdict(self.REACHED, {})["holds"])

    def test_the_generator_must_not_work_in_more_than_half_of_a_window(self):
        found = {"a": campaign("a", ARMS, 4, rate=1_000.0), "slower": campaign("slower", ARMS, 1, rate=900.0)}
        found["slower"]["windows"][0]["load_core_percent"] = 99.0  # not the rate that counts
        self.assertTrue(veth_lane.generator_verdict(self.REACHED, found)["holds"])
        for window_of_it in found["a"]["windows"]:
            if window_of_it["arm"] == "nginx" and window_of_it["block"] > 1:  # one arm is enough
                window_of_it["load_core_percent"] = 52.0
        test = veth_lane.generator_verdict(self.REACHED, found)
        self.assertEqual((test["holds"], test["bound"], test["blocks"]), (False, "worked", 4))
        self.assertAlmostEqual(test["ratio"], 1 / 0.52)
        self.assertAlmostEqual(test["ratio_reflector"], 20.0)
        self.assertEqual(test["ratio_worked_most"], 2.0)
        for window_of_it in found["a"]["windows"]:
            window_of_it["why_void"] = ["others used the machine"]
        self.assertFalse(veth_lane.generator_verdict(self.REACHED, found)["holds"])

    def test_what_it_did_through_a_proxy_counts_where_more_work_at_once_is_cheaper(self):
        found = {"a": campaign("a", ARMS, 4, rate=1_000.0), "capacity": campaign("capacity", ARMS, 3, rate=None)}
        for window_of_it in found["a"]["windows"]:
            window_of_it["load_core_percent"] = 60.0
        for window_of_it in found["capacity"]["windows"]:
            window_of_it["rate"] = {"millrace": 8_000.0}.get(window_of_it["arm"], 1_000.0)
        test = veth_lane.generator_verdict(self.REACHED, found)
        self.assertEqual((test["ratio"], test["bound"], test["holds"]), (8.0, "shown", True))
        self.assertAlmostEqual(test["ratio_worked"], 1 / 0.6)
        # What the reflector gives bounds it all the same.
        self.assertFalse(veth_lane.generator_verdict({**self.REACHED, "rate": 1_900.0}, found)["holds"])
        for window_of_it in found["capacity"]["windows"]:
            window_of_it["why_void"] = ["others used the machine"]
        test = veth_lane.generator_verdict(self.REACHED, found)
        self.assertEqual((test["bound"], test["holds"]), ("worked", False))

    def test_shares_of_capacity_have_controls_or_their_own_bound(self):
        found = {"a": campaign("a", ARMS, 1, rate=9_000.0), "at_70": campaign("at_70", ARMS, 1, rate=19_000.0)}
        found["at_70"]["shares"] = {arm: 0.7 for arm in ARMS}
        self.assertEqual(veth_lane.generator_verdict(self.REACHED, found)["rate_tested"], 9_000.0)

    def test_the_bound_that_counts_is_the_verdict_and_all_are_said(self):
        test = generator.verdict([(2.6, 2.2), (2.4, 1.8), (2.5, 1.9)], rate_tested=1000)
        self.assertEqual((test["ratio"], test["bound"], test["holds"]), (1.9, "worked", False))
        said = generator.said(test)
        self.assertIn("2.50 (2.40 to 2.60) through a bare reflector", said)
        self.assertIn("1.90 (1.80 to 2.20) by the time that it worked", said)
        self.assertNotIn("did through", said)
        self.assertIn("4.00 (3.00 to 5.00) by what it did through a proxy",
                      generator.said(generator.verdict([(6.0, 1.8)], [3.0, 5.0], rate_tested=1000)))
        self.assertEqual(generator.verdict([(2.0, 3.0)])["bound"], "reflector")
        self.assertTrue(generator.verdict([(2.0, 3.0)])["holds"])
        self.assertFalse(generator.verdict([])["holds"])
        self.assertIn("counts", generator.said(generator.verdict([], rate_tested=None)))
        # A result of before has one.
        self.assertIn("2.50 times", generator.said({"ratio": 2.5, "rate_tested": 9, "holds": True}))

    def test_who_bears_less_is_not_asked_for_more_than_he_bears(self):
        steps = {step.name: step for step in veth_lane.plan({**Duration.SETTINGS, "busy_rate": 30_000})}
        self.assertEqual(next(iter(steps)), "capacity")
        for least, rate in ((60_000, 30_000), (20_123, 16_100), (800.0, 640), (0.1, 1)):
            step = veth_lane.with_what_all_bear(steps["busy"], {"millrace": 200_000, "nginx": least})
            self.assertEqual((step.work.rate, step.name), (rate, "busy"))
        self.assertEqual(veth_lane.with_what_all_bear(steps["cpu"], {"nginx": 1}), steps["cpu"])

    def test_what_others_spoiled_is_measured_again_and_nothing_else(self):
        outcomes = [[windows.STOLEN], ["status_503=1", f"{windows.OTHERS} 9 % of the machine"], ["rate 5 is not 10"]]
        lane = veth_lane.VethLane(None, None, {}, None)
        for given, until, tries in ((outcomes, 1e18, 3), ([outcomes[0]] * 9, 1e18, veth_lane.TRIES_MAX),
                                    ([[], outcomes[0]], 1e18, 1), (outcomes[2:], 1e18, 1), (outcomes, 0, 1)):
            made = iter([{"why_void": why} for why in given])
            with unittest.mock.patch.object(lane, "window", lambda *_, made=made: next(made)):
                self.assertEqual(len(lane._until_one_counts("nginx", 1, None, until)), tries)  # pylint: disable=protected-access

    def test_each_is_asked_for_a_share_of_its_own_capacity(self):
        found = campaign("capacity", ARMS, 3, rate=None)
        found["windows"][0]["why_void"] = ["time stolen by the host"]
        step = veth_lane.at_share(veth_lane.capacities(found), 0.7, 5, 1e6)
        self.assertEqual(step.name, "at_70")
        self.assertAlmostEqual(step.work_of("millrace").rate, 140_000, delta=3_000)
        self.assertAlmostEqual(step.work_of("haproxy").rate, 35_000, delta=1_000)
        self.assertAlmostEqual(step.shares["millrace"], 0.7)

    def test_nobody_is_asked_for_more_than_half_of_what_the_load_bears(self):
        step = veth_lane.at_share(RATE, 0.5, 5, 100_000)
        self.assertEqual(step.work_of("millrace").rate, 50_000)
        self.assertAlmostEqual(step.shares["millrace"], 0.25)
        self.assertAlmostEqual(step.shares["nginx"], 0.5)
        self.assertEqual(step.arms, veth_lane.PROXIES)

    def test_at_goal_5_the_reflector_stands_beside_at_both_rates(self):
        step = veth_lane.at_share(RATE, 0.7, 5, 200_000)
        self.assertEqual(step.arms, (*veth_lane.PROXIES, "mirror@millrace", "mirror@haproxy"))
        self.assertEqual(step.work_of("millrace").rate, 140_000)  # more than half, for it has its control
        for arm in ("millrace", "haproxy"):
            control = step.work_of(lanes.control_of(arm))
            self.assertEqual((control.rate, control.pace), (step.work_of(arm).rate, "poisson"))
            self.assertEqual(control.request_head, "forwarded")
            self.assertEqual(lanes.place_of(lanes.control_of(arm)), "mirror")
            self.assertEqual(lanes.controlled_by(lanes.control_of(arm)), arm)
        self.assertEqual(set(step.shares), set(veth_lane.PROXIES))
        self.assertEqual(veth_lane.at_share(RATE, 0.7, 5, 100_000).work_of("millrace").rate, 90_000)


class Goals(unittest.TestCase):
    def test_all_nine_have_rows_and_what_was_not_measured_is_never_met(self):
        result = run()
        self.assertEqual({goal for goal, _ in verdicts(result)}, {str(n) for n in range(1, 10)})
        result["metrics"] = {}
        self.assertTrue(all(verdict.startswith("not measured: needs ")
                            for _, verdict in verdicts(result)))

    def test_verdicts(self):
        result = run()
        self.assertTrue(verdict_of(result, "keep-alive request").startswith("met"))
        self.assertTrue(verdict_of(run(instructions=6001.0), "keep-alive request").startswith("missed"))
        self.assertTrue(verdict_of(result, "the better of").startswith("met (0.4"))  # 10 of 25
        self.assertEqual(verdict_of(result, "our own part (less"), "met")  # 2 of 25
        self.assertEqual(verdict_of(result, "connection, at most 1/3 of HAProxy's"), "met")  # 20 of 100
        self.assertTrue(verdict_of(result, "p99 at 70 %").startswith("missed"))  # 3/7
        self.assertTrue(verdict_of(result, "p99.9 the same").startswith("missed"))
        self.assertEqual(verdict_of(result, "CPU a connection"), "met")  # 10 of 30
        self.assertTrue(verdict_of(result, "our own part, at most 300").startswith("met"))
        # 10 us of a core of 2.6 GHz for 65,536 octets
        row = next(row for row in goals.rows(result) if "with the veth's" in row["text"])
        self.assertAlmostEqual(float(row["measured"]), 10 * 2600 / (65_536 / 1460), delta=10)
        self.assertTrue(verdict_of(result, "idle connection").startswith("missed"))
        self.assertEqual(verdict_of(result, "10 to 10,000 routes: instr"), "met")
        self.assertEqual(verdict_of(result, "10 to 1,000,000 routes: instr"), "missed")

    def test_a_busy_rate_that_a_slow_peer_has_bounded_is_said(self):
        result = run()
        for rate, said in ((30_000, "at 30,000 a second"), (9_500, "no busier than the row above")):
            result["campaigns"]["busy"]["rate_asked"] = {arm: rate for arm in ARMS}
            result["campaigns"]["cpu"]["rate_asked"] = {arm: 10_000 for arm in ARMS}
            self.assertIn(said, verdict_of(result, "hardly sleep"))
            self.assertEqual("no busier" in verdict_of(result, "hardly sleep"), rate == 9_500)

    def test_nothing_is_said_of_70_percent_below_it(self):
        result = run()
        result["campaigns"]["at_70"]["shares"] = {"millrace": 0.35, "nginx": 0.7, "haproxy": 0.7}
        for text in ("p99 at 70 %", "p99.9 the same"):
            self.assertTrue(verdict_of(result, text).startswith("not measured: millrace only at 35 %"))

    def at_70(self, ours_us, haproxys_us, control_us):
        """A run in which the reflector stood beside at both rates: p99 of each, and p99.9 ten times as much."""
        result = run()
        found = campaign("at_70", (*ARMS, "mirror@millrace", "mirror@haproxy"), 4)
        found["shares"] = {arm: 0.7 for arm in ARMS}
        p99 = {"millrace": ours_us, "nginx": 1.0, "haproxy": haproxys_us, **control_us}
        for w in found["windows"]:
            w.update(p99_us=p99[w["arm"]], p999_us=10 * p99[w["arm"]])
        result["campaigns"]["at_70"] = found
        result["metrics"] = results.metrics(result["replay"], result["campaigns"], 2.6)
        return result

    def test_a_tail_that_load_and_lane_have_by_themselves_is_no_miss(self):
        control = {"mirror@millrace": 300.0, "mirror@haproxy": 100.0}
        said = verdict_of(self.at_70(500.0, 900.0, control), "p99 at 70 %")
        self.assertTrue(said.startswith("not measured: load and lane alone have 0.60 of millrace's"), said)
        control["mirror@millrace"] = 200.0
        said = verdict_of(self.at_70(500.0, 900.0, control), "p99 at 70 %")
        self.assertTrue(said.startswith("missed (load and lane alone have 0.40 of millrace's"), said)

    def test_what_load_and_lane_add_to_ours_does_not_spoil_what_is_met(self):
        control = {"mirror@millrace": 200.0, "mirror@haproxy": 100.0}
        self.assertTrue(verdict_of(self.at_70(250.0, 900.0, control), "p99 at 70 %").startswith("met"))

    def test_what_load_and_lane_add_to_haproxys_is_no_success_of_ours(self):
        control = {"mirror@millrace": 10.0, "mirror@haproxy": 800.0}
        said = verdict_of(self.at_70(250.0, 900.0, control), "p99 at 70 %")
        self.assertTrue(said.startswith("not measured"), said)
        self.assertIn("0.89 of haproxy's", said)
        # Without it we should have missed by more.
        self.assertTrue(verdict_of(self.at_70(500.0, 900.0, control), "p99 at 70 %").startswith("missed"))

    def test_without_a_whole_block_it_is_said_who_spoiled_them(self):
        result = self.at_70(250.0, 900.0, {"mirror@millrace": 10.0, "mirror@haproxy": 10.0})
        for w in result["campaigns"]["at_70"]["windows"]:
            if w["arm"] == "mirror@millrace" or (w["arm"], w["block"]) == ("nginx", 1):
                w["why_void"] = ["rate 29041 is not 49017"]
        result["metrics"] = results.metrics(result["replay"], result["campaigns"], 2.6)
        said = verdict_of(result, "p99 at 70 %")
        self.assertTrue(said.startswith("not measured: needs whole blocks with both"), said)
        self.assertIn("void windows: mirror@millrace 8, nginx 2", said)

    def test_controls_are_no_peers(self):
        result = self.at_70(250.0, 900.0, {"mirror@millrace": 10.0, "mirror@haproxy": 10.0})
        self.assertFalse([name for name in result["metrics"] if "ratio.mirror" in name])
        self.assertAlmostEqual(result["metrics"]["at_70.p999_us.lane_share.millrace"]["median"], 0.04)
        page = report.page(result)
        self.assertIn("bare reflector at HAProxy&#x27;s rate", page)
        self.assertIn("0.04 and 0.04", page)

    def test_the_better_peer_counts(self):
        result = run()
        row = next(row for row in goals.rows(result) if "the better of" in row["text"])
        self.assertAlmostEqual(float(row["measured"]), 10 / 25, delta=0.02)

    def test_a_median_within_and_an_interval_beyond_is_missed(self):
        result = run()
        result["metrics"]["cpu.cpu_us.ratio.haproxy"].update(median=0.49, low=0.4, high=0.6)
        self.assertTrue(verdict_of(result, "the better of").startswith("missed (the interval"))

    def test_too_few_blocks_prove_nothing(self):
        self.assertTrue(verdict_of(run(blocks=2), "the better of").startswith("not measured"))

    def test_exit_status_follows_the_self_tests(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "o.json")
            result = run()
            results.write(result, path)
            self.assertEqual(printed(goals.main, path)[0], 0)
            for name in ("generator", "offloads", "steal"):
                broken = copy.deepcopy(result)
                broken["self_tests"][name]["holds"] = False
                results.write(broken, path)
                status, said = printed(goals.main, path)
                self.assertEqual(status, 1)
                self.assertIn(f"BROKEN: {name}", said)


class Results(unittest.TestCase):
    def test_self_tests(self):
        found = {"cpu": campaign("cpu", ARMS, 1)}
        self.assertTrue(results.self_tests({"holds": True}, {"a": [FLAGS]}, found)["offloads"]["holds"])
        other = {**FLAGS, "load/l-millrace": "rx=on,tso=on"}
        self.assertFalse(results.self_tests(None, {"a": [FLAGS], "b": [other]}, found)["offloads"]["holds"])
        self.assertFalse(results.self_tests(None, {}, found)["offloads"]["holds"])
        self.assertFalse(results.self_tests(None, {}, found)["generator"]["holds"])
        # What was left out is neither held nor broken.
        self.assertEqual(list(results.self_tests(None, {}, found, with_veths=False)), ["steal"])
        found["cpu"]["windows"][0]["stolen_us"] = 10_000.0  # a tick in one of six seconds on two cores
        self.assertTrue(results.self_tests(None, {}, found)["steal"]["holds"])
        found["cpu"]["windows"][1]["stolen_us"] = 10_000.0
        self.assertFalse(results.self_tests(None, {}, found)["steal"]["holds"])
        self.assertFalse(results.self_tests(None, {}, {})["steal"]["holds"])
        self.assertTrue(results.self_tests(None, {}, {}, with_veths=False)["steal"]["holds"])

    @staticmethod
    def damaged():
        """Of a whole result, each with one thing lost."""
        whole = run()
        for section, name, member in (("machine", "commit", None), ("self_tests", "steal", None),
                                      ("self_tests", "steal", "percent"), ("self_tests", "offloads", "holds"),
                                      ("campaigns", "cpu", "windows"), ("metrics", "cpu.cpu_us.nginx", "median"),
                                      ("metrics", "cpu.cpu_us.nginx", "low")):
            broken = copy.deepcopy(whole)
            del (broken[section][name] if member else broken[section])[member or name]
            yield json.dumps(broken)
        yield json.dumps({**whole, "metrics": []})

    def test_a_refusal_names_the_place_in_the_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "o.json")
            broken = run()
            del broken["metrics"]["cpu.cpu_us.nginx"]["high"]
            results.write(broken, path)
            with self.assertRaisesRegex(results.ResultsError, r"o\.json: metrics\.cpu\.cpu_us\.nginx\.high"):
                results.read(path)

    def test_what_is_no_result_is_refused_with_its_name(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "o.json")
            for content in ("{", "[]", '{"kind": "other"}', '{"kind": "millrace-perf", "format": 99}',
                            '{"kind": "millrace-perf", "format": 1}', *self.damaged()):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(content)
                with self.assertRaisesRegex(results.ResultsError, "o.json"):
                    results.read(path)
            with self.assertRaises(results.ResultsError):
                results.read(os.path.join(folder, "none"))


class Compare(unittest.TestCase):
    def metric(self, median, low, high):
        return {"median": median, "low": low, "high": high}

    def test_only_beyond_the_spread_is_a_change(self):
        base = self.metric(10, 9, 11)
        self.assertEqual(compare.change(base, self.metric(10.5, 9.5, 11.5))[1], "within the spread")
        self.assertEqual(compare.change(base, self.metric(13, 12, 14))[1], "WORSE")
        self.assertEqual(compare.change(base, self.metric(5, 4, 6))[1], "better")
        self.assertTrue(compare.change(base, self.metric(5, None, None))[1].startswith("unsure"))
        self.assertEqual(compare.change(self.metric(1000, 1000, 1000),
                                        self.metric(1001, 1001, 1001))[1], "same")

    def test_other_machines_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            one, two = (os.path.join(folder, name) for name in ("a.json", "b.json"))
            results.write(run(), one)
            other = run(instructions=6000.0)
            results.write(other, two)
            status, said = printed(compare.main, one, two)
            self.assertEqual(status, 0)
            line = next(line for line in said.splitlines() if line.startswith("instructions.keepalive_1 "))
            self.assertIn("1.200", line)
            self.assertTrue(line.endswith("WORSE"))
            other["machine"]["cpu"] = "another"
            results.write(other, two)
            self.assertEqual(printed(compare.main, one, two)[0], 1)
            self.assertEqual(printed(compare.main, one, two, force=True)[0], 0)


class Nesting(html.parser.HTMLParser):
    """Fails on an element that is closed by another's end."""
    alone = ("meta", "path", "rect", "circle")

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.seen = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in self.alone:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.alone and (not self.open or self.open.pop() != tag):
            self.wrong.append(tag)


class Report(unittest.TestCase):
    def test_is_whole_self_contained_and_escaped(self):
        page = report.page(run())
        nesting = Nesting()
        nesting.feed(page)
        self.assertEqual((nesting.wrong, nesting.open), ([], []))
        self.assertGreaterEqual(nesting.seen.count("svg"), 5)
        self.assertNotIn("<made up>", page)
        for outside in ("http://", "https://", "src=", "@import", "url(", "<script", "<link"):
            self.assertNotIn(outside, page)

    def test_void_windows_are_published_and_broken_tests_said_first(self):
        result = run()
        result["campaigns"]["cpu"]["windows"][0]["why_void"] = ["others used the machine"]
        result["self_tests"]["steal"]["holds"] = False
        page = report.page(result)
        self.assertIn("others used the machine", page)
        self.assertLess(page.index("Self-tests broken: steal"), page.index("<h2>"))

    def test_an_empty_run_still_makes_a_page(self):
        result = run()
        result.update(replay={"not_measured": "no valgrind"}, campaigns={}, metrics={})
        self.assertIn("no valgrind", report.page(result))

    def test_what_is_too_small_to_see_is_summed(self):
        drawn = plots.stack("t", [("a", {"big": 1000.0, **{f"small{i}": 1.0 for i in range(30)}})], "")
        self.assertNotIn("small", drawn.split("</title>", 1)[1].replace('class="small"', ""))
        self.assertIn("other: 30", drawn)

    def test_any_height_has_its_ticks(self):
        for most in (0.9, 1, 7.9, 8.5, 9.2, 9.99, 10, 123):
            self.assertIn("circle", plots.lines("t", {"a": [(1, most)]}, "x", "y"))

    def test_lines_stay_inside(self):
        drawn = plots.lines("t", {"a": [(10, 5), (1e6, 50)]}, "x", "y", x_logarithmic=True)
        for part in drawn.split('cx="')[1:]:
            self.assertTrue(0 <= float(part.split('"')[0]) <= plots.WIDTH)


class Duration(unittest.TestCase):
    SETTINGS = {"blocks": 4, "rate": 1, "busy_rate": 1, "connection_rate": 1, "bulk_rate": 1, "connections": 1,
                "window_seconds": 1.0, "warm_seconds": 0.5, "shares": [0.5, 0.7], "share_blocks": 2}

    def test_of_veths_is_its_windows(self):
        each = 1.5 + duration.VETH_WINDOW_SECONDS
        # cpu, busy, connections, bulk, capacity; one_connection has half windows; both shares, one with controls.
        windows = 2 * (4 * 4 + 4 * 2 + 3 * 3 + 4 * 2 + 3 * 1 + 3 * 2 + 5 * 2)
        expected = duration.VETH_START_SECONDS + windows * each + 2 * 4 * 3 * (each - 0.5)
        self.assertAlmostEqual(duration.of_veths(self.SETTINGS, 0), expected)
        self.assertAlmostEqual(duration.of_veths(self.SETTINGS, 1), expected + 2 * 2 * 4 * each)

    def test_of_memif_grows_with_crowds(self):
        mode = {"window": 1, "warm": 0, "sweep": [1, 2], "blocks": 2, "big_tables": [], "crowds": [],
                "crowd_blocks": 3, "together": None}
        each = 1 + duration.MEMIF_WINDOW_SECONDS
        self.assertAlmostEqual(duration.of_memif(mode), (2 + 2 * 6) * each)
        # 2 arms with few, 2 with many; each of the many is opened anew.
        crowded = duration.of_memif({**mode, "crowds": [1_000_000]}) - duration.of_memif(mode)
        self.assertAlmostEqual(crowded, 3 * 4 * each + 3 * 2 * 1000 * duration.CROWD_SECONDS)

    def test_of_replay(self):
        some = duration.of_replay({"replay_scenarios": ["a", "b"], "replay_times": 3})
        self.assertEqual(some, 2 * duration.REPLAY_SCENARIO_SECONDS)
        self.assertGreater(duration.of_replay({"replay_scenarios": [], "replay_times": 3}), some)

    def test_text(self):
        self.assertEqual([duration.text(s) for s in (20, 200, 5400)], ["20 s", "3 min", "1 h 30 min"])


class Machine(unittest.TestCase):
    def test_kinds(self):
        one = {"cpu": "a", "cores": 2, "architecture": "x", "kernel": "6", "commit": "1"}
        self.assertEqual(machine.same_kind(one, {**one, "commit": "2"}), [])
        self.assertEqual(machine.same_kind(one, {**one, "kernel": "7"}), ["kernel"])


if __name__ == "__main__":
    unittest.main()
