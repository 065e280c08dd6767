"""Care of the tables at rest: fewer and larger files, an end after their retention, holds, deletion with a receipt.

Every change is one commit on exactly the version that was read; ``change.py`` has the rules.
"""
