// Parameters of every shape, with posteriors that are known in closed form.
data {
  int<lower=0> N;
  vector[N] y;
  real<lower=0> s;
}
parameters {
  real mu;
  real<lower=0> tau;
  matrix[2, 3] m;
  array[2] vector[2] v;
  simplex[3] p;
}
model {
  profile("prior") {
    mu ~ normal(1, 2);
    tau ~ gamma(3, 2);
    to_vector(m) ~ std_normal();
    for (i in 1:2) {
      v[i] ~ normal(i, 0.5);
    }
    p ~ dirichlet([2, 3, 4]');
  }
  profile("likelihood") {
    y ~ normal(mu, s);
  }
}
generated quantities {
  real twice = 2 * mu;
  array[2] int counts = {poisson_rng(tau), 7};
  real predicted = normal_rng(mu, s);
}
