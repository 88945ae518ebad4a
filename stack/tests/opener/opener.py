#!/usr/bin/env python3
"""Opens the test vectors, by docs/wire.md alone: none of the project's code is in it.

    opener.py FILE...

needs Python 3.7 and `cryptography` 38 or newer (Debian: python3-cryptography). Prints what it checked; fails
on any difference.
"""

import sys
from pathlib import Path

import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from noise import Party, nonce, public_of

TAG, ENCAP, COOKIE, DIGEST, SYN = 16, 16, 16, 32, 1200
NULL = 0
PER_KEY = 1 << 22
HANDSHAKE, CID, DESCRIPTOR, ACK, NEWEST = 2, 3, 4, 5, 9
GROUP_KEY, JOINED = 2, 3


class Wrong(Exception):
    """A difference between what was found and what the document says."""


checked = 0


def check(holds, what):
    global checked
    if not holds:
        raise Wrong(what)
    checked += 1


def refused(attempt, what):
    """Whether something is refused."""
    try:
        attempt()
    except (Wrong, InvalidTag, InvalidSignature, ValueError):
        check(True, what)
        return
    raise Wrong(f"not refused: {what}")


def flipped(data, bit):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def read(path):
    values, name = {}, None
    for line in path.read_text().splitlines():
        if line.endswith(" ="):
            name = line[:-2]
            values[name] = b""
        elif line.startswith("    "):
            values[name] += bytes.fromhex(line)
    return values


class Datagram:
    """Both headers of a datagram (sections "Encapsulation header" and "TCP header")."""

    def __init__(self, data):
        check(len(data) >= ENCAP + 20 + TAG, "long enough for its headers and a tag")
        first = data[0]
        self.version, self.tlvs, self.kind = first >> 5, bool(first & 0x10), first & 7
        self.key_id = data[1]
        self.cid = data[4:12]
        self.pn = int.from_bytes(data[12:16], "big")
        self.offset_high = int.from_bytes(data[2:4], "big")
        self.seq = int.from_bytes(data[20:24], "big")
        self.ack = int.from_bytes(data[24:28], "big")
        self.flags = data[29]
        self.head = ENCAP + 4 * (data[28] >> 4)
        self.data = data
        check(self.version == 1, "version 1")


def tlvs_of(payload):
    """Type, place of the value and value of each TLV, and the bytes behind the area."""
    end = 2 + int.from_bytes(payload[:2], "big")
    check(end <= len(payload), "the area of TLVs ends within the payload")
    found, at = [], 2
    while at < end:
        length = int.from_bytes(payload[at + 1 : at + 3], "big")
        check(at + 3 + length <= end, "a TLV ends within its area")
        found.append((payload[at], at + 3, payload[at + 3 : at + 3 + length]))
        at += 3 + length
    return found, payload[end:]


def value_of(tlvs, kind):
    return next((value for found, _, value in tlvs if found == kind), None)


def message_of(data):
    """What stands before the handshake message in its datagram, and the message."""
    datagram = Datagram(data)
    check(datagram.kind == 0 and datagram.tlvs, "a datagram of the handshake")
    for kind, at, value in tlvs_of(data[datagram.head : -TAG])[0]:
        if kind == HANDSHAKE:
            return data[: datagram.head + at], value
    raise Wrong("no handshake message")


def mac(key, *pieces):
    return blake3.keyed(key, b"".join(pieces))[:TAG]


def frames_key(v):
    """The key of frames, and the pre-shared key."""
    if "secret.line" not in v:
        return blake3.derive_key("tcpxm 2026 key of frames without a secret", b""), None
    key = blake3.derive_key("tcpxm 2026 secret of a line", v["secret.line"])
    psk = blake3.derive_key("tcpxm 2026 psk", key)
    frames = blake3.derive_key("tcpxm 2026 key of frames", key)
    check(psk == v["secret.psk"], "the pre-shared key")
    check(frames == v["secret.frames"], "the key of frames")
    return frames, psk


def check_syn(key, syn):
    check(len(syn) == SYN and syn[0] & 7 == 0, "a SYN has 1200 bytes")
    check(mac(key, syn[: -TAG - COOKIE]) == syn[-TAG:], "MAC of a SYN")


def check_reply(key, reply, answered, kind, cid):
    check(reply[0] & 7 == kind and len(reply) <= SYN, "kind of a reply")
    check(reply[4:12] == cid, "connection id of a reply")
    check(mac(key, reply[:-TAG], answered) == reply[-TAG:], "MAC of a reply")
    return reply[ENCAP:-TAG]


