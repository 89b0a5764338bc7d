#!/bin/sh
# test_shell.sh - the shell scripts parse, carry their run bit where they are run by name; install.sh knows what is missing.
set -u
for script in check demo tools/*.sh tests/*.sh; do
    if sh -n "$script"; then
        echo "ok $script parses"
    else
        echo "not ok $script parses"
    fi
done
for script in check demo .ci/run tools/fetch_model.sh; do
    if [ -x "$script" ]; then
        echo "ok $script can be run"
    else
        echo "not ok $script can be run"
    fi
done

# tools/install.sh with a dpkg that says what it is told to, and an apt-get that tells what it was to install.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
printf '#!/bin/sh\nprintf %%s "$DPKG_SAYS"\n' >"$scratch/dpkg-query"
printf '#!/bin/sh\necho "$*" >>"%s/log"\n' "$scratch" >"$scratch/apt-get"
printf '#!/bin/sh\necho 0\n' >"$scratch/id"
chmod +x "$scratch/dpkg-query" "$scratch/apt-get" "$scratch/id"
for says in 'installed ' 'config-files installed ' '' 'not-installed ' 'half-installed ' 'config-files '; do
    rm -f "$scratch/log"
    (PATH=$scratch:$PATH DPKG_SAYS=$says; export PATH DPKG_SAYS; . ./tools/install.sh; install_missing gcc) 2>/dev/null
    code=$?
    case $says in *' installed ' | 'installed ') wanted=0 ;; *) wanted=1 ;; esac
    found=$(cat "$scratch/log" 2>/dev/null | grep -c 'install .* gcc')
    if [ $code -eq 0 ] && [ "$found" -eq $wanted ]; then
        echo "ok a package that is \"$says\""
    else
        echo "not ok a package that is \"$says\""
    fi
done
