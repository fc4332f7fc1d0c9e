// Likelihood of a parent distribution, given its density p on nodes, and its gradient by hand: one
// pass over the rows' weights, where automatic differentiation would record every object.
// Plain-Stan twin: functions/stack_plain.stanfunctions.
//
//   L_i = sum_g weight_ig p_g, or `least` if that is more,   log L = sum_i power_i log L_i,   d/dp_g = sum_i power_i weight_ig / L_i
#ifndef PYXSTAN_STACK_HPP
#define PYXSTAN_STACK_HPP

#include <stan/model/model_header.hpp>

#include <cmath>
#include <ostream>
#include <vector>

template <bool propto, typename P, typename Weight, typename Power, typename Least>
stan::return_type_t<P> stack_lpdf(const P& p_arg, const std::vector<int>& first,
                                  const std::vector<int>& start, const Weight& weight_arg,
                                  const Power& power_arg, const Least& least, std::ostream*) {
  using stan::math::to_ref;
  const auto& p_ref = to_ref(p_arg);
  const auto& weight = to_ref(weight_arg);
  const auto& power = to_ref(power_arg);
  const Eigen::VectorXd p = stan::math::value_of(p_ref);
  Eigen::VectorXd grad = Eigen::VectorXd::Zero(p.size());

  double lp = 0;
  const double log_least = std::log(least);
  double product = 1;  // of likelihoods: one logarithm for many of them
  for (std::size_t i = 0; i < first.size(); ++i) {
    const Eigen::Index size = start[i + 1] - start[i];
    const auto row = weight.segment(start[i] - 1, size);
    const double likelihood = row.dot(p.segment(first[i] - 1, size));
    if (!(likelihood > least)) {  // hardly a sample where the parent is
      lp += power.coeff(i) * log_least;
      continue;
    }
    if (power.coeff(i) != 1 || likelihood < 1e-100 || likelihood > 1e100) {
      lp += power.coeff(i) * std::log(likelihood);
    } else {
      product *= likelihood;
      if (!(product > 1e-150 && product < 1e150)) {
        lp += std::log(product);
        product = 1;
      }
    }
    grad.segment(first[i] - 1, size) += (power.coeff(i) / likelihood) * row;
  }

  lp += std::log(product);
  auto ops = stan::math::make_partials_propagator(p_ref);
  if constexpr (!stan::is_constant_all<P>::value) {
    stan::math::partials<0>(ops) = std::move(grad);
  }
  return ops.build(lp);
}

#endif
