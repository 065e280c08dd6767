"""Syslog as a way in: datagrams and streams to messages, messages to records of ``events``, records to the client."""
