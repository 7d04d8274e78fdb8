"""How pytest-html's report looks: contrast, dark screens, narrow ones, paper. It stands behind pytest-html's style."""

from __future__ import annotations

__all__ = ["STYLE"]

# pytest-html has grey on white at 2.8:1; WCAG 2.2 (1.4.3) wants 4.5:1, which all pairs here have in both schemes.
_COLOURS = """
:root { color-scheme: light dark; --text: #24292f; --faint: #57606a; --back: #fff; --field: #f3f4f6; --line: #d0d7de;
        --link: #0a58ca; --good: #116329; --bad: #b3121f; --odd: #8a4600; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --faint: #9da7b1; --back: #0f141a; --field: #1b222b; --line: #3a434d;
          --link: #79b8ff; --good: #57d077; --bad: #ff8279; --odd: #f0a852; }
}
body, p, h1, h2 { color: var(--text); background: var(--back); }
body { font-size: 14px; margin: 16px; min-width: 0; }
a, .collapse button { color: var(--link); }
small { color: var(--faint); font-size: 12px; }
#results-table { color: var(--text); font-size: 14px; border-color: var(--line); }
#results-table th, #results-table td, #environment td { border-color: var(--line); }
#environment tr:nth-child(odd) { background-color: var(--field); }
.logwrapper, .logwrapper .logexpander { background-color: var(--field); }
.logwrapper .log { color: var(--text); border-color: var(--line); }
:is(.error, .failed, .xpassed) .col-result, span:is(.error, .failed, .xpassed), p.cause { color: var(--bad); }
span.passed, .passed .col-result { color: var(--good); }
:is(.skipped, .xfailed, .rerun) .col-result, span:is(.skipped, .xfailed, .rerun), small.kernel { color: var(--odd); }
"""

# What went wrong comes before what was installed; outcomes that nothing had are left out.
_ORDER = """
body { display: flex; flex-direction: column; }
#environment-header, #environment { order: 1; align-self: flex-start; }
footer { order: 2; }
.filter:disabled, .filter:disabled + span { display: none; }
.filters span { white-space: nowrap; }
p.cause { font-weight: bold; }
"""

# One long line would push all columns but the first out of sight.
_OUTPUT = """
.logwrapper { max-height: 32em; }
.logwrapper.expanded { max-height: none; }
.logwrapper .logexpander { float: right; margin: 8px; }
.logwrapper .log { position: static; height: auto; min-height: 0; white-space: pre-wrap; overflow-wrap: anywhere;
                   font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 13px; }
.col-testId { overflow-wrap: anywhere; }
"""

_NARROW = """
@media (max-width: 700px) {
  body { margin: 8px; }
  .controls, .filters { flex-wrap: wrap; }
  p, #environment td { overflow-wrap: anywhere; }
  #results-table, #results-table tbody, #results-table tr:not(.hidden) { display: block; }
  #results-table { border-width: 0; }
  #results-table tbody { border-top: 1px solid var(--line); }
  #results-table td { display: inline-block; border: 0; width: auto; vertical-align: top; }
  #results-table td.col-testId, #results-table td.extra { display: block; }
  #results-table-head { display: none; }
  .logwrapper .log { padding-right: 5px; }
}
"""

_PAPER = """
@media print {
  :root { color-scheme: light; --text: #000; --faint: #333; --back: #fff; --field: #fff; --line: #999; --link: #000;
          --good: #000; --bad: #000; --odd: #000; }
  .logwrapper { max-height: none; overflow: visible; }
  .logexpander, .collapse, .filter, .summary__reload { display: none; }
  tr.collapsible { break-after: avoid; }
}
"""

#: HTML to be put into the report's body
STYLE = (
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    f"<style>{_COLOURS}{_ORDER}{_OUTPUT}{_NARROW}{_PAPER}</style>"
)
