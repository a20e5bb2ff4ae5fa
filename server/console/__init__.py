"""The console: web pages over governance, in its process, for people with a browser."""
