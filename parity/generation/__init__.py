"""Decoders that generate tokens greedily and with beams."""
