// Spectra of several sources, each folded through its own response; parameters free or linked.
// Every parameter has a scale of its own, on which links are linear: theta = ln x where x is positive
// by nature (norms, temperatures), else theta = x. The free ones come first; of the others
//
//   theta_k = shift_k + sum_t weight_t [x_by(t)] theta_from(t)
//
// where x_by(t) is a coefficient that is free itself. Some of the free ones are drawn from a Gaussian
// population on their own scale, with a mean and standard deviation that are parameters too.
// Expected counts of a channel: sum_j R_cj area_j exposure int_j f(E) dE (see linked_spectra.hpp).
functions {
  #include functions/priors.stanfunctions
  #include functions/flat.stanfunctions

  // Log likelihood of all groups of channels, up to a constant: C++ in linked_spectra.hpp
  real folded_lpdf(vector x, data array[,] int spectrum, data array[,] int term,
                   data array[,] int component, data matrix fixed, data array[,] int absorber,
                   data vector energy, data vector log_energy, data vector sigma,
                   data vector area, data vector middle, data array[,] int segment,
                   data vector value, data int copy, data matrix counts);

  // Number of a copy of the response's values, see there
  int single_precision(data vector value);
}
data {
  int<lower=1> D; // free parameters
  int<lower=D> P; // all of them
  array[P] int<lower=0, upper=1> positive;
  // of the free: x anywhere (0), between two ends (1), above zero (2); ln x between two ends (3);
  // x, or ln x, is bottom + width u without ends, and bottom + width Phi(u) between two
  array[D] int<lower=0, upper=3> bounds;
  vector[D] bottom;
  vector[D] width;
  array[D] int<lower=1> prior_family; // see functions/priors.stanfunctions
  array[2] vector[D] prior_arguments;
  // of those drawn from a population: its mean and standard deviation among the parameters; else 0
  array[D] int<lower=0, upper=P> drawn_mean;
  array[D] int<lower=0, upper=P> drawn_sd;
  vector[P - D] shift; // of the others
  int<lower=0> T;
  array[P - D + 1] int<lower=1> first_term; // of each of the others
  array[T] int<lower=1, upper=P> from;
  array[T] int<lower=0, upper=P> by; // 0: none
  vector[T] weight;

  int<lower=1> S; // spectra; the columns of these tables are in linked_spectra.hpp
  array[S, 8] int spectrum;
  int<lower=1> terms; // sources in spectra
  array[terms, 2] int term;
  int<lower=1> C; // components
  array[C, 6] int component;
  matrix[C, 2] fixed; // pivot or ends of a range [keV]; of a line if narrow bins share it
  int<lower=0> A; // absorbers in spectra
  array[A, 4] int absorber;
  int<lower=1> points;
  vector<lower=0>[points] energy; // of each spectrum the edges of the bins, then the middles [keV]
  int<lower=0> sigmas;
  vector[sigmas] sigma; // optical depth of a column of 10^22 cm^-2 at the points
  int<lower=1> bins;
  vector[bins] area; // effective area times exposure [cm^2 s]
  vector[bins] middle; // of the response's energy bin that this one is a part of [keV]
  int<lower=1> segments;
  array[segments + 1, 3] int segment;
  int<lower=0> values;
  vector[values] value; // of the redistribution
  int<lower=1> groups;
  matrix[groups, 5] counts; // counts, error, background, its error, its scale

  vector[D] center; // guess of u ...
  matrix[D, D] scale; // ... and the square root of its covariance
  // Ridges that aren't straight: where, in z of their own, and how they bend
  int<lower=0> curves;
  array[curves] int<lower=1, upper=D> path;
  int<lower=0> knots;
  vector[knots] knot;
  real<lower=0> softness;
  array[curves] matrix[D, knots] bend;
}
transformed data {
  vector[points] log_energy = log(energy);
  int copy = single_precision(value);
}
parameters {
  vector[D] z; // u in units of the guess
}
model {
  vector[D] u = center + scale * z;
  for (c in 1 : curves) {
    int k = path[c];
    vector[knots] steps = (z[k] - knot) / softness;
    u += bend[c] * (softness * log1p_exp(steps));
    target += log(scale[k, k] + bend[c][k] * inv_logit(steps)); // du / dz
  }
  vector[P] theta;
  vector[P] x;
  z ~ flat();
  for (d in 1 : D) {
    int between = bounds[d] % 2;
    x[d] = bottom[d] + width[d] * (between ? Phi(u[d]) : u[d]);
    if (between) {
      target += -0.5 * square(u[d]); // uniform, or log-uniform
    }
    if (bounds[d] == 2 && !drawn_mean[d]) {
      target += x[d]; // ln x
    }
    if (bounds[d] >= 2) {
      x[d] = exp(x[d]);
    }
    if (!between && !drawn_mean[d]) {
      target += prior_lpdf(segment(x, d, 1) | prior_family[d], segment(prior_arguments[1], d, 1),
                           segment(prior_arguments[2], d, 1));
    }
    theta[d] = positive[d] ? log(x[d]) : x[d];
  }
  for (k in 1 : P - D) {
    theta[D + k] = shift[k];
    for (t in first_term[k] : first_term[k + 1] - 1) {
      theta[D + k] += weight[t] * (by[t] > 0 ? x[by[t]] : 1) * theta[from[t]];
    }
    x[D + k] = positive[D + k] ? exp(theta[D + k]) : theta[D + k];
  }
  for (d in 1 : D) {
    if (drawn_mean[d]) {
      real sd = x[drawn_sd[d]];
      target += -0.5 * square((theta[d] - theta[drawn_mean[d]]) / sd) - log(sd);
    }
  }
  x ~ folded(spectrum, term, component, fixed, absorber, energy, log_energy, sigma, area, middle,
             segment, value, copy, counts);
}
