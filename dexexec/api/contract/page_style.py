"""The style of the page at `/docs`: one sheet, without fonts or files of others."""

STYLE = """
:root { color-scheme: light dark; font: 16px/1.55 system-ui, sans-serif;
  --line: color-mix(in srgb, currentColor 14%, transparent); --soft: color-mix(in srgb, currentColor 6%, transparent);
  --quiet: color-mix(in srgb, currentColor 62%, transparent); --link: light-dark(#0b57d0, #8ab4f8);
  --get: light-dark(#1a7f37, #57c27a); --post: light-dark(#0b57d0, #8ab4f8); --patch: light-dark(#9a5b00, #e3a94a);
  --delete: light-dark(#b3261e, #f2857d); --send: light-dark(#6f42c1, #b79af2); }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 1.5rem; }
body { margin: 0; display: grid; grid-template-columns: 17rem minmax(0, 1fr); background: light-dark(#fff, #16181d); }
nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 1.75rem 1.25rem;
  border-right: 1px solid var(--line); font-size: .875rem; }
nav b { display: block; margin: 1.4rem 0 .35rem; font-size: .75rem; text-transform: uppercase; letter-spacing: .06em;
  color: var(--quiet); }
nav a { display: flex; gap: .5rem; align-items: baseline; padding: .16rem 0; color: inherit; text-decoration: none; }
nav a:hover { color: var(--link); }
nav .title { font-size: 1.25rem; font-weight: 650; }
nav .verb { flex: 0 0 3.4rem; font-size: .66rem; }
main { padding: 2.5rem clamp(1.25rem, 4vw, 4rem) 6rem; max-width: 68rem; }
h1 { margin: 0 0 .5rem; font-size: 2rem; line-height: 1.2; }
h1 small { font-weight: 400; font-size: 1rem; color: var(--quiet); }
h2 { margin: 3.5rem 0 .25rem; padding-top: 1.5rem; border-top: 1px solid var(--line); font-size: 1.45rem; }
h3 { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; margin: 2.75rem 0 .25rem; font-size: 1.05rem; }
h3 code { font-size: 1rem; font-weight: 600; background: none; padding: 0; }
h4 { margin: 1.25rem 0 .35rem; font-size: .8rem; text-transform: uppercase; letter-spacing: .05em;
  color: var(--quiet); }
p { margin: .35rem 0; max-width: 46rem; }
a { color: var(--link); }
code, pre { font: .84rem/1.5 ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace; }
code { padding: .08em .3em; border-radius: .3rem; background: var(--soft); overflow-wrap: anywhere; }
pre { margin: .4rem 0; padding: .8rem 1rem; border-radius: .5rem; background: var(--soft); overflow-x: auto; }
pre code { padding: 0; background: none; overflow-wrap: normal; }
.verb { font: 700 .72rem/1 ui-monospace, monospace; letter-spacing: .03em; color: var(--get); }
h3 .verb { padding: .4em .55em; border-radius: .35rem; color: #fff; background: var(--get); }
@media (prefers-color-scheme: dark) { h3 .verb { color: #16181d; } }
.verb.post { color: var(--post); } h3 .verb.post { background: var(--post); color: light-dark(#fff, #16181d); }
.verb.patch { color: var(--patch); } h3 .verb.patch { background: var(--patch); color: light-dark(#fff, #16181d); }
.verb.delete { color: var(--delete); } h3 .verb.delete { background: var(--delete); color: light-dark(#fff, #16181d); }
.verb.send { color: var(--send); } h3 .verb.send { background: var(--send); color: light-dark(#fff, #16181d); }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
td { padding: .45rem .75rem .45rem 0; border-top: 1px solid var(--line); vertical-align: top; }
td:first-child { width: 13rem; white-space: nowrap; }
td:nth-child(2) { color: var(--quiet); width: 14rem; }
.must { color: var(--delete); font-size: .72rem; margin-left: .35rem; }
details { margin: .3rem 0; border: 1px solid var(--line); border-radius: .5rem; }
summary { padding: .45rem .8rem; cursor: pointer; font-size: .92rem; }
summary small { color: var(--quiet); font-size: .85rem; }
details > :not(summary) { margin-left: .9rem; margin-right: .9rem; max-width: calc(100% - 1.8rem); }
details > table { margin-bottom: .6rem; }
.status { font: 600 .84rem/1 ui-monospace, monospace; margin-right: .5rem; }
.status.good { color: var(--get); } .status.bad { color: var(--delete); }
@media (max-width: 60rem) { body { display: block; } nav { position: static; height: auto; border: 0; }
  td:first-child { width: auto; white-space: normal; } td:nth-child(2) { width: auto; } }
"""
