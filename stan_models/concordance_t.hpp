// Likelihood of the log-t concordance with the mixing variables xi integrated out, and its gradient
// by hand. Plain-Stan twin: functions/concordance_t_plain.stanfunctions.
//
// With r = y - B - G, v = sigma^2, lambda = (nu + 1) / 2 and x = (v + r^2) / 4, the error has the
// generalised hyperbolic skew Student t density
//
//   f(r) = Gamma(lambda) / (Gamma(nu / 2) sqrt(pi v)) (4 x / v)^-lambda exp(-r / 2) k(lambda, x),
//   k(lambda, x) = E[ exp(-x / (4 g)) ],   g ~ Gamma(lambda, 1),
//
// k being a modified Bessel function of the second kind in another dress. What depends on x,
// F(x) = log k(lambda, x) - lambda log x, is tabulated (the expectation by the trapezoidal rule over
// log g, exact to rounding) and interpolated by quintic polynomials. The leading bits of x number the
// intervals, so a measurement costs no logarithm.
#ifndef PYXSTAN_CONCORDANCE_T_HPP
#define PYXSTAN_CONCORDANCE_T_HPP

#include <stan/model/model_header.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <ostream>
#include <vector>

namespace pyxstan {

// A function on intervals that share the leading bits of their numbers: an even division of every
// octave. Each interval has the quintic that matches value, slope and curvature at both its ends.
class OctaveTable {
 public:
  // Where the interval of x begins, as a number among all intervals of all octaves.
  static std::int64_t interval(double x, int bits) { return as_bits(x) >> (52 - bits); }
  static double begin(std::int64_t interval, int bits) { return as_double(interval << (52 - bits)); }

  // Set up the intervals from `first`, of a function with {value, slope, curvature} at their ends.
  void fill(std::int64_t first, int bits, const std::vector<std::array<double, 3>>& ends) {
    first_ = first;
    shift_ = 52 - bits;
    pieces_.resize(ends.size() - 1);
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      const auto& p = ends[i];
      const auto& q = ends[i + 1];
      const std::int64_t here = first + static_cast<std::int64_t>(i);
      const double h = begin(here + 1, bits) - begin(here, bits);
      const double p1 = p[1] * h, p2 = 0.5 * p[2] * h * h;
      const double a = q[0] - p[0] - p1 - p2;
      const double b = q[1] * h - p1 - 2 * p2;
      const double c = 0.5 * q[2] * h * h - p2;
      pieces_[i] = {p[0], p1, p2, 10 * a - 4 * b + c, -15 * a + 7 * b - 2 * c, 6 * a - 3 * b + c,
                    1 / h};
    }
  }

  // Value and slope at x.
  std::array<double, 2> operator()(double x) const {
    const std::int64_t word = as_bits(x);
    const std::int64_t rest = word & ((std::int64_t{1} << shift_) - 1);
    const double t = static_cast<double>(rest) / static_cast<double>(std::int64_t{1} << shift_);
    const auto& c = pieces_[static_cast<std::size_t>((word >> shift_) - first_)];
    const double value = c[0] + t * (c[1] + t * (c[2] + t * (c[3] + t * (c[4] + t * c[5]))));
    const double slope = c[1] + t * (2 * c[2] + t * (3 * c[3] + t * (4 * c[4] + t * 5 * c[5])));
    return {value, slope * c[6]};
  }

 private:
  std::int64_t first_ = 0;
  int shift_ = 52;
  std::vector<std::array<double, 7>> pieces_;  // coefficients in t from 0 to 1, and 1 / h

  static std::int64_t as_bits(double x) {
    std::int64_t word;
    std::memcpy(&word, &x, sizeof word);
    return word;
  }
  static double as_double(std::int64_t word) {
    double x;
    std::memcpy(&x, &word, sizeof x);
    return x;
  }
};

// Beyond this a step of the sampler went astray, and a table would take ever finer nodes.
constexpr double kLargestNu = 1e4;

