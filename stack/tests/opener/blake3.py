"""BLAKE3 for inputs of a few KiB, after the paper's sections 2.1 to 2.6: hash, keyed hash, derive_key."""

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT, KEYED, CONTEXT, MATERIAL = (1 << n for n in range(7))
MASK = 0xFFFFFFFF
BLOCK, CHUNK = 64, 1024


def words(data):
    return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]


def rotate(value, by):
    return (value >> by | value << (32 - by)) & MASK


def mix(state, a, b, c, d, x, y):
    state[a] = (state[a] + state[b] + x) & MASK
    state[d] = rotate(state[d] ^ state[a], 16)
    state[c] = (state[c] + state[d]) & MASK
    state[b] = rotate(state[b] ^ state[c], 12)
    state[a] = (state[a] + state[b] + y) & MASK
    state[d] = rotate(state[d] ^ state[a], 8)
    state[c] = (state[c] + state[d]) & MASK
    state[b] = rotate(state[b] ^ state[c], 7)


def compress(chaining, block, counter, length, flags):
    """The first half of the output: all that 32 bytes of output need."""
    m = words(block.ljust(BLOCK, b"\0"))
    state = [*chaining, *IV[:4], counter & MASK, counter >> 32, length, flags]
    for turn in range(7):
        mix(state, 0, 4, 8, 12, m[0], m[1])
        mix(state, 1, 5, 9, 13, m[2], m[3])
        mix(state, 2, 6, 10, 14, m[4], m[5])
        mix(state, 3, 7, 11, 15, m[6], m[7])
        mix(state, 0, 5, 10, 15, m[8], m[9])
        mix(state, 1, 6, 11, 12, m[10], m[11])
        mix(state, 2, 7, 8, 13, m[12], m[13])
        mix(state, 3, 4, 9, 14, m[14], m[15])
        m = [m[at] for at in ORDER]
    return [state[at] ^ state[at + 8] for at in range(8)]


def chunk(key, data, number, flags, root):
    chaining = key
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)] or [b""]
    for at, block in enumerate(blocks):
        last = at == len(blocks) - 1
        kind = flags | (CHUNK_START if at == 0 else 0)
        kind |= (CHUNK_END | (ROOT if root else 0)) if last else 0
        chaining = compress(chaining, block, number, len(block), kind)
    return chaining


def tree(key, data, first, flags, root):
    """The chaining value of the tree over these bytes, whose first chunk has this number."""
    if len(data) <= CHUNK:
        return chunk(key, data, first, flags, root)
    count = (len(data) - 1) // CHUNK
    left = 1 << (count.bit_length() - 1)  # chunks: the largest power of two that leaves some
    block = b"".join(
        word.to_bytes(4, "little")
        for half in (
            tree(key, data[: left * CHUNK], first, flags, False),
            tree(key, data[left * CHUNK :], first + left, flags, False),
        )
        for word in half
    )
    return compress(key, block, 0, BLOCK, flags | PARENT | (ROOT if root else 0))


def output(key, data, flags):
    return b"".join(word.to_bytes(4, "little") for word in tree(key, data, 0, flags, True))


def digest(data):
    return output(IV, data, 0)


def keyed(key, data):
    return output(words(key), data, KEYED)


def derive_key(context, material):
    return output(words(output(IV, context.encode(), CONTEXT)), material, MATERIAL)
