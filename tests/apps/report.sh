# The page about a run and its evaluations: what it says, what it says of what is broken, and how a browser shows it.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/tiny_images.sh"

holds() { grep -qF -- "$2" "$1" || fail "$1 does not say: $2"; }
lacks() { grep -qF -- "$2" "$1" && fail "$1 says: $2"; return 0; }
counts() {  # WANT KEY…: from the result
  local want=$1
  shift
  [ "$(value "$@" <out | tr '\n' ' ')" = "$want " ] || fail "$*: $(value "$@" <out | tr '\n' ' ')instead of $want"
}

# --- a run of points, and what vapo density leaves beside it
expect 0 "$vapo" train tiny.toml --out points --set train.log_every=1
expect 0 "$vapo" density points
sed -i 's/^{"step":7,.*/{"step":7,"loss":/' points/metrics.jsonl
echo 'not JSON' >>points/metrics.jsonl
expect 0 "$vapo" report points --json
counts "points/report.html true 20 5 2 0 1 0 0 3 0" report run step curves broken_lines grids evaluations unfinished broken figures missing_figures
grep -q '^points/metrics.jsonl: 2 of 21 lines' err || fail "nothing is said of the broken lines"
page=points/report.html
holds $page '2 of 21 lines are no JSON object with a step'
holds $page 'a perceptron of 593 parameters, trained on two_moons for 20 steps of 32 points'
holds $page '<dt>Path</dt><dd>cosine</dd>'
holds $page '<dt>Newest checkpoint</dt><dd>checkpoint-20.safetensors</dd>'
grep -q '<dt>Trained on</dt><dd>[^<]*precision strict' $page || fail "not where it was trained"
holds $page 'schedule = &#39;constant&#39;'
for plot in Loss 'Terms of the loss' 'Norm of the gradient' 'Learning rate' 'Points per second'; do holds $page "<strong>$plot</strong>"; done
grep -q '<desc id="plot-1-words">[^<]*training: [^ ]* at 1 first, [^ ]* at 20 last; least' $page || fail "no words for a curve"
grep -q '<dt>energy distance ode</dt><dd><span title="[0-9.e-]*">' $page || fail "the numbers of vapo density"
holds $page 'What was asked'
lacks $page 'the gradient while it was trained'   # loss.png: the page has curves of its own
cp $page first.html
expect 0 "$vapo" report points
cmp $page first.html || fail "the same folder gave another page"

# vapo density once more, with another request, in the place of the first; what was another command's stays.
cp points/request.json asked.json
expect 0 "$vapo" density points --no-figures --seed 2
expect 0 "$vapo" report points
holds $page '<dt>seed</dt><dd>2</dd>'
holds $page '<dt>energy distance ode</dt>'
lacks $page 'Particles carried from noise'   # flow.png is of the one before
cmp -s points/request.json asked.json && fail "the request is not the new one's"
cp -r points other && sed -i 's/"density"/"ood"/' other/{request,result}.json && cp other/result.json kept.json
refused 3 'other: holds an evaluation with command "ood", asked is "density". Hint: another --out' "$vapo" density other
cmp other/result.json kept.json || fail "the result of another command is lost"
rm other/{request,result}.json
expect 0 "$vapo" report other --json
counts "0 1" evaluations unfinished
grep -q '^other: summary.json .*Hint: vapo density' err || fail "an older density is left out without a word"

# --- a run of images
any_bytes set train 60 4096
any_bytes set t10k 20 40960
images_toml unet data.held_out=0.2 train.steps=20 train.checkpoint_every=20 train.log_every=5 train.validate_every=10 \
  train.sample_every=2 sample.grid=4 >images.toml
expect 0 "$vapo" train images.toml --out images
result() { mkdir -p "images/evaluations/$1" && cat >"images/evaluations/$1/result.json"; }
result plain <<'JSON'
{"command": "plain", "request": {}, "summary": {"n": 50000, "seconds": 1234.5678, "share": 0.5, "diverged": null},
 "tables": [], "figures": [], "beside_poster": [], "remarks": []}
JSON
nasty='</style><script>alert(1)</script><img src=x onerror=alert(1)>\" '"'"' &amp;'
result nasty <<JSON
{"command": "distance<b>", "request": {"checkpoint": "checkpoint-20.safetensors", "checkpoint_time": 1765164000, "seed": 7,
 "sampler": "heun", "nfe": 58, "note": "$nasty", "classes": [0, 1, 9], "inner": {"<i>": "</dd>"}},
 "summary": {"a_quantity": 0.00012345678, "text": "$nasty"},
 "tables": [{"caption": "Distances $nasty", "columns": ["<th>", "N", "a column with a name that is long enough not to fit"],
   "rows": [["$nasty", 50000, 1.23456789e-7], ["averylongwordthatcannotbebrokenanywhereandisthereforewiderthanaphone", null, -3]]}],
 "figures": [{"file": "grid.png", "caption": "A grid $nasty"}, {"file": "missing.png", "caption": "Not there"},
   {"file": "damaged.png", "caption": "Cut short"}],
 "beside_poster": [{"quantity": "FID <CIFAR-10>", "poster": 11.35, "ours": 12.3456, "not_comparable_because": "the network & the set are others"},
   {"quantity": "AUROC", "poster": 0.84, "ours": 0.851234, "not_comparable_because": ""},
   {"quantity": "mean energy", "poster": "becomes level", "ours": "grows", "not_comparable_because": ""}],
 "remarks": ["$nasty", "x < y"]}
