// Likelihood of the log-t concordance with the mixing variables xi integrated out, and its gradient
// by hand. Plain-Stan twin: functions/concordance_t_plain.stanfunctions.
//
// With r = y - B - G, v = sigma^2, lambda = (nu + 1) / 2 and x = (v + r^2) / 4, the error has the
// generalised hyperbolic skew Student t density
//
//   f(r) = Gamma(lambda) / (Gamma(nu / 2) sqrt(pi v)) (4 x / v)^-lambda exp(-r / 2) k(lambda, x),
//   k(lambda, x) = E[ exp(-x / (4 g)) ],   g ~ Gamma(lambda, 1),
//
// k being a modified Bessel function of the second kind in another dress. log k is smooth in log x:
// it is tabulated there (the expectation by the trapezoidal rule over log g, exact to rounding) and
// interpolated by quintic polynomials, for a few nanoseconds a measurement.
#ifndef PYXSTAN_CONCORDANCE_T_HPP
#define PYXSTAN_CONCORDANCE_T_HPP

#include <stan/model/model_header.hpp>

#include <array>
#include <cmath>
#include <ostream>
#include <vector>

namespace pyxstan {

// A function known by value, slope and curvature on an even grid.
class QuinticTable {
 public:
  void clear() { nodes_.clear(); }
  void push_back(double value, double slope, double curvature, double step) {
    nodes_.push_back({value, slope * step, 0.5 * curvature * step * step});
  }
  // Value and slope (per grid step) between nodes i and i + 1, at fraction t.
  std::array<double, 2> at(std::size_t i, double t) const {
    const auto& p = nodes_[i];
    const auto& q = nodes_[i + 1];
    // p0 + p1 t + p2 t^2 + t^3 (c3 + c4 t + c5 t^2), matching value, slope and curvature at t = 1
    const double a = q[0] - p[0] - p[1] - p[2];
    const double b = q[1] - p[1] - 2 * p[2];
    const double c = q[2] - p[2];
    const double c3 = 10 * a - 4 * b + c;
    const double c4 = -15 * a + 7 * b - 2 * c;
    const double c5 = 6 * a - 3 * b + c;
    const double value = p[0] + t * (p[1] + t * (p[2] + t * (c3 + t * (c4 + t * c5))));
    const double slope = p[1] + t * (2 * p[2] + t * (3 * c3 + t * (4 * c4 + t * 5 * c5)));
    return {value, slope};
  }

 private:
  std::vector<std::array<double, 3>> nodes_;  // value, step * slope, step^2 / 2 * curvature
};

// log k(lambda, x) and, on request, its derivative in lambda, over a range of log x.
class SkewTable {
 public:
  // Make the table cover log x in [low, high]; nothing is done where it already does.
  void cover(double lambda, double low, double high, bool order_slope) {
    if (lambda == lambda_ && low >= low_ && high <= high_ && (order_slope_ || !order_slope)) {
      return;
    }
    const bool same = lambda == lambda_;
    lambda_ = lambda;
    order_slope_ = order_slope;
    // a fixed lambda is used again and again: some room spares tabulating anew
    const double room = order_slope ? kStep : 2.0;
    low = (same ? std::min(low, low_) : low) - room;
    high = (same ? std::max(high, high_) : high) + room;
    low_ = low;
    tabulate(static_cast<std::size_t>(std::ceil((high - low) / kStep)) + 1);
  }

  struct Value {
    double log_k;
    double slope;        // d log k / d log x
    double order_slope;  // d log k / d lambda
  };
  Value operator()(double log_x) const {
    const double position = (log_x - low_) / kStep;
    const auto i = static_cast<std::size_t>(position);
    const double t = position - static_cast<double>(i);
    const auto main = log_k_.at(i, t);
    return {main[0], main[1] / kStep, order_slope_ ? by_order_.at(i, t)[0] : 0.0};
  }

 private:
  static constexpr double kStep = 0.1;      // of the table, in log x
  static constexpr double kNodeStep = 0.25;  // of the trapezoidal rule, in log g
  static constexpr double kNegligible = 40;  // in the exponent

  double lambda_ = -1, low_ = 0, high_ = -1;
  bool order_slope_ = false;
  QuinticTable log_k_, by_order_;

