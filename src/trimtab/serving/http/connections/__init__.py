"""Connections: bytes to requests, in order and in time, and answers to bytes."""
