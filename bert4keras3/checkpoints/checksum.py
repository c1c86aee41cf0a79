"""The checksum of TensorFlow's files: CRC-32C, rotated and shifted so that a CRC of CRCs stays useful."""

import google_crc32c


def masked_crc32c(*buffers):
    """Masked CRC-32C of the buffers (bytes or uint8 arrays) one after the other."""
    value = 0
    for buffer in buffers:
        value = google_crc32c.extend(value, buffer)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF
