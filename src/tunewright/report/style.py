"""The look of the page: system fonts, light and dark, narrow and wide, screen and paper."""

CSS = """
:root {
  --page: #f7f8fa; --surface: #ffffff; --ink: #1c2230; --muted: #596273; --line: #e3e6eb; --grid: #e6e9ee;
  --series-1: #2257c5; --series-2: #c2560c; --series-3: #12805c; --series-4: #8445b8; --series-5: #b5305a;
  --on-strong: #ffffff; --soft: #eef2fb; --warn: #fdf4e7; --warn-line: #e9c48f; --warn-ink: #7a4300;
  --good-ink: #0c6a4b; --bad-ink: #a8480a; --mark-right: #d9efe5; --mark-wrong: #fbdcc0; color-scheme: light;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #101319; --surface: #181c24; --ink: #e8ebf1; --muted: #a2abbb; --line: #2a303c; --grid: #2b313d;
    --series-1: #7ba4ff; --series-2: #f29a55; --series-3: #4fc79a; --series-4: #c394ee; --series-5: #f27fa2;
    --on-strong: #0c0f16; --soft: #1f2635; --warn: #2a2115; --warn-line: #6b4c1d; --warn-ink: #f3c98b;
    --good-ink: #62cfa5; --bad-ink: #f5a566; --mark-right: #1d4437; --mark-wrong: #6a3d14; color-scheme: dark;
  }
}
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink); overflow-wrap: break-word;
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 66rem; margin: 0 auto; padding: clamp(1.5rem, 5vw, 4rem) clamp(1rem, 4vw, 2.5rem) 5rem; }
h1 { font-size: clamp(1.75rem, 5vw, 2.6rem); line-height: 1.15; letter-spacing: -0.022em; margin: 0.35rem 0 0.9rem;
     font-weight: 680; text-wrap: balance; }
h2 { font-size: 1.35rem; line-height: 1.25; letter-spacing: -0.012em; margin: 0 0 0.35rem; font-weight: 650; }
h3 { font-size: 0.95rem; line-height: 1.4; margin: 0 0 0.7rem; font-weight: 620; }
p { margin: 0 0 0.8rem; max-width: 46rem; text-wrap: pretty; }
a { color: var(--series-1); text-underline-offset: 0.2em; }
a:focus-visible, summary:focus-visible, .scroll:focus-visible { outline: 2px solid var(--series-1); outline-offset: 2px;
  border-radius: 4px; }
.small, .note { color: var(--muted); font-size: 0.875rem; }
.lead { font-size: 1.125rem; line-height: 1.55; max-width: 42rem; }
.figure { font-size: 2rem; font-weight: 650; letter-spacing: -0.02em; line-height: 1.2; margin-bottom: 0.6rem; }
.about { color: var(--muted); margin: 0; font-size: 0.9rem; }
nav { display: flex; flex-wrap: wrap; gap: 0.35rem 1.15rem; margin: 1.6rem 0 0; font-size: 0.9rem; }
nav a { color: var(--muted); text-decoration: none; padding: 0.15rem 0; }
nav a:hover { color: var(--ink); text-decoration: underline; }
section { margin-top: clamp(2.75rem, 6vw, 4.25rem); scroll-margin-top: 1rem; }
section > p { color: var(--muted); margin-bottom: 1.2rem; max-width: 54rem; }
h2 + div { margin-top: 1rem; }
.tiles { display: grid; grid-template-columns: repeat(6, minmax(0, 1fr)); gap: 0.75rem; margin: 2rem 0 0; }
.tile { background: var(--surface); border: 1px solid var(--line); border-radius: 12px; padding: 0.9rem 0.95rem; }
.tile dt { color: var(--muted); font-size: 0.84rem; line-height: 1.3; }
.tile dd { margin: 0; }
.tile .value { font-size: 1.45rem; font-weight: 650; letter-spacing: -0.02em; line-height: 1.35;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
.tile .more { color: var(--muted); font-size: 0.82rem; line-height: 1.35; }
.tile.main { background: var(--soft); border-color: transparent; }
.tile.main .value { color: var(--series-1); }
.notice { background: var(--warn); border: 1px solid var(--warn-line); color: var(--warn-ink); border-radius: 12px;
  padding: 0.85rem 1.1rem; margin: 1.1rem 0 0; }
.notice ul { margin: 0.2rem 0 0; padding-left: 1.15rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1rem; }
.card { background: var(--surface); border: 1px solid var(--line); border-radius: 12px; padding: 1.05rem 1.15rem;
  min-width: 0; margin: 0; }
.card > svg { display: block; width: 100%; height: auto; max-width: 34rem; margin: 0 auto; }
.card > :last-child { margin-bottom: 0; }
.grid.three { grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); }
.grid + div, .card + div, .notice + div { margin-top: 1rem; }
.grid > div + div { margin-top: 0; }
.scroll { overflow-x: auto; margin: 0 -0.35rem; padding: 0 0.35rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.42rem 0.75rem; text-align: right; border-top: 1px solid var(--line); vertical-align: baseline; }
th:first-child, td:first-child { padding-left: 0; } th:last-child, td:last-child { padding-right: 0; }
thead th { border-top: 0; color: var(--muted); font-weight: 500; font-size: 0.82rem; white-space: nowrap; }
tbody th { text-align: left; font-weight: 500; min-width: 8.5rem; overflow-wrap: anywhere; }
#data tbody th { min-width: 5.75rem; }
td { white-space: nowrap; }
th.text, td.text { text-align: left; }
#checks td.text { white-space: normal; overflow-wrap: break-word; }
.line { display: block; white-space: normal; width: max-content; max-width: 10.5rem; margin-left: auto; }
tr.weak th, tr.weak .measure { color: var(--bad-ink); font-weight: 640; }
.measure { display: inline-grid; grid-template-columns: 3.2em minmax(3.5rem, 8rem); gap: 0.6em;
  align-items: center; white-space: nowrap; }
.track { display: block; height: 0.5rem; border-radius: 99px; background: var(--grid); overflow: hidden; }
.track i { display: block; height: 100%; border-radius: 99px; background: var(--series-1); width: var(--share); }
tr.weak .track i { background: var(--series-2); }
.mistakes { list-style: none; padding: 0; margin: 0; display: grid; gap: 0.8rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); }
.mistakes > li { display: flex; flex-direction: column; gap: 0.55rem; }
.mistakes blockquote { margin: 0; white-space: pre-line; line-height: 1.5; }
.verdict { display: flex; flex-wrap: wrap; gap: 0.15rem 1.1rem; margin: auto 0 0; font-size: 0.86rem;
  color: var(--muted); }
.verdict b { font-weight: 640; }
.verdict .wrong b { color: var(--bad-ink); }
.verdict .right b { color: var(--good-ink); }
.faults { list-style: none; margin: auto 0 0; padding: 0; font-size: 0.86rem; line-height: 1.5; color: var(--muted); }
.faults .wrong b { color: var(--bad-ink); font-weight: 640; } .faults .right b { color: var(--good-ink);
  font-weight: 640; }
.place { color: var(--muted); font-size: 0.82rem; }
.question { font-weight: 620; margin: 0; }
mark, u.gold { border-radius: 3px; padding: 0.08em 0.12em; margin: 0 -0.12em; color: inherit;
  -webkit-box-decoration-break: clone; box-decoration-break: clone; }
mark { background: var(--mark-right); } mark.wrong { background: var(--mark-wrong); }
u.gold { text-decoration: underline 2px var(--good-ink); text-underline-offset: 0.28em;
  text-decoration-skip-ink: none; }
.key { font-size: 0.875rem; } .key u, .key mark { margin: 0 0.3em; color: var(--ink); }
.told { display: block; font-weight: 400; font-size: 0.875rem; line-height: 1.45; color: var(--muted); }
.texts th, .texts td { vertical-align: top; }
.texts tbody th, .texts tbody .text { white-space: pre-wrap; overflow-wrap: anywhere; min-width: 11rem;
  font-weight: 400; line-height: 1.5; }
.texts .text .small { display: block; white-space: normal; margin-top: 0.2rem; }
.texts .wrong { color: var(--bad-ink); } .texts .right { color: var(--good-ink); }
.advice { margin-top: 1rem; } .advice ul + p { margin: 0.8rem 0 0.5rem; } .advice .plain { margin-bottom: 0.8rem; }
.tag { display: inline-block; font-size: 0.75rem; font-weight: 500; line-height: 1.5; padding: 0 0.5em;
  white-space: nowrap; border: 1px solid var(--line); border-radius: 99px; color: var(--muted); }
.tag.wins { background: var(--series-1); border-color: var(--series-1); color: var(--on-strong); }
.below { display: block; }
.contest table { font-size: 0.82rem; } .contest th, .contest td { padding-left: 0.36rem; padding-right: 0.36rem; }
.contest thead th { white-space: normal; vertical-align: bottom; max-width: 8.5rem; }
.contest tbody th { min-width: 9.5rem; } .contest .small { font-size: 0.78rem; }
.range { display: block; position: relative; height: 0.5rem; min-width: 5.5rem; border-radius: 99px; margin: 0.2rem 0;
  background: var(--grid); overflow: hidden; }
.range i, .range b { position: absolute; top: 0; bottom: 0; border-radius: 99px; }
.range i { background: var(--series-1); opacity: 0.4; } .range b { width: 3px; background: var(--series-1); }
.range b { margin-left: -1.5px; }
.said { list-style: none; margin: 0; padding: 0; overflow-wrap: anywhere; }
.stacked td.text:last-child { min-width: 19rem; }
.said li { margin: 0 0 0.25rem; }
.texts tbody th .small { display: block; margin-top: 0.2rem; }
.texts .said .small { display: inline; margin-left: 0.5em; } .texts .said b { font-weight: 620; }
dl.facts { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: 0.4rem 1.2rem; margin: 0;
  font-size: 0.92rem; }
dl.facts dt { color: var(--muted); } dl.facts dd { margin: 0; font-variant-numeric: tabular-nums; min-width: 0; }
pre { background: var(--soft); border-radius: 8px; padding: 0.8rem 1rem; margin: 0 0 0.9rem; overflow-x: auto;
  font-size: 0.84rem; line-height: 1.55; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
details > summary { cursor: pointer; color: var(--muted); font-size: 0.9rem; padding: 0.3rem 0; }
details[open] > summary { margin-bottom: 0.5rem; }
ul.plain { margin: 0; padding-left: 1.15rem; } ul.plain li { margin: 0.15rem 0; }
footer { margin-top: 4rem; padding-top: 1.2rem; border-top: 1px solid var(--line); color: var(--muted);
  font-size: 0.86rem; }
@media (max-width: 60rem) { .tiles { grid-template-columns: repeat(3, 1fr); } }
@media (max-width: 34rem) {
  .tiles { grid-template-columns: 1fr 1fr; gap: 0.6rem; } .tile { padding: 0.8rem 0.85rem; }
  .tile .value { font-size: 1.35rem; } .card { padding: 0.9rem 0.85rem; }
  th, td { padding-left: 0.45rem; padding-right: 0.45rem; }
  .stacked thead { display: none; } .stacked :is(tr, th, td) { display: block; }
  .stacked :is(tbody th, td) { padding: 0.25rem 0; }
  .stacked td, .stacked td.text:last-child { border-top: 0; white-space: normal; min-width: 0; }
  .stacked td:nth-child(2)::before { content: "label: "; color: var(--muted); }
}
@media print {
  :root { --page: #ffffff; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; } nav { display: none; }
  section { margin-top: 1.6rem; } section > p { break-after: avoid; }
  .grid { grid-template-columns: 1fr 1fr; gap: 0.6rem; }
  .card > svg, .tile, .mistakes > li, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
  .contest table, .contest :is(.small, .tag, thead th) { font-size: 7pt; } .contest tbody th { min-width: 6rem; }
  .contest .range { min-width: 4rem; } .contest :is(th, td) { padding-left: 0.2rem; padding-right: 0.2rem; }
  pre { white-space: pre-wrap; } .scroll { overflow: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
