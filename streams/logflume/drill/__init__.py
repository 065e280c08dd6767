"""Doing harm on purpose, under load, and judging by independent counting whether the promises held.

A *drill* loads a pipeline, harms it, repairs it, waits until it has recovered, and compares what was acknowledged with
what came to rest. The senders are processes of their own with books of their own; nothing that is judged is asked.
"""
