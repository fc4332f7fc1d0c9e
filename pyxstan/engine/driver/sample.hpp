// NUTS with one kind of metric, adapted or not. Each metric's unit includes this with its services.
#ifndef PYXSTAN_DRIVER_SAMPLE_HPP
#define PYXSTAN_DRIVER_SAMPLE_HPP

#include "run.hpp"

#include <stan/math/prim/fun/log_sum_exp.hpp>
#include <stan/math/prim/fun/to_matrix.hpp>
#include <stan/math/prim/fun/welford_covar_estimator.hpp>
#include <stan/math/prim/fun/welford_var_estimator.hpp>

#include <boost/random/normal_distribution.hpp>
#include <boost/random/variate_generator.hpp>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <string>
#include <vector>

namespace pyxstan {

// Settings of a sampler that all services take in this order.
struct nuts_settings {
  explicit nuts_settings(const run& r)
      : warmup(r.set.whole("sample.num_warmup")),
        draws(r.set.whole("sample.num_samples")),
        thin(r.set.whole("sample.thin")),
        save_warmup(r.set.flag("sample.save_warmup")),
        stepsize(r.set.real("sample.hmc.stepsize")),
        jitter(r.set.real("sample.hmc.stepsize_jitter")),
        depth(r.set.whole("sample.hmc.nuts.max_depth")),
        delta(r.set.real("sample.adapt.delta")),
        gamma(r.set.real("sample.adapt.gamma")),
        kappa(r.set.real("sample.adapt.kappa")),
        t0(r.set.real("sample.adapt.t0")),
        init_buffer(r.set.natural("sample.adapt.init_buffer")),
        term_buffer(r.set.natural("sample.adapt.term_buffer")),
        window(r.set.natural("sample.adapt.window")),
        adapt(r.set.flag("sample.adapt.engaged")) {}
  int warmup, draws, thin;
  bool save_warmup;
  double stepsize, jitter;
  int depth;
  double delta, gamma, kappa, t0;
  unsigned int init_buffer, term_buffer, window;
  bool adapt;
};

inline std::vector<csv_writer> idle_writers(const run& r) {
  return std::vector<csv_writer>(r.chains);
}

// A metric that the user gave, a context a chain; empty where there is none.
inline std::vector<context_ptr> given_metrics(const run& r) {
  std::vector<context_ptr> metrics;
  const std::string& file = r.set.text("sample.hmc.metric_file");
  if (!file.empty()) {
    for (const auto& name : input_files(file, r.chains, r.id)) {
      metrics.push_back(read_context(name));
    }
  }
  return metrics;
}

// "out.csv" has its metric in "out_metric.json"; of several chains, in "out_metric_1.json" ...
inline std::vector<json_output> metric_writers(const run& r) {
  const std::string& given = r.set.text("output.file");
  const bool numbered = r.chains > 1 && given.find(',') == std::string::npos;
  std::vector<json_output> writers;
  for (std::size_t i = 0; i < r.chains; ++i) {
    const std::string base = stem(numbered ? given : r.output_files[i]) + "_metric";
    writers.push_back(r.set.flag("sample.adapt.save_metric")
                          ? open_json(base + (numbered ? "_" + std::to_string(r.id + i) : "")
                                          + ".json",
                                      r.digits)
                          : json_output());
  }
  return writers;
}

}  // namespace pyxstan

#endif
