"""The harness behind perf/run, perf/goals and perf/compare."""
