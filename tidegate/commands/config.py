"""`tidegate config check`: whether configuration is right, for people and for CI."""

import json
from typing import Any

import click


@click.group()
def config() -> None:
    """Configuration documents."""


@config.command()
@click.argument("paths", metavar="FILE|DIR...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="machine-readable result on stdout")
def check(paths: tuple[str, ...], as_json: bool) -> int:
    """Validate files and folders of configuration documents; changes nothing and needs no privilege.

    Exits 0 when all of it is right, or 2 with a message for each mistake on stderr: FILE:LINE: what is wrong and what
    is allowed. Warnings name what has no effect.
    """
    from mesh.sources.files import load
    from mesh.yaml.problems import ConfigError

    try:
        loaded = load(paths)
    except ConfigError as refused:
        _tell(refused.problems, as_json, {"ok": False, "documents": 0, "skipped": 0, "services": 0})
        return refused.exit_code
    documents = loaded.documents
    services = {destination.service for destination in loaded.policy.outbound.values()}
    summary = {
        "ok": True,
        "documents": len(documents.all),
        "skipped": documents.skipped,
        "services": len(services),
    }
    _tell(loaded.problems, as_json, summary)
    return 0


def _tell(problems: Any, as_json: bool, summary: dict[str, Any]) -> None:
    for problem in problems:
        click.echo(str(problem), err=True)
    if as_json:
        click.echo(json.dumps({**summary, "problems": [problem.as_dict() for problem in problems]}))
    elif summary["ok"]:
        left_out = f", {summary['skipped']} of other kinds skipped" if summary["skipped"] else ""
        click.echo(f"{summary['documents']} documents are right{left_out}; {summary['services']} Services are claimed")