// F(x) = log k(lambda, x) - lambda log x and, on request, its derivative in lambda.
class SkewTable {
 public:
  // Make the table cover x from low to high; nothing is done where it already does.
  void cover(double lambda, double low, double high, bool order_slope) {
    if (lambda == lambda_ && low >= low_ && high <= high_ && (order_slope_ || !order_slope)) {
      return;
    }
    const int bits = order_slope ? 5 : 6;
    if (!order_slope) {
      // a fixed lambda is used again and again: some room spares tabulating anew
      low = (lambda == lambda_ ? std::min(low, low_) : low) / 8;
      high = (lambda == lambda_ ? std::max(high, high_) : high) * 8;
    }
    lambda_ = lambda;
    order_slope_ = order_slope;
    const std::int64_t first = OctaveTable::interval(low, bits);
    const std::int64_t last = OctaveTable::interval(high, bits);
    low_ = OctaveTable::begin(first, bits);
    high_ = high;
    prepare(OctaveTable::begin(last + 1, bits));
    std::vector<std::array<double, 3>> main, by_order;
    for (std::int64_t i = first; i <= last + 1; ++i) {
      const double x = OctaveTable::begin(i, bits);
      const Moments m = moments(x);
      main.push_back(main_at(x, m));
      by_order.push_back(by_order_at(x, m));
    }
    main_.fill(first, bits, main);
    by_order_.fill(first, bits, by_order);
  }
  std::array<double, 2> operator()(double x) const { return main_(x); }
  double order_slope(double x) const { return by_order_(x)[0]; }

 private:
  static constexpr double kNegligible = 40;  // in the exponent

  double lambda_ = -1, low_ = 0, high_ = -1;
  bool order_slope_ = false;
  OctaveTable main_, by_order_;
  std::vector<double> log_g_, inverse_4g_, exponent_;  // of the trapezoidal rule's nodes
  double norm_ = 0, log_mean_ = 0;

  // Moments of h = 1 / (4 g), and of log g with it, under g^lambda exp(-g - x h).
  struct Moments {
    double log_sum, h, hh, log_g, h_log_g, hh_log_g;
  };

  void prepare(double largest_x) {
    log_g_.clear();
    inverse_4g_.clear();
    exponent_.clear();
    const double peak = lambda_ * std::log(lambda_) - lambda_;
    const double first = std::floor((peak - kNegligible) / lambda_ - 1);
    const double reach = std::log(lambda_ + 2 * kNegligible + std::sqrt(largest_x)) + 1;
    // the integrand is 1 / sqrt(lambda) wide in log g
    const double step = std::min(0.25, 0.7 / std::sqrt(lambda_));
    for (double a = first; a < reach; a += step) {
      log_g_.push_back(a);
      inverse_4g_.push_back(0.25 * std::exp(-a));
      exponent_.push_back(lambda_ * a - std::exp(a));
    }
    norm_ = std::lgamma(lambda_) - std::log(step);
    log_mean_ = order_slope_ ? stan::math::digamma(lambda_) : 0;
  }

  Moments moments(double x) const {
    double top = -std::numeric_limits<double>::infinity();
    for (std::size_t m = 0; m < exponent_.size(); ++m) {
      top = std::max(top, exponent_[m] - x * inverse_4g_[m]);
    }
    double s = 0, h1 = 0, h2 = 0, l0 = 0, l1 = 0, l2 = 0;
    for (std::size_t m = 0; m < exponent_.size(); ++m) {
      const double h = inverse_4g_[m];
      const double shifted = exponent_[m] - x * h - top;
      if (shifted < -kNegligible) {
        continue;
      }
      const double weight = std::exp(shifted);
      s += weight;
      h1 += weight * h;
      h2 += weight * h * h;
      l0 += weight * log_g_[m];
      l1 += weight * h * log_g_[m];
      l2 += weight * h * h * log_g_[m];
    }
    return {top + std::log(s), h1 / s, h2 / s, l0 / s, l1 / s, l2 / s};
  }
  // d/dx of the log of the sum: -E h, then Var h.
  std::array<double, 3> main_at(double x, const Moments& m) const {
    return {m.log_sum - norm_ - lambda_ * std::log(x), -m.h - lambda_ / x,
            m.hh - m.h * m.h + lambda_ / (x * x)};
  }
  // d/dlambda: E log g; its own d/dx: -Cov(log g, h), then the third central moment.
  std::array<double, 3> by_order_at(double x, const Moments& m) const {
    const double covariance = m.h_log_g - m.log_g * m.h;
    const double third = m.hh_log_g - m.log_g * m.hh - 2 * m.h * covariance;
    return {m.log_g - log_mean_ - std::log(x), -covariance - 1 / x, third + 1 / (x * x)};
  }
};

}  // namespace pyxstan

