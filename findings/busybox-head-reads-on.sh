#!/usr/bin/env bash
# BusyBox 1.35.0: `head -c N` takes more than N bytes from a pipe, and what it takes too much is lost for whoever
# reads the same pipe next. Seen on 2026-11-29 with Debian's busybox-static 1:1.35.0-4+deb12u1+b1 beside coreutils 9.1.
#
# POSIX says of standard input that a utility which is done before its end shall leave the file offset behind what
# it has processed, where the input can be sought; of a pipe it asks for nothing. coreutils reads no more than N bytes
# from a pipe either, so that `(head -c N > file; next)` hands the rest on. BusyBox reads by its buffer.
#
# Why it matters: a program that is sent over ssh ahead of other input (`head -c N > program; ./program`) works at hosts
# with coreutils, and at hosts with BusyBox (Alpine, OpenWrt) the program finds nothing behind it. What reads a counted
# piece must be answered before the rest is sent (here: mcp --ssh-install waits for a line).
#
# Fetches the package into a folder of its own, and sends 1,000 bytes and a line through a pipe. Exit 0: as described;
# 1: it behaves otherwise; 2: the package is not to be had.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q busybox-static=1:1.35.0-4+deb12u1+b1 > /dev/null 2>&1 || exit 2
dpkg -x ./*.deb .
busybox=$(find . -type f -path '*bin/busybox')

# In one piece, so that all of it is in the pipe when it is read.
printf '%01000d' 0 > input
echo behind >> input

# left HEAD...: what is left in the pipe behind its first 1,000 bytes.
left() {
    cat input | (
        "$@" -c 1000 > /dev/null
        cat
    )
}

by_coreutils=$(left head)
by_busybox=$(left "$busybox" head)
echo "behind coreutils' head: '$by_coreutils'; behind BusyBox's: '$by_busybox'"
[ "$by_coreutils" = behind ] && [ -z "$by_busybox" ]
