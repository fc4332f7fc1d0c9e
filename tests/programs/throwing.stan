// What violates its own constraint: a transformed parameter above a limit, and a generated quantity
// for three draws in eight.
data {
  real highest;
}
parameters {
  real alpha;
}
transformed parameters {
  real<upper=highest> twice = 2 * alpha;
}
model {
  alpha ~ normal(0, 1);
}
generated quantities {
  real<lower=-0.3> beta = alpha;
  real after = 1;
}
