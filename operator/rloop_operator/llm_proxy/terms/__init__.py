"""The terms of a call: providers, keys and prices, what tokens cost, why a call is denied."""
