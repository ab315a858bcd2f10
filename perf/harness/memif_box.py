"""Two processes and a memif between them, in a folder of their own: what lane M measures.

The near end, on the proxy's core, is the data plane or a reflector; the far end, on the other core, is
millrace-load as client and backend in one thread. There is no control plane: the data plane starts
with a table that perf/table/make_table wrote.

    10.90.0.1 near end === memif === far end: clients from 10.90.16.1 on, backend 10.91.0.1
"""
import glob
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

# The backend lies behind the first client's address: that neighbor is known before the first request,
# so that no handshake with the backend waits for ARP while hundreds of others come after it.
VIP, CLIENT, BACKEND, BACKENDS = "10.90.0.1", "10.90.16.1", "10.91.0.1", "10.91.0.0/16"
VIP_PORT, BACKEND_PORT = 80, 8080
# A reflector answers to any.
REFLECTOR_MAC = "02:00:00:00:00:01"
ANSWER_SECONDS_MAX = 60
START_SECONDS_MAX = 60  # a million routes are checked
STOP_SECONDS_MAX = 15
ROUTES_PER_HOST = 2  # make_table's default
# A worker that spins must not outlive a harness that was killed.
WITH_US = ("setpriv", "--pdeathsig", "TERM")


class BoxError(Exception):
    pass


def host_count(routes):
    return (routes + ROUTES_PER_HOST - 1) // ROUTES_PER_HOST


def scheduled(pid):
    """(run, waited) in ns: what the process' threads ran, and how long they waited for a core that
    somebody else had."""
    run = waited = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        try:
            with open(path, encoding="ascii") as file:
                entries = file.read().split()
        except OSError:
            continue  # a thread that ended meanwhile
        run, waited = run + int(entries[0]), waited + int(entries[1])
    return run, waited


def memory(pid):
    """{rss, pss} in octets. Pss counts a page that several processes have mapped by its share; the
    memif's rings are half the far end's by it."""
    found = {}
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name in ("Rss", "Pss"):
                found[name.lower()] = int(value.split()[0]) * 1024
    return found


