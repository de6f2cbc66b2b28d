"""A line between two networks that loses, delays and reorders what it carries, where the kernel has no netem.

It runs in the clients' network and has one end of the line there; the other one it puts into the server's, whose process
is its argument. Each line on its input says from then on: the loss in percent, and the shortest and the longest delay in
milliseconds. "100 0 0" is a cable that was pulled.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
SERVER, CLIENTS = "10.9.0.1/24", "10.9.0.2/24"


def tun(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def ip(*words, inside=()):
    subprocess.run([*inside, "ip", *words], check=True)


process = sys.argv[1]
devices = [tun("here"), tun("there")]
there = ["nsenter", "--net", "--target", process]
ip("link", "set", "there", "netns", process)
for name, address, inside in [("here", CLIENTS, ()), ("there", SERVER, there)]:
    ip("address", "add", address, "dev", name, inside=inside)
    ip("link", "set", name, "up", inside=inside)
ip("link", "set", "lo", "up")
print("ready", flush=True)

random.seed(7)
loss, shortest, longest = 0.0, 0.0, 0.0
line, number = [], 0
while True:
    wait = max(0.0, line[0][0] - time.monotonic()) if line else None
    for ready in select.select([0, *devices], [], [], wait)[0]:
        if ready == 0:
            words = sys.stdin.buffer.raw.readline().split()
            if not words:
                sys.exit()
            loss, shortest, longest = float(words[0]) / 100, float(words[1]) / 1000, float(words[2]) / 1000
            print("done", flush=True)
            continue
        packet = os.read(ready, 65536)
        if random.random() >= loss:
            number += 1
            other = devices[1 - devices.index(ready)]
            heapq.heappush(line, (time.monotonic() + random.uniform(shortest, longest), number, other, packet))
    while line and line[0][0] <= time.monotonic():
        _, _, device, packet = heapq.heappop(line)
        try:
            os.write(device, packet)
        except OSError:
            pass  # The other end is down, or full: a packet more is lost.
