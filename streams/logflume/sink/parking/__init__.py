"""Parked outlets: whoever can't store its rows waits at a cursor in the log and holds up nobody (docs/parking.md)."""
