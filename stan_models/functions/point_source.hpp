// The likelihood of a point source at one position, with its derivatives.
//
//     ln L(ns, gamma) - ln L(0) = sum_samples [ sum_near ln(1 + a (r_i(gamma) - 1)) + (N - near) ln(1 - a) ],
//     a = ns share(gamma) / N,     r_i(gamma) = ratio_i energy_i(gamma)
//
// (Braun et al. 2008, Astropart. Phys. 29, 299, eq. 1.) `ratio_i` is the signal's spatial density over that of
// the background, in place and energy; `energy_i` the signal's density of energies at the source's declination;
// `share` the part of all signal events that a sample has. The last two are tables of logarithms over gamma,
// values and slopes beside each other, between which cubic Hermite polynomials run. Events that are not near have
// no signal density.

#ifndef PYXSTAN_POINT_SOURCE_HPP
#define PYXSTAN_POINT_SOURCE_HPP

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace point_source {

// Nodes of gamma at equal steps.
struct Gammas {
  double low, step;
  int count;
};

// A place between two nodes, and the weights of values and slopes there.
class Between {
 public:
  Between(const Gammas& gammas, double gamma) {
    const double t = (gamma - gammas.low) / gammas.step;
    node_ = std::clamp(static_cast<int>(t), 0, gammas.count - 2);
    const double u = t - node_, v = 1.0 - u, h = gammas.step;
    value_[0] = v * v * (1.0 + 2.0 * u);
    value_[1] = h * u * v * v;
    value_[2] = u * u * (1.0 + 2.0 * v);
    value_[3] = -h * u * u * v;
    slope_[0] = -6.0 * u * v / h;
    slope_[1] = v * (1.0 - 3.0 * u);
    slope_[2] = 6.0 * u * v / h;
    slope_[3] = u * (1.0 - 3.0 * v);
  }

  double value(const double* row) const { return sum(value_, row + 2 * node_); }
  double slope(const double* row) const { return sum(slope_, row + 2 * node_); }

 private:
  static double sum(const double* weights, const double* at) {
    return weights[0] * at[0] + weights[1] * at[1] + weights[2] * at[2] + weights[3] * at[3];
  }

  int node_;
  double value_[4], slope_[4];
};

// A near event: its ratio without the energy, and the row of its energy in the table; for the scan the same
// row without logarithms, at some of the nodes.
struct Term {
  double ratio;
  const double* energy;
  const double* powers;
};

// The events of one sample: all, those near the position, and the sample's share of the signal.
struct Part {
  double events;
  const double* share;
  const Term* first;
  const Term* last;
};

struct Slopes {
  double value = 0.0, by_ns = 0.0, by_gamma = 0.0, by_ns_twice = 0.0;
};

// Log likelihood ratio and derivatives at one (ns, gamma).
inline Slopes log_likelihood(const std::vector<Part>& parts, const Gammas& gammas, double ns, double gamma) {
  const Between at(gammas, gamma);
  Slopes total;
  for (const Part& part : parts) {
    const double share = std::exp(at.value(part.share)), share_slope = share * at.slope(part.share);
    const double scale = share / part.events, a = ns * scale, a_slope = ns * share_slope / part.events;
    // Logarithms are what costs most: one of a product of many factors.
    double product = 1.0;
    for (const Term* term = part.first; term != part.last; ++term) {
      const double r = term->ratio * std::exp(at.value(term->energy));
      const double factor = 1.0 + a * (r - 1.0), inverse = 1.0 / factor, d = scale * (r - 1.0) * inverse;
      product *= factor;
      if (product > 1e100 || product < 1e-100) {
        total.value += std::log(product);
        product = 1.0;
      }
      total.by_ns += d;
      total.by_ns_twice -= d * d;
      total.by_gamma += (a_slope * (r - 1.0) + a * r * at.slope(term->energy)) * inverse;
    }
    const double rest = part.events - static_cast<double>(part.last - part.first), left = 1.0 / (1.0 - a);
    total.value += std::log(product) + rest * std::log1p(-a);
    total.by_ns -= rest * scale * left;
    total.by_ns_twice -= rest * scale * scale * left * left;
    total.by_gamma -= rest * a_slope * left;
  }
  return total;
}

// The largest ns: that of a sample without an event of background.
inline double most_signal(const std::vector<Part>& parts, const Gammas& gammas, double gamma) {
  const Between at(gammas, gamma);
  double most = 1e300;
  for (const Part& part : parts) most = std::min(most, part.events / std::exp(at.value(part.share)));
  return most;
}

}  // namespace point_source

#endif
