// Likelihood of a parent distribution, given its density p on nodes or at samples, and its gradient
// by hand: one pass over the weights, where automatic differentiation would record every object.
// Plain-Stan twins: functions/stack_plain.stanfunctions.
//
//   L_i = sum_g weight_ig p_g,   log L = sum_i power_i log L_i,   d/dp_g = sum_i power_i weight_ig / L_i
//
// over the objects that aren't far from the parent: of others nodes say nothing, and stack.stan takes
// the logarithms of p at their samples.
#ifndef PYXSTAN_STACK_HPP
#define PYXSTAN_STACK_HPP

#include <stan/model/model_header.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>
#include <vector>

namespace pyxstan {

// sum_i power_i log(L_i): one logarithm for the product of many L_i.
class LogLikelihood {
 public:
  // Adds one; its slope d(power log L) / dL.
  double add(double likelihood, double power) {
    likelihood = std::max(likelihood, std::numeric_limits<double>::min());  // fractions of bins underflow
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
  double total_ = 0, product_ = 1;
};

// A row of weights, as far as p is given: where it begins among p, and its part of all weights.
struct Overlap {
  Eigen::Index at, begin, size;

  Overlap(int first, int start, int end, Eigen::Index before, Eigen::Index points) {
    const Eigen::Index row_from = first - 1, row_to = row_from + end - start;
    const Eigen::Index from = std::max(row_from, before);
    size = std::max<Eigen::Index>(std::min(row_to, before + points) - from, 0);
    at = size > 0 ? from - before : 0;
    begin = size > 0 ? start - 1 + from - row_from : 0;
  }
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

// Which rows are far from the parent, 1 or 0: their likelihood is not above `least`, or not a number.
template <typename P, typename Weight, typename SampleWeight, typename Least>
std::vector<int> stack_far(const P& p_arg, const std::vector<int>& part, const std::vector<int>& begin,
                           const std::vector<std::vector<int>>& firsts,
                           const std::vector<std::vector<int>>& starts, const Weight& weight_arg,
                           const std::vector<int>& sample_row, const SampleWeight& sample_weight_arg,
                           int rows, const Least& least_arg, std::ostream*) {
  using Eigen::Index;
  using stan::math::to_ref;
  const auto& weight = to_ref(weight_arg);
  const auto& sample_weight = to_ref(sample_weight_arg);
  const Eigen::VectorXd p = stan::math::value_of(to_ref(p_arg));
  const double least = stan::math::value_of(least_arg);
  const Index level = part[0] - 1, before = part[1] - (begin[level] - 1);
  std::vector<int> far(rows);
  if (level < static_cast<Index>(firsts.size())) {
    const auto &first = firsts[level], &start = starts[level];
    for (int i = 0; i < rows; ++i) {
      const pyxstan::Overlap row(first[i], start[i], start[i + 1], before, p.size());
      far[i] = !(weight.segment(row.begin, row.size).dot(p.segment(row.at, row.size)) > least);
    }
  } else {
    Eigen::VectorXd likelihood = Eigen::VectorXd::Zero(rows);
    for (Index g = 0; g < p.size(); ++g) {
      likelihood.coeffRef(sample_row[before + g] - 1) += sample_weight.coeff(before + g) * p.coeff(g);
    }
    for (int i = 0; i < rows; ++i) {
      far[i] = !(likelihood.coeff(i) > least);
    }
  }
  return far;
}

// p at those points; rows that are far count for nothing.
template <bool propto, typename P, typename Weight, typename SampleWeight, typename Power>
stan::return_type_t<P> stack_lpdf(const P& p_arg, const std::vector<int>& part, const std::vector<int>& begin,
                                  const std::vector<std::vector<int>>& firsts,
                                  const std::vector<std::vector<int>>& starts, const Weight& weight_arg,
                                  const std::vector<int>& sample_row, const SampleWeight& sample_weight_arg,
                                  const Power& power_arg, const std::vector<int>& far, std::ostream*) {
  using Eigen::Index;
  using stan::math::to_ref;
  const auto& p_ref = to_ref(p_arg);
  const auto& weight = to_ref(weight_arg);
  const auto& sample_weight = to_ref(sample_weight_arg);
  const auto& power = to_ref(power_arg);
  const Eigen::VectorXd p = stan::math::value_of(p_ref);
  const Index level = part[0] - 1, before = part[1] - (begin[level] - 1);
  Eigen::VectorXd gradient = Eigen::VectorXd::Zero(p.size());
  pyxstan::LogLikelihood log_likelihood;
  if (level < static_cast<Index>(firsts.size())) {  // rows of weights
    const auto &first = firsts[level], &start = starts[level];
    for (std::size_t i = 0; i < first.size(); ++i) {
      if (far[i]) {
        continue;
      }
      const pyxstan::Overlap row(first[i], start[i], start[i + 1], before, p.size());
      const auto weights = weight.segment(row.begin, row.size);
      const double slope
          = log_likelihood.add(weights.dot(p.segment(row.at, row.size)), power.coeff(i));
      gradient.segment(row.at, row.size) += slope * weights;
    }
  } else {  // each sample of a row
    Eigen::VectorXd slope = Eigen::VectorXd::Zero(power.size());  // at first the likelihood
    for (Index g = 0; g < p.size(); ++g) {
      slope.coeffRef(sample_row[before + g] - 1) += sample_weight.coeff(before + g) * p.coeff(g);
    }
    for (Index i = 0; i < slope.size(); ++i) {
      slope.coeffRef(i) = far[i] ? 0.0 : log_likelihood.add(slope.coeff(i), power.coeff(i));
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
