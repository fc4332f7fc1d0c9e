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

}  // namespace pyxstan

// The level that a parent is evaluated on: the first grid that resolves it, from 1, else the samples, if
// there are any (`begin` tells: of every level's points, and the end), else the last grid. Of its points,
// which ascend, those in the window: how many points are before them in all levels, and how many they are.
template <typename Window, typename Finest, typename Resolved, typename X>
std::vector<int> stack_part(const Window& window, const Finest& finest, const Resolved& resolved_arg,
                            const std::vector<int>& begin, const X& x_arg, std::ostream*) {
  const auto& resolved = stan::math::to_ref(resolved_arg);
  const auto& x = stan::math::to_ref(x_arg);
  const Eigen::VectorXd ends = stan::math::value_of(window);
  const double length = stan::math::value_of(finest);
  const int levels = static_cast<int>(begin.size()) - 1;
  const int last = begin[levels] > begin[levels - 1] ? levels : levels - 1;
  int level = 1;
  while (level < last && length < resolved.coeff(level - 1)) {
    ++level;
  }
  const double* points = x.data();
  const double* from = points + begin[level - 1] - 1;
  const double* to = points + begin[level] - 1;
  const double* low = std::lower_bound(from, to, ends[0]);
  const double* high = std::lower_bound(low, to, ends[1]);
  return {level, static_cast<int>(low - points), static_cast<int>(high - low)};
}

// p at those points.
template <bool propto, typename P, typename Weight, typename SampleWeight, typename Power, typename Least>
stan::return_type_t<P> stack_lpdf(const P& p_arg, const std::vector<int>& part, const std::vector<int>& begin,
                                  const std::vector<std::vector<int>>& firsts,
                                  const std::vector<std::vector<int>>& starts, const Weight& weight_arg,
                                  const std::vector<int>& sample_row, const SampleWeight& sample_weight_arg,
                                  const Power& power_arg, const Least& least, std::ostream*) {
  using Eigen::Index;
  using stan::math::to_ref;
  const auto& p_ref = to_ref(p_arg);
  const auto& weight = to_ref(weight_arg);
  const auto& sample_weight = to_ref(sample_weight_arg);
  const auto& power = to_ref(power_arg);
  const Eigen::VectorXd p = stan::math::value_of(p_ref);
  const Index level = part[0] - 1, before = part[1] - (begin[level] - 1);
  Eigen::VectorXd gradient = Eigen::VectorXd::Zero(p.size());
  pyxstan::LogLikelihood log_likelihood(least);
  if (level < static_cast<Index>(firsts.size())) {  // rows of weights
    const auto &first = firsts[level], &start = starts[level];
    for (std::size_t i = 0; i < first.size(); ++i) {
      const Index row_from = first[i] - 1, row_to = row_from + start[i + 1] - start[i];
      const Index from = std::max(row_from, before);
      const Index size = std::max<Index>(std::min(row_to, before + p.size()) - from, 0);
      const Index at = size > 0 ? from - before : 0;
      const auto row = weight.segment(size > 0 ? start[i] - 1 + from - row_from : 0, size);
      const double slope = log_likelihood.add(row.dot(p.segment(at, size)), power.coeff(i));
      if (slope != 0) {
        gradient.segment(at, size) += slope * row;
      }
    }
  } else {  // each sample of a row
    Eigen::VectorXd slope = Eigen::VectorXd::Zero(power.size());  // at first the likelihood
    for (Index g = 0; g < p.size(); ++g) {
      slope.coeffRef(sample_row[before + g] - 1) += sample_weight.coeff(before + g) * p.coeff(g);
    }
    for (Index i = 0; i < slope.size(); ++i) {
      slope.coeffRef(i) = log_likelihood.add(slope.coeff(i), power.coeff(i));
    }
    for (Index g = 0; g < p.size(); ++g) {
      gradient.coeffRef(g) = sample_weight.coeff(before + g) * slope.coeff(sample_row[before + g] - 1);
    }
  }
  auto ops = stan::math::make_partials_propagator(p_ref);
  if constexpr (!stan::is_constant_all<P>::value) {
    stan::math::partials<0>(ops) = std::move(gradient);
  }
  return ops.build(log_likelihood.total());
}

#endif
