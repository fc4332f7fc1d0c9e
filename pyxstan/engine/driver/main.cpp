// Command line of a compiled Stan program, in the language of CmdStan's: read the arguments, load the
// data, open the outputs, and hand over to the method. Written from the CmdStan User's Guide and the
// headers of Stan's services.
#include "arguments.hpp"
#include "config.hpp"
#include "files_definitions.hpp"
#include "help.hpp"
#include "run.hpp"

#include <stan/math/rev/core.hpp>
#include <stan/math/rev/core/init_chainablestack.hpp>
#include <stan/math/rev/core/profiling.hpp>
#include <stan/math/prim/core/init_threadpool_tbb.hpp>

#include <sys/stat.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <iostream>
#include <sstream>

stan::model::model_base& new_model(stan::io::var_context& data, unsigned int seed,
                                   std::ostream* messages);
stan::math::profile_map& get_stan_profile_data();

namespace pyxstan {

std::map<std::string, method>& methods() {
  static std::map<std::string, method> all;
  return all;
}

namespace {

void print_info() {
  std::cout << "stan_version_major = " << stan::MAJOR_VERSION << "\n"
            << "stan_version_minor = " << stan::MINOR_VERSION << "\n"
            << "stan_version_patch = " << stan::PATCH_VERSION << "\n"
#ifdef STAN_THREADS
            << "STAN_THREADS=true\n"
#else
            << "STAN_THREADS=false\n"
#endif
            << "STAN_MPI=false\n"
            << "STAN_OPENCL=false\n"
            << "STAN_NO_RANGE_CHECKS=false\n"
            << "STAN_CPP_OPTIMS=false\n";
}

// Evaluate the log density and its gradient once, which an executable of objects that don't fit
// together does not survive. Where the point is outside the support is no concern here.
void print_density(const std::string& file) {
  const auto data = read_context(file);
  std::unique_ptr<stan::model::model_base> model(&new_model(*data, 1, &std::cerr));
  const auto size = static_cast<Eigen::Index>(model->num_params_r());
  Eigen::Matrix<stan::math::var, Eigen::Dynamic, 1> point(size);
  for (Eigen::Index i = 0; i < size; ++i) {
    point[i] = 0.1;
  }
  std::cout << "log_density = ";
  try {
    std::ostringstream messages;
    const stan::math::var density = model->log_prob_jacobian(point, &messages);
    stan::math::grad(density.vi_);
    std::cout << density.val() << "\n";
  } catch (const std::exception&) {
    std::cout << "rejected\n";
  }
}

// The unit that does what was asked for.
std::string unit_of(const settings& set, const stan::model::model_base& model) {
  const std::string& name = set.text("method");
  if (name != "sample") {
    return name;
  }
  if (set.text("sample.algorithm") == "fixed_param") {
    return "sample_fixed_param";
  }
#if STAN_MAJOR == 2 && STAN_MINOR < 36
  if (model.num_params_r() == 0) {
    std::cout << "Model contains no parameters: running the fixed_param sampler.\n";
    return "sample_fixed_param";
  }
#endif
  if (set.flag("sample.adapt.engaged")) {
    if (set.whole("sample.num_warmup") == 0) {
      throw std::runtime_error("num_warmup=0 leaves no iterations to adapt: give a positive number, "
                               "or switch adaptation off (adapt engaged=0)");
    }
  } else if (set.flag("sample.adapt.save_metric")) {
    throw std::runtime_error("save_metric=1 needs adaptation (adapt engaged=1)");
  }
  return set.text("sample.hmc.engine") == "static" ? "sample_static"
                                                   : "sample_" + set.text("sample.hmc.metric");
}

std::size_t count_chains(const settings& set) {
  const std::string& name = set.text("method");
  const std::string path = name == "pathfinder"            ? "pathfinder.num_paths"
                           : name == "sample"              ? "sample.num_chains"
                           : name == "generate_quantities" ? "generate_quantities.num_chains"
                                                           : "";
  return path.empty() ? 1 : static_cast<std::size_t>(set.whole(path));
}

// Starting values: a context a chain, and the half width of the random interval for the rest.
std::vector<context_ptr> read_inits(const std::string& init, std::size_t chains, unsigned int id,
                                    double& radius) {
  errno = 0;  // of what is too large or too small for a number
  if (detail::parse_real(init, radius) && errno == 0) {
    if (radius < 0 || std::isinf(radius)) {
      throw std::runtime_error(init + " is not a valid value for \"init\"\n  Valid values: 0 <= init, "
                               "or the name of a file");
    }
    return std::vector<context_ptr>(chains, read_context(""));
  }
  radius = 2;
  std::vector<context_ptr> inits;
  for (const auto& file : input_files(init, chains, id)) {
    inits.push_back(read_context(file));
  }
  return inits;
}

// Opening an output erases what was there: never a file that the run still has to read.
void protect_inputs(const settings& set, const std::vector<std::string>& outputs,
                    std::size_t chains, unsigned int id) {
  for (const char* path : {"data.file", "init", "sample.hmc.metric_file", "laplace.mode",
                           "generate_quantities.fitted_params", "log_prob.unconstrained_params",
                           "log_prob.constrained_params"}) {
    const std::string& given = set.text(path);
    auto inputs = is_one(given) ? std::vector<std::string>{given} : split(given);
    if (chains > 1 && is_one(given)) {
      const auto numbered = chain_files(given, chains, id);
      inputs.insert(inputs.end(), numbered.begin(), numbered.end());
    }
    for (const auto& input : inputs) {
      for (const auto& output : outputs) {
        struct stat a {}, b {};
        if (stat(input.c_str(), &a) == 0 && stat(output.c_str(), &b) == 0 && a.st_ino == b.st_ino
            && a.st_dev == b.st_dev && S_ISREG(a.st_mode)) {
          throw std::runtime_error("The output file \"" + output + "\" is also an input, " + path
                                   + ": name another");
        }
      }
    }
  }
}

void write_profile(const std::string& file, int digits) {
  const auto& profiles = get_stan_profile_data();
  if (profiles.empty()) {
    return;
  }
  std::ofstream stream(file);
  if (digits >= 0) {
    stream.precision(digits);
  }
  stream << "name,thread_id,total_time,forward_time,reverse_time,chain_stack,no_chain_stack,"
            "autodiff_calls,no_autodiff_calls\n";
  for (const auto& entry : profiles) {
    const auto& p = entry.second;
    stream << entry.first.first << "," << entry.first.second << ","
           << p.get_fwd_time() + p.get_rev_time() << "," << p.get_fwd_time() << ","
           << p.get_rev_time() << "," << p.get_chain_stack_used() << ","
           << p.get_nochain_stack_used() << "," << p.get_num_rev_passes() << ","
           << p.get_num_no_AD_fwd_passes() << "\n";
  }
  if (!stream.flush()) {
    throw std::runtime_error("Cannot write profiling output file \"" + file + "\"");
  }
}

unsigned int clock_seed() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<unsigned int>(
      std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

// The environment's word counts where the command line has none, as for CmdStan.
int thread_count(const settings& set) {
  const int threads = set.whole("num_threads");
  const int environment = stan::math::internal::get_num_threads();
  if (threads == 0) {
    throw usage_error("0 is not a valid value for \"num_threads\"\n  Valid values: num_threads > 0 "
                      "|| num_threads == -1");
  }
  if (environment != 1 && threads != environment) {
    throw std::runtime_error("STAN_NUM_THREADS=" + std::to_string(environment)
                             + " but num_threads=" + std::to_string(threads)
                             + ": set only one of the two, or both to the same");
  }
  return threads;
}

int execute(argument& root, const std::vector<std::string>& words) {
  for (argument& top : root.children) {
    if (top.name == "num_threads") {
      top.value = top.fallback = std::to_string(stan::math::internal::get_num_threads());
    }
  }
  reader(words).read(root);
  refuse_infinite(root);
  for (argument& top : root.children) {
    if (top.name == "random" && top.children[0].value == "-1") {
      top.children[0].value = top.children[0].fallback = std::to_string(clock_seed());
    }
  }
  const settings set(root);
  stan::math::init_threadpool_tbb(thread_count(set));

  stan::callbacks::stream_logger logger(std::cout, std::cout, std::cout, std::cerr, std::cerr);
  stan::callbacks::interrupt interrupt;
  std::ostringstream configuration;
  print(root, configuration, "", 0);
  logger.info(configuration.str());

  const auto seed = set.natural("random.seed");
  const auto id = set.natural("id");
  const int digits = set.whole("output.sig_figs");
  const std::string& name = set.text("method");
  const std::size_t chains = count_chains(set);
  const bool own_files = name == "sample" || name == "generate_quantities";
  const std::size_t count = own_files ? chains : 1;

  const auto data = read_context(set.text("data.file"));
  std::unique_ptr<stan::model::model_base> model(&new_model(*data, seed, &std::cout));
  double radius = 2;
  const auto inits = read_inits(set.text("init"), chains, id, radius);
  const std::string unit = unit_of(set, *model);
  const auto found = methods().find(unit);
  if (found == methods().end()) {
    throw std::runtime_error("this executable was built without " + unit);
  }

  const run_record record(root, *model);
  const auto output_files = [&](const std::string& given) {
    std::vector<std::string> names;
    for (const auto& file : chain_files(given, count, id)) {
      if (!file.empty() && file.back() == '/') {
        throw std::runtime_error("Ill-formed output filename \"" + file + "\"");
      }
      names.push_back(suffixed(file, ""));
    }
    return names;
  };
  const auto files = output_files(set.text("output.file"));
  protect_inputs(set, files, chains, id);
  const auto open_csv = [&](const std::string& file, bool whole) {
    csv_writer writer(file, digits);
    writer.raw(record.comments(whole));
    return writer;
  };
  std::vector<csv_writer> outputs, diagnostics(count);
  for (const auto& file : files) {
    outputs.push_back(open_csv(file, true));
  }
  const std::string& diagnostic = set.text("output.diagnostic_file");
  if (!diagnostic.empty() && name != "pathfinder" && name != "laplace") {
    diagnostics.clear();
    for (const auto& file : output_files(diagnostic)) {
      diagnostics.push_back(open_csv(file, false));
    }
  }
  if (set.flag("output.save_cmdstan_config")) {
    const std::string& given = set.text("output.file");
    record.write_json(stem(is_one(given) ? given : files[0]) + "_config.json", digits);
  }

  run r{set,     *model, logger, interrupt, seed,  id, set.whole("output.refresh"),
        chains,  radius, inits,  files,     std::move(outputs),  std::move(diagnostics),
        digits,  [&](const std::string& file) { return open_csv(file, true); }};
  const int code = found->second(r);
  for (auto* writers : {&r.output, &r.diagnostics}) {
    for (csv_writer& writer : *writers) {
      writer.close();
    }
  }
  write_profile(set.text("output.profile_file"), digits);
  return code == 0 ? 0 : 1;
}

}  // namespace
}  // namespace pyxstan

int main(int count, char* values[]) {
#ifdef __linux__
  // A driving process that is killed takes its chains with it.
  if (std::getenv("PYXSTAN_DIE_WITH_PARENT") != nullptr) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
  }
#endif
  const std::vector<std::string> words(values + 1, values + count);
  pyxstan::argument root = pyxstan::root_arguments();
  pyxstan::fill_defaults(root);
  try {
    if (words.empty()) {
      pyxstan::print_usage(root, values[0]);
      return 1;
    }
    if (words[0] == "info") {
      pyxstan::print_info();
      for (const auto& word : words) {
        if (word.rfind("file=", 0) == 0) {
          pyxstan::print_density(word.substr(5));
        }
      }
      return 0;
    }
    if (pyxstan::answer_help(words, root, values[0])) {
      return 0;
    }
    return pyxstan::execute(root, words);
  } catch (const pyxstan::usage_error& error) {
    std::cerr << error.what() << "\nFailed to parse command arguments, cannot run model."
              << std::endl;
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
  }
  return 1;
}
