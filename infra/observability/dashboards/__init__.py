"""The Grafana dashboards, as definitions. `python -m dashboards` writes their JSON into grafana/dashboards."""
