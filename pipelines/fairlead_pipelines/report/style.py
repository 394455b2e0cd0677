"""What the report adds to the style of every page."""

STYLE = """
html{scroll-behavior:smooth;scroll-padding-top:1rem}
body>header{max-width:78rem;padding-bottom:.4rem}
main{max-width:78rem;display:grid;grid-template-columns:13.5rem minmax(0,1fr);gap:2.2rem;align-items:start}
nav{position:sticky;top:1rem;font-size:.88rem;max-height:calc(100vh - 2rem);overflow:auto;padding-top:2.1rem}
nav ol{list-style:none;margin:0;padding:0}nav li{margin:.12rem 0}
nav a{color:var(--soft);text-decoration:none;display:block;padding:.14rem .5rem;border-radius:5px}
nav a:hover{background:var(--head);color:var(--ink)}
nav .part{margin-top:.7rem;color:var(--ink);font-weight:600;padding:.14rem .5rem}
.dot{display:inline-block;width:.55rem;height:.55rem;border-radius:50%;margin-right:.45rem;background:var(--soft)}
.dot.succeeded,.dot.approved,.dot.promoted{background:var(--good)}.dot.cached{background:var(--accent)}
.dot.failed,.dot.rejected{background:var(--bad)}.dot.running,.dot.inconclusive{background:var(--warn)}
.pill{display:inline-block;border-radius:99px;padding:.05rem .65rem;font-size:.82rem;font-weight:600;
border:1px solid currentColor;color:var(--soft);vertical-align:middle;white-space:nowrap}
.pill.succeeded,.pill.approved,.pill.promoted{color:var(--good)}.pill.cached{color:var(--accent)}
.pill.failed,.pill.rejected,.pill.rolled_back{color:var(--bad)}.pill.running,.pill.inconclusive{color:var(--warn)}
.sub{color:var(--soft);margin:0;max-width:none}
section>h2:first-child{margin-top:1.6rem}
details.task{border:1px solid var(--rule);border-radius:10px;background:var(--paper)}
details.task>summary{width:auto;color:inherit;list-style:none;cursor:pointer;
padding:.65rem 1rem;display:flex;gap:.7rem;align-items:center;flex-wrap:wrap}
details.task>summary h3{margin:0;font-size:1.08rem;flex:1 1 auto}
details.task>summary::-webkit-details-marker{display:none}
details.task>summary::before{content:"▸";color:var(--soft)}details.task[open]>summary::before{content:"▾"}
details.task{margin:.6rem 0}details.task[open]{margin:1rem 0}
details.task[open]>summary{border-bottom:1px solid var(--rule)}
details.task>div{padding:.4rem 1.1rem 1rem;scroll-margin-top:4rem}
.verdicts{columns:16.8rem;column-gap:.9rem}
.verdict{break-inside:avoid;margin:0 0 .9rem;background:var(--card);
border:1px solid var(--rule);border-top:4px solid var(--soft);border-radius:8px;
padding:.7rem .9rem;min-width:0}
.verdict.approved{border-top-color:var(--good)}.verdict.rejected{border-top-color:var(--bad)}
.verdict.inconclusive{border-top-color:var(--warn)}
.verdict h3{margin:0 0 .3rem;display:flex;justify-content:space-between;gap:.5rem}
.verdict h3 a{color:inherit;text-decoration:none}
.verdict .sub{display:flex;flex-wrap:wrap;gap:0 .8rem;font-size:.84rem}.verdict .sub span{white-space:nowrap}
.verdict ul{margin:.4rem 0;padding-left:1.1rem}.verdict td{padding:.22rem 0}.verdict td+td{padding-left:.8rem}
.verdict td.n small{display:block}.verdict td.n .demand{display:inline;margin-left:.4rem}
.verdict details .table{max-height:19rem;min-width:0}.verdict details td{padding:.2rem .5rem;overflow-wrap:anywhere}
code.digest{font-size:.74rem;color:var(--soft);overflow-wrap:anywhere}
#lineage td{max-width:38rem}#lineage td+td+td{overflow-wrap:anywhere}
#lineage h4{font-family:ui-monospace,"DejaVu Sans Mono",monospace}#lineage pre{max-height:26rem}
svg.graph .edge{fill:none;stroke:var(--soft);stroke-width:1.3;opacity:.75}
svg.graph rect{fill:var(--card);stroke:var(--soft);stroke-width:1.2}
svg.graph text{font-size:13px;font-weight:600;fill:var(--ink)}
svg.graph text.time{font-size:11px;font-weight:400;fill:var(--soft)}
svg.graph circle,svg.graph rect.bar{fill:var(--soft);stroke:none}
svg.graph .succeeded rect{stroke:var(--good)}svg.graph .succeeded circle,svg.graph .succeeded .bar{fill:var(--good)}
svg.graph .cached rect{stroke:var(--accent)}svg.graph .cached circle,svg.graph .cached .bar{fill:var(--accent)}
svg.graph .failed rect{stroke:var(--bad);stroke-width:2.2}svg.graph .failed circle{fill:var(--bad)}
svg.graph .running rect{stroke:var(--warn)}svg.graph .running circle{fill:var(--warn)}
svg.graph .skipped rect{stroke-dasharray:4 3}svg.graph .skipped text{fill:var(--soft)}
svg.graph .box rect.bar{stroke:none}svg.graph a:hover rect{fill:var(--head)}
iframe{width:100%;height:34rem;border:1px solid var(--rule);border-radius:8px;background:#fff}
pre.error{border-color:var(--bad);white-space:pre-wrap}
@media(max-width:60rem){main{display:block}nav{display:none}}
@media print{nav{display:none}main{display:block}}
"""
