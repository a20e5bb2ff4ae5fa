"""`python -m commands`: the same as `tds`, for processes that start each other."""

from commands.main import main

main()
