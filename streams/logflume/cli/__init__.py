"""The command ``logflume``: one file a command or command group, put together by ``main``."""
