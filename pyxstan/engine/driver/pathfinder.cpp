// Pathfinder: one path, or several with resampling.
#include "run.hpp"

#include <stan/math/prim/fun/expm1.hpp>
#include <stan/math/prim/fun/log_sum_exp.hpp>

#include <boost/random/normal_distribution.hpp>
#include <boost/random/variate_generator.hpp>
#include <boost/range/iterator_range.hpp>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <stan/services/pathfinder/multi.hpp>
#include <stan/services/pathfinder/single.hpp>

namespace pyxstan {
namespace {

int pathfinder(run& r) {
  namespace services = stan::services::pathfinder;
  const auto real = [&](const char* name) {
    return r.set.real(std::string("pathfinder.") + name);
  };
  const auto whole = [&](const char* name) {
    return r.set.whole(std::string("pathfinder.") + name);
  };
  const bool calculate_lp = r.set.flag("pathfinder.calculate_lp");
  // a trace is written for who asks for it by either argument
  const std::string& diagnostic = r.set.text("output.diagnostic_file");
  const bool save = r.set.flag("pathfinder.save_single_paths") || !diagnostic.empty();
  const std::string trace_base = stem(diagnostic.empty() ? r.output_files[0] : diagnostic);
  if (whole("num_psis_draws") > static_cast<double>(whole("num_draws")) * r.chains) {
    r.logger.info("Warning: num_psis_draws is larger than the number of draws of all paths, so that "
                  "some will be drawn more than once.");
  }
  csv_writer init;
  if (r.chains == 1) {
    json_output trace = open_json(save ? trace_base + ".json" : "", r.digits);
    return services::pathfinder_lbfgs_single<false>(
        r.model, *r.inits[0], r.seed, r.id, r.init_radius, whole("history_size"),
        real("init_alpha"), real("tol_obj"), real("tol_rel_obj"), real("tol_grad"),
        real("tol_rel_grad"), real("tol_param"), whole("max_lbfgs_iters"), whole("num_elbo_draws"),
        whole("num_draws"), save, r.refresh, r.interrupt, r.logger, init, r.output[0], trace,
        calculate_lp);
  }
  std::vector<csv_writer> inits(r.chains), paths;
  std::vector<json_output> traces;
  for (std::size_t i = 0; i < r.chains; ++i) {
    if (save) {
      const std::string number = "_path_" + std::to_string(r.id + i);
      paths.push_back(r.open_csv(suffixed(r.output_files[0], number.substr(1))));
      traces.push_back(open_json(trace_base + number + ".json", r.digits));
    } else {
      paths.emplace_back();
      traces.emplace_back();
    }
  }
  json_output trace;
  const int code = services::pathfinder_lbfgs_multi(
      r.model, r.inits, r.seed, r.id, r.init_radius, whole("history_size"), real("init_alpha"),
      real("tol_obj"), real("tol_rel_obj"), real("tol_grad"), real("tol_rel_grad"),
      real("tol_param"), whole("max_lbfgs_iters"), whole("num_elbo_draws"), whole("num_draws"),
      whole("num_psis_draws"), static_cast<int>(r.chains), save, r.refresh, r.interrupt, r.logger,
      inits, paths, traces, r.output[0], trace, calculate_lp,
      r.set.flag("pathfinder.psis_resample"));
  for (csv_writer& path : paths) {
    path.close();
  }
  return code;
}

const registration registered("pathfinder", pathfinder);

}  // namespace
}  // namespace pyxstan
