#!/usr/bin/env python3
"""Clients that ask until they are told to stop: keep_asking.py ADDRESS:PORT HOST PATH COUNT.

COUNT connections, each with one request after the other; a connection ends with the answer that says
"Connection: close". Prints "asking" when every one has had its first answer, and at the end
"answers=N closed=N broken=N", where broken are those that ended in any other way.
"""
import http.client
import sys
import threading

SECONDS_MAX = 30


class Client(threading.Thread):
    def __init__(self, target, host, path, asking):
        super().__init__()
        self._target, self._host, self._path, self._asking = target, host, path, asking
        self.answers, self.how = 0, "broken"

    def run(self):
        connection = http.client.HTTPConnection(self._target, timeout=SECONDS_MAX)
        connection.connect()
        connection.auto_open = False  # a lost connection must not be made again behind our back
        try:
            while True:
                connection.request("GET", self._path, headers={"Host": self._host})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    return
                self.answers += 1
                if self.answers == 1:
                    self._asking.release()
                if answer.getheader("Connection", "") == "close":
                    self.how = "closed"
                    return
        except (OSError, http.client.HTTPException) as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            connection.close()


def main():
    target, host, path, count = sys.argv[1:4] + [int(sys.argv[4])]
    asking = threading.Semaphore(0)
    clients = [Client(target, host, path, asking) for _ in range(count)]
    for client in clients:
        client.start()
    for _ in clients:
        if not asking.acquire(timeout=SECONDS_MAX):
            return 1
    print("asking", flush=True)
    for client in clients:
        client.join()
    closed = sum(client.how == "closed" for client in clients)
    print(f"answers={sum(client.answers for client in clients)} closed={closed} broken={count - closed}",
          flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
