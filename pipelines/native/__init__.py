"""Runs exported models in a program without Python, as a server does."""

from .program import (
    Found,
    Latency,
    ProgramError,
    Question,
    compile_program,
    missing_tools,
    read_answers,
    run,
    write_questions,
)

__all__ = [
    "Found",
    "Latency",
    "ProgramError",
    "Question",
    "compile_program",
    "missing_tools",
    "read_answers",
    "run",
    "write_questions",
]
