"""What runs on Kubernetes, as kustomize folders, and the tools that render and check it."""
