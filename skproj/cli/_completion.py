"""Completion of commands, options and files by the shell."""

import argparse
from pathlib import Path

from skproj.utils._optional import import_optional


def add_completion(parser):
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=("bash", "zsh", "fish"),
        help="print a script for the completion of arguments by that shell",
    )


class PrintCompletion(argparse.Action):
    """Option that prints the completion script of a shell and ends the program."""

    def __call__(self, parser, namespace, values, option_string=None):
        try:
            shtab = import_optional("shtab", extra="cli")
        except ModuleNotFoundError as error:
            parser.error(str(error))
        mark_files(parser, shtab)
        print(shtab.complete(parser, shell=values))
        parser.exit()


def mark_files(parser, shtab):
    for action in parser._actions:  # argparse has no public list of them
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                mark_files(command, shtab)
        elif action.choices and "'" in action.choices:
            action.choices = None  # fish would not read the script
        elif action.type is Path:
            action.complete = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE
