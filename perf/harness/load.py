"""The load of lanes X and K: millrace-load over AF_XDP, client and backend in one process.

One process a window: started, ready when all connections stand, `begin`, `end`, `stop`.
"""
import dataclasses
import json
import select
import subprocess

ANSWER_SECONDS_MAX = 30
STOP_SECONDS_MAX = 5
NAME = "millrace-load, AF_XDP"
# Windows take client addresses in turn, so that none meets what the last one left of a connection; few,
# so that everybody knows their link addresses by then.
CLIENT_ADDRESSES = 4


# It yields, so that its core never halts and the NAPI thread beside it comes first.
WHEN_IDLE = "yield"


class LoadError(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Work:
    """What is asked for. rate: requests (or connections) a second, None for a closed loop."""
    connections: int = 64
    rate: float | None = None
    pace: str = "constant"
    one_request_each: bool = False
    response_bytes: int = 100
    request_head: str = "browser"

    def options(self):
        schedule = f"{self.pace}:{self.rate:.3f}" if self.rate else "closed"
        return ["--connections", str(self.connections), "--schedule", schedule,
                "--response-bytes", str(self.response_bytes), "--request-head", self.request_head,
                "--lifetime", "request" if self.one_request_each else "keepalive"]


def figures(found):
    """The program's JSON as the harness names it: times in us, errors by name."""
    latency = found["latency_ns"]
    return {"rate": found["requests_per_second"], "requests": found["responses_ok"],
            "seconds": found["window_s"], "errors": found["errors"],
            "retransmits": found["retransmits"], "late_sends": found["late_sends"],
            "unsent": found["unsent"], "frames_dropped": found["frames_dropped"],
            "bad_frames": found["bad_frames"],
            "frames_per_request": (found["frames_received"] + found["frames_sent"]) /
                                  max(1, found["responses_ok"]),
            "busy_fraction": found["busy_fraction"],
            **{f"{name}_us": latency[name] / 1e3 for name in ("p50", "p90", "p99", "p999", "max", "mean")}}


class Load:
    """number: of the window, which chooses the client's address."""

    def __init__(self, program, lab, arm, target, work, number):
        facts = lab.facts
        where, gateway = target
        address, port = facts["backend"].split(":")
        command = [program, "--port", f"xdp:l-{arm}", "--client", "--backend", "--control",
                   "--client-address", f"{facts['clients']}.{1 + number % CLIENT_ADDRESSES}/16",
                   "--target", where, "--gateway", gateway,
                   "--backend-address", address, "--backend-port", port,
                   "--host-pattern", facts["host"], "--seed", str(number + 1),
                   "--cpu", "1", "--when-idle", WHEN_IDLE, *work.options()]
        self._process = subprocess.Popen(lab.load_command(command), stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True, bufsize=1)
        try:
            line = self._line()
            if not line.startswith("ready"):
                raise LoadError(f"the load said {line.strip() or 'nothing'}")
        except BaseException:
            self.close()
            raise

    def _line(self):
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_SECONDS_MAX)
        return self._process.stdout.readline() if ready else ""

    def _ask(self, command):
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise LoadError("the load ended") from error
        line = self._line()
        if not line or line.startswith("error"):
            raise LoadError(f"the load answered {line.strip() or 'nothing'} to {command}")
        return line

    def begin(self):
        self._ask("begin")

    def end(self):
        return figures(json.loads(self._ask("end")))

    def stop(self):
        """In order, so that no proxy keeps a connection to somebody who is gone."""
        try:
            self._process.stdin.write("stop\n")
            self._process.stdin.flush()
            self._process.wait(STOP_SECONDS_MAX)
        except (OSError, subprocess.TimeoutExpired):
            pass

    def close(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
