// The likelihood of a point source summed over positions, and its gradient by hand. Plain-Stan twin:
// functions/point_source_plain.stanfunctions.
#ifndef PYXSTAN_POINT_SOURCE_MODEL_HPP
#define PYXSTAN_POINT_SOURCE_MODEL_HPP

#include <stan/model/model_header.hpp>

#include "functions/point_source.hpp"

#include <cmath>
#include <ostream>
#include <vector>

template <typename Ns, typename Gamma, typename Weight, typename Events, typename Ratio, typename Energies,
          typename Shares>
stan::return_type_t<Ns, Gamma> point_source_log_likelihood(
    const Ns& ns, const Gamma& gamma, const double& gamma_low, const double& gamma_step, const int& nodes,
    const Weight& log_weight, const Events& events, const std::vector<int>& start, const std::vector<int>& energy,
    const Ratio& ratio, const std::vector<int>& share, const Energies& log_energy, const Shares& log_share,
    std::ostream* /* messages */) {
  namespace ps = point_source;
  const double n = stan::math::value_of(ns), g = stan::math::value_of(gamma);
  const ps::Gammas gammas{gamma_low, gamma_step, nodes};
  const std::size_t samples = static_cast<std::size_t>(events.size()), row = 2 * static_cast<std::size_t>(nodes);
  const std::size_t positions = static_cast<std::size_t>(log_weight.size());
  // what is near one position, and the likelihoods of all
  static thread_local std::vector<ps::Term> terms;
  static thread_local std::vector<ps::Part> parts;
  static thread_local std::vector<ps::Slopes> each;
  each.clear();
  double highest = -std::numeric_limits<double>::infinity();
  for (std::size_t p = 0; p < positions; ++p) {
    const std::size_t from = start[p * samples] - 1, to = start[(p + 1) * samples] - 1;
    terms.clear();
    for (std::size_t i = from; i < to; ++i)
      terms.push_back({ratio[i], &log_energy[row * (energy[i] - 1)], nullptr});
    parts.clear();
    for (std::size_t s = 0; s < samples; ++s) {
      const std::size_t k = p * samples + s;
      parts.push_back({events[s], &log_share[row * (share[k] - 1)], terms.data() + (start[k] - 1 - from),
                       terms.data() + (start[k + 1] - 1 - from)});
    }
    each.push_back(ps::log_likelihood(parts, gammas, n, g));
    each.back().value += log_weight[p];
    highest = std::max(highest, each.back().value);
  }
  double total = 0.0, by_ns = 0.0, by_gamma = 0.0;
  for (const ps::Slopes& one : each) {
    const double weight = std::exp(one.value - highest);
    total += weight;
    by_ns += weight * one.by_ns;
    by_gamma += weight * one.by_gamma;
  }
  auto ops = stan::math::make_partials_propagator(ns, gamma);
  if constexpr (!stan::is_constant_all<Ns>::value) {
    stan::math::partials<0>(ops)[0] = by_ns / total;
  }
  if constexpr (!stan::is_constant_all<Gamma>::value) {
    stan::math::partials<1>(ops)[0] = by_gamma / total;
  }
  return ops.build(highest + std::log(total));
}

#endif
