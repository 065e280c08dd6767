"""``python -m logflume``: the command, for where no scripts are on the path."""

from logflume.cli.main import main

main()
