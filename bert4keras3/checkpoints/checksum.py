"""Checksum of TensorFlow's files: CRC-32C, rotated and shifted, so that data may contain checksums of its own."""

import google_crc32c


def masked_crc32c(*buffers):
    """Masked CRC-32C of the concatenated buffers (bytes or uint8 arrays)."""
    value = 0
    for buffer in buffers:
        value = google_crc32c.extend(value, buffer)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF
