"""A CNC mill: the first data set, and the default."""
