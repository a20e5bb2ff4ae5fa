"""`python -m commands`: the same as `tds`, for processes that start each other."""

from commands.main import main

if __name__ == "__main__":  # a process of `tds audit replay` imports this module as well
    main()
