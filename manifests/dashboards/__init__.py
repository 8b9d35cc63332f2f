"""Grafana's dashboards as code; `python -m manifests.dashboards` writes their JSON."""
