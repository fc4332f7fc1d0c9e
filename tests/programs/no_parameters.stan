// Nothing to infer: random numbers alone, through functions of included files and of external C++.
functions {
  #include outer.stanfunctions
}
data {
  real mu;
}
generated quantities {
  real x = normal_rng(mu, 1);
  real y = four_times(x);
}
