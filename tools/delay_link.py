#!/usr/bin/env python3
"""Links with a delay, for kernels without netem: delay_link.py MILLISECONDS A:B …

Creates the TAP devices A and B of each pair and passes every frame on to the other one so many milliseconds later, in
order, until it is ended. Prints a line when all are there. Needs root and /dev/net/tun.
"""
import collections
import fcntl
import os
import selectors
import struct
import sys
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
MOST = 65536  # bytes of a frame


def tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


def main():
    delay = float(sys.argv[1]) / 1000
    other = {}
    for pair in sys.argv[2:]:
        a, b = (tap(name) for name in pair.split(":"))
        other[a], other[b] = b, a
    waiting = selectors.DefaultSelector()
    for fd in other:
        waiting.register(fd, selectors.EVENT_READ)
    print("ready", flush=True)
    under_way = collections.deque()  # all are as long under way: the first to come is the first to go
    while True:
        left = under_way[0][0] - time.monotonic() if under_way else None
        ready = waiting.select(max(left, 0) if left is not None else None)
        now = time.monotonic()
        for key, _ in ready:
            try:
                frame = os.read(key.fd, MOST)
            except OSError:  # nothing, or a device that is down
                continue
            under_way.append((now + delay, other[key.fd], frame))
        while under_way and under_way[0][0] <= now:
            _, fd, frame = under_way.popleft()
            try:
                os.write(fd, frame)
            except OSError:  # down, or full: lost, as on a wire
                pass


main()
