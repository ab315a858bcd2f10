#!/usr/bin/python3
"""Asks until the answer is the one that is waited for, over one kept connection: ask.py ADDRESS PORT.

Reads lines "HOST TAG" and prints for each "ASKED_NS RIGHT_NS REQUESTS FAILED": CLOCK_MONOTONIC when the last
request was sent whose answer still was another one (0: there was none), the same when the first answer with the tag was
there, and how many requests that took, of which FAILED had no answer or another status than 200.
A wait ends after SECONDS_MAX with RIGHT_NS 0.
"""
import http.client
import sys
import time

SECONDS_MAX = 10
# Between two requests; so long may a right answer be there before it is seen.
PERIOD_S = 0.0001


def wait_for(connection, host, tag):
    end = time.monotonic() + SECONDS_MAX
    wrong_ns = requests = failed = 0
    while time.monotonic() < end:
        asked_ns = time.monotonic_ns()
        requests += 1
        try:
            connection.request("GET", "/", headers={"Host": host})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                failed += 1
            elif body.split(None, 1)[:1] == [tag.encode()]:
                return wrong_ns, time.monotonic_ns(), requests, failed
        except (OSError, http.client.HTTPException):
            failed += 1
            connection.close()
        wrong_ns = asked_ns
        time.sleep(PERIOD_S)
    return wrong_ns, 0, requests, failed


def main():
    connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=SECONDS_MAX)
    for line in sys.stdin:
        print(*wait_for(connection, *line.split()), flush=True)


if __name__ == "__main__":
    main()
