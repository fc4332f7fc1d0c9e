// Likelihood of the log-normal concordance with the source fluxes integrated out, and its gradient
// by hand: one pass over the measurements and a few flops each, where automatic differentiation
// would record them all. Plain-Stan twin: functions/concordance_plain.stanfunctions.
//
// For source j, with sigma_k^2 = s2_k + v_i(k), w_k = 1 / sigma_k^2, r_k = y_k + sigma_k^2 / 2 - B_i(k)
// and W = sum w_k, r_mean = sum w_k r_k / W, e_k = r_k - r_mean, all of it counted times_j times:
//
//   log p_j = -1/2 sum w_k e_k^2 + 1/2 sum log(w_k / 2 pi) - 1/2 log(W / 2 pi)
//   d/dB_i  = sum w_k e_k
//   d/dv_i  = 1/2 sum [ w_k^2 (e_k^2 + 1 / W) - w_k (1 + e_k) ]        (k measured by i)
#ifndef PYXSTAN_CONCORDANCE_HPP
#define PYXSTAN_CONCORDANCE_HPP

#include <stan/model/model_header.hpp>

#include <cmath>
#include <ostream>
#include <vector>

template <bool propto, typename Y, typename B, typename V, typename S2, typename Times>
stan::return_type_t<B, V> concordance_lpdf(const Y& y_arg, const B& b_arg, const V& v_arg,
                                           const S2& s2_arg, const std::vector<int>& instrument,
                                           const std::vector<int>& start, const Times& times_arg,
                                           std::ostream*) {
  using stan::math::LOG_TWO_PI;
  using stan::math::to_ref;
  using stan::math::value_of;
  const auto& y = to_ref(y_arg);
  const auto& s2 = to_ref(s2_arg);
  const auto& times = to_ref(times_arg);
  const auto& b_ref = to_ref(b_arg);
  const auto& v_ref = to_ref(v_arg);
  const Eigen::VectorXd b = value_of(b_ref);
  const Eigen::VectorXd v = value_of(v_ref);
  const bool unknown = v.size() > 0;

  Eigen::VectorXd grad_b = Eigen::VectorXd::Zero(b.size());
  Eigen::VectorXd grad_v = Eigen::VectorXd::Zero(v.size());
  thread_local std::vector<double> w, r;
  const std::size_t n = instrument.size();
  w.resize(n);
  r.resize(n);

  double quadratic = 0;
  double log_scale = 0;  // sum of log sigma_k^2 and of log W
  double freedom = 0;    // measurements less sources
  for (std::size_t j = 0; j + 1 < start.size(); ++j) {
    const std::size_t first = start[j] - 1;
    const std::size_t last = start[j + 1] - 1;
    double weight = 0;
    double r_mean = 0;
    double log_source = 0;
    double product = 1;  // of sigma_k^2: one logarithm for many of them
    for (std::size_t k = first; k < last; ++k) {
      const int i = instrument[k] - 1;
      const double variance = s2.coeff(k) + (unknown ? v.coeff(i) : 0.0);
      w[k] = 1 / variance;
      r[k] = y.coeff(k) + 0.5 * variance - b.coeff(i);
      weight += w[k];
      r_mean += w[k] * r[k];
      product *= variance;
      if (!(product > 1e-150 && product < 1e150)) {
        log_source += std::log(product);
        product = 1;
      }
    }
    r_mean /= weight;
    const double count = times.coeff(j);
    log_scale += count * (log_source + std::log(product) + std::log(weight));
    freedom += count * static_cast<double>(last - first - 1);
    const double spread = 1 / weight;
    for (std::size_t k = first; k < last; ++k) {
      const int i = instrument[k] - 1;
      const double e = r[k] - r_mean;
      const double we = w[k] * e;
      quadratic += count * we * e;
      grad_b.coeffRef(i) += count * we;
      if (unknown) {
        grad_v.coeffRef(i) += 0.5 * count * (we * we + w[k] * (w[k] * spread - 1 - e));
      }
    }
  }

  const double lp = -0.5 * (quadratic + log_scale + freedom * LOG_TWO_PI);
  auto ops = stan::math::make_partials_propagator(b_ref, v_ref);
  if constexpr (!stan::is_constant_all<B>::value) {
    stan::math::partials<0>(ops) = std::move(grad_b);
  }
  if constexpr (!stan::is_constant_all<V>::value) {
    stan::math::partials<1>(ops) = std::move(grad_v);
  }
  return ops.build(lp);
}

#endif