  void tabulate(std::size_t size) {
    high_ = low_ + kStep * static_cast<double>(size - 1);
    // exponent of the integrand without its x: lambda log g - g, from where it matters
    std::vector<double> log_g, inverse_4g, exponent;
    const double peak = lambda_ * std::log(lambda_) - lambda_;
    const double first = std::floor((peak - kNegligible) / lambda_ - 1);
    const double reach = std::log(lambda_ + 2 * kNegligible + std::exp(0.5 * high_)) + 1;
    for (double a = first; a < reach; a += kNodeStep) {
      log_g.push_back(a);
      inverse_4g.push_back(0.25 * std::exp(-a));
      exponent.push_back(lambda_ * a - std::exp(a));
    }
    const double norm = std::lgamma(lambda_) - std::log(kNodeStep);
    const double log_mean = order_slope_ ? stan::math::digamma(lambda_) : 0;
    log_k_.clear();
    by_order_.clear();
    for (std::size_t i = 0; i < size; ++i) {
      const double x = std::exp(low_ + kStep * static_cast<double>(i));
      double top = -std::numeric_limits<double>::infinity();
      for (std::size_t m = 0; m < exponent.size(); ++m) {
        top = std::max(top, exponent[m] - x * inverse_4g[m]);
      }
      // moments of h = x / (4 g), and of log g with it, under the integrand
      double s0 = 0, s1 = 0, s2 = 0, l0 = 0, l1 = 0, l2 = 0;
      for (std::size_t m = 0; m < exponent.size(); ++m) {
        const double h = x * inverse_4g[m];
        const double shifted = exponent[m] - h - top;
        if (shifted < -kNegligible) {
          continue;
        }
        const double weight = std::exp(shifted);
        s0 += weight;
        s1 += weight * h;
        s2 += weight * h * h;
        if (order_slope_) {
          l0 += weight * log_g[m];
          l1 += weight * h * log_g[m];
          l2 += weight * h * h * log_g[m];
        }
      }
      s1 /= s0;
      s2 /= s0;
      // d/dlog x of log sum exp(-h): -E h, and once more Var h - E h
      log_k_.push_back(top + std::log(s0) - norm, -s1, s2 - s1 * s1 - s1, kStep);
      if (order_slope_) {
        l0 /= s0;
        l1 /= s0;
        l2 /= s0;
        const double covariance = l1 - l0 * s1;                               // Cov(log g, h)
        const double third = l2 - l0 * s2 - 2 * s1 * covariance;              // with h twice
        by_order_.push_back(l0 - log_mean, -covariance, third - covariance, kStep);
      }
    }
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
  stan::math::check_finite("concordance_t_lpdf", "B", b);
  stan::math::check_finite("concordance_t_lpdf", "G", g);
  stan::math::check_finite("concordance_t_lpdf", "v", v);

  const std::size_t n = instrument.size();
  thread_local pyxstan::SkewTable table;
  thread_local std::vector<double> r, variance, log_x;
  r.resize(n);
  variance.resize(n);
  log_x.resize(n);
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (std::size_t j = 0; j + 1 < start.size(); ++j) {
    for (std::size_t k = start[j] - 1; k < static_cast<std::size_t>(start[j + 1] - 1); ++k) {
      const int i = instrument[k] - 1;
      variance[k] = s2.coeff(k) + (unknown ? v.coeff(i) : 0.0);
      r[k] = y.coeff(k) - b.coeff(i) - g.coeff(j);
      log_x[k] = std::log(0.25 * (variance[k] + r[k] * r[k]));
      low = std::min(low, log_x[k]);
      high = std::max(high, log_x[k]);
    }
  }
  if (!(low > -60 && high < 60)) {
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
      const auto skew = table(log_x[k]);
      lp += skew.log_k - lambda * log_x[k] - 0.5 * r[k];
      product *= variance[k];
      if (!(product > 1e-150 && product < 1e150)) {
        log_variance += std::log(product);
        product = 1;
      }
      // d lp / d x, with dx/dr = r / 2 and dx/dv = 1 / 4
      const double by_x = 4 * (skew.slope - lambda) / (variance[k] + r[k] * r[k]);
      const double by_r = 0.5 * (by_x * r[k] - 1);
      grad_b.coeffRef(instrument[k] - 1) -= by_r;
      grad_g.coeffRef(j) -= by_r;
      if (unknown) {
        grad_v.coeffRef(instrument[k] - 1) += 0.25 * by_x + (lambda - 0.5) / variance[k];
      }
      if (vary_nu) {
        grad_lambda += skew.order_slope - log_x[k];
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
