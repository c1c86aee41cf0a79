"""Packed rows: a text among others has the outputs that it has alone."""
