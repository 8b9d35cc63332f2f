"""Write the dashboards: `python -m tools.dashboards`."""

from __future__ import annotations

from tools.dashboards.every import FOLDER, boards


def main() -> None:
    """Write one file for each."""
    for board in boards():
        path = FOLDER / f"{board.name}.json"
        path.write_text(board.json(), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
