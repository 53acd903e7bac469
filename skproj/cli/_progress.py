"""Progress over the rows of a table."""

import contextlib


@contextlib.contextmanager
def show_rows(title, n_rows, is_shown):
    """Show how many rows are done, their rate, and the time that is left.

    Yields a function that adds to the number of rows. In a terminal, the bar goes at
    the end. It needs rich, without which `shows_bars` is false.
    """
    if not is_shown:
        yield lambda n_rows: None
        return
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, console=console, transient=console.is_terminal) as bar:
        task = bar.add_task(title, total=n_rows, rate="")

        def advance(n_more):
            speed = bar.tasks[0].speed
            bar.update(task, advance=n_more, rate=f"{speed or 0.0:,.0f} rows/s")

        yield advance
