"""Progress over the rows of a table."""

import contextlib

from skproj.utils._optional import import_optional


@contextlib.contextmanager
def show_rows(title, n_rows, is_shown):
    """Show how many rows are done, their rate, and the time that is left.

    Yields a function that adds to the number of rows. In a terminal, the bar goes at
    the end.
    """
    try:
        rich = import_optional("rich.progress", extra="progress")
    except ModuleNotFoundError:
        is_shown = False
    if not is_shown:
        yield lambda n_rows: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        *rich.Progress.get_default_columns(),
        rich.TextColumn("{task.fields[rate]}"),
    )
    with rich.Progress(*columns, console=console, transient=console.is_terminal) as bar:
        task = bar.add_task(title, total=n_rows, rate="")

        def advance(n_more):
            speed = bar.tasks[0].speed
            bar.update(task, advance=n_more, rate=f"{speed or 0.0:,.0f} rows/s")

        yield advance
