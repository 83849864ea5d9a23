# Every --option that a hint names is one of the command that prints it, and means there what the hint says. Every
# script checks the hints of what it sees refused (common.sh); here are those in the sources, and those of folders.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/tiny_images.sh"

# A source of a command's own: its name is the command's.
tried=0
for source in "$root"/apps/{training,sampling,evaluation,report}/*.cpp; do
  name=$(basename "$source" .cpp)
  case "$source" in */training/*) name=train ;; esac
  case "$name" in
    ood_report) name=ood ;;
    longrun_report | long_chain) name=longrun ;;
    fid_sides) name=fid ;;
    classifier) name="classifier train" ;;
  esac
  "$vapo" $name --help >help 2>/dev/null
  grep -q "^Usage: .*vapo.* $name " help || continue  # of several commands
  # adjacent literals are one text
  tr '\n' ' ' <"$source" | sed 's/" *"//g' | grep -oE 'Hint: [^"]*' >hints || continue
  while read -r hint; do
    grep -q 'vapo [a-z]* .*--' <<<"$hint" && continue  # of another command, in full
    for option in $(grep -oE -- '--[a-z][a-z-]*' <<<"$hint"); do
      tried=$((tried + 1))
      grep -qE -- "[ ,]$option( |$|,)" help || fail "$source: vapo $name has no $option: $hint"
    done
  done <hints
done
[ "$tried" -ge 10 ] || fail "only $tried options found in hints: the test does not test"

# A folder that holds another evaluation: the hint names the option that chooses the folder.
any_bytes set train 60 4096
any_bytes set t10k 20 40960
pixels 30 3 | npy a.npy '(30, 8, 8)'
pixels 30 4 | npy b.npy '(30, 8, 8)'
images_toml wide_resnet >images.toml
expect 0 "$vapo" train images.toml --out run
expect 0 "$vapo" ood run --limit 10 --likelihood 0 --out a.npy
refused 3 'Hint: another --folder' "$vapo" ood run --limit 10 --likelihood 0 --out b.npy
expect 0 "$vapo" ood run --limit 10 --likelihood 0 --out b.npy --folder other
expect 0 "$vapo" interpolate run
refused 3 'Hint: another --out' "$vapo" interpolate run --points 3
expect 0 "$vapo" interpolate run --points 3 --out points
# A file in the way, and one that is no evaluation's.
echo >file
refused 5 'file: cannot make this folder.*Hint: another --folder' "$vapo" ood run --limit 10 --out a.npy --folder file
refused 5 'file: cannot make this folder.*Hint: another --out' "$vapo" interpolate run --out file
echo no >other/request.json
refused 3 'request.json: not JSON.*Hint: another --folder' "$vapo" ood run --limit 10 --out a.npy --folder other
# Samples that are not finite: what helps depends on the method.
expect 0 "$vapo" train tiny.toml --out points-run
expect 4 "$vapo" sample points-run -n 4 --method sgld --step-size 1e6 --steps 500
hint_names_options "$vapo" sample
echo "hints: passed"