def certificate_of(payload, prefix, noise_key, expected):
    """Checks the payload of a message: the digest of what stands before it, then a certificate."""
    check(payload[:DIGEST] == blake3.digest(prefix), "digest of what stands before a message")
    certificate = payload[DIGEST:]
    if expected is None:
        check(certificate == b"", "no certificate")
        return
    check(certificate[:32] == expected and len(certificate) == 96, "the key that certifies")
    signed = b"tcpxm 2026 noise key" + noise_key
    public = Ed25519PublicKey.from_public_bytes(certificate[:32])
    public.verify(certificate[32:], signed)
    refused(lambda: public.verify(certificate[32:], flipped(signed, 170)), "a certificate of another key")


def identity(v, role):
    """The public key of an end, and its certificate; nothing for an end without an identity."""
    if f"{role}.ed25519.seed" not in v:
        return None, b""
    key = Ed25519PrivateKey.from_private_bytes(v[f"{role}.ed25519.seed"])
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    check(public == v[f"{role}.ed25519.public"], f"public key of the {role}")
    return public, public + key.sign(b"tcpxm 2026 noise key" + public_of(v[f"{role}.static"]))


def noise_keys(v, suite, psk):
    """Both ends of the handshake, which must make and take the same bytes."""
    (before1, first), (before2, second), (before3, third) = (
        message_of(v[name]) for name in ("syn", "syn_ack", "third")
    )
    check(first[0] == second[0] == third[0] == suite, "each message names its suite")
    first, second, third = first[1:], second[1:], third[1:]
    ends = []
    for role in ("initiator", "responder"):
        static, ephemeral = v[f"{role}.static"], v[f"{role}.ephemeral"]
        ends.append(Party(suite, role == "initiator", static, ephemeral, before1, psk))
    one, two = ends
    its, its_certificate = identity(v, "initiator")
    theirs, their_certificate = identity(v, "responder")
    check(one.write(0, b"") == first, "first message")
    check(two.read(0, first) == b"", "payload of the first message")
    check(two.write(1, blake3.digest(before2) + their_certificate) == second, "second message")
    certificate_of(one.read(1, second), before2, public_of(v["responder.static"]), theirs)
    check(one.remote_static == public_of(v["responder.static"]), "static key of the responder")
    check(one.write(2, blake3.digest(before3) + its_certificate) == third, "third message")
    certificate_of(two.read(2, third), before3, public_of(v["initiator.static"]), its)
    check(two.remote_static == public_of(v["initiator.static"]), "static key of the initiator")
    check(one.hash == two.hash and one.split() == two.split(), "both ends come to the same keys")
    spoilt = Party(suite, False, v["responder.static"], v["responder.ephemeral"], before1 + b"\0", psk)
    if psk is not None:
        refused(lambda: spoilt.read(0, first), "a first message behind other bytes")
    else:
        spoilt.read(0, first)
        spoilt.write(1, blake3.digest(before2) + their_certificate)
        refused(lambda: spoilt.read(2, third), "a handshake behind other bytes")
    return one.split()


def null_keys(v):
    first, second, third = (message_of(v[name])[1] for name in ("syn", "syn_ack", "third"))
    check(first[0] == second[0] == third[0] == NULL, "each message names its suite")
    nonces = first[1:] + second[1:33]
    check(nonces == v["initiator.random"] + v["responder.random"], "nonces")
    said = "tcpxm 2026 null seal: "
    check(second[33:] == blake3.derive_key(said + "proof in the second message", nonces), "second proof")
    check(third[1:] == blake3.derive_key(said + "proof in the third message", nonces), "third proof")
    return tuple(
        blake3.derive_key(said + f"key from {way}", nonces)
        for way in ("initiator to responder", "responder to initiator")
    )


def open_with(suite, key, data, pn):
    datagram = Datagram(data)
    head, sealed = data[: datagram.head], data[datagram.head :]
    if suite == NULL:
        token = blake3.derive_key("tcpxm 2026 null seal: token of a key", key)[:TAG]
        check(sealed[-TAG:] == token, "token of the null seal")
        return sealed[:-TAG]
    return AESGCM(key).decrypt(nonce(pn), sealed, head)


def opened(v, suite, name, key):
    data, pn = v[name], int.from_bytes(v[f"{name}.pn"], "big")
    datagram = Datagram(data)
    check(datagram.pn == pn & 0xFFFFFFFF, f"{name}: packet number")
    try:
        payload = open_with(suite, key, data, pn)
    except InvalidTag:
        raise Wrong(f"{name}: its tag") from None
    check(payload == v[f"{name}.payload"], f"{name}: payload")
    if suite != NULL:
        for bit in range(0, 8 * len(data), 3):
            # Whatever is changed: header, payload or tag. A data offset that leads beyond the end is refused too.
            refused(lambda: open_with(suite, key, flipped(data, bit), pn), f"{name}: bit {bit}")
        refused(lambda: open_with(suite, key, data, pn + 1), f"{name}: another packet number")
    return datagram, payload


