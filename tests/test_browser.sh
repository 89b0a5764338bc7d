#!/bin/sh
# test_browser.sh - opens two reports in a headless Chromium: does the page hold what it should once a browser has read it,
# without an error or a scroll bar at any width, and does it print?
set -u
BUILD=${BUILD:-build}
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ]; then
    echo "SKIP: the report in a browser: there is no chromium"
    exit 0
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
. tests/plots_drawn.sh
mkdir "$work/profile"

say() { # STATUS NAME
    if [ "$1" -eq 0 ]; then echo "ok $2"; else echo "not ok $2"; fi
}

chrome() { # OPTIONS... : standard error is the console
    timeout 60 "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --enable-logging=stderr \
        --user-data-dir="$work/profile" "$@" 2>"$work/console"
}

"$BUILD/tests/test_report" --demo "$work" || exit 1
if ! chrome --dump-dom "file://$work/demo.html" >"$work/demo.dom" || ! grep -q '</html>' "$work/demo.dom"; then
    echo "SKIP: the report in a browser: $browser does not start here"
    exit 0
fi
! grep CONSOLE "$work/console"
say $? "no message on the console (a wrong hash of the script would be one)"
[ "$(grep -o '<svg class="plot' "$work/demo.dom" | wc -l)" -eq 8 ]
say $? "all plots of the demo are there"

chrome --dump-dom "file://$work/hard.html" >"$work/hard.dom"
! grep CONSOLE "$work/console"
say $? "no message on the console with hostile texts"
[ "$(grep -o '<svg class="plot' "$work/hard.dom" | wc -l)" -eq 15 ]
say $? "all plots are there with hostile texts"
grep -q '<title>Hard &lt;script&gt;' "$work/hard.dom"
say $? "the script in a hostile text did not run"

# Every plot shows its data; but for the two of the hard page that have none. A page whose plots do not is seen.
plots() { # FILE EXPECTED
    plots_copy "$1" tests >"$work/plots.html"
    chrome --dump-dom "file://$work/plots.html" >"$work/plots.dom"
    [ "$(plots_found "$work/plots.dom")" = "$2" ]
    say $? "plots of $(basename "$1"): $2 ($(plots_found "$work/plots.dom"))"
}
plots "$work/demo.html" "plots 8 empty 0 broken 0"
plots "$work/hard.html" "plots 15 empty 2 broken 0"
plots_break "$work/demo.html" marks >"$work/no_marks.html"
plots "$work/no_marks.html" "plots 8 empty 1 broken 0"
plots_break "$work/demo.html" nan >"$work/nan.html"
plots "$work/nan.html" "plots 8 empty 0 broken 1 f1"
plots_break "$work/demo.html" labels >"$work/labels.html"
plots "$work/labels.html" "plots 8 empty 0 broken 1 f1"

# A copy that measures itself: it needs a page whose policy lets this script run.
for page in demo hard; do
    sed -e '/Content-Security-Policy/d' -e 's#</body>#<script>document.title="overflow "+(document.documentElement.scrollWidth-innerWidth)+" folded "+!document.querySelector("nav details").open</script></body>#' \
        "$work/$page.html" >"$work/measure.html"
    for width in 500 800 1280 1900; do
        chrome --window-size=$width,900 --dump-dom "file://$work/measure.html" >"$work/measure.dom"
        folded=$([ $width -le 900 ] && echo true || echo false)
        found=$(grep -o '<title>overflow[^<]*' "$work/measure.dom" | cut -c8-)
        echo "$found" | grep -qxE "overflow (-[0-9]+|0) folded $folded"
        say $? "$page at $width pixels: nothing sticks out, contents folded when narrow ($found)"
    done
done

# The same with the rules of print on a screen as wide as paper is between its margins: A4 and Letter.
for page in demo hard; do
    for width in 717 739; do
        page_printed "$work/$page.html" tests >"$work/measure.html"
        chrome --window-size=$width,900 --dump-dom "file://$work/measure.html" >"$work/measure.dom"
        found=$(grep -o '<title>print[^<]*' "$work/measure.dom" | cut -c8-)
        [ "$found" = "print 0 by 0 " ]
        say $? "$page on paper $width pixels wide: nothing sticks out ($found)"
    done
done
page_printed "$work/hard.html" tests | sed 's/^<\/style>/.number{white-space:nowrap!important}&/' >"$work/measure.html"
chrome --window-size=717,900 --dump-dom "file://$work/measure.html" >"$work/measure.dom"
grep -q '<title>print [1-9]' "$work/measure.dom"
say $? "a table that sticks out of the paper is seen"

chrome --print-to-pdf="$work/demo.pdf" "file://$work/demo.html"
[ "$(grep -ac '/Type /Page$' "$work/demo.pdf")" -ge 4 ]
say $? "it prints"
