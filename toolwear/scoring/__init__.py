"""What the champion says of recordings: one verdict each, without a server."""