def check_datagrams(v, suite, cids):
    to_responder, to_initiator = v["key.to_responder"], v["key.to_initiator"]
    following = blake3.derive_key("tcpxm 2026 next key", to_responder)
    check(following == v["key.to_responder.next"], "the next key")
    group_key = None
    for name in ("data", "control", "last", "next", "abort", "back", "group"):
        pn = int.from_bytes(v[f"{name}.pn"], "big")
        key = {"back": to_initiator, "group": group_key, "next": following}.get(name, to_responder)
        datagram, payload = opened(v, suite, name, key)
        if name != "group":
            check(datagram.key_id == pn // PER_KEY & 0xFF, f"{name}: key id")
            check(datagram.cid == cids[name == "back"], f"{name}: connection id")
        if name == "control":
            tlvs, record = tlvs_of(payload)
            check(value_of(tlvs, NEWEST) == (7).to_bytes(8, "big"), "newest packet of the group")
            check(value_of(tlvs, ACK) is not None, "acknowledgement block")
            check(record[0] == GROUP_KEY and record[1:3] == bytes([0, 37]), "record GROUP_KEY")
            group_key_id, group_key = record[3], record[4:36]
            check(int.from_bytes(record[36:], "big") == 300, "overlap of the group's keys")
        if name == "back":
            check(tlvs_of(payload)[1] == bytes([JOINED, 0, 0]), "record JOINED")
        if name == "group":
            check(datagram.key_id == group_key_id and datagram.kind == 3, "key id of the group")


def check_file(path):
    v = read(path)
    suite = v["suite"][0]
    frames, psk = frames_key(v)
    for name in ("syn", "syn.with_cookie"):
        check_syn(frames, v[name])
    refused(lambda: check_syn(frames, flipped(v["syn"], 8 * 500)), "a changed SYN")
    check_syn(frames, flipped(v["syn"], 8 * (SYN - 20)))  # the cookie is not covered
    syn_ack, third = Datagram(v["syn_ack"]), Datagram(v["third"])
    hello = tlvs_of(v["syn_ack"][syn_ack.head : -TAG])[0]
    cids = (value_of(hello, CID), Datagram(v["syn"]).cid)  # to the responder, to the initiator
    check(syn_ack.cid == cids[1] and third.cid == cids[0], "connection ids of the handshake")
    check(value_of(hello, DESCRIPTOR) is not None, "descriptor")
    check(syn_ack.ack == (Datagram(v["syn"]).seq + 1) % (1 << 32), "acknowledgement of the SYN")
    check(v["syn_ack"][-TAG:] == v["third"][-TAG:] == bytes(TAG), "no tag on handshake datagrams")
    keys = null_keys(v) if suite == NULL else noise_keys(v, suite, psk)
    check(keys == (v["key.to_responder"], v["key.to_initiator"]), "the keys of both directions")
    check_datagrams(v, suite, cids)
    tag = v["syn"][-TAG:]
    cookie = check_reply(frames, v["reply.cookie"], tag, 5, cids[1])
    again = v["syn"][: -TAG - COOKIE] + cookie + tag
    check(again == v["syn.with_cookie"], "the SYN again, with its cookie")
    check(check_reply(frames, v["reply.version"], tag, 6, cids[1]) == b"", "another version")
    check(v["reply.version"][0] >> 5 == 2, "which version")
    why = check_reply(frames, v["reply.refusal"], tag, 4, cids[1])
    check(why == b"too many sessions wait", "reason of a refusal")
    check(check_reply(frames, v["reply.unknown"], bytes(TAG), 7, cids[0]) == b"", "not known any more")
    other = flipped(tag, 3)
    refused(lambda: check_reply(frames, v["reply.cookie"], other, 5, cids[1]), "a reply to another SYN")


def check_blake3():
    """Of the test vectors of BLAKE3: the empty input, and 1025 bytes, which are two chunks."""
    empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    check(blake3.digest(b"").hex() == empty, "BLAKE3 of nothing")
    two = "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"
    check(blake3.digest(bytes(at % 251 for at in range(1025))).hex() == two, "BLAKE3 of 1025 bytes")


def main():
    paths = [Path(name) for name in sys.argv[1:]]
    if not paths:
        sys.exit("no files of vectors were named")
    check_blake3()
    for path in paths:
        before = checked
        try:
            check_file(path)
        except (Wrong, InvalidTag, InvalidSignature, ValueError, KeyError) as error:
            sys.exit(f"{path}: {type(error).__name__}: {error}")
        print(f"{path.name}: {checked - before} checks")


if __name__ == "__main__":
    main()