JSON
cp images/samples-20.png images/evaluations/nasty/grid.png
head -c 200 images/samples-20.png >images/evaluations/nasty/damaged.png
result cut </dev/null
result mistyped <<<'{"command": "mistyped", "request": {}, "summary": {}, "tables": [{"caption": "c", "columns": ["a", "b"], "rows": [[1]]}], "figures": [], "beside_poster": [], "remarks": []}'
result outside <<<'{"command": "outside", "request": {}, "summary": {}, "tables": [], "figures": [{"file": "../../samples-20.png", "caption": ""}], "beside_poster": [], "remarks": []}'
result deep <<<"{\"command\": \"deep\", \"request\": {\"a\": $(printf '[%.0s' {1..5000})$(printf ']%.0s' {1..5000})}, \"summary\": {}, \"tables\": [], \"figures\": [], \"beside_poster\": [], \"remarks\": []}"
mkdir images/evaluations/begun && echo '{"command": "begun"}' >images/evaluations/begun/request.json

expect 0 "$vapo" report images --title '<script>alert("&")</script>' --json
counts "true 5 8 10 2 1 4 1 2" run curves grids grids_found evaluations unfinished broken figures missing_figures
[ "$(wc -l <err)" = 7 ] || fail "not one line for each problem"
for name in cut mistyped outside deep begun missing.png damaged.png; do grep -q "images/evaluations/.*$name" err || fail "$name is not named"; done
page=images/report.html
holds $page '<title>&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;</title>'
holds $page '<h1>&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;</h1>'
grep -qE '<script|<img src=x|</style><|<b>|<i>' $page && fail "text of a file became markup"
grep -oE '(src|href)="[^"]{0,14}' $page | grep -vE '^(src="data:image/(png|jp)|href="#)' && fail "the page refers to something outside"
[ "$(grep -c '<img' $page)" = 9 ] || fail "$(grep -c '<img' $page) pictures instead of 8 grids and a figure"
holds $page 'alt="Step 20"'
holds $page '8 of 10 grids'
holds $page '4 samples a grid from seed 0, the same noise in each; heun, 2 steps, NFE 4; averaged weights.'
holds $page 'held-out'
holds $page '<span title="1234.5678">1235</span>'
holds $page '<td class="number"><span title="1.23456789e-07">1.235×10⁻⁷</span></td>'
holds $page '<dt>n</dt><dd>50,000</dd>'
holds $page '<dt>checkpoint time</dt><dd>2025-12-08 03:20:00 UTC'
holds $page '<a href="#evaluation-5">FID &lt;CIFAR-10&gt;</a> <small>not comparable, because the network &amp; the set are others</small>'
[ "$(grep -c 'not comparable' $page)" = 2 ] || fail "the poster's numbers are not in the overview and in the evaluation"
holds $page '<td class="number">11.35</td><td class="number"><span title="12.3456">12.35</span></td>'
holds $page '<td>becomes level</td><td>grows</td>'
holds $page '<figcaption>Cut short</figcaption>'
holds $page 'begun and not finished'
[ "$(grep -c '<h3 ' $page)" = 7 ] || fail "not a heading for each evaluation"

# --- how grids were drawn is what the log says, each way once: SGLD's are of the flow, and another sampler is believed
expect 0 "$vapo" train images.toml --out flow --set train.steps=2 --set train.sample_every=1 --set train.log_every=1 \
  --set sample.method=sgld --set sample.rtol=0.5 --set sample.atol=0.25 --set train.seed=12345 --set train.ema_decay=0
[ "$(grep -m1 '"grid"' flow/metrics.jsonl | value grid | value method)" = rk45 ] || fail "the log does not say how a grid was drawn"
expect 0 "$vapo" report flow
grep -qE '<p>4 samples a grid from seed 12345, the same noise in each; rk45, tolerances 0.5 and 0.25, NFE [0-9]+( to [0-9]+)?; last weights.</p>' \
  flow/report.html || fail "not how the grids were drawn: $(grep 'a grid from' flow/report.html)"
