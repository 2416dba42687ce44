"""Commands that change a run; each change is an amendment."""
