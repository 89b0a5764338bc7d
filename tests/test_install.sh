#!/bin/sh
# test_install.sh - `make install` below DESTDIR and into a PREFIX, programs built against what it installed, uninstall.
set -u
unset MAKEFLAGS MAKELEVEL MFLAGS
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
log=$scratch/log

verdict() { # NAME CODE
    if [ "$2" -eq 0 ]; then
        echo "ok $1"
    else
        echo "not ok $1"
        cat "$log"
    fi
}

make -s BUILD="$BUILD" DESTDIR="$scratch/root" PREFIX=/usr install >"$log" 2>&1
verdict "install below DESTDIR" $?
for file in bin/sae include/sae.h lib/libsae.a lib/libsae.so lib/libsae.so.0 lib/pkgconfig/libsae.pc share/man/man1/sae.1; do
    [ -e "$scratch/root/usr/$file" ] || echo "$file is missing"
done >"$log"
[ ! -s "$log" ]
verdict "every file is there" $?
grep -q '^prefix=/usr$' "$scratch/root/usr/lib/pkgconfig/libsae.pc" && ! grep -q "$scratch" "$scratch/root/usr/lib/pkgconfig/libsae.pc"
verdict "the pkg-config file knows PREFIX, not DESTDIR" $?
make -s BUILD="$BUILD" DESTDIR="$scratch/root" PREFIX=/usr uninstall >"$log" 2>&1
find "$scratch/root" ! -type d >>"$log"
[ ! -s "$log" ]
verdict "uninstall leaves no file" $?

make -s BUILD="$BUILD" PREFIX="$scratch/usr" install >"$log" 2>&1
verdict "install into PREFIX" $?
cat >"$scratch/user.c" <<'END'
#include <sae.h>
#include <stdio.h>
#include <string.h>
int main(void)
{
    sae_error err = {0};
    sae_model *model = NULL;
    puts(sae_version());
    return sae_model_open(&model, "no such model", NULL, &err) == SAE_OK || strcmp(sae_version(), SAE_VERSION) != 0;
}
END
PKG_CONFIG_PATH=$scratch/usr/lib/pkgconfig
export PKG_CONFIG_PATH
# shellcheck disable=SC2046
"${CC:-cc}" -Wall -Wextra -Werror "$scratch/user.c" $(pkg-config --cflags --libs libsae) \
    -Wl,-rpath,"$scratch/usr/lib" -o "$scratch/shared" >"$log" 2>&1 && "$scratch/shared" >>"$log" 2>&1
verdict "a program linked with the shared library" $?
# Only our library statically: the others have shared libraries everywhere.
# shellcheck disable=SC2046
"${CC:-cc}" -Wall -Wextra -Werror "$scratch/user.c" $(pkg-config --cflags libsae) "$scratch/usr/lib/libsae.a" \
    $(pkg-config --static --libs libsae | sed 's/-lsae//g') -o "$scratch/static" >"$log" 2>&1 && "$scratch/static" >>"$log" 2>&1
verdict "a program linked with the static library" $?
[ "$("$scratch/usr/bin/sae" --version | head -n 1)" = "sae $(pkg-config --modversion libsae)" ]
verdict "the installed program says the version of the pkg-config file" $?
printf '#include <sae.h>\nint main() { return sae_version() == 0; }\n' >"$scratch/user.cc"
if command -v g++ >/dev/null 2>&1; then
    g++ -Wall -Wextra -Werror -fsyntax-only -I"$scratch/usr/include" "$scratch/user.cc" >"$log" 2>&1
    verdict "the header is C++" $?
else
    echo "SKIP: no C++ compiler to read sae.h with"
fi
