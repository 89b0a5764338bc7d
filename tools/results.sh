#!/bin/sh
# results.sh RUN OUT - what of a finished `sae scaffold` run is worth keeping beside its description: the page, all numbers as JSON,
# and each plot of the page as a picture (Chromium draws them).
set -eu
[ $# -eq 2 ] && [ -s "$1/report.html" ] || { echo "usage: tools/results.sh RUN OUT" >&2; exit 2; }
run=$1 out=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
rm -rf "$out/plots" "$out/results"
mkdir -p "$out/plots"
cp "$run/report.html" "$run/run.json" "$out/"
cp -r "$run/results" "$out/results"

# One page for each figure: the report's style, the figure, nothing else.
sed -n '/<style>/,/<\/style>/p' "$run/report.html" >"$scratch/style"
awk -v dir="$scratch" '
    /^<h2/ { section = $0; gsub(/<[^>]*>/, "", section) }
    /^<figure>/ { n++; file = sprintf("%s/%02d.html", dir, n); inside = 1; lines = 0
        print "<!doctype html><meta charset=utf-8>" >file
        while ((getline line < (dir "/style")) > 0) print line >file
        close(dir "/style")
        print "<style>details{display:none}</style>" >file
        print "<body style=\"padding:16px 20px\">" >file }
    inside { print >file }
    inside && /<figcaption/ { caption = $0; gsub(/<[^>]*>/, "", caption) }
    inside && /<li/ { lines += gsub(/<li/, "<li") }
    inside && /viewBox=/ { split($0, part, "viewBox=\""); split(part[2], box, /[ "]/); width = box[3]; tall = box[4] }
    /^<\/figure>/ { inside = 0; close(file); slug = tolower(section "-" caption); gsub(/&[#a-z0-9]*;/, "", slug); gsub(/[^a-z0-9]+/, "-", slug)
        sub(/-$/, "", slug); shown = width > 440 ? 760 : 560
        printf "%02d %d %d %s\n", n, shown + 40, 70 + 22 * int(lines / 4 + 1) + tall * shown / width, substr(slug, 1, 90) }
' "$run/report.html" >"$scratch/list"
while read -r n width height slug; do
    chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=1.5 --window-size="$width,$height" \
        --screenshot="$out/plots/$n-$slug.png" "file://$scratch/$n.html" >/dev/null 2>&1
    echo "$out/plots/$n-$slug.png"
done <"$scratch/list"
