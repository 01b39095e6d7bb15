#!/bin/sh
# One training run: reads recipe.json, lets model.awk fit a curve to points.txt, leaves the coefficients as the artifact.
# POSIX sh, sed, tr and awk only (tried with dash and mawk, and with a busybox whose awk has no mathematics).
set -eu

fail() {
    echo "recipe.json: $1" >&2
    exit 2
}

: "${RLOOP_SEED:?is not set}" "${RLOOP_ARTIFACTS:?is not set}"
[ -r recipe.json ] || fail "the file cannot be read."

# The recipe is one flat object of short words and numbers, so a line per entry is all the parsing that it needs. The
# entries are split at commas and braces, not at line ends: the file may be written on one line or on many.
entries=$(tr -d ' \t\r\n' <recipe.json | tr '{},' '\n\n\n' | sed '/^$/d')
shape=line loss=squared rate=0.05 epochs=100
for entry in $entries; do
    key=$(printf '%s\n' "$entry" | sed -n 's/^"\([a-z]*\)":.*/\1/p')
    value=$(printf '%s\n' "$entry" | sed -n 's/^"[a-z]*":\(.*\)$/\1/p')
    case $key in
    shape)
        case $value in '"line"' | '"parabola"' | '"cubic"') ;; *) fail "shape must be line, parabola or cubic, not $value." ;; esac
        shape=$(printf '%s' "$value" | tr -d '"')
        ;;
    loss)
        case $value in '"squared"' | '"absolute"') ;; *) fail "loss must be squared or absolute, not $value." ;; esac
        loss=$(printf '%s' "$value" | tr -d '"')
        ;;
    rate)
        printf '%s\n' "$value" | awk '!/^[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$/ || $0 + 0 <= 0 || $0 + 0 > 1 { exit 1 }' ||
            fail "rate must be a number above 0 and up to 1, not $value."
        rate=$value
        ;;
    epochs)
        printf '%s\n' "$value" | awk '!/^[0-9]+$/ || $0 + 0 < 1 || $0 + 0 > 1000 { exit 1 }' ||
            fail "epochs must be a whole number from 1 to 1000, not $value."
        epochs=$value
        ;;
    *) fail "unknown entry $entry; known keys are shape, loss, rate and epochs." ;;
    esac
done

awk -v shape="$shape" -v loss="$loss" -v rate="$rate" -v epochs="$epochs" -v seed="$RLOOP_SEED" \
    -v artifacts="$RLOOP_ARTIFACTS" -f model.awk points.txt
