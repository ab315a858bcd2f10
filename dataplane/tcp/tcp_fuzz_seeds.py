#!/usr/bin/env python3
"""Writes the programs that tcp_fuzz begins with, one file each, into a folder.

    dataplane/tcp/tcp_fuzz_seeds.py FOLDER

The steps and their octets are those of tcp_fuzz.cc. What the fuzzer found worth keeping lies in the
same folder under the names that it gives (hashes).
"""

import pathlib
import struct
import sys

STEPS = """segment text handshake raw icmp_error connect write read shut_down close abort keep_sent
deadline wait room port write_whole write_in_place options fill arp_reply look acknowledge duplicates
listen""".split()
TURN_ENDS = 0x80
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
UNITS = {1: 0, 16: 1, 536: 2, 1460: 3, 4096: 4, 65536: 5, 1 << 24: 6, 1 << 31: 7}
# What a sequence number is relative to: in the peer's space, in ours.
EXPECTED, SEEN, EDGE_SEEN, UNACKNOWLEDGED, EDGE, FIRST_OR_MAX, ZERO = 0, 1, 2, 3, 4, 5, 7


def step(name, *octets, who=0, end=True):
    return bytes([STEPS.index(name) | (TURN_ENDS if end else 0), who, *[o & 0xFF for o in octets]])


def near(base=EXPECTED, offset=0, unit=1):
    return [base | UNITS[unit] << 3, offset]


def segment(flags=ACK, seq=None, ack=None, window=255, urgent=None, options=(0,), twist=0, length=0,
            **keywords):
    fields = [flags, *(seq or near()), *(ack or near()), window]
    if flags & URG:
        fields += list(struct.pack(">H", urgent or 0))
    return step("segment", *fields, *options, twist, length, **keywords)


def handshake(agreed=0, **keywords):
    return step("handshake", agreed, **keywords)


def text(length=100, flags=PSH, **keywords):
    return step("text", flags, length, **keywords)


def acknowledge(window=65535, **keywords):
    return step("acknowledge", *struct.pack(">H", window), **keywords)


def wait(exponent):
    return step("wait", exponent)


NEXT_DEADLINE = 27
read = step("read", 16)


def configuration(size=0, features=0, seed=1, start=0):
    return bytes([size, features]) + struct.pack(">HH", seed, start)


def sack(*blocks):
    """Options: timestamps as the peer has them, and the blocks behind."""
    octets = [8 | len(blocks) << 4, 0, 0]
    for begin, end in blocks:
        octets += [*begin, *end]
    return octets


def connection(who=0):
    """An active open: the neighbor answers, the peer answers, both sides stand."""
    return (step("connect", who=who) + step("arp_reply", who=who) +
            segment(SYN | ACK, options=(1 | 4, 0x05, 0xB4), who=who) + acknowledge(who=who))


lossy = b"".join(
    segment(ACK, ack=near(UNACKNOWLEDGED), options=sack((near(UNACKNOWLEDGED, 1, 1460),
                                                         near(UNACKNOWLEDGED, n, 1460))))
    for n in range(2, 8))

