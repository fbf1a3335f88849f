"""Print logical lines of each adapter and emulator: what extending the library costs."""

import ast
import pathlib
import statistics


def logical_lines(path: pathlib.Path) -> int:
    """Count statements, docstrings left out."""
    tree = ast.parse(path.read_text("utf-8"))
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    docs = sum(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for node in statements
    )
    return len(statements) - docs


sizes: dict[str, tuple[int, int]] = {}
for folder in sorted(pathlib.Path("adapters").iterdir()):
    if (folder / "adapter.py").exists():
        files = {path: logical_lines(path) for path in folder.glob("*.py")}
        emulator = sum(count for path, count in files.items() if path.name.startswith("emulator"))
        sizes[folder.name] = sum(files.values()) - emulator, emulator
for name, (adapter, emulator) in sizes.items():
    print(f"{name:<16} adapter and feed {adapter:>5}   emulator {emulator:>5}   logical lines")
if sizes:
    medians = [statistics.median(column) for column in zip(*sizes.values(), strict=True)]
    print(f"{'median':<16} adapter and feed {medians[0]:>5.0f}   emulator {medians[1]:>5.0f}")
