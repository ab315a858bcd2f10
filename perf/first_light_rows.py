#!/usr/bin/env python3
"""The arithmetic of first_light.sh: windows as measured in, rows and the ratio out.

    first_light_rows.py --heading
    first_light_rows.py --last FILE RATE STEAL OTHERS             the newest row
    first_light_rows.py --summary FILE RATE STEAL OTHERS [JSON]   ratio; exit 1 without a valid block

STEAL and OTHERS are percents beyond which a window is void.
"""
import json
import os
import platform
import statistics
import sys

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
RATE_TOLERANCE = 0.005
HEADING = (f"{'block':>5} {'proxy':9} {'requests/s':>10} {'cpu_us':>7} {'user':>6} {'system':>6} "
           f"{'napi':>6} {'core0_us':>8} {'core1%':>6} {'steal%':>6} "
           f"{'others%':>7} {'p50_us':>7} {'p99_us':>8}  verdict")


class Window:
    """One measured window of one proxy; CPU times in microseconds a request."""

    def __init__(self, line, rate, steal_limit, others_limit):
        parts = line.rstrip("\n").split("\t")
        self.block, self.proxy = int(parts[0]), parts[1]
        before, after = ([int(x) for x in parts[i:i + 11]] for i in (2, 13))
        load = dict(pair.split("=") for pair in parts[24].split())
        (wall, requests, usage, user, system, napi, rest, idle, steal, far_idle, far_steal) = (
            b - a for a, b in zip(before, after))
        each = max(requests, 1)
        self.requests = requests
        self.rate = requests / wall * 1e6
        self.cpu = (usage + napi) / each
        self.user, self.system, self.napi = user / each, system / each, napi / each
        to_us = 1e6 / TICKS_A_SECOND
        core = wall - (idle + steal) * to_us
        far_core = wall - (far_idle + far_steal) * to_us
        self.core = core / each
        self.far_core = 100 * far_core / wall
        self.steal = 100 * (steal + far_steal) * to_us / (2 * wall)
        self.others = max(0, 100 * (core + far_core - usage - napi - rest) / (2 * wall))
        self.p50, self.p99 = float(load["p50_us"]), float(load["p99_us"])
        self.why_void = []
        # Not unsent: the stop itself leaves some. Too many of them show in the rate.
        for name in ("failed", "wrong_backend", "broken"):
            if int(load[name]):
                self.why_void.append(f"{name}={load[name]}")
        if abs(self.rate / rate - 1) > RATE_TOLERANCE:
            self.why_void.append(f"rate is not {rate:.0f}")
        if self.steal > steal_limit:
            self.why_void.append("time stolen by the host")
        if self.others > others_limit:
            self.why_void.append("others used the machine")
        if napi == 0:
            self.why_void.append("the NAPI thread did nothing")

    def text(self):
        verdict = "VOID: " + ", ".join(self.why_void) if self.why_void else "ok"
        return (f"{self.block:5} {self.proxy:9} {self.rate:10.0f} {self.cpu:7.2f} {self.user:6.2f} "
                f"{self.system:6.2f} {self.napi:6.2f} {self.core:8.2f} {self.far_core:6.1f} {self.steal:6.2f} "
                f"{self.others:7.2f} "
                f"{self.p50:7.1f} {self.p99:8.1f}  {verdict}")


def median_of(windows, field):
    return statistics.median(getattr(window, field) for window in windows)


def summary(windows, json_path):
    valid = [window for window in windows if not window.why_void]
    by_block = {}
    for window in valid:
        by_block.setdefault(window.block, {"millrace": [], "nginx": []})[window.proxy].append(window)
    # A block counts when none of its four windows is void: only then does it cancel a drift.
    whole = [block for block in by_block.values()
             if len(block["millrace"]) == 2 and len(block["nginx"]) == 2]
    ratios = sorted(sum(w.cpu for w in block["millrace"]) / sum(w.cpu for w in block["nginx"])
                    for block in whole)
    arms = {proxy: [w for block in whole for w in block[proxy]] for proxy in ("millrace", "nginx")}
    print(f"\nwindows: {len(windows)}, void: {len(windows) - len(valid)}; "
          f"blocks counted: {len(whole)}")
    if not ratios:
        print("no block without a void window: no figure")
        return 1
    for proxy, counted in arms.items():
        print(f"{proxy:9} cpu {median_of(counted, 'cpu'):6.2f} us/request: "
              f"proxy user {median_of(counted, 'user'):.2f}, "
              f"proxy system {median_of(counted, 'system'):.2f}, "
              f"napi {median_of(counted, 'napi'):.2f}; "
              f"core0 {median_of(counted, 'core'):.2f}; latency p50 {median_of(counted, 'p50'):.0f} "
              f"us, p99 {median_of(counted, 'p99'):.0f} us (medians)")
    print("(user and system of the proxy are its exact run time split by the kernel's sampling; the"
          " latency is the client's, from when a request was due)")
    result = {"millrace": median_of(arms["millrace"], "cpu"),
              "nginx": median_of(arms["nginx"], "cpu"),
              "ratio": statistics.median(ratios), "min": ratios[0], "max": ratios[-1],
              "blocks": len(ratios)}
    print(f"cpu_us_per_request millrace={result['millrace']:.2f} nginx={result['nginx']:.2f} "
          f"ratio={result['ratio']:.3f} ({result['min']:.3f}…{result['max']:.3f}, "
          f"blocks={result['blocks']})")
    if json_path:
        with open(json_path, "w", encoding="utf-8") as out:
            json.dump({"kernel": platform.release(), "cpu_us_per_request": result,
                       "block_ratios": ratios, "windows": [vars(window) for window in windows]},
                      out, indent=1)
            out.write("\n")
    return 0


def main():
    if sys.argv[1:] == ["--heading"]:
        print(HEADING)
        return 0
    mode, path = sys.argv[1:3]
    rate, steal_limit, others_limit = (float(x) for x in sys.argv[3:6])
    with open(path, encoding="utf-8") as lines:
        windows = [Window(line, rate, steal_limit, others_limit) for line in lines]
    if mode == "--last":
        print(windows[-1].text(), flush=True)
        return 0
    return summary(windows, sys.argv[6] if len(sys.argv) > 6 else None)


sys.exit(main())
