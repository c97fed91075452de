"""Backups: one file with the whole record as of one moment, and the way back into an empty schema.

`manifest` describes what a file holds, `archive_file` writes and reads the file, and `record_copy` moves the record
between a file and Postgres (docs/adr/0039).
"""
