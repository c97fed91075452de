"""The command line: one file per command with its options, and the longer commands' work in a file beside it."""
