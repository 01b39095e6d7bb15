#!/bin/sh
# The verifier's scorer: the mean squared error of coefficients.txt on points that no training run has seen.
# It reads numbers only and runs nothing of the candidate's. A bad artifact is a failed check, not a failure of this.
set -eu

verdict() { # metrics, passed, detail
    printf '{"metrics": {%s}, "checks": [{"name": "coefficients-are-valid", "passed": %s, "detail": "%s"}]}\n' \
        "$1" "$2" "$3" >"$RLOOP_VERDICT"
    exit 0
}

file=$RLOOP_ARTIFACTS/coefficients.txt
[ -f "$file" ] || verdict "" false "there is no coefficients.txt"
[ "$(wc -c <"$file")" -le 1000 ] || verdict "" false "coefficients.txt is larger than 1000 bytes"
awk '!/^-?[0-9]+(\.[0-9]+)?$/ || length($0) > 30 || $0 > 1000000 || $0 < -1000000 { bad = 1 }
     END { exit bad || NR < 1 || NR > 6 }' "$file" ||
    verdict "" false "coefficients.txt must hold 1 to 6 numbers between -1e6 and 1e6, one a line"

mse=$(awk 'FNR == NR { w[terms++] = $1; next }
    {
        sum = 0
        for (k = terms - 1; k >= 0; k--) sum = sum * $1 + w[k]
        total += (sum - $2) * (sum - $2)
        points++
    }
    END { printf "%.9f", total / points }' "$file" "$RLOOP_HELD_OUT/points.txt")
verdict "\"mse\": $mse" true "1 to 6 finite numbers"
