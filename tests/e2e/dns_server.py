#!/usr/bin/python3
"""A DNS server of one file: dns_server.py ADDRESS PORT FILE.

A line of the file is NAME SECONDS ADDRESS..., read again for each question; what is not in it is no
such name. UDP, IPv4 addresses.
"""
import socket
import struct
import sys


def answer(question, path):
    at = 12
    labels = []
    while question[at]:
        labels.append(question[at + 1:at + 1 + question[at]].decode("ascii").lower())
        at += 1 + question[at]
    kind = struct.unpack_from("!H", question, at + 1)[0]
    with open(path, encoding="ascii") as file:
        rows = {row[0]: row[1:] for row in map(str.split, file) if row}
    row = rows.get(".".join(labels))
    addresses = row[1:] if row and kind == 1 else []
    head = struct.pack("!2sHHHHH", question[:2], 0x8180 | (0 if row else 3), 1, len(addresses), 0, 0)
    records = b"".join(struct.pack("!HHHIH4s", 0xc00c, 1, 1, int(row[0]), 4, socket.inet_aton(one))
                       for one in addresses)
    return head + question[12:at + 5] + records


def main():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((sys.argv[1], int(sys.argv[2])))
    while True:
        question, client = server.recvfrom(512)
        server.sendto(answer(question, sys.argv[3]), client)


main()
