// Command line of a compiled Stan program, in the language of CmdStan's: read the arguments, load the
// data, open the outputs, and hand over to the method. Written from the CmdStan User's Guide and the
// headers of Stan's services.
#include "arguments.hpp"
#include "config.hpp"
#include "run.hpp"

#include <stan/io/array_var_context.hpp>
#include <stan/io/dump.hpp>
#include <stan/io/empty_var_context.hpp>
#include <stan/io/json/json_data.hpp>
#include <stan/math/rev/core/init_chainablestack.hpp>
#include <stan/math/rev/core/profiling.hpp>
#include <stan/math/prim/core/init_threadpool_tbb.hpp>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <chrono>
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

context_ptr read_context(const std::string& file) {
  if (file.empty()) {
    return std::make_shared<stan::io::empty_var_context>();
  }
  std::ifstream stream(file);
  if (!stream) {
    throw usage_error("Cannot open specified file, \"" + file + "\"");
  }
  if (file.size() > 5 && file.compare(file.size() - 5, 5, ".json") == 0) {
    return std::make_shared<stan::json::json_data>(stream);
  }
  return std::make_shared<stan::io::dump>(stream);
}

namespace {

// Where the extension of a file name begins; its length where there is none.
std::size_t extension(const std::string& file) {
  const auto slash = file.rfind('/');
  const auto dot = file.rfind('.');
  const bool has = dot != std::string::npos && (slash == std::string::npos || dot > slash + 1);
  return has ? dot : file.size();
}

}  // namespace

std::string suffixed(const std::string& file, const std::string& suffix,
                     const std::string& default_extension) {
  const std::size_t dot = extension(file);
  const std::string ending = dot < file.size() ? file.substr(dot) : default_extension;
  return file.substr(0, dot) + (suffix.empty() ? "" : "_" + suffix) + ending;
}

std::vector<std::string> chain_files(const std::string& file, std::size_t chains, unsigned int id) {
  std::vector<std::string> files;
  if (file.find(',') != std::string::npos) {
    std::stringstream list(file);
    for (std::string name; std::getline(list, name, ',');) {
      files.push_back(name);
    }
    if (files.size() != chains) {
      throw usage_error("Found " + std::to_string(files.size()) + " file names in \"" + file
                        + "\", expected one for each of " + std::to_string(chains) + " chains");
    }
  } else if (chains == 1) {
    files.push_back(file);
  } else {
    for (std::size_t i = 0; i < chains; ++i) {
      files.push_back(suffixed(file, std::to_string(id + i), ""));
    }
  }
  return files;
}

