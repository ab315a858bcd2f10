#!/usr/bin/python3
"""Python's own clients in all the ways that they send bodies: python_bodies.py ADDRESS PORT HOST.

Prints how many exchanges were right; ends with 1 at the first that was not.
"""
import hashlib
import http.client
import json
import os
import sys
import urllib.request

ADDRESS, PORT, HOST = sys.argv[1], int(sys.argv[2]), sys.argv[3]
SIZES = (0, 1, 1460, 65_535, 65_536, 2_000_003)


def pieces(data, size):
    for at in range(0, len(data), size):
        yield data[at:at + size]


def check(what, response, data):
    answer = json.loads(response.read())
    if response.status != 200 or answer["octets"] != len(data) or \
            answer["sha256"] != hashlib.sha256(data).hexdigest():
        sys.exit(f"{what}: {response.status} {answer}")


def main():
    right = 0
    connection = http.client.HTTPConnection(ADDRESS, PORT, timeout=20)
    for size in SIZES:
        data = os.urandom(size)
        connection.request("POST", "/hash", body=data, headers={"Host": HOST})
        check(f"a length of {size}", connection.getresponse(), data)
        for piece in (1_000, 70_000):
            connection.request("PUT", "/hash", body=pieces(data, piece), headers={"Host": HOST},
                               encode_chunked=True)
            check(f"{size} in chunks of {piece}", connection.getresponse(), data)
        for suffix in ("", ",chunked"):
            connection.request("GET", f"/bytes?{size}{suffix}", headers={"Host": HOST})
            got = len(connection.getresponse().read())
            if got != size:
                sys.exit(f"{got} octets of {size}{suffix}")
        right += 5
    connection.close()
    for number in range(50):  # a connection each
        data = b"x" * number
        request = urllib.request.Request(f"http://{ADDRESS}:{PORT}/hash", data=data, headers={"Host": HOST})
        with urllib.request.urlopen(request, timeout=20) as response:
            check(f"urllib {number}", response, data)
        right += 1
    print(f"python={right}")


main()
