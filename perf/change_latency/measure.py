#!/usr/bin/python3
"""From a change of an object to the first right answer of the data plane, one change after the other.

  measure.py (--kubeconfig FILE | --folder FOLDER) --prepare --bulk N
  measure.py (--kubeconfig FILE | --folder FOLDER) --changes N --seed N [--storm RATE] -- COMMAND OF ask.py...

With --prepare the objects are made: those of tests/cluster/churn.py, and N Ingresses with three paths and five endpoints
each that nobody asks for. Then endpoints of Services and paths of Ingresses change in turn, each after a pause of
100 to 250 ms, which is longer than the control plane's hold-off. In a folder a change begins when its file is renamed into
place. Of an API server's change three times are printed: since the request was sent, since it was answered, and since
another client's watch has seen it, which is the nearest that can be had to its arrival at the control plane.

With --storm (in a folder) objects that nobody asks for change meanwhile, so many a second.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "cluster"))
import churn  # noqa: E402

PAUSE_S = (0.1, 0.25)
FILE_OBJECTS = 300  # of the bulk, one file holds so many
STORM_FILES = 100
KINDS = ("endpoints", "routes")
TAGS = (("catalog-1", "catalog-2"), ("wiki-1", "landing-2"))


class Folder:
    """The same objects as files: one of each object that changes, the others in larger ones."""

    steps = ("rename",)

    def __init__(self, folder):
        self.folder = folder

    def write(self, name, objects):
        """Returns when the file was renamed into place, or rather just before."""
        path = os.path.join(self.folder, name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            for one in objects:
                one["metadata"]["namespace"] = churn.NAMESPACE
                file.write("---\n" + json.dumps(one) + "\n")
        begun = time.monotonic_ns()
        os.rename(path + ".new", path + ".yaml")
        return begun

    def create(self, objects):
        single = [one for one in objects if not one["metadata"]["name"].startswith("bulk-")]
        rest = [one for one in objects if one["metadata"]["name"].startswith("bulk-")]
        for one in single:
            self.write(f"{one['kind']}-{one['metadata']['name']}".lower(), [one])
        for begin in range(0, len(rest), FILE_OBJECTS):
            self.write(f"bulk-{begin // FILE_OBJECTS}", rest[begin:begin + FILE_OBJECTS])
        # As in every cluster, and as churn.py's cluster gets it from the manifests.
        self.write("class", [{"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "millrace"},
                              "spec": {"controller": "millrace.dev/ingress-controller"}}])

    def change(self, kind, number, turn):
        if kind == 0:
            one = churn.endpoint_slice(f"moving-{number}", [churn.ENDPOINTS[turn]])
        else:
            one = churn.ingress(f"routed-{number}", f"routed-{number}.example", [("/", churn.SERVICES[turn])])
        return [self.write(f"{one['kind']}-{one['metadata']['name']}".lower(), [one])]

    def storm(self, rate, stop):
        """Endpoints that nobody is sent to move, `rate` times a second, until `stop` is set."""
        for number in range(STORM_FILES):
            name = f"storm-{number}"
            self.write(f"ingress-{name}", [churn.service(name), churn.ingress(name, f"{name}.example", [("/", name)])])
        begin = time.monotonic()
        step = 0
        while not stop.is_set():
            wait = begin + step / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            self.write(f"slice-{step % STORM_FILES}",
                       [churn.endpoint_slice(f"storm-{step % STORM_FILES}", [(f"10.99.0.{1 + step // STORM_FILES % 250}", 80)])])
            step += 1
        return step / (time.monotonic() - begin)


class Cluster:
    steps = ("request", "answer", "watch")

    def __init__(self, kubeconfig):
        self.server = churn.Server(kubeconfig)
        self.connection = self.server.connect()
        self.seen = {}  # by kind and number: the last resourceVersion that the watch has seen, and when
        self.news = threading.Condition()

    def create(self, objects):
        churn.create_all(self.server, objects)

    def watch(self):
        for kind, path in ((0, churn.PATHS["EndpointSlice"]), (1, churn.PATHS["Ingress"])):
            threading.Thread(target=self.watch_kind, args=(kind, path % churn.NAMESPACE), daemon=True).start()
        time.sleep(2)

    def watch_kind(self, kind, path):
        connection = self.server.connect()
        connection.request("GET", path + "?watch=true&timeoutSeconds=3600", headers={"Authorization": "Bearer " + self.server.token})
        stream = connection.getresponse()
        while line := stream.readline():
            now = time.monotonic_ns()
            name = json.loads(line)["object"]["metadata"]["name"]
            with self.news:
                self.seen[(kind, name)] = now
                self.news.notify_all()

    def change(self, kind, number, turn):
        path, body, content_type = churn.change_of(kind, number, turn)
        key = (kind, path.rsplit("/", 1)[1])
        sent = time.monotonic_ns()
        status = self.server.send(self.connection, "PATCH", path, body, content_type)
        answered = time.monotonic_ns()
        if status != 200:
            sys.exit(f"measure: the API server refuses {path}: {status}")
        with self.news:
            if not self.news.wait_for(lambda: self.seen.get(key, 0) > sent, timeout=5):
                sys.exit(f"measure: no watch has seen {path} change")
            return [sent, answered, self.seen[key]]


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def measure(target, changes, seed, command, storm):
    chance = random.Random(seed)
    asker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    turns = [[0] * churn.OBJECTS, [0] * churn.OBJECTS]
    times = {(kind, step): [] for kind in (0, 1) for step in target.steps}
    requests = failed = 0
    asking_ns = 0
    stop = threading.Event()
    reached = []
    if isinstance(target, Cluster):
        target.watch()
    if storm:
        thread = threading.Thread(target=lambda: reached.append(target.storm(storm, stop)))
        thread.start()
        time.sleep(1)
    for count in range(changes):
        time.sleep(chance.uniform(*PAUSE_S))
        kind, number = count % 2, chance.randrange(churn.OBJECTS)
        turns[kind][number] ^= 1
        turn = turns[kind][number]
        host = f"{('moved', 'routed')[kind]}-{number}.example"
        asking = time.monotonic_ns()
        asker.stdin.write(f"{host} {TAGS[kind][turn]}\n")
        time.sleep(0.005)  # it is asking by then
        begun = target.change(kind, number, turn)
        _, right, asked, wrong = map(int, asker.stdout.readline().split())
        if right == 0:
            sys.exit(f"measure: {host} is not answered by {TAGS[kind][turn]}")
        requests, failed = requests + asked, failed + wrong
        asking_ns += right - asking
        for step, at in zip(target.steps, begun):
            times[(kind, step)].append((right - at) / 1e6)
    stop.set()
    if storm:
        thread.join()
    asker.stdin.close()
    asker.wait()
    for (kind, step), values in times.items():
        blocks = [values[i::5] for i in range(5)]
        medians = [quantile(block, 0.5) for block in blocks]
        print(f"{KINDS[kind]:9} since {step:7} n={len(values)} p50_ms={quantile(values, 0.5):.2f} "
              f"({min(medians):.2f} to {max(medians):.2f} in five parts) p90_ms={quantile(values, 0.9):.2f} "
              f"p99_ms={quantile(values, 0.99):.2f} max_ms={max(values):.2f}")
    # A right answer that was there just behind a question is seen with the next one.
    print(f"requests={requests} failed={failed} asked_every_ms={asking_ns / requests / 1e6:.2f}" + (f" storm_per_s={reached[0]:.0f}" if storm else ""))
    return failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig")
    parser.add_argument("--folder")
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--bulk", type=int, default=0)
    parser.add_argument("--changes", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--storm", type=float, default=0)
    parser.add_argument("command", nargs="*")
    options = parser.parse_args()
    target = Folder(options.folder) if options.folder else Cluster(options.kubeconfig)
    if options.prepare:
        target.create(churn.objects() + list(churn.bulk(options.bulk)))
        return 0
    return measure(target, options.changes, options.seed, options.command, options.storm) != 0


if __name__ == "__main__":
    sys.exit(main())
