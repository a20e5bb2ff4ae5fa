"""The `tds` command: reads arguments, wires the packages together, prints."""
