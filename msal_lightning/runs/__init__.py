"""The files of a run: records, tables, configuration, models, and reading them all again."""
