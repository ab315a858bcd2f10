"""Drives a load generator: start, samples while it runs, figures at the end.

A generator is a class with the methods of HttpLoad; lanes.py names the one that a run uses.
"""
import select
import subprocess

ANSWER_SECONDS_MAX = 30


class LoadError(Exception):
    pass


class HttpLoad:
    """tests/support/http_load: kernel sockets, one thread, open loop with a constant rate (latency from
    the intended send time) or closed loop, every answer checked. It knows no 99.9th percentile."""
    name = "tests/support/http_load"
    percentiles = ("p50_us", "p99_us")

    def __init__(self, program, lab, target, connections, warm_seconds, rate=None):
        command = [program, "--target", target, "--control", "--connections", str(connections),
                   "--warmup", str(warm_seconds),
                   "--row", f"{lab.facts['host']} / {lab.facts['answer']}"]
        if rate:
            command += ["--rate", str(rate)]
        self._process = subprocess.Popen(lab.client_command(command), stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True, bufsize=1)

    def _ask(self, command):
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise LoadError("the load generator ended") from error
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_SECONDS_MAX)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise LoadError("the load generator gave no figures")
        return {name: float(value) for name, value in (pair.split("=") for pair in line.split())}

    def requests(self):
        """Answered until now."""
        return self._ask("report")["requests"]

    def finish(self):
        """Stops it and returns its figures."""
        figures = self._ask("stop")
        self._process.wait(ANSWER_SECONDS_MAX)
        return figures

    def close(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
