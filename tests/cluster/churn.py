#!/usr/bin/python3
"""Changes objects of a cluster again and again, at a rate, over kept connections.

  churn.py KUBECONFIG RATE SECONDS [--bulk N]

Endpoints of Services moving-0... go back and forth between two backends, Ingresses routed-0... between two
Services; the last change of each is the first of its two. With --bulk, N Ingresses with three paths
and a Service with five endpoints each are created before, which nobody asks for. Prints
"changes=N failed=N seconds=S rate=R" (the rate that was reached).
"""
import http.client
import json
import re
import ssl
import sys
import threading
import time

OBJECTS = 10  # of each kind that changes
THREADS = 8
NAMESPACE = "live"
ENDPOINTS = [("10.20.0.11", 8081), ("10.20.0.12", 8081)]
SERVICES = ["wiki", "landing"]


class Server:
    def __init__(self, kubeconfig):
        text = open(kubeconfig, encoding="utf-8").read()
        folder = kubeconfig.rsplit("/", 1)[0]
        self.host, self.port = re.search(r'server: "https://([^:]+):(\d+)"', text).groups()
        self.token = re.search(r'token: "([^"]+)"', text).group(1)
        self.context = ssl.create_default_context(
            cafile=folder + "/" + re.search(r"certificate-authority: ([^}]+)}", text).group(1))

    def connect(self):
        return http.client.HTTPSConnection(self.host, int(self.port), context=self.context, timeout=30)

    def send(self, connection, method, path, body, content_type):
        connection.request(method, path, json.dumps(body),
                           {"Authorization": "Bearer " + self.token, "Content-Type": content_type})
        answer = connection.getresponse()
        answer.read()
        return answer.status


def service(name):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"clusterIP": "None", "ports": [{"name": "http", "port": 80}]}}


def endpoint_slice(name, endpoints):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name + "-1", "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": "http", "port": endpoints[0][1], "protocol": "TCP"}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}
                          for address, _ in endpoints]}


def ingress(name, host, paths):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name},
            "spec": {"ingressClassName": "millrace", "rules": [{"host": host, "http": {"paths": [
                {"path": path, "pathType": "Prefix",
                 "backend": {"service": {"name": target, "port": {"number": 80}}}}
                for path, target in paths]}}]}}


PATHS = {"Service": "/api/v1/namespaces/%s/services",
         "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/%s/endpointslices",
         "Ingress": "/apis/networking.k8s.io/v1/namespaces/%s/ingresses"}


def create_all(server, wanted):
    """Many at a time; whatever is there already stays."""
    failures = []

    def work(number):
        connection = server.connect()
        for one in wanted[number::THREADS]:
            status = server.send(connection, "POST", PATHS[one["kind"]] % NAMESPACE, one, "application/json")
            if status not in (201, 409):
                failures.append((status, one["kind"], one["metadata"]["name"]))

    run(work)
    if failures:
        sys.exit(f"churn: cannot create {failures[0]} and {len(failures) - 1} more")


def run(work):
    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def objects():
    """Those that change, and what they lead to."""
    found = []
    for name, endpoint in (("wiki", ("10.20.0.11", 8083)), ("landing", ("10.20.0.12", 8084))):
        found += [service(name), endpoint_slice(name, [endpoint])]
    for i in range(OBJECTS):
        found += [service(f"moving-{i}"), endpoint_slice(f"moving-{i}", ENDPOINTS[:1]),
                  ingress(f"moved-{i}", f"moved-{i}.example", [("/", f"moving-{i}")]),
                  ingress(f"routed-{i}", f"routed-{i}.example", [("/", SERVICES[0])])]
    return found


def bulk(count):
    for i in range(count):
        name = f"bulk-{i}"
        yield service(name)
        yield endpoint_slice(name, [(f"10.{100 + i // 50000}.{i // 250 % 200}.{1 + (i * 5 + k) % 250}", 8080)
                                    for k in range(5)])
        yield ingress(name, f"{name}.example", [("/", name), ("/api", name), ("/static", name)])


def change_of(kind, number, turn):
    merge = "application/merge-patch+json"
    if kind == 0:
        address, port = ENDPOINTS[turn % 2]
        body = endpoint_slice("x", [(address, port)])
        return (PATHS["EndpointSlice"] % NAMESPACE + f"/moving-{number}-1",
                {"ports": body["ports"], "endpoints": body["endpoints"]}, merge)
    body = ingress("x", f"routed-{number}.example", [("/", SERVICES[turn % 2])])
    return (PATHS["Ingress"] % NAMESPACE + f"/routed-{number}", {"spec": {"rules": body["spec"]["rules"]}}, merge)


def main():
    kubeconfig, rate, seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    server = Server(kubeconfig)
    size = int(sys.argv[sys.argv.index("--bulk") + 1]) if "--bulk" in sys.argv else 0
    create_all(server, objects() + list(bulk(size)))
    if seconds == 0:
        return
    counts = {"changes": 0, "failed": 0}
    lock = threading.Lock()
    begin = time.monotonic()
    turns = int(rate * seconds / (2 * OBJECTS)) // 2 * 2  # even: the last change of each is its first state

    def work(thread):
        connection = server.connect()
        for step in range(thread, (turns + 1) * 2 * OBJECTS, THREADS):
            wait = begin + step / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            turn, which = divmod(step, 2 * OBJECTS)
            path, body, content_type = change_of(which % 2, which // 2, turn)
            status = server.send(connection, "PATCH", path, body, content_type)
            with lock:
                counts["changes"] += 1
                counts["failed"] += status != 200

    run(work)
    spent = time.monotonic() - begin
    print(f"changes={counts['changes']} failed={counts['failed']} seconds={spent:.1f} rate={counts['changes'] / spent:.0f}")


if __name__ == "__main__":
    main()
