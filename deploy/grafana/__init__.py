"""Logflume's Grafana dashboards, written in Python: ``make dashboards`` makes ``dashboards/*.json`` of them.

A module a dashboard, in the order in which somebody looks: ``overview``, ``lag``, ``edges``, ``sinks``, ``explorer``,
``incident``. ``promql`` writes their expressions, ``panel`` and ``board`` say what a dashboard is made of, and ``sdk``
alone knows Grafana's own models.
"""
