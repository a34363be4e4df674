"""The command completion: what makes a shell complete the words of this program."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that completes commands and options in a shell.

    \b
    bash  eval "$(pipeline completion bash)"       in ~/.bashrc
    zsh   eval "$(pipeline completion zsh)"        in ~/.zshrc
    fish  pipeline completion fish | source        in ~/.config/fish/config.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(context.find_root().command, {}, "pipeline", "_PIPELINE_COMPLETE").source())
