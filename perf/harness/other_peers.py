"""Peers that Debian does not have: measured when they are here, by perf/peers/get.

No goal speaks of them. Each has a campaign of its own beside Millrace, so that one that cannot bear the rate
voids nobody else's blocks.
"""
import os
import subprocess

from perf.harness.lanes import OURS

NAMES = ("envoy", "traefik")
ANSWER_SECONDS_MAX = 120
CAMPAIGN = "cpu_"


def found(top, say):
    """{peer: version} of those that are on PATH or fetched; says of the others why they are not measured."""
    there = {}
    for name in NAMES:
        try:
            line = subprocess.run([os.path.join(top, "perf", "peers", "get"), "--found", name], text=True,
                                  capture_output=True, check=True, timeout=ANSWER_SECONDS_MAX).stdout.strip()
        except (OSError, subprocess.SubprocessError) as error:
            line = f"{name}: not measured here: {error}"
        say(line)
        if ": not measured here: " not in line:
            there[name] = line.rsplit(" ", 1)[1]
    return there


def campaign_name(peer):
    return CAMPAIGN + peer


def is_campaign(name):
    return name.startswith(CAMPAIGN)


def arms(peer):
    return (OURS, peer)