template <bool propto, typename Y, typename B, typename G, typename V, typename Nu, typename S2>
stan::return_type_t<B, G, V, Nu> concordance_t_lpdf(const Y& y_arg, const B& b_arg, const G& g_arg,
                                                    const V& v_arg, const Nu& nu_arg,
                                                    const double nu_given, const S2& s2_arg,
                                                    const std::vector<int>& instrument,
                                                    const std::vector<int>& start,
                                                    std::ostream*) {
  using stan::math::to_ref;
  using stan::math::value_of;
  const auto& y = to_ref(y_arg);
  const auto& s2 = to_ref(s2_arg);
  const auto& b_ref = to_ref(b_arg);
  const auto& g_ref = to_ref(g_arg);
  const auto& v_ref = to_ref(v_arg);
  const auto& nu_ref = to_ref(nu_arg);
  const Eigen::VectorXd b = value_of(b_ref);
  const Eigen::VectorXd g = value_of(g_ref);
  const Eigen::VectorXd v = value_of(v_ref);
  const Eigen::VectorXd nu_values = value_of(nu_ref);
  const bool vary_nu = nu_values.size() > 0;
  const double nu = vary_nu ? nu_values.coeff(0) : nu_given;
  const bool unknown = v.size() > 0;
  const double lambda = 0.5 * (nu + 1);
  stan::math::check_positive_finite("concordance_t_lpdf", "nu", nu);
  if (nu > pyxstan::kLargestNu) {
    throw std::domain_error("concordance_t_lpdf: nu is so large that errors are log-normal");
  }
  stan::math::check_finite("concordance_t_lpdf", "B", b);
  stan::math::check_finite("concordance_t_lpdf", "G", g);
  stan::math::check_finite("concordance_t_lpdf", "v", v);

  const std::size_t n = instrument.size();
  thread_local pyxstan::SkewTable table;
  thread_local std::vector<double> r, variance, x;
  r.resize(n);
  variance.resize(n);
  x.resize(n);
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (std::size_t j = 0; j + 1 < start.size(); ++j) {
    for (std::size_t k = start[j] - 1; k < static_cast<std::size_t>(start[j + 1] - 1); ++k) {
      const int i = instrument[k] - 1;
      variance[k] = s2.coeff(k) + (unknown ? v.coeff(i) : 0.0);
      r[k] = y.coeff(k) - b.coeff(i) - g.coeff(j);
      x[k] = 0.25 * (variance[k] + r[k] * r[k]);
      low = std::min(low, x[k]);
      high = std::max(high, x[k]);
    }
  }
  if (!(low > 1e-30 && high < 1e12)) {
    throw std::domain_error("concordance_t_lpdf: residuals or variances out of all proportion");
  }
  table.cover(lambda, low, high, vary_nu);

  Eigen::VectorXd grad_b = Eigen::VectorXd::Zero(b.size());
  Eigen::VectorXd grad_g = Eigen::VectorXd::Zero(g.size());
  Eigen::VectorXd grad_v = Eigen::VectorXd::Zero(v.size());
  double grad_lambda = 0;
  double lp = 0;
  double log_variance = 0;
  double product = 1;  // of the variances: one logarithm for many of them
  for (std::size_t j = 0; j + 1 < start.size(); ++j) {
    for (std::size_t k = start[j] - 1; k < static_cast<std::size_t>(start[j + 1] - 1); ++k) {
      // F(x) and d lp / d x, with dx/dr = r / 2 and dx/dv = 1 / 4
      const auto [value, by_x] = table(x[k]);
      lp += value - 0.5 * r[k];
      product *= variance[k];
      if (!(product > 1e-150 && product < 1e150)) {
        log_variance += std::log(product);
        product = 1;
      }
      const double by_r = 0.5 * (by_x * r[k] - 1);
      grad_b.coeffRef(instrument[k] - 1) -= by_r;
      grad_g.coeffRef(j) -= by_r;
      if (unknown) {
        grad_v.coeffRef(instrument[k] - 1) += 0.25 * by_x + (lambda - 0.5) / variance[k];
      }
      if (vary_nu) {
        grad_lambda += table.order_slope(x[k]);
      }
    }
  }
  log_variance += std::log(product);
  const double count = static_cast<double>(n);
  const double log_4 = 2 * stan::math::LOG_TWO;
  lp += (lambda - 0.5) * log_variance
        + count * (std::lgamma(lambda) - std::lgamma(lambda - 0.5) - 0.5 * stan::math::LOG_PI
                   - lambda * log_4);
  auto ops = stan::math::make_partials_propagator(b_ref, g_ref, v_ref, nu_ref);
  if constexpr (!stan::is_constant_all<B>::value) {
    stan::math::partials<0>(ops) = std::move(grad_b);
  }
  if constexpr (!stan::is_constant_all<G>::value) {
    stan::math::partials<1>(ops) = std::move(grad_g);
  }
  if constexpr (!stan::is_constant_all<V>::value) {
    stan::math::partials<2>(ops) = std::move(grad_v);
  }
  if constexpr (!stan::is_constant_all<Nu>::value) {
    if (vary_nu) {
      stan::math::partials<3>(ops)[0]
          = 0.5 * (grad_lambda + log_variance
                 + count * (stan::math::digamma(lambda) - stan::math::digamma(lambda - 0.5) - log_4));
    }
  }
  return ops.build(lp);
}

#endif
