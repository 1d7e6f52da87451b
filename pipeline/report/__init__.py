"""What a person reads at the end: the tables of the README, the findings, and the summary in the terminal."""

from pipeline.report.findings import findings
from pipeline.report.readme import (
    BEGIN,
    END,
    differences_text,
    repeats_text,
    results,
    results_table,
    searches_table,
    signal_differences_text,
    signal_table,
    update_readme,
)
from pipeline.report.terminal import summary

__all__ = [
    "BEGIN",
    "END",
    "differences_text",
    "findings",
    "repeats_text",
    "results",
    "results_table",
    "searches_table",
    "signal_differences_text",
    "signal_table",
    "summary",
    "update_readme",
]
