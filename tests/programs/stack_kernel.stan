// The external C++ likelihoods of stacks and their plain-Stan twins, one or the other by data, so
// that their values and gradients can be compared.
functions {
  #include functions/stack_plain.stanfunctions
  real stack_lpdf(vector p, data int begin, data array[] int first, data array[] int start,
                  data vector weight, data vector power, data real least);
  real stack_samples_lpdf(vector p, data array[] int row, data vector weight, data vector power,
                          data real least);
}
data {
  int<lower=1, upper=4> which; // on nodes 1: C++, 2: plain Stan; at samples 3: C++, 4: plain Stan
  int<lower=1> nodes;
  int<lower=1> begin;
  int<lower=1> rows;
  array[rows] int<lower=1> first;
  array[rows + 1] int<lower=1> start;
  vector[start[rows + 1] - 1] weight;
  array[nodes] int<lower=1, upper=rows> row;
  vector[nodes] sample_weight;
  vector[rows] power;
  real least;
}
parameters {
  vector[nodes] p;
}
model {
  if (which == 1) {
    p ~ stack(begin, first, start, weight, power, least);
  } else if (which == 2) {
    p ~ stack_plain(begin, first, start, weight, power, least);
  } else if (which == 3) {
    p ~ stack_samples(row, sample_weight, power, least);
  } else {
    p ~ stack_samples_plain(row, sample_weight, power, least);
  }
}
