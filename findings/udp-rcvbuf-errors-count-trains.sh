#!/usr/bin/env bash
# Linux 6.18: `RcvbufErrors` of /proc/net/snmp, and a socket's own count (SO_MEMINFO), count what found no room in a
# socket's receive buffer by buffers, not by datagrams: a train that was sent with UDP_SEGMENT and is taken with UDP_GRO
# is one, whatever it holds. Seen on 2026-11-29 with 6.18.44 and Python 3.11, which is all that it takes:
#
#   with UDP_GRO: 7880 datagrams lost, RcvbufErrors +197, the socket's own count 197
#   without: 7905 datagrams lost, RcvbufErrors +7905, the socket's own count 7905
#
# A receiver without UDP_GRO has trains of 40 taken apart before they are queued. So hosts that lose as much show counts
# that are forty times apart, by what their programs have set, and monitors draw them in one graph.
#
# Why it matters: whether a count explains what is missing must be asked with the longest train in mind (here:
# stack/src/proto/member/inquiry.rs), and no rate of loss can be computed of it.
#
# Sends trains over the loopback of a network namespace of its own to a socket that is not read. Exit 0: as described;
# 1: it behaves otherwise; 2: it cannot be tried here.
set -euo pipefail

unshare --user --map-root-user --net true 2> /dev/null || exit 2
exec unshare --user --map-root-user --net bash -c 'ip link set lo up && exec python3 - ' << 'PYTHON'
import socket
import struct
import sys

SOL_UDP, UDP_SEGMENT, UDP_GRO, SO_MEMINFO = 17, 103, 104, 55
TRAINS, DATAGRAMS, BYTES = 200, 40, 1400


def errors():
    names, values = [line.split() for line in open("/proc/net/snmp") if line.startswith("Udp:")]
    return int(values[names.index("RcvbufErrors")])


def lost_and_counted(gro):
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    if gro:
        receiver.setsockopt(SOL_UDP, UDP_GRO, 1)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(SOL_UDP, UDP_SEGMENT, BYTES)
    before = errors()
    for _ in range(TRAINS):
        sender.sendto(bytes(DATAGRAMS * BYTES), receiver.getsockname())
    counted = errors() - before
    receiver.setblocking(False)
    arrived = 0
    while True:
        try:
            arrived += len(receiver.recv(65535)) // BYTES
        except BlockingIOError:
            break
    own = struct.unpack("9I", receiver.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))[8]
    return TRAINS * DATAGRAMS - arrived, counted, own


whole, apart = lost_and_counted(True), lost_and_counted(False)
for how, (lost, counted, own) in ("with UDP_GRO", whole), ("without", apart):
    print(f"{how}: {lost} datagrams lost, RcvbufErrors +{counted}, the socket's own count {own}")
as_trains = 0 < whole[0] == whole[1] * DATAGRAMS and whole[1] == whole[2]
sys.exit(not (as_trains and 0 < apart[0] == apart[1] == apart[2]))
PYTHON
