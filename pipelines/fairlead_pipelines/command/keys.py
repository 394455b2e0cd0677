"""`fairlead keys`: pairs of keys for signing verdicts and policies."""

from pathlib import Path

import click

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def command() -> None:
    """Make keys, show their public halves, sign policies. Private keys are never shown.

    \b
    Examples:
      fairlead keys new ci
      fairlead keys show keys/ci.pem
      fairlead keys policy policy.yaml
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines


@command.command()
@click.argument("name")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where to put it; by default keys/ in the state folder."
)
def new(name: str, folder: Path | None) -> None:
    """Make a pair for the signer NAME: NAME.pem, which only you can read, and NAME.pub.pem for everybody.

    \b
    Example:
      fairlead keys new ci --folder ~/.fairlead-keys
    """  # noqa: D301
    import re

    from fairlead import atomic, signatures
    from fairlead.errors import ConfigurationError
    from fairlead.settings import settings

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise ConfigurationError(f"signer {name!r}: letters, digits, dots, dashes and underscores are allowed")
    home = folder.expanduser() if folder else settings().home / "keys"
    key = signatures.make_private_key(home / f"{name}.pem")
    atomic.write_text(home / f"{name}.pub.pem", signatures.to_pem(key.public))
    click.echo(
        f"{home / f'{name}.pem'} signs as {name}; nobody else can read it. Keep it out of repositories and images."
    )
    click.echo(f"Fingerprint {signatures.fingerprint(key.public)}\n\nSign with it:")
    click.echo(f"  export FAIRLEAD_SIGNING_KEY={home / f'{name}.pem'} FAIRLEAD_SIGNING_NAME={name}")
    click.echo("\nTrust it, in a policy or a file of trusted keys:")
    click.echo(f"  trusted: {{{name}: {key.public}}}\n  keys: {{'*': [{name}]}}")


@command.command()
@click.argument("file", type=_FILE)
def show(file: Path) -> None:
    """Print the public key of FILE, which holds a private or a public key, and its fingerprint on standard error.

    \b
    Example:
      fairlead keys show keys/ci.pem
    """  # noqa: D301
    from fairlead import signatures
    from fairlead.errors import ConfigurationError

    text = file.read_bytes().decode(errors="replace")
    try:
        is_private = "PRIVATE KEY" in text
        public = signatures.read_private_key(file).public if is_private else signatures.read_public_key(text)
    except ValueError as error:
        raise ConfigurationError(f"{file}: {error}") from None
    click.echo(public)
    click.echo(f"fingerprint {signatures.fingerprint(public)}", err=True)  # so that $(fairlead keys show …) is the key


@command.command()
@click.argument("file", type=_FILE)
def policy(file: Path) -> None:
    """Print the digest of the policy in FILE, and, where FAIRLEAD_SIGNING_KEY is set, the two lines that sign it.

    \b
    Example:
      fairlead keys policy policy.yaml
    """  # noqa: D301
    from fairlead import signatures
    from fairlead.registry import policy as policies
    from fairlead.registry.spec import PolicySpec

    spec = PolicySpec.parse(policies.read_policy(file), "policy")
    click.echo(f"# FAIRLEAD_POLICY_DIGEST={policies.digest_of(spec)}")
    key = signatures.signing_key()
    if key is None:
        click.echo("# Set FAIRLEAD_SIGNING_KEY to sign it.")
        return
    signed = policies.sign(spec, key)
    click.echo(f"signed_by: {signed.signed_by}\nsignature: {signed.signature}")
