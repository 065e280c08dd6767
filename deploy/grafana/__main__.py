"""``python -m deploy.grafana``: write the dashboards' files."""

from deploy.grafana.files import generated

if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text)
