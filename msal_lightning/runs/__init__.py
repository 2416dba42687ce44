"""The files of a run and their readers: records, tables, configuration, models."""
