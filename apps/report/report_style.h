#pragma once
// The style sheet of the page that vapo report writes.

#include <string_view>

namespace vapo::app {

inline constexpr std::string_view kReportStyle = R"css(
:root {
  color-scheme: light dark;
  --paper: #fdfcfa; --ink: #1d1f22; --quiet: #5c6066; --rule: #dcd9d2; --shade: #f4f2ed;
  --link: #1b5a9c; --warning: #8f3a08; --warning-paper: #fbeee3;
  --curve-1: #1f66ad; --curve-2: #c2470a; --curve-3: #23794f; --curve-4: #7d4ba0;
  --serif: Charter, "Bitstream Charter", "Iowan Old Style", "Source Serif 4", Cambria, Georgia, "DejaVu Serif", serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --ink: #e4e2dd; --quiet: #a2a5aa; --rule: #34373c; --shade: #1d2024;
    --link: #86b7ee; --warning: #f0a878; --warning-paper: #33231a;
    --curve-1: #77b0ee; --curve-2: #f09058; --curve-3: #6cc79a; --curve-4: #c59ae6;
  }
}
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink); text-size-adjust: 100%; -webkit-text-size-adjust: 100%; }
body { max-width: 62rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; font: 1.0625rem/1.6 var(--serif);
  overflow-wrap: break-word; }
p, ul { max-width: 42rem; }
a { color: var(--link); text-decoration-thickness: 1px; text-underline-offset: .15em; }
h1, h2, h3, h4 { line-height: 1.2; font-weight: 600; text-wrap: balance; }
h1 { font-size: clamp(1.7rem, 1.2rem + 2.4vw, 2.4rem); margin: 1rem 0 .6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.5rem; margin: 3.2rem 0 1rem; padding-top: .8rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; }
h4 { font: 600 .95rem/1.4 var(--sans); margin: 1.6rem 0 .5rem; color: var(--quiet); }
.lead { font-size: 1.15rem; margin: 0 0 1.6rem; }
.where { font: 400 .8rem var(--mono); color: var(--quiet); overflow-wrap: anywhere; }
small, .note, figcaption, footer { font-family: var(--sans); font-size: .85rem; line-height: 1.45; color: var(--quiet); }
small { display: block; font-weight: 400; max-width: 34rem; }
.note { margin: .2rem 0 0; }

nav { font: .9rem/1.7 var(--sans); margin: 1.5rem 0; }
nav ul { list-style: none; margin: 0; padding: 0; max-width: none; }
nav ul ul { columns: 16rem; column-gap: 2rem; padding-left: 1.2rem; }
nav li { break-inside: avoid; overflow-wrap: anywhere; }

.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 8.5rem), 1fr)); gap: 0 1.6rem; margin: .4rem 0 1.2rem;
  font: .9rem/1.45 var(--sans); }
.facts div { padding: .4rem 0; border-top: 1px solid var(--rule); min-width: 0; }
.facts .middling { grid-column: span 2; }
.facts .long { grid-column: 1 / -1; }
dt { color: var(--quiet); font-size: .8rem; }
dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }

.table { margin: 1.4rem 0; }
.table figcaption { margin: 0 0 .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font: .9rem/1.45 var(--sans); font-variant-numeric: tabular-nums lining-nums; }
th, td { text-align: left; vertical-align: top; padding: .35rem 1.4rem .35rem 0; border-top: 1px solid var(--rule); font-weight: 400; }
thead th { font-weight: 600; border-top: 0; border-bottom: 1px solid var(--ink); vertical-align: bottom; }
tbody tr:first-child > * { border-top: 0; }
tbody tr:last-child > * { border-bottom: 1px solid var(--rule); }
.number { text-align: right; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }

figure { margin: 0; min-width: 0; max-width: 100%; }
figcaption { margin-top: .5rem; max-width: 42rem; }
img { display: block; max-width: 100%; height: auto; background: #fff; }
.pixels { image-rendering: pixelated; }
.figures { display: grid; gap: 2rem; margin: 1.4rem 0; justify-items: start; }
.grids { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 10rem), 1fr)); gap: 1rem; margin: 1.4rem 0; }
.grids figcaption { margin-top: .25rem; }

.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 2rem 2.5rem; margin: 1.4rem 0; }
.plot figcaption { margin: 0 0 .3rem; }
.plot strong { color: var(--ink); font-weight: 600; }
.plot svg { display: block; width: 100%; height: auto; font: 11px var(--sans); }
.plot text { fill: var(--quiet); font-variant-numeric: tabular-nums; }
.plot path { fill: none; stroke-linejoin: round; stroke-linecap: round; }
.rule { stroke: var(--rule); }
.axis { stroke: var(--quiet); }
.keys { white-space: normal; }
.key { margin-left: .9rem; white-space: nowrap; color: var(--ink); }
.key::before { content: ""; display: inline-block; width: 1.5rem; margin-right: .4rem; vertical-align: .25em; border-top: 2px solid; }
.curve-1 { stroke: var(--curve-1); fill: var(--curve-1); } .key-1::before { border-color: var(--curve-1); }
.curve-2 { stroke: var(--curve-2); fill: var(--curve-2); } .key-2::before { border-color: var(--curve-2); border-top-style: dashed; }
.curve-3 { stroke: var(--curve-3); fill: var(--curve-3); } .key-3::before { border-color: var(--curve-3); border-top-style: dotted; }
.curve-4 { stroke: var(--curve-4); fill: var(--curve-4); } .key-4::before { border-color: var(--curve-4); border-top-style: double; }
.plot [class^="curve"] path { stroke-width: 1.6; }
.curve-2 path { stroke-dasharray: 6 3.5; } .curve-3 path { stroke-dasharray: 1.5 3; } .curve-4 path { stroke-dasharray: 10 3 2 3; }

.problem { background: var(--warning-paper); border-left: 3px solid var(--warning); padding: .6rem .9rem; font: .9rem/1.5 var(--sans);
  overflow-wrap: anywhere; }
details { margin: 1.2rem 0; }
summary { cursor: pointer; font: .9rem var(--sans); color: var(--link); }
pre, code { font: .85rem/1.5 var(--mono); }
pre { overflow-x: auto; background: var(--shade); padding: 1rem; margin: .8rem 0; }
footer { margin-top: 4rem; padding-top: .8rem; border-top: 1px solid var(--rule); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 3px; }

@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav { display: none; }
  h2, h3, h4 { break-after: avoid; }
  figure, tr, .facts div { break-inside: avoid; }
  .wide, pre { overflow: visible; }
  pre { white-space: pre-wrap; background: none; padding: 0; }
  details::details-content { content-visibility: visible; block-size: auto; }
  a { color: inherit; text-decoration: none; }
}
)css";

}  // namespace vapo::app
