"""The look of a page: one style sheet, no script, nothing from the network."""

CSS = """
:root { color-scheme: light; --ink: #1b1f24; --soft: #57606a; --line: #d8dee4; --wash: #f6f8fa; --blue: #0072B2; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; line-height: 1.5;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .5rem; }
p { margin: .4rem 0 .8rem; max-width: 46rem; }
.soft, caption, figcaption, .interval { color: var(--soft); }
.facts { margin: 0 0 1rem; color: var(--soft); overflow-wrap: anywhere; }
.mark { display: inline-block; padding: .1rem .6rem; border-radius: 1rem; font-size: .85rem; font-weight: 600;
  vertical-align: middle; white-space: nowrap; }
.toy { background: #fff3c4; color: #5c4400; border: 1px solid #d9b300; }
.banner { border-radius: .4rem; padding: .8rem 1rem; margin: 1rem 0; }
.banner strong { display: block; font-size: 1.1rem; }
.leak { background: #b3121d; color: #fff; }
.toybox { background: #fff9e3; border: 1px solid #e3c94f; }
.scroll { overflow-x: auto; margin: .5rem 0 1rem; }
.scroll:focus-visible { outline: 2px solid var(--blue); }
table { border-collapse: collapse; min-width: 24rem; }
caption { text-align: left; font-size: .9rem; padding: 0 0 .4rem; }
th, td { padding: .45rem .9rem .45rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; font-variant-numeric: tabular-nums; }
thead th { background: var(--wash); border-bottom: 2px solid var(--line); font-size: .9rem; }
th[scope=row], th.left, td.left { text-align: left; font-weight: 500; overflow-wrap: anywhere; min-width: 7rem; }
td.left { font-weight: 400; }
td.own { font-weight: 650; color: #00527f; }
.interval { display: block; font-size: .85rem; font-weight: 400; white-space: nowrap; }
.fail { color: #b3121d; font-weight: 650; }
figure { margin: 0; }
.plots { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); }
img { display: block; width: 100%; height: auto; }
.wide { overflow-x: auto; }
.players { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); }
.player { border: 1px solid var(--line); border-radius: .4rem; padding: .7rem .8rem; overflow-wrap: anywhere; }
.player audio { width: 100%; height: 40px; margin-top: .4rem; display: block; }
.player b { display: block; font-size: .95rem; }
.player figcaption { font-size: .9rem; }
ul { padding-left: 1.2rem; margin: .4rem 0; max-width: 50rem; }
details { margin: .6rem 0; border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .8rem; }
summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; font: .82rem/1.45 ui-monospace, "DejaVu Sans Mono", monospace; margin: .6rem 0 .2rem; }
@media (max-width: 640px) { main { padding: 1rem .8rem 3rem; } h1 { font-size: 1.45rem; }
  th, td { padding: .4rem .5rem; } thead th:first-child, tbody th[scope=row] { position: sticky; left: 0;
  background: #fff; min-width: 8rem; } thead th:first-child { background: var(--wash); } }
@media print { .scroll, .wide { overflow: visible; } details { border: 0; } }
"""
