"""The query: a callback on the pool pass, and the shortlist that it keeps."""
