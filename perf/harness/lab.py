"""Speaks to perf/lab.sh, which makes the network, the cgroups and the proxies."""
import os
import select
import subprocess

ANSWER_SECONDS_MAX = 60


class LabError(Exception):
    pass


class Lab:
    """Open until close(); when this process dies, lab.sh sees its input end and removes everything."""

    def __init__(self, top, build):
        self._process = subprocess.Popen(
            [os.path.join(top, "perf", "lab.sh"), build], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, bufsize=1)
        try:
            self.facts = dict(pair.split("=", 1) for pair in self._answer().split())
        except BaseException:
            self.close()
            raise
        self.group = self.facts["group"]

    def _answer(self):
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_SECONDS_MAX)
        line = self._process.stdout.readline().strip() if ready else "error no answer"
        if not line.startswith("ok"):
            raise LabError(line.removeprefix("error ") or "the lab ended")
        return line[2:].strip()

    def _ask(self, command):
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise LabError("the lab ended") from error
        return self._answer()

    def start(self, arm):
        """(ADDRESS:PORT that the client connects to, its next hop)."""
        target, gateway = self._ask(f"start {arm}").split()
        return target, gateway

    def stop(self, arm):
        self._ask(f"stop {arm}")

    def offloads(self):
        """{veth end: flags}"""
        return dict(end.split(":", 1) for end in self._ask("offloads").split())

    def stats(self):
        """{counter of the data plane: value}, without zeros."""
        return {name: int(value) for name, value in
                (pair.split("=", 1) for pair in self._ask("stats").split())}

    def load_command(self, command):
        """The command as it runs in the load's box and cgroup."""
        return ["sh", "-c", 'echo $$ >"$1" && shift && exec "$@"', "sh",
                os.path.join(self.group, "load", "cgroup.procs"),
                "nsenter", f"--net=/run/netns/{self.facts['box']}", "--", *command]

    def close(self):
        try:
            self._process.stdin.close()
        except OSError:
            pass
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait(60)
