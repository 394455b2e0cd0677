"""The style of every page: calm, readable on light and dark paper and in print."""

STYLE = """
:root{color-scheme:light dark;--paper:#fbfbf9;--card:#fff;--ink:#1d2733;--soft:#5c6876;--rule:#e0e4e8;--head:#f3f5f6;
--accent:#2b6cb0;--good:#1d7f5f;--warn:#9a6700;--bad:#b3372b}
@media(prefers-color-scheme:dark){:root{--paper:#14181d;--card:#1b2027;--ink:#e3e7ec;--soft:#9aa5b1;--rule:#313943;
--head:#232a32;--accent:#7ab2ec;--good:#4cc19a;--warn:#dfb04b;--bad:#f08578}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"DejaVu Sans",sans-serif}
body>header,main{max-width:62rem;margin:0 auto;padding:0 1.5rem}
body>header{padding-top:2rem}main{padding-bottom:3rem}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .6rem}h2{font-size:1.25rem;margin:2rem 0 .6rem}
h3{font-size:1.05rem;margin:1.5rem 0 .5rem}h4{font-size:.95rem;margin:1.2rem 0 .4rem}
a{color:var(--accent)}
p{margin:.5rem 0;max-width:46rem;white-space:pre-line;overflow-wrap:anywhere}
.note{border-left:4px solid var(--accent);background:var(--card);padding:.55rem .9rem;border-radius:0 6px 6px 0;
margin:.8rem 0;max-width:none}
.good{border-color:var(--good)}.warn{border-color:var(--warn)}.bad{border-color:var(--bad)}
dl.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(11.5rem,1fr));gap:.6rem;margin:.9rem 0}
dl.facts>div{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:.5rem .8rem;min-width:0}
dl.facts>.wide{grid-column:1/-1}
dl.facts dt{color:var(--soft);font-size:.8rem}
dl.facts dd{margin:0;font-size:1.08rem;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
dl.facts .wide dd{font-size:.92rem}
small{color:var(--soft);font-size:.86em;white-space:nowrap}dl.facts small{display:block;font-size:.8rem}
.table{overflow:auto;border:1px solid var(--rule);border-radius:8px;background:var(--card);
margin:.9rem 0;width:fit-content;min-width:min(100%,26rem);max-width:100%}
.table.long{max-height:44rem;scrollbar-gutter:stable}.t{white-space:nowrap}
table{border-collapse:collapse;width:100%;font-size:.88rem}
caption{caption-side:top;text-align:left;color:var(--soft);padding:.5rem .8rem}
th,td{padding:.3rem .65rem;text-align:left;vertical-align:top;border-top:1px solid var(--rule)}
thead th{position:sticky;top:0;background:var(--head);border-top:0;font-weight:600;vertical-align:bottom}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}td.n{white-space:nowrap}.stacked td.n small{display:block}
.bars{font-family:"DejaVu Sans Mono",Menlo,Consolas,monospace;white-space:pre;color:var(--accent);font-size:.8rem;
line-height:1}
details{margin:.6rem 0}details>summary{cursor:pointer;color:var(--soft);width:fit-content}
tbody tr:hover{background:var(--head)}
figure{margin:1rem 0;background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:.8rem}
figure svg{display:block;margin:0 auto;max-width:100%;height:auto;fill:currentColor}
figure svg *{stroke-linejoin:round;stroke-linecap:butt}
figure svg text{font-family:inherit!important}
figcaption{color:var(--soft);font-size:.88rem;margin-top:.5rem}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(6.2rem,1fr));gap:.6rem;margin:.9rem 0}
.pictures figure{margin:0;padding:.45rem;text-align:center}
.pictures img{width:100%;max-width:8rem;aspect-ratio:1;object-fit:contain;image-rendering:pixelated;border-radius:4px}
.pictures figcaption{white-space:pre-line;font-size:.78rem;line-height:1.3;margin-top:.3rem}
code,pre{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.88em}
pre{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:.7rem .9rem;overflow:auto}
@media print{.table{max-height:none}figure,dl.facts>div{break-inside:avoid}}
"""
