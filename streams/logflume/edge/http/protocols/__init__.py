"""The protocols that agents speak: OTLP, Elasticsearch's bulk, Loki's push, Splunk's HEC.

Each protocol has a decoder, which is pure (``decode`` makes portions of a body, or says why it can't) and knows how
that protocol answers. Promises of every decoder, whatever the bytes are:

P1  It gives portions or raises ``Refusal``; nothing else, and never both.
P2  A record that can't be read costs only itself, as long as the frame around it can be read.
P3  It takes no more memory than a small multiple of the body and ``Limits.most_bytes`` (beside the objects of a JSON
    body, for which ``Exchange.decode`` reserves): what is unpacked, repeated or counted by the sender is checked first.
    Its time is proportional to the body and to what comes out.
P4  What a record says is kept: in a field of the dataset, or as it came, in ``_extra``.
"""
