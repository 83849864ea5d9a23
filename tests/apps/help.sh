# vapo help: every key that a config has is explained, with its default and what it may be; a section alone; a command
# as by its --help.
. "$(dirname "$0")/common.sh"

# "section.key" of each line of TOML
keys_of() { sed -En -e 's/^\[(.*)\]$/\1/;t section' -e 's/^([a-z_0-9]+) = .*/\1/p;b' -e ':section' -e 'h' "$1"; }

expect 0 "$vapo" help keys
cp out keys
expect 0 "$vapo" train tiny.toml --out run --set unet.groups=8 --set wide_resnet.groups=8  # so that no table is left out
for section in data model unet wide_resnet path loss train sample energy density; do
  grep -qx "\[$section\]" keys || fail "vapo help keys: no section $section"
  sed -n "/^\[$section\]$/,/^$/p" run/config.toml | sed -En 's/^([a-z_0-9]+) = .*/\1/p' | sort >has
  sed -n "/^\[$section\]$/,/^$/p" keys | sed -En 's/^([a-z_0-9]+) = .*/\1/p' | sort >told
  [ -s has ] && diff has told || fail "vapo help keys: the keys of $section"
done
# under each key two lines more: what it is, and what it may be
awk '/^[a-z_0-9]+ = /{ getline help; getline values; if (help !~ /^    [^ ]/ || values !~ /^    \(.+\)$/) { print $0; exit 1 } }' keys ||
  fail "vapo help keys: a key that is not explained"

expect 0 "$vapo" help keys train
grep -qx 'steps = 10000' out && ! grep -q '^\[unet\]' out || fail "vapo help keys train"
expect 0 "$vapo" help keys path.kind
grep -q 'linear, cosine, tempered' out || fail "vapo help keys path.kind: its names"
expect 2 "$vapo" help keys trian
grep -q 'help keys trian: .*data, model, unet' err || fail "an unknown section: $(cat err)"

expect 0 "$vapo" help sample
cp out by-help
expect 0 "$vapo" sample --help
cmp by-help out || fail "vapo help sample"
expect 0 "$vapo" help
grep -qE '^ +likelihood +Log' out || fail "vapo help: the list of commands"
expect 2 "$vapo" help nonsense
