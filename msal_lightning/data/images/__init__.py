"""Image files: found, decoded, scaled to 8 bits, downloaded, compared."""
