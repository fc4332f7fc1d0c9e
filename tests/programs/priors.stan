// A prior chosen by data, and nothing else.
functions {
  #include functions/priors.stanfunctions
}
data {
  int family;
  vector[1] a;
  vector[1] b;
}
parameters {
  vector[1] x;
}
model {
  target += prior_lpdf(x | family, a, b);
}