json_output open_json(const std::string& file, int digits) {
  if (file.empty()) {
    return json_output();
  }
  auto stream = std::make_unique<std::ofstream>(file);
  if (!*stream) {
    throw std::runtime_error("Cannot open output file \"" + file + "\"");
  }
  if (digits >= 0) {
    stream->precision(digits);
  }
  return json_output(std::move(stream));
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

void print_usage(const argument& root, const std::string& program) {
  std::cout << "Usage: " << program
            << " <arg1> <subarg1_1> ... <subarg1_m> ... <arg_n> <subarg_n_1> ... <subarg_n_m>\n\n"
            << "One of these methods,\n";
  const auto line = [](const argument& a) {
    std::cout << "  " << a.name << std::string(a.name.size() < 20 ? 21 - a.name.size() : 1, ' ')
              << a.help << "\n";
  };
  for (const argument& option : root.children.front().children) {
    line(option);
  }
  std::cout << "and any of\n";
  for (std::size_t i = 1; i < root.children.size(); ++i) {
    line(root.children[i]);
  }
  std::cout << "\n`" << program << " help-all` prints all arguments, `" << program
            << " METHOD help` those of a method.\n";
}

// `help`, `help-all` and `METHOD help`.
bool answer_help(const std::vector<std::string>& words, const argument& root,
                 const std::string& program) {
  if (words.empty() || (words.back() != "help" && words.back() != "help-all")) {
    return false;
  }
  const bool deep = words.back() == "help-all";
  for (const argument& option : root.children.front().children) {
    if (words.size() > 1 && (words[0] == option.name || words[0] == "method=" + option.name)) {
      print_help(option, std::cout, 0, deep);
      return true;
    }
  }
  if (deep) {
    for (const argument& child : root.children) {
      print_help(child, std::cout, 1, true);
    }
  }
  print_usage(root, program);
  return true;
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
  if (model.num_params_r() == 0) {
    std::cout << "Model contains no parameters, running fixed_param sampler, no updates to Markov "
                 "chain\n";
    return "sample_fixed_param";
  }
  return "sample_" + set.text("sample.hmc.metric");
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
  if (detail::parse_real(init, radius)) {
    if (radius < 0) {
      throw usage_error(init + " is not a valid value for \"init\"\n  Valid values: 0 <= init");
    }
    return std::vector<context_ptr>(chains, read_context(""));
  }
  radius = 2;
  if (chains > 1 && init.find(',') == std::string::npos
      && std::ifstream(chain_files(init, chains, id)[0]).fail()) {
    return std::vector<context_ptr>(chains, read_context(init));
  }
  std::vector<context_ptr> inits;
  for (const auto& file : chain_files(init, chains, id)) {
    inits.push_back(read_context(file));
  }
  return inits;
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

int execute(argument& root, const std::vector<std::string>& words) {
  reader(words).read(root);
  for (argument& top : root.children) {
    if (top.name == "random" && top.children[0].value == "-1") {
      top.children[0].value = std::to_string(clock_seed());
    }
  }
  const settings set(root);

  int threads = set.whole("num_threads");
  if (threads == 0 || threads < -1) {
    throw usage_error("0 is not a valid value for \"num_threads\"\n  Valid values: num_threads > 0 "
                      "|| num_threads == -1");
  }
  // the environment's word counts where the command line has none, as for CmdStan
  const char* environment = std::getenv("STAN_NUM_THREADS");
  if (threads == 1 && environment != nullptr && *environment != '\0') {
    threads = std::atoi(environment);
  }
  stan::math::init_threadpool_tbb(threads);

  stan::callbacks::stream_logger logger(std::cout, std::cout, std::cout, std::cerr, std::cerr);
  stan::callbacks::interrupt interrupt;
  std::ostringstream configuration;
  print(root, configuration, "", 0);
  logger.info(configuration.str());

  const auto seed = set.natural("random.seed");
  const auto id = set.natural("id");
  const int digits = set.whole("output.sig_figs");
  const std::size_t chains = count_chains(set);

  const auto data = read_context(set.text("data.file"));
  std::unique_ptr<stan::model::model_base> model(&new_model(*data, seed, &std::cout));
  double radius = 2;
  const auto inits = read_inits(set.text("init"), chains, id, radius);

  const std::string unit = unit_of(set, *model);
  const auto found = methods().find(unit);
  if (found == methods().end()) {
    throw usage_error("this executable was built without " + unit);
  }

  const run_record record(root, *model);
  const auto open_csv = [&](const std::string& file) {
    csv_writer writer(file, digits);
    writer.raw(record.comments());
    return writer;
  };
  const std::string& name = set.text("method");
  const bool own_files = name == "sample" || name == "generate_quantities";
  const std::string file = suffixed(set.text("output.file"), "");
  const auto files = chain_files(file, own_files ? chains : 1, id);
  std::vector<csv_writer> outputs, diagnostics;
  for (const auto& output : files) {
    outputs.push_back(open_csv(output));
  }
  const std::string& diagnostic = set.text("output.diagnostic_file");
  const bool csv_diagnostics = name == "sample" || name == "variational";
  const std::size_t count = own_files ? chains : 1;
  for (std::size_t i = 0; i < count; ++i) {
    diagnostics.push_back(diagnostic.empty() || !csv_diagnostics
                              ? csv_writer()
                              : open_csv(chain_files(suffixed(diagnostic, ""), count, id)[i]));
  }
  if (set.flag("output.save_cmdstan_config")) {
    const std::string stem = files.size() > 1 && file.find(',') != std::string::npos ? files[0] : file;
    record.write_json(stem.substr(0, extension(stem)) + "_config.json");
  }

  run r{set,    *model, logger,  interrupt, seed,           id,     set.whole("output.refresh"),
        chains, radius, inits,   files,     std::move(outputs), std::move(diagnostics),
        digits, open_csv};
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
