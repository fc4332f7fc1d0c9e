// Generated quantities for draws of the parameters that are already there.
#include "fitted.hpp"
#include "run.hpp"

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <stan/services/sample/standalone_gqs.hpp>

namespace pyxstan {
namespace {

int generate(run& r) {
  const std::string& file = r.set.text("generate_quantities.fitted_params");
  if (file.empty()) {
    throw std::runtime_error("Missing fitted_params argument, cannot run generate_quantities "
                             "without fitted sample.");
  }
  std::vector<Eigen::MatrixXd> draws;
  for (const auto& name : chain_files(file, r.chains, r.id)) {
    if (!is_csv(name)) {
      throw std::runtime_error("\"" + name + "\" is not a CSV file of draws");
    }
    draws.push_back(read_fitted(name, r.model));
  }
  // Of several chains, Stan writes the parameters too, under a header without them (stan#3403).
  for (csv_writer& writer : r.output) {
    writer.skip_leading(static_cast<std::size_t>(draws[0].cols()));
  }
  return stan::services::standalone_generate(r.model, static_cast<int>(r.chains), draws, r.seed,
                                             r.interrupt, r.logger, r.output);
}

const registration registered("generate_quantities", generate);

}  // namespace
}  // namespace pyxstan