[ "$(grep -c 'a grid from' flow/report.html)" = 1 ] || fail "the same sampler twice"
sed -i '0,/"method":"rk45"/s//"method":"midpoint"/' flow/metrics.jsonl
expect 0 "$vapo" report flow
grep -q 'midpoint, tolerances' flow/report.html || fail "the sampler is not read from the log"
grep -q 'rk45, tolerances' flow/report.html || fail "of two samplers one is told"
sed -i 's/"nfe":[0-9]*/"nfe":-1e300/; s/"grid":{/"grid":{"n":[[1]],"seed":{},"method":null,"rtol":"<b>",/; s/,"rtol":0.5/,"atol":"<i>"/' flow/metrics.jsonl
expect 0 "$vapo" report flow
grep -qE '<b>|<i>' flow/report.html && fail "text of a log became markup"

# --- evaluations without a run, one alone, another place
cp -r images/evaluations only
expect 0 "$vapo" report only --out elsewhere.html --json
counts "elsewhere.html false 0 0 2 4" report run curves grids evaluations broken
[ -e only/report.html ] && fail "a page where none was asked for"
lacks elsewhere.html 'id="run"'
expect 0 "$vapo" report only/plain --json
counts "1 0" evaluations broken
holds only/plain/report.html '<h1>plain</h1>'

# --- what cannot be used
mkdir empty
refused 5 'nowhere: no such folder' "$vapo" report nowhere
refused 3 'neither a run nor evaluations' "$vapo" report empty
refused 3 'tiny.toml: not a folder' "$vapo" report tiny.toml
refused 5 'none/page.html' "$vapo" report only/plain --out none/page.html
cp -r points half && rm half/checkpoint-* half/{summary,request,result}.json half/metrics.jsonl
echo 'set = [' >half/config.toml
expect 0 "$vapo" report half --json
counts "true 0 0" run curves evaluations
grep -q 'half/config.toml' err || fail "a broken config is not named"
holds half/report.html 'set = ['

# --- in a browser
for browser in "${VAPO_CHROMIUM:-}" chromium-headless-shell chromium none; do
  command -v "${browser:-none}" >/dev/null && break
done
if [ "$browser" = none ]; then
  echo "skipped: no chromium here to look at the page with. Hint: apt-get install chromium-headless-shell"
  exit 77
fi
chromium() {
  "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$scratch/browser" --enable-logging=stderr --v=0 \
    --virtual-time-budget=5000 "$@" 2>log >dom || fail "$browser: $(tail -3 log)"
}
# In the page, from a frame of the width to be tried: what does not fit or cannot be seen, told to the frame's owner.
cat >probe.js <<'JS'
addEventListener('load', () => {
  const scrolls = e => e.closest('.wide, pre'), pictures = [...document.images], style = getComputedStyle;
  const light = c => c.match(/[\d.]+/g).slice(0, 3).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const paper = light(style(document.documentElement).backgroundColor);
  const contrast = e => { const l = light(style(e)[e.namespaceURI.endsWith('svg') ? 'fill' : 'color']);
    return (Math.max(l, paper) + .05) / (Math.min(l, paper) + .05); };
  const texts = [...document.querySelectorAll('h1, p, a, dt, dd, td, th, figcaption, caption, summary, text, small')];
  parent.postMessage([innerWidth, matchMedia('(prefers-color-scheme: dark)').matches, pictures.length,
    pictures.filter(i => i.naturalWidth == 0).length,
    document.documentElement.scrollWidth > innerWidth,
    [...document.querySelectorAll('body *')].filter(e => !scrolls(e) && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName),
    texts.filter(e => contrast(e) < 4.5).map(e => e.tagName),
    [...document.querySelectorAll('svg text')].filter(t => t.getBoundingClientRect().right > t.closest('svg').getBoundingClientRect().right + 1).length,
  ].join(' '), '*');
});
JS
seen=0
for page in points/report.html images/report.html elsewhere.html half/report.html; do
  chromium --dump-dom "file://$scratch/$page"
  grep CONSOLE log && fail "$page: the browser complains"
  { sed 's/<meta http-equiv[^>]*>//' $page; echo '<script>'; cat probe.js; echo '</script>'; } >probed.html
  pictures=$(grep -c '<img' $page)
  for width in 360 1280; do
    for scheme in 0 1; do  # dark, light
      echo "<!DOCTYPE html><iframe src=probed.html style='width:${width}px;height:800px;border:0'></iframe>
        <script>addEventListener('message', e => document.title = e.data)</script>" >frame.html
      chromium --blink-settings=preferredColorScheme=$scheme --dump-dom "file://$scratch/frame.html"
      told=$(sed -n 's:.*<title>\(.*\)</title>.*:\1:p' dom)
      dark=$([ $scheme = 0 ] && echo true || echo false)
      [ "$told" = "$width $dark $pictures 0 false   0" ] ||
        fail "$page at $width px: width, dark, pictures, undecoded, too wide, what is, too pale, cut labels: $told"
      seen=$((seen + 1))
    done
  done
done
[ $seen = 16 ] || fail "looked $seen times"
echo "report: passed"
