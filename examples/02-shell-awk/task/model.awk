# Fits y = w0 + w1 x + w2 x^2 ... to the points on the input by stochastic gradient descent.
# Writes coefficients.txt (one number a line, lowest power first), progress.jsonl and claims.json to `artifacts`.
{ x[NR] = $1; y[NR] = $2 }

function predict(at,    k, sum) {
    sum = 0
    for (k = terms - 1; k >= 0; k--) sum = sum * at + w[k]
    return sum
}

function mse(    i, error, sum) {
    sum = 0
    for (i = 1; i <= NR; i++) {
        error = predict(x[i]) - y[i]
        sum += error * error
    }
    return sum / NR
}

# A seed may be any text, srand() wants a number, and mawk takes all numbers above 2^31 for one and the same.
function number(text,    i, sum) {
    sum = 0
    for (i = 1; i <= length(text); i++)
        sum = (sum * 31 + index("0123456789abcdefghijklmnopqrstuvwxyz", tolower(substr(text, i, 1)))) % 2147483647
    return sum
}

END {
    srand(number(seed))
    terms = shape == "line" ? 2 : shape == "parabola" ? 3 : 4
    # The start and the order of the points are random: two seeds end at slightly different curves.
    for (k = 0; k < terms; k++) w[k] = rand() - 0.5
    every = epochs < 10 ? 1 : int(epochs / 10)
    for (epoch = 1; epoch <= epochs; epoch++) {
        for (n = 1; n <= NR; n++) {
            i = 1 + int(rand() * NR)
            error = predict(x[i]) - y[i]
            # The gradient of the absolute error is its sign.
            if (loss == "absolute") error = error > 0 ? 1 : -1
            power = 1
            for (k = 0; k < terms; k++) {
                w[k] -= rate * error * power
                power *= x[i]
            }
        }
        if (epoch % every == 0) printf "{\"step\": %d, \"mse\": %.6f}\n", epoch, mse() >> (artifacts "/progress.jsonl")
    }
    for (k = 0; k < terms; k++) printf "%.9f\n", w[k] > (artifacts "/coefficients.txt")
    # The error on its own points is the best a run can know; the verifier uses others.
    printf "{\"mse\": %.6f}\n", mse() > (artifacts "/claims.json")
}