PROGRAMS = {
    "handshake": handshake(),
    "handshake_bare": handshake(0x0F),
    "handshake_zero_window": handshake(16) + step("write", 12) + wait(NEXT_DEADLINE) * 4
                             + acknowledge() * 2,
    "handshakes": b"".join(handshake(who=w) for w in range(8)) + text(who=5) + read,
    "syn_flood": b"".join(segment(SYN, who=w, options=(1 | 4, 5, 180)) for w in range(8)) * 3
                 + wait(10) * 8,
    "syn_alone": segment(SYN) + wait(NEXT_DEADLINE) * 12,
    "syn_twice": segment(SYN) + segment(SYN, seq=near(SEEN, -1)) + wait(11) * 7,
    "connect": connection() + step("write", 10) + acknowledge() + text() + read + step("close"),
    "connect_refused": step("connect") + step("arp_reply") + segment(RST | ACK),
    "connect_no_neighbor": step("connect") + wait(10) * 5,
    "connect_simultaneous": step("connect") + step("arp_reply") + segment(SYN) + segment(SYN | ACK),
    "text_in": handshake() + text() * 3 + read + text(254, end=False) * 4 + text() + read,
    "text_out": handshake() + step("write", 12) + acknowledge() + step("fill") + acknowledge() * 3,
    "text_both": handshake() + (text(220) + step("write", 11) + read + acknowledge()) * 4,
    "out_of_order": handshake() + segment(seq=near(EXPECTED, 5, 16), length=80)
                    + segment(seq=near(EXPECTED, 20, 16), length=80) + text(80) + read + text(240) + read,
    "overlap": handshake() + segment(seq=near(EXPECTED, 50), length=100)
               + segment(seq=near(EXPECTED, 20), twist=1, length=100) + text(60) + read,
    "fin_peer_first": handshake() + text(100, FIN) + read + step("write", 8) + step("shut_down")
                      + acknowledge() + step("close"),
    "fin_ours_first": handshake() + step("shut_down") + acknowledge() + text(10) + read
                      + text(5, FIN) + read + step("close") + wait(16),
    "fin_both": handshake() + step("shut_down", end=False) + segment(FIN | ACK, ack=near(UNACKNOWLEDGED))
                + acknowledge() + wait(16) + handshake(),
    "fin_lost": handshake() + step("write", 9) + step("close") + wait(NEXT_DEADLINE) * 12 + acknowledge(),
    "close_unread": handshake() + text() + step("close") + text(),
    "time_wait_reuse": handshake() + step("close") + acknowledge() + text(0, FIN)
                       + segment(SYN, seq=near(EXPECTED, 1, 4096)) + acknowledge() + text() + read,
    "reset_exact": handshake() + text() + segment(RST),
    "reset_window": handshake() + segment(RST, seq=near(EXPECTED, 10)) + segment(SYN)
                    + segment(RST, seq=near(EDGE, 0)),
    "zero_window": handshake() + step("fill") + acknowledge(0) + wait(NEXT_DEADLINE) * 6
                   + acknowledge(10) + acknowledge(65535) * 3,
    "our_window_full": handshake() + text(254, end=False) * 60 + read + text() + read,
    "tail_loss": handshake() + step("write", 12) + wait(NEXT_DEADLINE) * 5 + acknowledge() * 2,
    "loss_sack": handshake() + step("write", 14) + lossy + acknowledge() * 2 + step("write", 13)
                 + acknowledge() * 2,
    "loss_no_sack": handshake(0x0F) + step("write", 14)
                    + segment(ack=near(UNACKNOWLEDGED)) * 5 + acknowledge() * 2,
    "sack_nonsense": handshake() + step("write", 14)
                     + segment(options=sack((near(EDGE, 1, 1 << 31), near(EDGE, -1, 1 << 31)),
                                            (near(UNACKNOWLEDGED, 5), near(UNACKNOWLEDGED, 1)),
                                            (near(ZERO, 0), near(ZERO, -1)))) * 3,
    "reneging": handshake() + step("write", 14) + lossy + wait(NEXT_DEADLINE) * 3
                + segment(ack=near(UNACKNOWLEDGED)) + wait(NEXT_DEADLINE) + acknowledge() * 2,
    "many_holes": handshake() + step("fill") + step("duplicates", *near(UNACKNOWLEDGED),
                                                   *near(UNACKNOWLEDGED), 0xFF) + acknowledge() * 2,
    "tiny_holes": handshake() + step("fill") + step("duplicates", *near(UNACKNOWLEDGED),
                                                   *near(UNACKNOWLEDGED), 0x7F) + acknowledge() * 2,
    "sack_without_timestamps": handshake() + step("write", 14)
                               + segment(options=(0x10, *near(UNACKNOWLEDGED, 1, 1460),
                                                  *near(UNACKNOWLEDGED, 2, 1460))) * 3,
    "old_acks": handshake() + step("write", 12) + acknowledge()
                + segment(ack=near(EXPECTED, -1, 65536)) + segment(ack=near(EXPECTED, 1))
                + segment(ack=near(EXPECTED, 0, 1 << 31)),
    "urgent": handshake() + segment(ACK | URG, urgent=65535, length=20) + read,
    "options_garbage": handshake() + segment(options=(0x40, 8, 254, 0, 1, 2, 5, 1, 8, 255))
                       + segment(options=(0x40, 4, 3, 3, 255, 2)),
    "timestamps_old": handshake() + segment(options=(8, -1, 0), length=20)
                      + segment(options=(8, 1, 0), length=20) + read,
    "idle_paws": handshake() + wait(26) * 30 + segment(options=(8, -100, 0), length=20) + read,
    "keep_sent": handshake() + step("keep_sent", 0) + step("write", 12) + acknowledge()
                 + step("keep_sent", 2) + step("keep_sent", 1) + step("write", 5),
    "reset_kept": handshake() + step("keep_sent", 0) + step("write", 12) + segment(RST),
    "deadline": handshake() + step("deadline", 1, 0) + wait(9) + wait(9),
    "nagle": handshake() + step("options", 1) + step("write", 3) * 5 + acknowledge() * 3,
    "keepalive": handshake() + step("options", 2) + wait(23) + wait(NEXT_DEADLINE) * 12,
    "icmp_too_big": handshake() + step("write", 14) + step("icmp_error", 0x44, 2, 0x58, *near(UNACKNOWLEDGED))
                    + wait(NEXT_DEADLINE) * 2 + acknowledge() * 3,
    "icmp_port": step("connect") + step("icmp_error", 3, *near()),
    "no_room": handshake() + step("room", 0) + step("fill") + text() + step("room", 1) + wait(5) * 3
               + step("room", 255) + acknowledge(),
    "slow_port": handshake() + step("port", 1) + step("write", 14) + lossy + wait(NEXT_DEADLINE) * 2
                 + step("port", 0) + acknowledge() * 2,
    "in_place": handshake() + step("write_in_place", 1, 0) + step("write_in_place", 4, 0)
                + step("write_whole", 8, 0) + acknowledge(),
    "look": handshake() + text(254, end=False) * 3 + step("look") + read + step("look"),
    "give_up": handshake() + step("write", 12) + wait(NEXT_DEADLINE) * 30,
}
SMALL = ("text_in", "text_out", "out_of_order", "loss_sack", "our_window_full", "slow_port", "connect")


def main(arguments):
    if len(arguments) != 1:
        print("usage: dataplane/tcp/tcp_fuzz_seeds.py FOLDER", file=sys.stderr)
        return 2
    folder = pathlib.Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, program in PROGRAMS.items():
        (folder / name).write_bytes(configuration() + program)
    for name in SMALL:
        # 24 slots, two connections, two transfers; and every fast door shut, NewReno.
        (folder / f"{name}_small").write_bytes(configuration(0x25, 0x31) + PROGRAMS[name])
        # Ticks just before they wrap.
        (folder / f"{name}_wrap").write_bytes(configuration(start=0xFFFF) + PROGRAMS[name])
    # One handshake at a time: the other peers get cookies.
    cookies = b"".join(segment(SYN, who=w, options=(5, 5, 180)) for w in range(3))
    (folder / "syn_cookies").write_bytes(
        configuration(8) + cookies + acknowledge(who=1) + text(who=2) + text(who=1)
        + step("read", 16, who=2) + wait(17) + acknowledge(who=0))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
