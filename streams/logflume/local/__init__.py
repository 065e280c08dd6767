"""A whole pipeline on one machine: Kafka, an object store and workers, started and stopped together.

Needs the extra ``local`` (and Java with Maven for Kafka). For trying out, for tests and for development.
"""
