"""Noise XX and XXpsk0 over X25519, AES-256-GCM and SHA-256 (Noise Protocol Framework, revision 34)."""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TAG, DH = 16, 32
NAMES = {1: b"Noise_XX_25519_AESGCM_SHA256", 2: b"Noise_XXpsk0_25519_AESGCM_SHA256"}


def public_of(private):
    key = X25519PrivateKey.from_private_bytes(private).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def dh(private, public):
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


def nonce(number):
    return bytes(4) + number.to_bytes(8, "big")


def hkdf(chaining, material, count):
    """Section 4.3."""
    key = hmac.digest(chaining, material, "sha256")
    outputs, last = [], b""
    for number in range(1, count + 1):
        last = hmac.digest(key, last + bytes([number]), "sha256")
        outputs.append(last)
    return outputs


class Party:
    """One end: sections 5.2 (symmetric state) and 5.3 (handshake state) for the patterns of these suites."""

    def __init__(self, suite, initiator, static, ephemeral, prologue, psk=None):
        name = NAMES[suite]
        self.hash = name.ljust(32, b"\0") if len(name) <= 32 else hashlib.sha256(name).digest()
        self.chaining = self.hash
        self.key, self.count = None, 0
        self.initiator, self.static, self.ephemeral, self.psk = initiator, static, ephemeral, psk
        self.remote_static = self.remote_ephemeral = None
        self.mix_hash(prologue)

    def mix_hash(self, data):
        self.hash = hashlib.sha256(self.hash + data).digest()

    def mix_key(self, material):
        self.chaining, self.key = hkdf(self.chaining, material, 2)
        self.count = 0

    def mix_psk(self):
        self.chaining, mixed, self.key = hkdf(self.chaining, self.psk, 3)
        self.mix_hash(mixed)
        self.count = 0

    def encrypt(self, plain):
        sealed = plain
        if self.key is not None:
            sealed = AESGCM(self.key).encrypt(nonce(self.count), plain, self.hash)
            self.count += 1
        self.mix_hash(sealed)
        return sealed

    def decrypt(self, sealed):
        plain = sealed
        if self.key is not None:
            plain = AESGCM(self.key).decrypt(nonce(self.count), sealed, self.hash)
            self.count += 1
        self.mix_hash(sealed)
        return plain

    def mix_dh(self, token):
        mine = self.ephemeral if token[0 if self.initiator else 1] == "e" else self.static
        theirs = self.remote_ephemeral if token[1 if self.initiator else 0] == "e" else self.remote_static
        self.mix_key(dh(mine, theirs))

    def mix_ephemeral(self, public):
        self.mix_hash(public)
        if self.psk is not None:
            self.mix_key(public)  # section 9.2

    def tokens(self, number):
        psk = ["psk"] if self.psk is not None and number == 0 else []
        return psk + [["e"], ["e", "ee", "s", "es"], ["s", "se"]][number]

    def write(self, number, payload):
        message = b""
        for token in self.tokens(number):
            if token == "psk":
                self.mix_psk()
            elif token == "e":
                public = public_of(self.ephemeral)
                self.mix_ephemeral(public)
                message += public
            elif token == "s":
                message += self.encrypt(public_of(self.static))
            else:
                self.mix_dh(token)
        return message + self.encrypt(payload)

    def read(self, number, message):
        for token in self.tokens(number):
            if token == "psk":
                self.mix_psk()
            elif token == "e":
                self.remote_ephemeral, message = message[:DH], message[DH:]
                self.mix_ephemeral(self.remote_ephemeral)
            elif token == "s":
                length = DH + (TAG if self.key is not None else 0)
                self.remote_static = self.decrypt(message[:length])
                message = message[length:]
            else:
                self.mix_dh(token)
        return self.decrypt(message)

    def split(self):
        """To the responder, to the initiator."""
        return tuple(hkdf(self.chaining, b"", 2))
