#!/usr/bin/env bash
# What the newcomer's pages name is there: files, links, functions, types and members in backquotes, keys of configs,
# commands, presets, and lines of quoted code; and the links of all pages. Arguments: the root of the house, and the pages (docs/engine.md,
# CONTRIBUTING.md). NAME in a path or a name stands for any. What only stands in docs, in a comment, in a text or in this
# script counts as missing; so does what cannot be told. In the sources a name may be any identifier.
set -uo pipefail
cd "$1" || exit 1
shift
[ $# -gt 0 ] || set -- docs/engine.md CONTRIBUTING.md
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# --- the sources as they are, and without comments and texts, with the name of each file; their words, and those of scripts

rooms=()
for room in tensor autograd nn vapo data apps tests bench examples; do [ -d "$room" ] && rooms+=("$room"); done
mapfile -t sources < <(find "${rooms[@]}" -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.inc' | sort)
mapfile -t scripts < <(
  find "${rooms[@]}" tools cmake -name '*.sh' -o -name '*.py' -o -name '*.cmake' -o -name CMakeLists.txt | grep -v '^tests/house/pages.sh$'
  ls CMakeLists.txt CMakePresets.json
)
for file in "${sources[@]}"; do
  echo "@ $file"
  sed -E "s/'\\\\?\"'//g; s/\"([^\"\\\\]|\\\\.)*\"//g; s,//.*,," "$file"
done >"$scratch/code"
cat "${sources[@]}" >"$scratch/raw"
sed -E 's/(^|[[:space:]])#.*//' "${scripts[@]}" >"$scratch/scripts"
grep -v '^@ ' "$scratch/code" | grep -oE '[A-Za-z_][A-Za-z0-9_]*' | sort -u >"$scratch/identifiers"
grep -oE '[A-Za-z0-9_]+(-[A-Za-z0-9_]+)*' "$scratch/scripts" | sort -u >"$scratch/words"

# --- one kind of name each: 0 where it is there

path_there() {  # also of a folder
  if [[ $1 == *NAME* ]]; then compgen -G "${1//NAME/*}" >/dev/null; else [ -e "$1" ]; fi
}
word_there() {  # an identifier; or a word of scripts that could be none of ours: a program, a target, a label
  [[ $1 =~ ^[A-Za-z0-9_-]+$ ]] || return 1
  grep -qxE -- "${1//NAME/[A-Za-z0-9_]+}" "$scratch/identifiers" || { [[ $1 != *[A-Z_]* ]] && grep -qxF -- "$1" "$scratch/words"; }
}
member_there() {  # OWNER MEMBER: said together, or the member in a file after the owner's definition begins
  awk -v owner="$1" -v member="$2" '
    function has(word) { return $0 ~ "(^|[^A-Za-z0-9_])" word "([^A-Za-z0-9_]|$)" }
    /^@ / { inside = 0; next }
    has(owner "::" member) { found = 1; exit }
    !inside && /(class|struct|enum|namespace|using) / && has(owner) { inside = 1 }
    inside && has(member) { found = 1; exit }
    END { exit !found }' "$scratch/code"
}
name_there() {  # a::b, a<b>, a()
  local name parts i
  name=$(sed -E 's/<[^<>]*>//g; s/\(\)$//; s/^\.//' <<<"$1")
  parts=(${name//::/ })
  word_there "${parts[0]}" || return 1
  for ((i = 1; i < ${#parts[@]}; ++i)); do member_there "${parts[i - 1]}" "${parts[i]}" || return 1; done
}
# A line of a shell: its program, its paths but for what is built, its presets and targets, a command of vapo.
line_there() {
  local words word before=
  read -ra words <<<"$1"
  [[ ${words[0]} == */* ]] || word_there "${words[0]}" || return 1
  for word in "${words[@]}"; do
    if [[ $before = --preset ]]; then
      grep -q "\"name\": \"$word\"" CMakePresets.json || return 1
    elif [[ $before = vapo && $word =~ ^[a-z]+$ ]]; then
      grep -qF "add_subcommand(\"$word\"" "$scratch/raw" || return 1
    elif [[ ${words[0]} = vapo && $word =~ ^[a-z]+$ && $word != vapo ]]; then
      grep -qF "\"$word\"" "$scratch/raw" || return 1
    elif [[ $before = --target ]]; then
      word_there "$word" || return 1
    elif [[ $word =~ ^[A-Za-z0-9_.]+(/[A-Za-z0-9_.-]+)+/?$ && $word != build/* ]]; then
      path_there "$word" || return 1
    fi
    before=$word
  done
}
there() {  # a text in backquotes
  case $1 in
    -*) return 0 ;;  # an option of another program
    *\ *) line_there "$1" ;;
    \$*) grep -qF "getenv(\"${1#\$}\")" "$scratch/raw" ;;
    build/*) word_there "${1##*/}" ;;
    */* | *.h | *.cpp | *.cu | *.inc | *.sh | *.py | *.md | *.txt | *.json | .*-*) path_there "$1" ;;
    *)
      if [[ $1 =~ ^[a-z_0-9]+\.[a-z_0-9]+$ ]]; then
        grep -qF "\"$1\"" "$scratch/raw"
      elif [[ $1 =~ ^\.?[A-Za-z_][A-Za-z0-9_]*(<[A-Za-z0-9_]+>)?(::[A-Za-z_][A-Za-z0-9_]*(<[A-Za-z0-9_]+>)?)*(\(\))?$ ]]; then
        name_there "$1"
      else
        word_there "$1"
      fi
      ;;
  esac
}

# --- the pages

# A page's lines of one kind: "code cpp" of such a fence, "code" of any other, "indented" of a block after an empty line (a
# formula, or lines for a shell), "text".
lines() {  # KIND PAGE
  awk -v kind="$1" '
    /^ *```/ { fenced = !fenced; fence = $0 ~ /cpp/ ? "code cpp" : "code"; empty = 0; next }
    { is = fenced ? fence : /^    / && (empty || block) ? "indented" : "text"; block = is == "indented"; empty = !NF }
    is == kind && NF' "$2"
}
quoted() { lines text "$1" | grep -oE '`[^`]+`' | sed 's/^`//; s/`$//' | sort -u; }
commands() { lines indented "$1" | grep -E '^    [A-Za-z0-9_./-]{3,}( |$)' | grep -vE '[=≤∂⟨]' | sed 's/ # .*//; s/^ *//'; }
quoted_code() { lines "code cpp" "$1" | sed 's/^ *//'; }
links() { lines text "$1" | grep -oE '\]\([^)# ]+[)#]' | sed 's/^](//; s/.$//' | grep -vE '^https?:' | sort -u; }

# What a page names and is not there: a line each.
missing() {
  local text
  lines text "$1" | awk -F'`' -v page="$1" 'NF % 2 == 0 { print page ": a backquote without its other one on the line: " $0 }'
  while IFS= read -r text; do there "$text" || echo "$1: \`$text\`"; done < <(quoted "$1")
  while IFS= read -r text; do line_there "$text" || echo "$1: $text"; done < <(commands "$1")
  while IFS= read -r text; do grep -qF -- "$text" "$scratch/raw" || echo "$1: this code is in no source: $text"; done < <(quoted_code "$1")
  missing_links "$1"
}
missing_links() {
  local text
  while IFS= read -r text; do [ -e "$(dirname "$1")/$text" ] || echo "$1: the link to $text"; done < <(links "$1")
}

failed=0
for page; do
  [ "$(quoted "$page" | wc -l)" -ge 20 ] || { echo "$page names next to nothing" >&2 && failed=1; }
  found=$(missing "$page")
  [ -z "$found" ] || { printf 'named, and not there:\n%s\n' "$found" >&2 && failed=1; }
done

# Of all other pages the links alone.
found=$(for page in *.md docs/*.md tests/golden/README.md bench/README.md; do missing_links "$page"; done)
[ -z "$found" ] || { printf 'links that lead nowhere:\n%s\n' "$found" >&2 && failed=1; }

# This test can fail: of each kind a name that is not there, and nothing else, is found missing.
cat >"$scratch/wrong.md" <<'MD'
`conv2d_input_gradients` `kernel::conv3d` `Var::with_history_of` `autograd/nrom.cpp` `vapo/netwroks/NAME.h` `.clang-fromat-x`
`vapo trian` `cmake --preset relaese` `path.knid` `$VAPO_DTAA` `addd_NAME` `tools/demmo.sh two_moons` `house-pagess` `Pencil and paper`
[nowhere](nowhere.md), a name `without end

    tools/no_such_script.sh

```cpp
  return recorded_nowhere;
```
MD
wrong=$(missing "$scratch/wrong.md" | wc -l)
right=$(for name in conv2d_input_grad kernel::conv2d Var::requires_grad autograd/grad.cpp vapo/NAME.h 'vapo train' add_NAME path.kind; do
  there "$name" || echo "$name"
done)
[ "$wrong" = 18 ] || { echo "of 18 wrong names $wrong are found" >&2 && missing "$scratch/wrong.md" >&2 && failed=1; }
[ -z "$right" ] || { echo "called missing, and there: $right" >&2 && failed=1; }

[ $failed = 0 ] && echo "pages: passed"
exit $failed