class Talker:
    """A program that answers lines with lines; ended by close() whatever happened."""

    def __init__(self, command, log):
        self._name = os.path.basename(command[0])
        self._log = log
        with open(log, "w", encoding="utf-8") as said:
            self._process = subprocess.Popen([*WITH_US, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                             stderr=said, text=True, bufsize=1)
        self.pid = self._process.pid

    def said(self):
        with open(self._log, encoding="utf-8") as file:
            return (file.read().strip() or "it said nothing").split("\n")[-1]

    def line(self):
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_SECONDS_MAX)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise BoxError(f"{self._name}: no answer; {self.said()}")
        return line.strip()

    def ask(self, command):
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise BoxError(f"{self._name} ended: {self.said()}") from error
        return self.line()

    def close(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                pipe.close()
            except OSError:
                pass


class FrameLoad(Talker):
    """millrace-load, with any role, commanded through its standard input."""

    def __init__(self, program, log, *options):
        super().__init__([program, "--control", *options], log)
        try:
            ready = self.line()
            if not ready.startswith("ready "):
                raise BoxError(f"millrace-load: {ready}")
        except BaseException:
            self.close()
            raise

    def begin(self):
        if self.ask("begin") != "ok":
            raise BoxError("millrace-load did not begin")

    def end(self):
        return json.loads(self.ask("end"))


class DataPlane:
    """millrace-dataplane on the memif, one spinning worker on its core."""

    def __init__(self, program, folder, socket, table, connections, cpu, packet_memory_mib):
        self._program, self._stats = program, os.path.join(folder, "stats")
        self._log = os.path.join(folder, "dataplane.log")
        state = os.path.join(folder, "state")
        os.makedirs(state, exist_ok=True)
        place = os.path.join(state, "last-good.snapshot")
        if os.path.lexists(place):
            os.remove(place)
        os.link(table, place)
        config = os.path.join(folder, "dataplane.yaml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"""ports:
  - name: memif
    driver: dpdk
    dpdk: {{kind: memif, socket: {socket}, role: server}}
    addresses:
      - {{address: {VIP}/16, kind: owned}}
routes:
  - {{destination: {BACKENDS}, port: memif, via: {CLIENT}}}
listeners:
  - {{address: {VIP}, port: {VIP_PORT}}}
socket: {folder}/dataplane.sock
state_directory: {state}
worker: {{cpu: {cpu}, idle: spin}}
timeouts: {{drain_seconds: 0}}
# What the peers add as well, and no more.
forwarding: {{request_id: false, loop_detection: false}}
# There is one endpoint, and nobody beside it whom it could starve.
upstream: {{requests_per_endpoint: 0}}
limits: {{connections: {connections}, packet_memory_mib: {packet_memory_mib}}}
""")
        with open(self._log, "w", encoding="utf-8") as said:
            self._process = subprocess.Popen([*WITH_US, program, "--config", config],
                                             stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        self.pid = self._process.pid
        try:
            self._wait_until_it_serves()
        except BaseException:
            self.close()
            raise

    def said(self):
        with open(self._log, encoding="utf-8") as file:
            return file.read().strip()

    def _wait_until_it_serves(self):
        end = time.monotonic() + START_SECONDS_MAX
        while "serving: " not in self.said():
            if self._process.poll() is not None or time.monotonic() > end:
                raise BoxError(f"the data plane does not start: {self.said()}")
            time.sleep(0.02)
        if "starting with the last good table" not in self.said():
            raise BoxError(f"the data plane has no table: {self.said()}")

    def counters(self):
        """{name: number}, as old as the worker's last tick, at most a tenth of a second."""
        done = subprocess.run([self._program, "--stats", self._stats], capture_output=True, text=True,
                              check=False, timeout=ANSWER_SECONDS_MAX)
        if done.returncode:
            raise BoxError(done.stderr.strip())
        return {name: int(value) for name, value in
                (line.split(" ", 1) for line in done.stdout.splitlines()) if value.isdigit()}

    def close(self):
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()


class MemifBox:
    """Open until close(), which ends what it started and removes its folder."""

    def __init__(self, programs, near_cpu, far_cpu):
        """programs: {"dataplane", "load", "make_table": path}"""
        self._programs, self._near_cpu, self._far_cpu = programs, near_cpu, far_cpu
        self._folder = tempfile.mkdtemp(prefix="millrace-memif.")
        self._socket = os.path.join(self._folder, "wire")
        self._near = self._far = None

    def table(self, routes):
        """The path of a table of that many routes; made once."""
        path = os.path.join(self._folder, f"table.{routes}")
        if not os.path.exists(path):
            done = subprocess.run(
                [self._programs["make_table"], "--routes", str(routes), "--routes-per-host",
                 str(ROUTES_PER_HOST), "--backend", f"{BACKEND}:{BACKEND_PORT}", "--out", path],
                capture_output=True, text=True, check=False)
            if done.returncode:
                raise BoxError(done.stderr.strip())
        return path

    def start_data_plane(self, routes, connections, packet_memory_mib=64):
        self.stop()
        self._near = DataPlane(self._programs["dataplane"], self._folder, self._socket,
                               self.table(routes), connections, self._near_cpu, packet_memory_mib)
        return self._near

    def start_reflector(self):
        self.stop()
        self._near = FrameLoad(self._programs["load"], os.path.join(self._folder, "reflector.log"),
                               "--port", f"memif:{self._socket}:server", "--reflect",
                               "--cpu", str(self._near_cpu))
        return self._near

    def start_load(self, *options, through_proxy=True):
        """Client and backend; returns when all their connections stand. They trust the frames' checksums:
        nothing on this way can spoil a frame, and each octet more that the load reads of another core's
        memory makes it less sure to be able to do twice of what is measured."""
        target = f"{VIP}:{VIP_PORT}" if through_proxy else f"{BACKEND}:{BACKEND_PORT}"
        if not through_proxy:
            options += ("--gateway-mac", REFLECTOR_MAC)
        self._far = FrameLoad(self._programs["load"], os.path.join(self._folder, "load.log"),
                              "--port", f"memif:{self._socket}:client", "--client", "--backend",
                              "--client-address", f"{CLIENT}/16", "--backend-address", BACKEND,
                              "--target", target, "--trust-checksums", "--cpu", str(self._far_cpu), *options)
        return self._far

    def stop(self):
        """Ends both. The load is killed: a million goodbyes would take longer than the window."""
        for end in (self._far, self._near):
            if end:
                end.close()
        self._far = self._near = None

    def close(self):
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
