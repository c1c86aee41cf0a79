"""Encodings in a bundle's index: varints, protocol-buffer messages and ordered codes.

They are implemented here so that neither TensorFlow nor protobuf is needed. Every length is checked before use.
Malformed bytes raise DecodeError, which callers turn into a CheckpointError with the name of the file.
"""

import re
import struct

WORD = 1 << 64


class DecodeError(ValueError):
    """Malformed bytes."""


def read_varint(buffer, position):
    """(value, next position)."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(buffer):
            raise DecodeError("a number runs past the end")
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= WORD:
                break
            return value, position
    raise DecodeError("a number longer than 64 bits")


def write_varint(value):
    value %= WORD  # negative numbers as two's complement
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


class Message:
    """A protocol-buffer message whose fields are looked up by number."""

    def __init__(self, buffer):
        self._fields = {}
        position = 0
        while position < len(buffer):
            tag, position = read_varint(buffer, position)
            value, position = self._read_value(buffer, position, tag & 7)
            self._fields.setdefault(tag >> 3, []).append(value)

    @staticmethod
    def _read_value(buffer, position, wire_type):
        if wire_type == 0:
            return read_varint(buffer, position)
        if wire_type == 2:
            length, position = read_varint(buffer, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise DecodeError(f"a field of unknown wire type {wire_type}")
        if length > len(buffer) - position:
            raise DecodeError("a field runs past the end")
        value = bytes(buffer[position : position + length])
        if wire_type != 2:
            value = int.from_bytes(value, "little")
        return value, position + length

    def __contains__(self, number):
        return number in self._fields

    def integer(self, number):
        """The field as a signed 64-bit integer; 0 if absent."""
        value = self._fields.get(number, [0])[-1]
        if not isinstance(value, int):
            raise DecodeError(f"field {number} is not a number")
        return value - WORD if value >= WORD // 2 else value

    def text(self, number):
        """The field as a string; "" if absent."""
        value = self._fields.get(number, [b""])[-1]
        if isinstance(value, int):
            raise DecodeError(f"field {number} is not a string")
        return value.decode("utf-8")

    def messages(self, number):
        """The repeated field as messages."""
        values = self._fields.get(number, [])
        if any(isinstance(value, int) for value in values):
            raise DecodeError(f"field {number} is not a message")
        return [Message(value) for value in values]

    def message(self, number):
        return (self.messages(number) or [Message(b"")])[-1]


def varint_field(number, value):
    """An integer field; zero is the default and takes no bytes."""
    return write_varint(number << 3) + write_varint(value) if value else b""


def fixed32_field(number, value):
    return write_varint(number << 3 | 5) + struct.pack("<I", value)


def bytes_field(number, value):
    return write_varint(number << 3 | 2) + write_varint(len(value)) + value


def ordered_number(value):
    """Unsigned integer in bytes that sort like the integers: a length, then big-endian bytes."""
    length = (value.bit_length() + 7) // 8
    return bytes([length]) + value.to_bytes(length, "big")


def ordered_signed(value):
    """Signed integer in bytes that sort like the integers: two's complement, whose first `length` bits are flipped."""
    magnitude = ~value if value < 0 else value
    length = magnitude.bit_length() // 7 + 1
    header = ((1 << length) - 1) << (7 * length)
    return ((value % (1 << 8 * length)) ^ header).to_bytes(length, "big")


def ordered_string(value):
    """Bytes with 0x00 and 0xFF escaped, then a terminator."""
    return re.sub(b"[\x00\xff]", lambda found: found[0] + bytes([255 - found[0][0]]), value) + b"\x00\x01"
