// A coin: the smallest program with data, a bounded parameter and a known posterior.
// `pyxstan doctor` fits it to try the whole chain.
data {
  int<lower=0> tosses;
  int<lower=0, upper=tosses> heads;
}
parameters {
  real<lower=0, upper=1> chance; // of heads
}
model {
  chance ~ beta(2, 2);
  heads ~ binomial(tosses, chance);
}
