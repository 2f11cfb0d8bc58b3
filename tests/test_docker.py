"""The images name files, versions and options that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from ctcbias_fst.cli import COMMANDS
from ctcbias_fst.cli.serve import serve

ROOT = Path(__file__).parents[1]
IMAGES = sorted((ROOT / "docker").glob("*.Dockerfile"))


def steps(path: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, without comments."""
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line]  # type: ignore[misc]


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_images_are_of_this_checkout(path: Path) -> None:
    found = steps(path)
    first = next(rest for name, rest in found if name == "FROM")
    assert ":" in first
    copied = [rest.split() for name, rest in found if name == "COPY" and "--from" not in rest]
    assert copied
    for *sources, _ in copied:
        assert all((ROOT / source).exists() for source in sources)
    extras = re.search(r"\[([\w,-]+)\]'", " ".join(rest for _, rest in found))
    assert extras is not None
    told = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = ", told, re.MULTILINE) for extra in extras[1].split(","))
    (command,) = [yaml.safe_load(rest) for name, rest in found if name == "CMD"]
    assert command[0] in COMMANDS
    serve.make_context("serve", command[1:], resilient_parsing=False).close()
    (entry,) = [yaml.safe_load(rest) for name, rest in found if name == "ENTRYPOINT"]
    assert entry == ["ctcbias"]
    assert ("USER", "ctcbias") in found


def test_versions_are_those_of_the_install_page() -> None:
    page = (ROOT / "docs/install.md").read_text()
    cuda = dict(rest.split("=", 1) for name, rest in steps(IMAGES[1]) if name == "ARG")
    assert f"'k2=={cuda['K2']}'" in page
    assert cuda["K2"].endswith(f"cuda{cuda['CUDA'].rpartition('.')[0]}.torch{cuda['TORCH']}")
    cpu = " ".join(rest for _, rest in steps(IMAGES[0]))
    for pinned in ("torch==1.13.1", "requirements/k2.txt", "requirements/py311.txt"):
        assert pinned in cpu


def test_compose() -> None:
    content: Any = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
    services = content["services"]
    build = services["ctcbias"]["build"]
    assert (ROOT / "docker" / build["context"] / build["dockerfile"]).is_file()
    options = {option.envvar for option in serve.params}
    assert set(services["ctcbias"]["environment"]) <= options
    database = services["lists"]["environment"]
    url = services["ctcbias"]["environment"]["CTCBIAS_LISTS"]
    assert url.startswith(f"postgresql://{database['POSTGRES_USER']}:")
    assert url.endswith(f"@lists/{database['POSTGRES_DB']}")
    for ports in services["ctcbias"]["ports"]:
        assert ports.startswith("127.0.0.1:")
    named = {mount.split(":")[0] for one in services.values() for mount in one["volumes"]}
    assert named == set(content["volumes"])
    assert shlex.split(services["lists"]["healthcheck"]["test"][1])[0] == "pg_isready"
