"""The command `headrace verify`."""

from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)


@app.command(
    epilog="Exit status: 0 everything that was compared is right; 1 something differs, and is listed; 2 wrong call or "
    "settings; 3 a store or a topic could not be read, or the workers did not finish in time."
)
def verify(
    stores: Annotated[
        list[str] | None, typer.Option("--store", metavar="WORKER", help="Only the store of this worker; repeatable.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Compare only so many random entities of each kind.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for the workers before what differs is looked at again.")
    ] = 60.0,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what differs, and compare again. What is ahead stays as it is.")
    ] = False,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="Compare nothing; remove tombstones that are older than their retention."),
    ] = False,
    older_than: Annotated[
        float, typer.Option(min=0, metavar="DAYS", help="With --purge: the retention; at least that of dead letters.")
    ] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Compare what every store holds with the topics, both ways, also while changes stream in.

    What differs is looked at again when the workers have read what was published before. A dead letter explains a
    difference.
    """
    from headrace_verify.run import Call, run, run_purge

    if purge:
        raise typer.Exit(run_purge(tuple(stores or ()), older_than, as_json))
    raise typer.Exit(run(Call(tuple(stores or ()), sample, timeout, repair, as_json)))
