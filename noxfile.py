"""The commands of development, each said once: `nox -l` lists them, `nox -s lint types` runs two.

They use the environment that is active, since torch is too large to install for each; only the
audit has one of its own. What follows `--` goes to the command.
"""

import json
import sysconfig

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests"]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format (ruff)."""
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Check types (pyright)."""
    session.run("pyright", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, in as many processes as there are cores."""
    session.run("pytest", *session.posargs)


@nox.session
def end_to_end(session: nox.Session) -> None:
    """Run whole commands: what the documents show, campaigns, clusters, kills."""
    session.run("pytest", "-m", "end_to_end and not slow", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """Run the long proofs, without the attacks."""
    session.run("pytest", "-m", "slow", "--ignore=tests/attacks", *session.posargs)


@nox.session
def attacks(session: nox.Session) -> None:
    """Run the attacks and print what survived; `-- --long` for hours of them."""
    session.run("python", "tests/attacks/run.py", *session.posargs)


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the tests at the lowest versions that pyproject.toml admits."""
    session.run(".ci/lowest", *session.posargs)


@nox.session(venv_backend="venv")
def audit(session: nox.Session) -> None:
    """Look up known vulnerabilities of what is installed here (pip-audit)."""
    installed = sysconfig.get_path("purelib")
    session.install("pip-audit")
    found = session.run(
        *("pip-audit", "--path", installed, "--format", "json", "--progress-spinner", "off"),
        *session.posargs,
        silent=True,
        stderr=None,
        success_codes=[0, 1],  # 1 where there are vulnerabilities, and where it cannot look
    )
    try:
        packages = json.loads(str(found))["dependencies"]
    except ValueError:
        session.error(f"nothing could be looked up: {str(found).strip().splitlines()[-1:]}")
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    vulnerable = [package for package in packages if package.get("vulns")]
    for package in vulnerable:
        ids = ", ".join(one["id"] for one in package["vulns"])
        session.log(f"{package['name']} {package['version']}: {ids}")
    if len(skipped) == len(packages):
        session.error(f"nothing could be looked up: no advisories for any of {len(packages)}")
    if skipped:
        session.warn(f"not looked up: {', '.join(skipped)}")
    if vulnerable:
        session.error(f"{len(vulnerable)} of {len(packages)} packages have known vulnerabilities")
    session.log(f"{len(packages) - len(skipped)} packages looked up, nothing known against them")
