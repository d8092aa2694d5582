"""The page's style sheet: system fonts, light and dark, readable without colour vision."""

# The eight hues are Okabe and Ito's; in the dark scheme the two darkest are lightened.
CSS = """
:root { color-scheme: light dark; --bg: #fff; --fg: #1b1f24; --soft: #5b6470; --line: #d8dde3;
  --head: #f3f5f7; --good: #0a7d4f; --bad: #b3261e; --open: #8a6100;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #8f7a00; --c5: #56b4e9;
  --c6: #e69f00; --c7: #6b5bd2; --c8: #5b6470; --c9: #9aa3ad; }
@media (prefers-color-scheme: dark) { :root { --bg: #14171a; --fg: #e6e9ec; --soft: #a0a9b3;
  --line: #333a41; --head: #1e2327; --good: #4cc38a; --bad: #ff8f85; --open: #e3b341;
  --c0: #4aa8e0; --c1: #ff8c42; --c2: #33c79c; --c4: #d9c24a; --c7: #a598ff; --c8: #a0a9b3; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 92rem; background: var(--bg); color: var(--fg);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; } p { margin: .4rem 0; max-width: 60rem; }
.note, figcaption, nav { color: var(--soft); font-size: .87rem; }
nav a { margin-right: .9rem; white-space: nowrap; } a { color: var(--c0); }
.scroll { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .22rem .55rem; text-align: right;
  vertical-align: top; white-space: nowrap; }
th { background: var(--head); position: sticky; top: 0; } td.text, th.text { text-align: left; }
small { color: var(--soft); }
td.long { white-space: normal; min-width: 22rem; text-align: left; }
tr:hover td { background: var(--head); }
.holds { color: var(--good); font-weight: 600; } .fails { color: var(--bad); font-weight: 600; }
.undetermined { color: var(--open); font-weight: 600; }
.failed { color: var(--bad); }
.published { display: inline-block; white-space: normal; max-width: 15rem; }
ul.headline { padding-left: 1.1rem; max-width: 64rem; } ul.headline li { margin: .35rem 0; }
pre { overflow-x: auto; background: var(--head); padding: .8rem; font-size: .8rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(21rem, 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 6px; padding: .6rem; }
figure strong { font-size: .88rem; } svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
svg .grid { stroke: var(--line); } svg .axis { stroke: var(--soft); }
svg .ref { stroke: var(--fg); stroke-dasharray: 5 4; } svg .error { stroke: var(--fg); }
svg polyline { fill: none; stroke: var(--c); }
svg .thin { stroke-width: 1; opacity: .4; } svg .bold { stroke-width: 2.4; }
svg .c8.bold, svg .c9.bold { stroke-dasharray: 6 4; }
svg rect { fill: var(--c); }
.key { display: inline-block; margin-right: .8rem; white-space: nowrap; }
.key i { display: inline-block; width: .8rem; height: .8rem; margin-right: .3rem;
  vertical-align: -1px; border-radius: 2px; background: var(--c); }
""" + "\n".join(f".c{index} {{ --c: var(--c{index}); }}" for index in range(10))
