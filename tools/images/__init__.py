"""The container images: their Dockerfiles, and how they are built where nothing can be pulled."""
