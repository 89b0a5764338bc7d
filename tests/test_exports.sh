#!/bin/sh
# test_exports.sh - the shared library exports the functions that sae.h declares, and nothing else.
set -u
declared=$(grep -oE '^SAE_API [^(]*\(' include/sae.h | grep -oE 'sae_[a-z0-9_]+\($' | tr -d '(' | sort)
exported=$(nm -D --defined-only "$BUILD/libsae.so" | awk '$2 != "A" { print $3 }' | sort)
missing=$(printf '%s\n%s\n%s\n' "$exported" "$exported" "$declared" | sort | uniq -u)
extra=$(printf '%s\n%s\n%s\n' "$declared" "$declared" "$exported" | sort | uniq -u)
if [ -n "$declared" ] && [ -z "$missing" ]; then
    echo "ok all that sae.h declares is exported"
else
    echo "not ok all that sae.h declares is exported"
    echo "declared, not exported:" "$missing"
fi
if [ -z "$extra" ]; then
    echo "ok nothing else is exported"
else
    echo "not ok nothing else is exported"
    echo "exported, not declared:" "$extra"
fi
