// Likelihood of a parent distribution, given its density p on nodes or at samples, and its gradient
// by hand: one pass over the weights, where automatic differentiation would record every object.
// Plain-Stan twins: functions/stack_plain.stanfunctions.
//
//   L_i = sum_g weight_ig p_g, or `least` if that is more,   log L = sum_i power_i log L_i,   d/dp_g = sum_i power_i weight_ig / L_i
#ifndef PYXSTAN_STACK_HPP
#define PYXSTAN_STACK_HPP

#include <stan/model/model_header.hpp>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <vector>

namespace pyxstan {

// sum_i power_i log(max(L_i, least)): one logarithm for the product of many L_i.
class LogLikelihood {
 public:
  explicit LogLikelihood(double least) : least_(least), log_least_(std::log(least)) {}

  // Adds one; its slope d(power log L) / dL.
  double add(double likelihood, double power) {
    if (!(likelihood > least_)) {  // hardly a sample where the parent is
      total_ += power * log_least_;
      return 0;
    }
    if (power != 1 || likelihood < 1e-100 || likelihood > 1e100) {
      total_ += power * std::log(likelihood);
    } else {
      product_ *= likelihood;
      if (!(product_ > 1e-150 && product_ < 1e150)) {
        total_ += std::log(product_);
        product_ = 1;
      }
    }
    return power / likelihood;
  }

  double total() const { return total_ + std::log(product_); }

 private:
  double least_, log_least_, total_ = 0, product_ = 1;
};

template <typename P>
auto with_gradient(const P& p, double value, Eigen::VectorXd&& gradient) {
  auto ops = stan::math::make_partials_propagator(p);
  if constexpr (!stan::is_constant_all<P>::value) {
    stan::math::partials<0>(ops) = std::move(gradient);
  }
  return ops.build(value);
}

}  // namespace pyxstan

// p on the nodes of a grid from `begin` on: row i has weights on those from first[i] on.
template <bool propto, typename P, typename Weight, typename Power, typename Least>
stan::return_type_t<P> stack_lpdf(const P& p_arg, const int& begin, const std::vector<int>& first,
                                  const std::vector<int>& start, const Weight& weight_arg,
                                  const Power& power_arg, const Least& least, std::ostream*) {
  using stan::math::to_ref;
  const auto& p_ref = to_ref(p_arg);
  const auto& weight = to_ref(weight_arg);
  const auto& power = to_ref(power_arg);
  const Eigen::VectorXd p = stan::math::value_of(p_ref);
  const Eigen::Index end = begin + p.size();
  Eigen::VectorXd gradient = Eigen::VectorXd::Zero(p.size());
  pyxstan::LogLikelihood log_likelihood(least);
  for (std::size_t i = 0; i < first.size(); ++i) {
    const Eigen::Index from = std::max(first[i], begin);
    const Eigen::Index to = std::min<Eigen::Index>(first[i] + start[i + 1] - start[i], end);
    const Eigen::Index size = std::max<Eigen::Index>(to - from, 0);
    const Eigen::Index at = size > 0 ? from - begin : 0;
    const auto row = weight.segment(size > 0 ? start[i] - 1 + from - first[i] : 0, size);
    const double slope = log_likelihood.add(row.dot(p.segment(at, size)), power.coeff(i));
    if (slope != 0) {
      gradient.segment(at, size) += slope * row;
    }
  }
  return pyxstan::with_gradient(p_ref, log_likelihood.total(), std::move(gradient));
}

// p at samples, each of row[g].
template <bool propto, typename P, typename Weight, typename Power, typename Least>
stan::return_type_t<P> stack_samples_lpdf(const P& p_arg, const std::vector<int>& row,
                                          const Weight& weight_arg, const Power& power_arg,
                                          const Least& least, std::ostream*) {
  using stan::math::to_ref;
  const auto& p_ref = to_ref(p_arg);
  const auto& weight = to_ref(weight_arg);
  const auto& power = to_ref(power_arg);
  Eigen::VectorXd gradient = stan::math::value_of(p_ref);
  Eigen::VectorXd slope = Eigen::VectorXd::Zero(power.size());  // at first the likelihood
  for (Eigen::Index g = 0; g < gradient.size(); ++g) {
    slope.coeffRef(row[g] - 1) += weight.coeff(g) * gradient.coeff(g);
  }
  pyxstan::LogLikelihood log_likelihood(least);
  for (Eigen::Index i = 0; i < slope.size(); ++i) {
    slope.coeffRef(i) = log_likelihood.add(slope.coeff(i), power.coeff(i));
  }
  for (Eigen::Index g = 0; g < gradient.size(); ++g) {
    gradient.coeffRef(g) = weight.coeff(g) * slope.coeff(row[g] - 1);
  }
  return pyxstan::with_gradient(p_ref, log_likelihood.total(), std::move(gradient));
}

#endif
