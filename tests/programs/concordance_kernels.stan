// The external C++ likelihoods of the concordance and their plain-Stan twins, one or the other by
// data, so that their values and gradients can be compared.
functions {
  #include functions/concordance_plain.stanfunctions
  #include functions/concordance_t_plain.stanfunctions
  real concordance_lpdf(vector y, vector B, vector v, data vector s2,
                        data array[] int instrument, data array[] int start, data vector times);
  real concordance_t_lpdf(vector y, vector B, vector G, vector v, vector nu, data real nu_given,
                          data vector s2, data array[] int instrument, data array[] int start);
}
data {
  int<lower=1> N;
  int<lower=1> M;
  int<lower=1> n;
  int<lower=0> K;
  int<lower=0, upper=1> robust;
  int<lower=0, upper=1> estimate_nu;
  int<lower=1, upper=2> which; // 1: C++, 2: plain Stan
  real<lower=0> nu_given;
  vector[n] y;
  vector[n] s2;
  array[n] int instrument;
  array[M + 1] int start;
  vector[M] times; // of the log-normal likelihood
}
parameters {
  vector[N] B;
  vector[M] G;
  vector[K] log_v;
  vector[estimate_nu] log_nu;
}
model {
  B ~ std_normal();
  G ~ std_normal();
  log_v ~ std_normal();
  log_nu ~ std_normal();
  if (robust) {
    target += which == 1
              ? concordance_t_lpdf(y | B, G, exp(log_v), exp(log_nu), nu_given, s2, instrument, start)
              : concordance_t_plain_lpdf(y | B, G, exp(log_v), exp(log_nu), nu_given, s2, instrument,
                                         start);
  } else {
    target += which == 1
              ? concordance_lpdf(y | B, exp(log_v), s2, instrument, start, times)
              : concordance_plain_lpdf(y | B, exp(log_v), s2, instrument, start, times);
  }
}
