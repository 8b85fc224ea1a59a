"""How a report looks, and the script that sorts its verdicts; both stand inside the page."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["SCRIPT", "stylesheet"]

MARKS = {"violated": "\\2715", "inconclusive": "?", "not applicable": "\\2013", "holds": "\\2713"}
"""A shape beside the word of every verdict: cross, question mark, dash, tick, as CSS writes them."""

_BASE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 86rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2rem 0 0.5rem; }
p, li, dd { max-width: 48rem; }
a { color: #00507c; }
ul.counts { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 0.3rem 1.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
caption { text-align: left; padding: 0 0 0.3rem; color: #444; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.6rem; border-bottom: 1px solid #ccc; }
thead th { border-bottom: 2px solid #1a1a1a; vertical-align: bottom; }
.wide { min-width: 52rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.quiet, .whose { color: #444; font-size: 0.875rem; }
.id { font-family: ui-monospace, monospace; font-size: 0.875rem; overflow-wrap: break-word; }
.whose { overflow-wrap: anywhere; }
.together { white-space: nowrap; }
.verdict { white-space: nowrap; font-weight: 600; }
.verdict::before { display: inline-block; width: 1.3em; }
#verdicts { font-size: 0.9375rem; }
#verdicts td:nth-child(2) { min-width: 17rem; }
#verdicts td:nth-child(n+8) { min-width: 10.5rem; }
#verdicts tbody tr:target { background: #fff6d5; }
#verdicts th button { font: inherit; color: inherit; text-align: inherit; background: none; border: 0; padding: 0.2rem 0; cursor: pointer; }
#verdicts th button::after { content: " \\2195"; color: #666; }
#verdicts th[aria-sort=ascending] button::after { content: " \\2191"; color: inherit; }
#verdicts th[aria-sort=descending] button::after { content: " \\2193"; color: inherit; }
:focus-visible { outline: 3px solid #0072b2; outline-offset: 2px; }
figure { margin: 1.5rem 0; }
figcaption { max-width: 48rem; color: #444; }
svg { display: block; width: 100%; height: auto; min-width: 42rem; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
pre { font: 0.8125rem/1.45 ui-monospace, monospace; overflow-x: auto; background: #f6f6f6; padding: 0.7rem; }
summary { cursor: pointer; font-weight: 600; padding: 0.3rem 0; }
footer { margin-top: 2.5rem; border-top: 1px solid #ccc; color: #444; font-size: 0.875rem; }
@media screen and (max-width: 72rem) {
  #verdicts, #verdicts thead, #verdicts tbody, #verdicts tr, #verdicts caption { display: block; }
  #verdicts thead tr { display: flex; flex-wrap: wrap; gap: 0 0.9rem; }
  #verdicts thead th { border: 0; padding: 0; text-align: left; }
  #verdicts tbody tr { border-top: 2px solid #1a1a1a; padding: 0.5rem 0; }
  #verdicts td { display: grid; grid-template-columns: 6.5rem minmax(0, 1fr); border: 0; padding: 0.1rem 0; text-align: left; }
  #verdicts td::before { content: attr(data-label); color: #444; font-weight: 400; }
  #verdicts td:nth-child(n) { min-width: 0; }
  #verdicts td:empty { display: none; }
}
@media print {
  @page { margin: 14mm; }
  body { max-width: none; padding: 0; font-size: 9.5pt; }
  h2, caption, summary { break-after: avoid; }
  tr, figure { break-inside: avoid; }
  thead { display: table-header-group; break-inside: avoid; break-after: avoid; }
  .scroll { overflow: visible; }
  svg { min-width: 0; max-height: 240mm; }
  th, td { padding: 0.15rem 0.35rem; }
  .wide { min-width: 0; }
  #verdicts { font-size: 7.5pt; }
  #verdicts td:nth-child(2) { min-width: 50mm; }
  #verdicts td:nth-child(n+8) { min-width: 27mm; }
  #verdicts .id, #verdicts .quiet, #verdicts .whose { font-size: inherit; }
  #verdicts th button { display: contents; } /* a head with a control in it is not repeated on the next sheet */
  #verdicts th button::after { content: ""; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; background: none; border: 1px solid #ccc; }
  a { color: inherit; text-decoration: none; }
}
"""

SCRIPT = """
(function () {
  "use strict";
  var table = document.getElementById("verdicts");
  if (table) {
    var body = table.tBodies[0], heads = Array.from(table.tHead.rows[0].cells);
    var key = function (row, k) {
      var cell = row.cells[k], number = cell.getAttribute("data-number");
      return number === null ? cell.textContent.trim() : Number(number);
    };
    heads.forEach(function (head, k) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.textContent = "";
      head.appendChild(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", function () {
        var sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        heads.forEach(function (other) { other.setAttribute("aria-sort", "none"); });
        head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        var rows = Array.from(body.rows).map(function (row) { return [key(row, k), row]; });
        rows.sort(function (one, two) {
          var a = one[0], b = two[0];
          if (a === "" || b === "") return (a === "") - (b === "");
          return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en"));
        });
        rows.forEach(function (pair) { body.appendChild(pair[1]); });
      });
    });
  }
  var opened = [];
  window.addEventListener("beforeprint", function () {
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    opened.forEach(function (details) { details.open = true; });
  });
  window.addEventListener("afterprint", function () {
    opened.forEach(function (details) { details.open = false; });
  });
})();
"""
"""Makes the heads of the verdict table buttons that sort it, empty cells last, and opens what is folded for the printer."""


def stylesheet(colours: Mapping[str, str]) -> str:
    """Return the page's CSS, with a colour and a shape for every verdict; `colours` are by verdict."""
    rules = (
        f'.{sort.replace(" ", "-")} {{ color: {colour}; }}\n.{sort.replace(" ", "-")}::before {{ content: "{MARKS[sort]}"; }}\n'
        for sort, colour in colours.items()
    )
    return _BASE + "".join(rules)
