# plots_drawn.sh - for tests that have a browser: whether the plots of a page show something.

# A copy of the page FILE, on standard output, that looks at its own plots by the script in FOLDER; its policy would not let it.
plots_copy() { # FILE FOLDER
    sed -e '/Content-Security-Policy/d' -e '/^<\/body>/d' -e '/^<\/html>/d' "$1"
    echo '<script>'
    cat "$2/plots_drawn.js"
    echo '</script></body></html>'
}
# A copy of the page FILE, on standard output, that has on the screen what it has on paper, and measures what sticks out of it.
page_printed() { # FILE FOLDER
    sed -e '/Content-Security-Policy/d' -e '/^<\/body>/d' -e '/^<\/html>/d' -e 's/@media print{/@media all{/' "$1"
    echo '<script>'
    cat "$2/print_width.js"
    echo '</script></body></html>'
}
# What it found, from the page as the browser has it: "plots 8 empty 0 broken 0".
plots_found() { # FILE
    grep -o '<title>plots [^<]*' "$1" | sed -e 's/<title>//' -e 's/ $//'
}
# The page FILE with its first plot broken, on standard output: HOW is "marks" (it has none), "nan" (one is nowhere) or "labels" (they
# run into each other).
plots_break() { # FILE HOW
    awk -v how="$2" '/<svg class="plot/ { inside = ++n == 1 } /<\/svg>/ { inside = 0 }
        inside && how == "marks" { gsub(/<(rect|circle)[^>]*>/, "<g>"); gsub(/<\/(rect|circle)>/, "</g>"); gsub(/<path class="(line|step|band|whisker)"[^>]*>/, "") }
        inside && how == "labels" { gsub(/<text x="[-0-9.]+" y="[-0-9.]+" text-anchor="middle">/, "<text x=\"90\" y=\"99\" text-anchor=\"middle\">") }
        inside && how == "nan" { if (sub(/ d="M[-0-9.]+/, " d=\"Mnan")) inside = 0 }
        { print }' "$1"
}
