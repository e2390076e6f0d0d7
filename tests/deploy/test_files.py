"""The files for containers name what there is."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any

import yaml

from napari_nunext import cli
from napari_nunext.models.vllm.launch import points_options

if TYPE_CHECKING:
    from pathlib import Path


def dockerfile(root: Path) -> str:
    text = (root / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    return text.replace("\\\n", " ")


def load(root: Path, name: str) -> dict[str, Any]:
    return yaml.safe_load((root / "deploy" / name).read_text(encoding="utf-8"))


def test_the_image_copies_what_is_there_and_what_is_not_ignored(repo_root: Path) -> None:
    lines = re.findall(r"^COPY (?!--from)(.+)$", dockerfile(repo_root), re.MULTILINE)
    sources = {source for line in lines for source in line.split()[:-1]}
    assert "pyproject.toml" in sources
    assert [source for source in sources if not (repo_root / source).exists()] == []
    ignore = (repo_root / "deploy" / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    assert set(re.findall(r"^!(.+)$", ignore, re.MULTILINE)) == sources


def test_the_image_holds_what_its_package_is_built_from(repo_root: Path) -> None:
    """A file that pyproject.toml names and the image lacks would only fail when it is built."""
    import tomllib

    project = tomllib.loads((repo_root / "pyproject.toml").read_text(encoding="utf-8"))
    named = [project["project"]["readme"], *project["project"]["license-files"]]
    named += project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = re.findall(r"^COPY (?!--from)(.+)$", dockerfile(repo_root), re.MULTILINE)
    sources = {source for line in copied for source in line.split()[:-1]}
    assert {name.split("/")[0] for name in named} <= sources


def test_the_image_starts_a_server_that_the_command_line_understands(repo_root: Path) -> None:
    text = dockerfile(repo_root)
    (entry,) = re.findall(r"^ENTRYPOINT (.+)$", text, re.MULTILINE)
    command = re.findall(r"^CMD (.+)$", text, re.MULTILINE)[-1]
    assert json.loads(entry) == [cli.PROGRAM]
    args = cli._parser().parse_args(json.loads(command))
    assert (args.host, args.port) == ("0.0.0.0", 8123)
    (secret,) = load(repo_root, "compose.yaml")["secrets"]
    assert str(args.token_file) == f"/run/secrets/{secret}"


def test_services_are_reached_from_this_machine_or_through_tls(repo_root: Path) -> None:
    services = load(repo_root, "compose.yaml")["services"]
    for name, service in services.items():
        if name != "proxy":
            ports = service.get("ports", [])
            assert all(port.startswith("127.0.0.1:") for port in ports), name
    assert services["server"].get("profiles") is None
    assert all("profiles" in services[name] for name in set(services) - {"server"})


def test_the_ray_configuration_has_arguments_that_the_application_takes(repo_root: Path) -> None:
    configuration = load(repo_root, "ray_serve.yaml")
    (application,) = configuration["applications"]
    module, name = application["import_path"].split(":")
    source = (repo_root / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
    body = {getattr(node, "name", ""): node for node in ast.parse(source).body}
    assert name in body
    arguments = body["Arguments"]
    assert isinstance(arguments, ast.ClassDef)
    fields = {
        node.target.id
        for node in arguments.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert {"token_file"} <= set(application["args"]) <= fields
    ray = load(repo_root, "compose.yaml")["services"]["ray"]
    assert ray["ports"][0].endswith(f":{configuration['http_options']['port']}")


def test_the_engine_of_vllm_is_started_as_our_server_would_start_it(repo_root: Path) -> None:
    services = load(repo_root, "compose.yaml")["services"]
    given = dict(option.split("=", 1) for option in services["engine"]["command"])
    needed = points_options()
    assert given.items() >= dict(zip(needed[::2], needed[1::2], strict=True)).items()
    assert services["engine"]["environment"]["VLLM_USE_V2_MODEL_RUNNER"] == "0"
    (_, package) = services["engine"]["volumes"]
    assert (repo_root / "deploy" / package.split(":")[0]).resolve().name == "napari_nunext"
    args = cli._parser().parse_args(services["vllm"]["command"])
    assert args.vllm_url == "http://engine:8000"
    assert given["--model"] == str(args.vllm)
